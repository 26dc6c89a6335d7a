"""Fitted values for new records: fixed effects, and random effects of levels that the fit knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design import DesignTerm, basis_values
from breedblup.design.basis import resolved
from breedblup.design.choice import known_text, missing
from breedblup.design.computed import with_computed
from breedblup.design.terms import Function, resolve
from breedblup.errors import RecordError, counted, name_some, nearest
from breedblup.frames import Table, as_table, give_back, positions
from breedblup.inference.printed import table_lines
from breedblup.model import Covariate, Effect, Fixed, LevelGroup, Members, Random
from breedblup.model.coordinates import effect_classes
from breedblup.model.random import affects

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

_Array = NDArray[np.float64]

MOST_ERRORS = 5_000
"""Values up to which standard errors are computed: each is a solve."""

AT_ONCE = 100
"""Right-hand sides that are solved together."""


@dataclass(frozen=True)
class Prediction:
    """Fitted values of new records.

    Attributes
    ----------
    table
        A row for each record and trait: ``record`` (its row, from 0), ``trait``, ``fitted``, ``se``. The standard error is that
        of the sum of effects that the fit knows, less its prediction; null where there are more than 5,000 values.
    notes
        Random effects that were left out, as the fit does not know their levels.
    """

    table: Any
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(["Fitted values", *table_lines(self.table), *(f"  {note}" for note in self.notes)])


class _Share(NamedTuple):
    """What an effect gives to the fitted values of a trait: equation in the coordinates of u (-1 none) and value, by record."""

    trait: int
    equations: NDArray[np.int64]
    values: _Array


def predict(fit: RemlFit, records: Any, *, random: bool = True) -> Prediction:
    """Fitted values Xb + Zu for new records.

    Parameters
    ----------
    records
        Any data frame with the columns of the fixed and random effects; responses and weights are not needed.
    random
        Whether random effects are added. Those of levels that the fit does not know, or that are missing, are 0, their
        expectation, and counted in a note. False: Xb alone.

    Raises
    ------
    RecordError
        If a class of a fixed effect, or left of a bar, was not in the records of the fit, a class, covariate or weight is
        missing, or a function of columns has no finite value.
    ModelError
        If a covariate lies outside the range of its basis, or the model has orthogonal polynomials, which are known for the
        records of the fit only.
    """
    table = as_table(records, "new records")
    notes: list[str] = []
    design = fit.problem.design
    fixed = [resolve(written, design.table, []) for written in fit.model.fixed]
    parts = (*fixed, *(fit.model.random if random else ()))
    table = with_computed(table, [column for part in parts for column in part.columns])
    shares = list(_fixed_shares(fit, fixed, table))
    if random:
        for k, term in enumerate(fit.model.random):
            shares += _random_shares(fit, table, term, len(design.fixed) + k, notes)
    n, traits = len(table), len(design.traits)
    solutions = _solutions(fit)
    fitted = np.zeros((n, traits))
    for share in shares:
        fitted[:, share.trait] += np.where(share.equations < 0, 0.0, share.values * solutions[share.equations])
    errors = pl.Series("se", [None] * (n * traits), dtype=pl.Float64)
    if n * traits <= MOST_ERRORS:
        errors = pl.Series("se", _errors(fit, shares, n).ravel())
    found = pl.DataFrame(
        {
            "record": np.repeat(np.arange(n), traits),
            "trait": list(design.traits) * n,
            "fitted": fitted.ravel(),
            "se": errors,
        }
    )
    return Prediction(give_back(found, table.backend), tuple(notes))


def _solutions(fit: RemlFit) -> _Array:
    """Solutions of all equations, in the coordinates of u."""
    point, layout = fit.point, fit.problem.layout
    found = point.x.copy()
    for k, term in enumerate(layout.terms):
        if term.kind == "random":
            found[layout.starts[k] : layout.starts[k + 1]] = (point.of_term(point.x, k) @ point.root(k).T).ravel()
    return found


def _fixed_shares(fit: RemlFit, fixed: Sequence[Fixed | Covariate], table: Table) -> Iterator[_Share]:
    """Of every fixed term."""
    layout = fit.problem.layout
    for k, (model_term, term) in enumerate(zip(fixed, fit.problem.design.fixed, strict=True)):
        factors = model_term.factors if isinstance(model_term, Fixed) else model_term.within
        codes = _fixed_codes(term, factors, table) if factors else np.zeros(len(table), dtype=np.int64)
        values = None
        if isinstance(model_term, Covariate):
            values = _covariate(table, model_term.column, _limits(fit, model_term))
        for entry in term.links[0].entries:
            equations = layout.starts[k] + codes * layout.width(k) + entry.coordinate
            yield _Share(entry.trait, equations, np.ones(len(table)) if values is None else values[:, entry.column])


def _limits(fit: RemlFit, term: Covariate) -> Any:
    """The basis of a fixed covariate with the limits that it had in the fit."""
    design = fit.problem.design
    mine = [t for t, trait in enumerate(design.traits) if affects(term, trait)]
    x = design.table.numbers(term.column)[design.rows]
    return resolved(term.basis, term.column, np.where(design.observed[:, mine].any(axis=1), x, np.nan))


def _covariate(table: Table, column: str, basis: Any) -> _Array:
    x = table.numbers(column)
    _refuse_missing(table, column, np.isnan(x))
    return basis_values(basis, x)


def _fixed_codes(term: DesignTerm, factors: tuple[str, ...], table: Table) -> NDArray[np.int64]:
    """Levels of a set of classes; all have to be those of the fit."""
    for column in factors:
        _refuse_missing(table, column, missing(table, column))
    text = _joined(table, factors)
    codes = positions(text, term.levels)
    unknown = np.flatnonzero(codes < 0)
    if unknown.size:
        names = text.gather(unknown).unique(maintain_order=True).to_list()
        known = [str(level) for level in term.levels.head(1_000)]
        raise RecordError(
            f"{table.places(unknown)}: {term.name} {name_some(names)} not in the records of the fit"
            f"{nearest(str(names[0]), known)} -> correct the class, or leave these records out: its effect is not known"
        )
    return codes.astype(np.int64)


def _joined(table: Table, columns: tuple[str, ...]) -> pl.Series:
    """Levels of one column, or of an interaction as ``a:b``; null where one is missing."""
    text = known_text(table, columns[0])
    for column in columns[1:]:
        text = text + ":" + known_text(table, column)
    return text


def _random_shares(fit: RemlFit, table: Table, term: Random, k: int, notes: list[str]) -> list[_Share]:
    """Of one random term; levels that are not known are counted."""
    design, layout = fit.problem.design, fit.problem.layout
    coded, width, start = layout.terms[k], layout.width(k), int(layout.starts[k])
    reached = {group: _reached(coded, group, table) for group in term.groups}
    shares, coordinate = [], 0
    for effect in term.effects:
        traits = [t for t, trait in enumerate(design.traits) if affects(effect, trait)]
        levels_known = np.any([codes >= 0 for codes, _ in reached[effect.group]], axis=0)
        for classes in effect_classes(term, effect):
            belongs = _in_classes(effect, classes, levels_known, table)
            for _ in range(effect.basis.size):
                values = belongs * _function_values(coded.functions[coordinate], levels_known, table)
                for trait in traits:
                    for codes, weight in reached[effect.group]:
                        equations = np.where(codes < 0, -1, start + codes.astype(np.int64) * width + coordinate)
                        shares.append(_Share(trait, equations, weight * values))
                    coordinate += 1
    without = np.zeros(len(table), dtype=np.bool_)
    for group, columns in reached.items():
        if not isinstance(group, Members):
            without |= columns[0][0] < 0
    if without.any():
        notes.append(
            f"{coded.name}: {counted(int(without.sum()), 'record')} with a level that the fit does not know, or none: its effect "
            "taken as 0, the expectation"
        )
    return shares


def _in_classes(effect: Effect, classes: tuple[str, ...], needed: NDArray[np.bool_], table: Table) -> NDArray[np.bool_]:
    """Which records are in the classes left of the bar that an effect is of; refuses unknown ones where it is needed."""
    belongs = np.ones(len(table), dtype=np.bool_)
    for factor, level in zip(effect.classes, classes, strict=True):
        text = known_text(table, factor.factor).cast(pl.String)
        _refuse_missing(table, factor.factor, needed & text.is_null().to_numpy())
        unknown = np.flatnonzero(needed & ~text.is_in(factor.levels).fill_null(True).to_numpy())
        if unknown.size:
            raise RecordError(
                f"{table.places(unknown)}: {factor.factor} is "
                f"{name_some(text.gather(unknown).unique(maintain_order=True).to_list())}, and left of a bar the model has the "
                f"classes {name_some(factor.levels)} -> correct the class, or leave these records out: its effect is not known"
            )
        belongs &= (text == level).fill_null(False).to_numpy()
    return belongs


def _function_values(function: Function, needed: NDArray[np.bool_], table: Table) -> _Array:
    """What multiplies a random effect in each record; anything where the record has no level."""
    if function.column is None:
        return np.ones(len(table))
    x = table.numbers(function.column)
    _refuse_missing(table, function.column, np.isnan(x) & needed)
    inside = np.where(needed, x, function.basis.lower or 0.0)
    return basis_values(function.basis, inside)[:, function.number]


def _refuse_missing(table: Table, column: str, lacking: NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(lacking)
    if rows.size:
        raise RecordError(f"{table.places(rows)}: {column!r} is missing -> fill it in, or leave these records out")


def _reached(term: DesignTerm, group: LevelGroup, table: Table) -> list[tuple[NDArray[np.int32], _Array]]:
    """Levels of each column of a group, -1 where the fit does not know them, and their weights."""
    found = []
    for place, codes in enumerate(_random_codes(term, group, table)):
        weight = group.weights[place] if isinstance(group, Members) and group.weights else 1.0
        if not isinstance(weight, str):
            found.append((codes, np.full(len(table), float(weight))))
            continue
        given = table.numbers(weight)
        _refuse_missing(table, weight, np.isnan(given) & (codes >= 0))
        found.append((codes, np.nan_to_num(given)))
    return found


def _random_codes(term: DesignTerm, group: LevelGroup, table: Table) -> list[NDArray[np.int32]]:
    """Levels of each column of a group, -1 where the fit does not know them."""
    texts = (
        [known_text(table, column) for column in group.columns]
        if isinstance(group, Members) else [_joined(table, group.columns)]
    )  # fmt: skip
    if term.relationship is not None:
        return [term.relationship.positions_of(text) for text in texts]
    return [positions(text, term.levels) for text in texts]


def _errors(fit: RemlFit, shares: list[_Share], n: int) -> _Array:
    """√(w'C⁻¹w) of each record and trait, n × traits, w in the coordinates of the equations that were solved."""
    problem = fit.problem
    traits = len(problem.design.traits)
    found = np.zeros((n, traits))
    for trait in range(traits):
        mine = [share for share in shares if share.trait == trait]
        for first in range(0, n, AT_ONCE):
            rows = np.arange(first, min(first + AT_ONCE, n))
            sides = np.zeros((problem.layout.size, rows.size))
            for share in mine:
                known = share.equations[rows] >= 0
                np.add.at(sides, (share.equations[rows][known], np.flatnonzero(known)), share.values[rows][known])
            _to_solved(fit, sides)
            solved = fit.point.factor.solve(sides)
            found[rows, trait] = np.sqrt(np.maximum((sides * solved).sum(axis=0), 0.0))
    return found


def _to_solved(fit: RemlFit, sides: _Array) -> None:
    """Columns in the coordinates of u to those of v, in place: Λ'w; equations that are set to zero have none."""
    layout = fit.problem.layout
    for k, term in enumerate(layout.terms):
        if term.kind == "random":
            part = sides[layout.starts[k] : layout.starts[k + 1]].reshape(len(term.levels), layout.width(k), -1)
            part[:] = np.einsum("lcs,cq->lqs", part, fit.point.root(k))
    sides[fit.problem.dropped] = 0.0
