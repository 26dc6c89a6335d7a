"""Which equation belongs to which level of which term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.errors import ModelError


@dataclass(frozen=True, slots=True)
class EquationLayout:
    """Term → slice, and equation → (term, level, coefficient).

    Equations stand by terms, fixed before random, in the order of the model; within a term by levels, and the coefficients
    of one level are neighbours, so that blocks are small and dense.
    """

    terms: tuple[DesignTerm, ...]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, terms: Sequence[DesignTerm]) -> EquationLayout:
        """The layout of some terms."""
        starts = np.concatenate([[0], np.cumsum([term.equations for term in terms])]).astype(np.int64)
        starts.flags.writeable = False
        return cls(tuple(terms), starts)

    @property
    def size(self) -> int:
        """Number of equations."""
        return int(self.starts[-1])

    @property
    def fixed_size(self) -> int:
        """Number of equations of fixed terms, which come first."""
        return sum(term.equations for term in self.terms if term.kind == "fixed")

    def slice_of(self, name: str) -> slice:
        """Equations of a term; `ModelError` where there is none of that name."""
        for k, term in enumerate(self.terms):
            if term.name == name:
                return slice(int(self.starts[k]), int(self.starts[k + 1]))
        raise ModelError(f"no term {name!r} in the equations; there are {', '.join(term.name for term in self.terms)}")

    def locate(self, equation: int) -> tuple[DesignTerm, int, int]:
        """Term, level and coefficient of an equation."""
        k = int(np.searchsorted(self.starts, equation, side="right")) - 1
        level, coefficient = divmod(equation - int(self.starts[k]), len(self.terms[k].coefficients))
        return self.terms[k], level, coefficient

    def name(self, equation: int) -> str:
        """Term and level of an equation: ``animal 'UK7'``."""
        term, level, coefficient = self.locate(equation)
        label = term.label(level, coefficient)
        return f"{term.name} {label!r}" if label else term.name

    def describe(self, equation: int) -> str:
        """An equation in words: ``equation 10532 (animal 'UK7')``."""
        return f"equation {equation} ({self.name(equation)})"

    def blocks(self) -> NDArray[np.int64]:
        """Starts of the blocks of equations of one level each, and the end."""
        parts = [
            np.arange(start, start + term.equations, len(term.coefficients))
            for term, start in zip(self.terms, self.starts[:-1], strict=True)
        ]
        return np.concatenate([*parts, [self.size]]).astype(np.int64)
