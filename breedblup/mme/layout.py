"""Which equation belongs to which level of which term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.errors import ModelError
from breedblup.variances import VarianceComponents

NEARLY_SINGULAR = 1e-3
"""Smallest root of an eigenvalue of G₀, on the scale of correlations and relative to the largest, of which G₀⁻¹ is formed."""


@dataclass(frozen=True, slots=True)
class EquationLayout:
    """Term → slice, and equation → (term, level, coordinate).

    Equations stand by terms, fixed before random, in the order of the model; within a term by levels, and the effects and
    traits of one level are neighbours, so that blocks are small and dense. A random term whose covariance matrix G₀ has rank r
    below its order, or nearly so, is fitted as u = (Λ ⊗ I)v, G₀ = ΛΛ', with r equations a level: those of v.

    Attributes
    ----------
    starts
        First equation of each term, and the end of the last.
    loadings
        Λ (order × r) of each term that is fitted so, None for all others.
    used
        Where such a Λ may have values, None for everywhere.
    """

    terms: tuple[DesignTerm, ...]
    starts: NDArray[np.int64]
    loadings: tuple[NDArray[np.float64] | None, ...]
    used: tuple[NDArray[np.bool_] | None, ...] = ()

    @classmethod
    def of(cls, terms: Sequence[DesignTerm], variances: VarianceComponents | None = None) -> EquationLayout:
        """The layout of some terms; without variances every covariance matrix is taken to have full rank."""
        return cls._with(tuple(terms), tuple(_loading(term, variances) for term in terms))

    @classmethod
    def factored(
        cls,
        terms: Sequence[DesignTerm],
        roots: Mapping[str, NDArray[np.float64]],
        used: Mapping[str, NDArray[np.bool_]],
    ) -> EquationLayout:
        """The layout with every random term fitted as u = (Λ ⊗ I)v.

        Parameters
        ----------
        roots
            Λ by name of a random term, square: its columns may be zero.
        used
            Where each Λ may ever have values.
        """
        plain = cls._with(tuple(terms), (None,) * len(terms))
        return replace(plain, used=tuple(used.get(term.name) for term in terms)).with_roots(roots)

    def with_roots(self, roots: Mapping[str, NDArray[np.float64]]) -> EquationLayout:
        """The same equations for other Λ of the same shapes."""
        return replace(self, loadings=tuple(roots.get(term.name) for term in self.terms))

    @classmethod
    def _with(cls, terms: tuple[DesignTerm, ...], loadings: tuple[NDArray[np.float64] | None, ...]) -> EquationLayout:
        widths = [
            len(term.coordinates) if loading is None else loading.shape[1]
            for term, loading in zip(terms, loadings, strict=True)
        ]
        sizes = [len(term.levels) * width for term, width in zip(terms, widths, strict=True)]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        starts.flags.writeable = False
        return cls(terms, starts, loadings)

    def refreshed(self, variances: VarianceComponents) -> EquationLayout:
        """The same equations for other variances: those of v stay those of v.

        Raises
        ------
        ModelError
            If the rank of a covariance matrix is another one, so that there would be other equations.
        """
        loadings: list[NDArray[np.float64] | None] = []
        for k, (term, loading) in enumerate(zip(self.terms, self.loadings, strict=True)):
            root = None if term.kind == "fixed" else variances.root(term.name)
            if root is not None and root.shape[1] != self.width(k):
                raise ModelError(
                    f"the covariance matrix of {term.name!r} has rank {root.shape[1]} now, and {self.width(k)} when the "
                    "equations were laid out -> prepare them anew"
                )
            loadings.append(None if loading is None else root)
        return self._with(self.terms, tuple(loadings))

    @property
    def size(self) -> int:
        """Number of equations."""
        return int(self.starts[-1])

    @property
    def fixed_size(self) -> int:
        """Number of equations of fixed terms, which come first."""
        return int(self.starts[sum(term.kind == "fixed" for term in self.terms)])

    def width(self, k: int) -> int:
        """Equations of each level of the k-th term."""
        loading = self.loadings[k]
        return len(self.terms[k].coordinates) if loading is None else loading.shape[1]

    def equations(self, k: int) -> int:
        """Equations of the k-th term."""
        return int(self.starts[k + 1] - self.starts[k])

    def index_of(self, name: str) -> int:
        """Number of a term; `ModelError` where there is none of that name."""
        for k, term in enumerate(self.terms):
            if term.name == name:
                return k
        raise ModelError(f"no term {name!r} in the equations; there are {', '.join(term.name for term in self.terms)}")

    def slice_of(self, name: str) -> slice:
        """Equations of a term; `ModelError` where there is none of that name."""
        k = self.index_of(name)
        return slice(int(self.starts[k]), int(self.starts[k + 1]))

    def locate(self, equation: int) -> tuple[DesignTerm, int, int]:
        """Term, level and coordinate of an equation (that of v in a term of lower rank)."""
        k = int(np.searchsorted(self.starts, equation, side="right")) - 1
        level, coordinate = divmod(equation - int(self.starts[k]), self.width(k))
        return self.terms[k], level, coordinate

    def name(self, equation: int) -> str:
        """Term, level, effect and trait of an equation, what is the same for all left out: ``animal 'UK7'``."""
        k = int(np.searchsorted(self.starts, equation, side="right")) - 1
        term, level, coordinate = self.locate(equation)
        if self.loadings[k] is not None:
            return f"{term.name} {term.levels[level]!r}, factor {coordinate + 1}"
        if term.kind == "fixed":
            label = term.label(level, coordinate)
            several = len({one.trait for other in self.terms for one in other.coordinates}) > 1
            named = f"{term.name} {label!r}" if label else term.name
            return f"{named} of {term.coordinates[coordinate].trait}" if several else named
        of_level = f"{term.name} {term.levels[level]!r}"
        return of_level if len(term.coordinates) == 1 else f"{of_level}, {term.coordinates[coordinate]}"

    def describe(self, equation: int) -> str:
        """An equation in words: ``equation 10532 (animal 'UK7')``."""
        return f"equation {equation} ({self.name(equation)})"

    def blocks(self) -> NDArray[np.int64]:
        """Starts of the blocks of equations of one level each, and the end."""
        parts = [
            np.arange(self.starts[k], self.starts[k + 1], max(self.width(k), 1), dtype=np.int64)
            for k in range(len(self.terms))
        ]
        return np.concatenate([*parts, [self.size]]).astype(np.int64)


def independent_equations(layout: EquationLayout) -> NDArray[np.int64]:
    """Equations of the random term of most levels, where these are independent and no record has two of them; else none."""
    sizes = [layout.equations(k) * (term.kind == "random") for k, term in enumerate(layout.terms)]
    k = int(np.argmax(sizes)) if sizes else 0
    if not any(sizes) or layout.terms[k].relationship is not None or len(layout.terms[k].links) > 1:
        return np.empty(0, dtype=np.int64)
    return np.arange(layout.starts[k], layout.starts[k + 1], dtype=np.int64)


def _loading(term: DesignTerm, variances: VarianceComponents | None) -> NDArray[np.float64] | None:
    if variances is None or term.kind == "fixed":
        return None
    root = variances.root(term.name)
    if root.shape[1] < root.shape[0]:
        return root
    singular_values = np.linalg.svd(root / np.sqrt((root**2).sum(axis=1, keepdims=True)), compute_uv=False)
    return root if singular_values[-1] < NEARLY_SINGULAR * singular_values[0] else None
