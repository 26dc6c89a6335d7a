"""Functions of a covariate: what turns a column into one or several columns of a term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from breedblup.errors import ModelError, name_some, nearest
from breedblup.model.checks import checked_knots, checked_limit

BasisKind: TypeAlias = Literal["linear", "polynomial", "legendre", "bspline"]

BASIS_FUNCTIONS: dict[BasisKind, str] = {
    "linear": "covariate",
    "polynomial": "poly",
    "legendre": "leg",
    "bspline": "bspline",
}
"""What a formula calls each kind of basis."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Functions of a covariate, one column each.

    Parameters
    ----------
    kind
        ``linear``: the covariate itself. ``polynomial``: orthogonal polynomials of degree 1 to ``degree`` over the
        records, without the constant, as R's ``poly()``. ``legendre``: normalised Legendre polynomials
        :math:`\\sqrt{(2k+1)/2}\\,P_k(t^*)`, k = 0 to ``degree``, of :math:`t^* = -1 + 2(t - l)/(u - l)`
        (Kirkpatrick, Lofsvold and Bulmer 1990), with the constant k = 0. ``bspline``: the degree + 1 + number of inner
        knots B-splines of de Boor (1978), which add up to 1.
    degree
        Highest degree, at least 1.
    lower, upper
        The limits l and u of Legendre polynomials and B-splines; None is the range of the data, which the design keeps.
    knots
        Inner knots of B-splines, ascending.
    """

    kind: BasisKind
    degree: int = 1
    lower: float | None = None
    upper: float | None = None
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        kinds = get_args(BasisKind)
        if self.kind not in kinds:
            known = name_some(kinds)
            raise ModelError(f"unknown basis {self.kind!r}{nearest(str(self.kind), kinds)}; known are {known}")
        if isinstance(self.degree, bool) or not isinstance(self.degree, int) or self.degree < 1:
            raise ModelError(f"the degree of a basis is a whole number from 1, found {self.degree!r}")
        if self.kind == "linear" and self.degree != 1:
            raise ModelError(f"a linear basis has degree 1, found {self.degree}; use 'polynomial' or 'legendre'")
        object.__setattr__(self, "knots", checked_knots(self.knots))
        if self.knots and self.kind != "bspline":
            raise ModelError(f"only B-splines have knots, found {name_some(self.knots)} ({self.kind})")
        if self.lower is None and self.upper is None:
            return
        if not self.has_constant:
            raise ModelError(
                f"only a Legendre basis and B-splines have limits, found {self.lower!r} and {self.upper!r} ({self.kind})"
            )
        lower, upper = checked_limit(self.lower), checked_limit(self.upper)
        if lower >= upper:
            raise ModelError(f"the lower limit of a basis must be below the upper one, found {lower!r} and {upper!r}")
        outside = [knot for knot in self.knots if not lower < knot < upper]
        if outside:
            raise ModelError(f"inner knots lie between {lower:g} and {upper:g}, found {name_some(outside)}")
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def has_constant(self) -> bool:
        """Whether a combination of its functions is 1 everywhere."""
        return self.kind in ("legendre", "bspline")

    @property
    def size(self) -> int:
        """Number of columns, the constant of a Legendre basis among them."""
        return self.degree + self.has_constant + len(self.knots)

    def label(self, column: str) -> str:
        """The column with its functions: ``age``, ``poly(age, 2)``, ``leg(dim, 4)``."""
        if self.kind == "linear":
            return column
        return f"{BASIS_FUNCTIONS[self.kind]}({column}, {self.degree})"


LINEAR = Basis("linear")
