"""What is assumed of a covariance matrix while it is estimated, and what a user may demand of single elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from numpy.typing import ArrayLike

from breedblup.errors import ModelError
from breedblup.variances.matrices import FloatMatrix, covariance


@dataclass(frozen=True, slots=True)
class Unstructured:
    """Every variance and covariance is a parameter.

    Where the effects of a term are uncorrelated in the model (``||``), covariances between effects stay zero and those
    between the traits of an effect are parameters.
    """


@dataclass(frozen=True, slots=True)
class Diagonal:
    """Variances are parameters; every covariance is zero."""


@dataclass(frozen=True, slots=True)
class ReducedRank:
    """A covariance matrix ΛΛ' with Λ of fewer columns than rows (Kirkpatrick and Meyer 2004).

    Parameters
    ----------
    rank
        Number of columns of Λ: at least 1, less than the order of the matrix.

    Raises
    ------
    ModelError
        The rank is no whole number from 1.
    """

    rank: int

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ModelError(f"the rank of ReducedRank is a whole number from 1, found {self.rank!r}")


@dataclass(frozen=True, slots=True, eq=False)
class FixedValue:
    """A covariance matrix that is not estimated.

    Parameters
    ----------
    matrix
        A number, or a symmetric positive semi-definite matrix in the order of the term; read-only afterwards.

    Raises
    ------
    ModelError
        It is no covariance matrix; the message says why.
    """

    matrix: FloatMatrix

    def __init__(self, matrix: ArrayLike) -> None:
        object.__setattr__(self, "matrix", covariance(matrix, "FixedValue"))


Structure: TypeAlias = Unstructured | Diagonal | ReducedRank | FixedValue


@dataclass(frozen=True, slots=True)
class Bound:
    """Limits of a parameter: an element of a covariance matrix.

    Parameters
    ----------
    parameter
        Its name: ``"animal"``, ``"animal[2,1]"``, ``"residual"``, ``"residual H1[2,2]"``.
    lower, upper
        In the units of the element; None for no limit. Equal limits fix the element.

    Raises
    ------
    ModelError
        There is no limit, a limit is no finite number, or the lower one is above the upper one.
    """

    parameter: str
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        _check_name(self.parameter, "Bound")
        if self.lower is None and self.upper is None:
            raise ModelError(f"the bound of {self.parameter!r} has neither a lower nor an upper limit; give one")
        for limit in (self.lower, self.upper):
            if limit is not None and not _is_number(limit):
                raise ModelError(f"the limits of {self.parameter!r} are finite numbers, found {limit!r}")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ModelError(
                f"the lower limit of {self.parameter!r} ({self.lower:g}) is above the upper one ({self.upper:g}); swap them"
            )


@dataclass(frozen=True, slots=True)
class Tie:
    """One parameter is a multiple of another: θ of ``parameter`` = ``factor`` · θ of ``to``.

    Parameters
    ----------
    parameter, to
        Names of elements of covariance matrices, as those of `Bound`.
    factor
        Finite and not zero.

    Raises
    ------
    ModelError
        A parameter is tied to itself, or the factor is 0 or no finite number.
    """

    parameter: str
    to: str
    factor: float = 1.0

    def __post_init__(self) -> None:
        _check_name(self.parameter, "Tie")
        _check_name(self.to, "Tie")
        if not _is_number(self.factor) or self.factor == 0:
            raise ModelError(
                f"the factor that ties {self.parameter!r} to {self.to!r} must be a finite number other than 0, "
                f"found {self.factor!r}"
            )
        if self.parameter == self.to:
            raise ModelError(f"{self.parameter!r} is tied to itself; name another parameter, or leave the tie out")


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ModelError(f"a {what} takes the name of a parameter, as 'animal' or 'animal[2,1]', found {name!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
