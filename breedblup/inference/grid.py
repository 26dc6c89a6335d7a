"""The reference grid of predicted means: which levels of which factors are averaged, and what each term contributes.

Factors that meet in a term, or of which one is nested in the other, are averaged together, all others by themselves.
Those that meet the factors asked for are averaged over all combinations that nesting allows; the others over the
combinations that have records, which is a constant in all means. Every combination counts the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm, basis_values
from breedblup.design.basis import resolved
from breedblup.design.levels import class_text, code_classes
from breedblup.design.terms import resolve
from breedblup.errors import ModelError, ResourceError, nearest
from breedblup.model import Basis, Covariate, Fixed, Model
from breedblup.model.random import affects

_Vector = NDArray[np.float64]
_Codes = NDArray[np.int32]

CELLS = 2_000_000
"""Most combinations of factors that are averaged together."""


@dataclass(frozen=True)
class TraitFactors:
    """Factors and covariates of the fixed terms of one trait, for the records that have it.

    Attributes
    ----------
    terms
        Number in the design, and the term as it was resolved.
    levels, codes
        Of each factor.
    """

    design: Design
    trait: int
    terms: tuple[tuple[int, Fixed | Covariate], ...]
    levels: Mapping[str, pl.Series]
    codes: Mapping[str, _Codes]
    mine: NDArray[np.bool_]

    @classmethod
    def of(cls, model: Model, design: Design, trait: int) -> TraitFactors:
        """Code the factors anew, one by one."""
        mine = design.observed[:, trait]
        terms = tuple(
            (k, resolve(term, design.table, []))
            for k, term in enumerate(model.fixed)
            if affects(term, design.traits[trait])
        )
        rows = design.rows[mine]
        coded = {
            name: code_classes(class_text(design.table, name).gather(rows))
            for name in dict.fromkeys(name for _, term in terms for name in factors_of(term))
        }
        levels = {name: found[0] for name, found in coded.items()}
        return cls(design, trait, terms, levels, {name: found[1] for name, found in coded.items()}, mine)

    def parent_of(self, inner: str, outer: str) -> _Codes | None:
        """The level of one factor that each level of another lies in; None where it is not nested in it."""
        found = np.empty(len(self.levels[inner]), dtype=np.int32)
        found[self.codes[inner]] = self.codes[outer]
        nested = len(self.levels[outer]) > 1 and np.array_equal(found[self.codes[inner]], self.codes[outer])
        return found if nested else None

    def together(self, by: Sequence[str]) -> list[list[str]]:
        """Groups of factors that are averaged together; those of ``by`` are one group with what they meet."""
        nested = [{a, b} for a, b in permutations(self.levels, 2) if self.parent_of(a, b) is not None]
        sets = [set(by), *({*factors_of(term)} for _, term in self.terms), *nested]
        groups: list[set[str]] = []
        for one in (one for one in sets if one):
            met = [group for group in groups if group & one]
            groups = [group for group in groups if not group & one] + [one.union(*met)]
        return [[name for name in self.levels if name in group] for group in groups]

    def observed_cells(self, factors: Sequence[str]) -> dict[str, _Codes]:
        """Codes of the combinations of some factors that have records."""
        together = np.unique(np.stack([self.codes[name] for name in factors]), axis=1)
        return dict(zip(factors, together, strict=True))

    def possible_cells(self, factors: Sequence[str]) -> dict[str, _Codes]:
        """Codes of all combinations of some factors that nesting allows."""
        number = int(np.prod([len(self.levels[name]) for name in factors], dtype=np.float64))
        if number > CELLS:
            raise ResourceError(
                f"means over {', '.join(map(repr, factors))} take {number:,} combinations of levels, more than {CELLS:,} "
                "-> ask for means by a factor that does not meet these in a term"
            )
        axes = np.meshgrid(*(np.arange(len(self.levels[name]), dtype=np.int32) for name in factors), indexing="ij")
        found = {name: axis.ravel() for name, axis in zip(factors, axes, strict=True)}
        possible = np.ones(number, dtype=np.bool_)
        for inner, outer in permutations(factors, 2):
            parent = self.parent_of(inner, outer)
            if parent is not None:
                possible &= parent[found[inner]] == found[outer]
        return {name: codes[possible] for name, codes in found.items()}


def factors_of(term: Fixed | Covariate) -> tuple[str, ...]:
    """Factors of a term, those a regression is nested in among them."""
    return term.factors if isinstance(term, Fixed) else term.within


@dataclass(frozen=True)
class Means:
    """Which means are asked for, as functions of the fixed effects.

    Attributes
    ----------
    levels
        Columns of levels of the factors asked for, one row each mean.
    rows
        Coefficients, means × fixed equations.
    missing
        Whether a mean takes a combination of levels that no record of the trait has.
    covariates
        Value of each covariate.
    averaged, averaged_observed
        Factors that are averaged over in all combinations, and in those that have records.
    """

    levels: dict[str, pl.Series]
    rows: _Vector
    missing: NDArray[np.bool_]
    covariates: dict[str, float]
    averaged: tuple[str, ...]
    averaged_observed: tuple[str, ...]


def means_of_trait(
    factors: TraitFactors, by: Sequence[str], at: Mapping[str, float], starts: NDArray[np.int64]
) -> Means:
    """The means of the levels of some factors, or of their combinations.

    Parameters
    ----------
    by
        Factors of the trait; none for the mean over all.
    at
        Values of covariates that are not to be at their mean.
    starts
        First fixed equation of each term, and the end of the last.

    Raises
    ------
    ModelError
        If the trait has no such factor or covariate.
    ResourceError
        If too many combinations have to be averaged together.
    """
    _refuse_unknown(factors, by, at)
    groups = [
        (group, factors.possible_cells(group) if set(by) & set(group) else factors.observed_cells(group))
        for group in factors.together(by)
    ]
    number, mean_of_cell, levels = _asked(factors, by, groups)
    rows, missing = np.zeros((number, int(starts[-1]))), np.zeros(number, dtype=np.bool_)
    covariates: dict[str, float] = {}
    for k, term in factors.terms:
        design_term = factors.design.fixed[k]
        functions = np.ones(1)
        if isinstance(term, Covariate):
            covariates[term.column], functions = _covariate(factors, design_term, term, at)
        names = factors_of(term)
        group, cells = next(((g, c) for g, c in groups if names and names[0] in g), ([], {"": np.zeros(1, np.int32)}))
        asked = mean_of_cell if set(by) & set(group) else np.zeros(len(next(iter(cells.values()))), np.int64)
        codes = _codes_of_cells(factors, design_term, names, cells)
        share = _shares(asked, codes, len(design_term.levels))
        if not set(by) & set(group):
            share = np.broadcast_to(share, (number, share.shape[1]))
        missing |= share[:, -1] > 0.0
        _add(rows, factors, design_term, int(starts[k]), share[:, :-1], functions)
    met = {name for group, _ in groups if set(by) & set(group) for name in group}
    averaged = tuple(name for name in factors.levels if name in met and name not in by)
    return Means(levels, rows, missing, covariates, averaged, tuple(name for name in factors.levels if name not in met))


def _refuse_unknown(factors: TraitFactors, by: Sequence[str], at: Mapping[str, float]) -> None:
    trait = factors.design.traits[factors.trait]
    columns = [term.column for _, term in factors.terms if isinstance(term, Covariate)]
    for name, known, what in (
        *((one, list(factors.levels), "factor") for one in by),
        *((one, columns, "covariate") for one in at),
    ):
        if name not in known:
            listed = ", ".join(dict.fromkeys(known)) or "none"
            parts = name.split(":")
            combined = what == "factor" and len(parts) > 1 and set(parts) <= set(known)
            hint = f"; for all combinations write {parts!r}" if combined else nearest(name, known)
            raise ModelError(f"{trait} has no fixed {what} {name!r}{hint} (it has {listed})")


def _asked(
    factors: TraitFactors, by: Sequence[str], groups: Sequence[tuple[list[str], dict[str, _Codes]]]
) -> tuple[int, NDArray[np.int64], dict[str, pl.Series]]:
    """Number of means, the mean that each cell of their group belongs to, and the columns of levels."""
    if not by:
        return 1, np.zeros(1, dtype=np.int64), {}
    cells = next(cells for group, cells in groups if by[0] in group)
    key = np.zeros(len(cells[by[0]]), dtype=np.int64)
    for name in by:
        key = key * len(factors.levels[name]) + cells[name]
    _, first, mean_of_cell = np.unique(key, return_index=True, return_inverse=True)
    return first.size, mean_of_cell, {name: factors.levels[name].gather(cells[name][first]) for name in by}


def _covariate(
    factors: TraitFactors, design_term: DesignTerm, term: Covariate, at: Mapping[str, float]
) -> tuple[float, _Vector]:
    """Where a covariate stands, and its functions there."""
    table = factors.design.table
    x = table.numbers(term.column)[factors.design.rows]
    point = float(at.get(term.column, x[factors.mine].mean()))
    if term.basis.kind == "polynomial":
        entries = [entry for entry in design_term.links[0].entries if entry.trait == factors.trait]
        assert design_term.values is not None
        values = design_term.values[factors.mine][:, [entry.column for entry in entries]]
        return point, _polynomial_at(x[factors.mine], values, term.basis, point)
    needed = np.any(
        factors.design.observed[:, [factors.design.traits.index(c.trait) for c in design_term.coordinates]], axis=1
    )
    basis = resolved(term.basis, term.column, np.where(needed, x, np.nan))
    return point, basis_values(basis, [point])[0]


def _polynomial_at(x: _Vector, values: _Vector, basis: Basis, point: float) -> _Vector:
    """Orthogonal polynomials elsewhere than at the records: polynomials all the same, found from their values."""
    centre, scale = x.mean(), np.abs(x - x.mean()).max()
    powers = np.vander((x - centre) / scale, basis.degree + 1)
    coefficients = np.linalg.lstsq(powers, values, rcond=None)[0]
    found: _Vector = (np.vander([(point - centre) / scale], basis.degree + 1) @ coefficients)[0]
    return found


def _codes_of_cells(
    factors: TraitFactors, design_term: DesignTerm, names: Sequence[str], cells: Mapping[str, _Codes]
) -> NDArray[np.int64]:
    """Level of a term in each cell; the number of levels where no record of the trait has that combination."""
    known = design_term.links[0].codes[factors.mine].astype(np.int64)
    key, wanted = np.zeros(known.size, np.int64), np.zeros(len(next(iter(cells.values()))), np.int64)
    for name in names:
        key = key * len(factors.levels[name]) + factors.codes[name]
        wanted = wanted * len(factors.levels[name]) + cells[name]
    keys, first = np.unique(key, return_index=True)
    place = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[place] == wanted, known[first[place]], len(design_term.levels))


def _shares(asked: NDArray[np.int64], codes: NDArray[np.int64], levels: int) -> _Vector:
    """Share of each level, and of combinations without records, in each mean."""
    means = int(asked.max(initial=0)) + 1
    counts = np.bincount(asked * (levels + 1) + codes, minlength=means * (levels + 1)).reshape(means, levels + 1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _add(
    rows: _Vector, factors: TraitFactors, term: DesignTerm, start: int, share: _Vector, functions: _Vector
) -> None:
    """Add what a term contributes to each mean."""
    width = len(term.coordinates)
    for place, coordinate in _coordinates(factors, term):
        rows[:, start + coordinate + width * np.arange(share.shape[1])] += share * functions[place]


def _coordinates(factors: TraitFactors, term: DesignTerm) -> Iterator[tuple[int, int]]:
    """Number of the function and coordinate of each effect of the trait."""
    mine = [entry.coordinate for entry in term.links[0].entries if entry.trait == factors.trait]
    return enumerate(mine)
