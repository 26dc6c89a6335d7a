"""The result of an evaluation: breeding values with their precision, fixed effects, and how all of it was made."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, counted, nearest
from breedblup.evaluation.effects import RandomEffects
from breedblup.evaluation.tables import AccuracyScale, groups_table, random_table
from breedblup.frames import give_back
from breedblup.model import Model
from breedblup.plan import SolvePlan
from breedblup.relationship import RelationshipInverse
from breedblup.solvers.records import Solution
from breedblup.variances import VarianceComponents

EFFECTS_SHOWN = 12
"""Effects that a summary describes before it counts the rest."""

ROUNDED = 1e-10
"""A mean that is smaller than this share of the standard deviation is shown as 0."""

ROWS_SHOWN = 3
"""Largest covariance matrix that a summary writes out."""


@dataclass(frozen=True)
class Evaluation:
    """Breeding values and what they rest on. What was not computed is null, never zero.

    Attributes
    ----------
    genetic
        Table behind `ebv` (polars).
    fixed_effects
        Table behind `fixed` (polars).
    effects
        Solutions of every random term by its key, with the covariances of their errors.
    relationships
        K⁻¹ by the names that relationships were given under.
    solution
        The solver's last state with every criterion of every round.
    plan
        How it was solved, and why.
    base
        What an EBV of zero means.
    subtracted
        Means that another base has taken off the breeding values, by term, trait and effect; empty without one.
    notes
        Every default and decision that mattered.
    counts
        Records read, used and left out; animals; equations.
    seconds
        Time by stage.
    backend
        Data-frame library of the tables handed out.
    duals
        G⁻¹û of the genotyped animals by key of a term whose relationship rests on genotypes: one row for each of
        ``relationships[...].genomic.matrix.ids``, one column for each effect; marker effects are made of them.
    """

    model: Model
    variances: VarianceComponents
    genetic: pl.DataFrame
    fixed_effects: pl.DataFrame
    effects: Mapping[str, RandomEffects]
    relationships: Mapping[str, RelationshipInverse]
    solution: Solution
    plan: SolvePlan
    accuracy_scale: AccuracyScale
    base: str
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    seconds: Mapping[str, float]
    backend: str = "polars"
    subtracted: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    duals: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def ebv(self) -> Any:
        """One row for each animal, in the user's order, each trait, and each effect of a term with a relationship.

        Columns: ``id, term, trait, effect, ebv, pev, reliability, accuracy, inbreeding, records, progeny_records,
        parent_average, mendelian_sampling``. PEV is var(u - û) with the fixed effects estimated; reliability is
        1 - PEV/((1 + F) σ²ₐ); ``records`` are the animal's own, ``progeny_records`` its offspring with records.
        """
        return give_back(self.genetic, self.backend)

    @property
    def groups(self) -> Any:
        """One row for each group of unknown parents, or metafounder, and each effect of its term; empty where there are none.

        Columns: ``group, kind, term, trait, effect, solution, pev, unknown_parents``. Of fixed groups only differences are
        estimable, and ``pev`` is null.
        """
        return give_back(self.group_solutions, self.backend)

    @property
    def group_solutions(self) -> pl.DataFrame:
        """Table behind `groups` (polars), on the base of the breeding values."""
        return groups_table(list(self.effects.values()), self.subtracted)

    @property
    def fixed(self) -> Any:
        """One row for each fixed effect: ``term, level, trait, estimate, se, constrained``."""
        return give_back(self.fixed_effects, self.backend)

    def random(self, term: str) -> Any:
        """One row for each effect of each level of a random term: ``level, trait, effect, solution, pev``.

        `ModelError` where there is no such term.
        """
        if term not in self.effects:
            known = list(self.effects)
            raise ModelError(f"no random term {term!r}{nearest(term, known)} (there are {', '.join(known)})")
        return give_back(random_table(self.effects[term]), self.backend)

    def __str__(self) -> str:
        return "\n".join([*self.summary(), *(f"  note: {note}" for note in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For a notebook: the same text, and the first animals as a table."""
        return f"<pre>{html.escape(str(self))}</pre>{self.genetic.head(5)._repr_html_()}"

    def summary(self) -> list[str]:
        """What was evaluated, how, and the highest breeding values, in lines for a reader."""
        counts, traits = self.counts, ", ".join(self.model.traits)
        lines = [
            f"Evaluation of {traits}: {counts['animals']:,} animals, {counts['records_used']:,} records",
            *(f"  {'model' if not n else '':<9}  {text}" for n, text in enumerate(self.model.formulas)),
            f"  variances  {_variances_in_words(self.variances)}",
            f"  solved     {_solution_in_words(self.solution)}, {self.plan.equations:,} equations",
            f"  base       {self.base}",
        ]
        tables = self.genetic.partition_by("term", "trait", "effect", maintain_order=True)
        for table in tables[:EFFECTS_SHOWN]:
            lines += self._of_effect(table, alone=sum(t["term"][0] == table["term"][0] for t in tables) == 1)
        if len(tables) > EFFECTS_SHOWN:
            lines.append(f"  and {len(tables) - EFFECTS_SHOWN} more effects")
        if tables and tables[0]["reliability"].is_null().all():
            lines.append("  reliability not computed: " + "; ".join(self.plan.reasons))
        if len(tables) == 1:
            lines += ["  highest:", *(f"    {line}" for line in _best(tables[0]))]
        return lines

    def _of_effect(self, table: pl.DataFrame, *, alone: bool) -> list[str]:
        """Mean, spread and reliability of one effect."""
        first = table.row(0, named=True)
        what = first["term"] if alone else f"{first['term']}, {first['trait']}, {first['effect']}"
        ebv = table["ebv"].to_numpy()
        mean = 0.0 if abs(ebv.mean()) < ROUNDED * ebv.std() else ebv.mean()
        lines = [f"  EBV of {what}: mean {mean:.4g}, SD {ebv.std():.4g}, from {ebv.min():.4g} to {ebv.max():.4g}"]
        if not table["reliability"].is_null().any():
            found: NDArray[np.float64] = table["reliability"].to_numpy()
            lines.append(f"  reliability mean {found.mean():.3f}, from {found.min():.3f} to {found.max():.3f}")
        return lines


def _variances_in_words(variances: VarianceComponents) -> str:
    parts = [f"{key} {_matrix_in_words(variances.matrix(key))}" for key in variances.keys()]  # noqa: SIM118
    classes = variances.residual_classes
    if not classes:
        return ", ".join([*parts, f"residual {_matrix_in_words(variances.residual_matrix())}"])
    return ", ".join(
        [*parts, *(f"residual {name} {_matrix_in_words(variances.residual_matrix(name))}" for name in classes)]
    )


def _matrix_in_words(matrix: NDArray[np.float64]) -> str:
    """A number, ``[20 18; 18 40]``, or its size."""
    if len(matrix) == 1:
        return f"{float(matrix[0, 0]):g}"
    if len(matrix) > ROWS_SHOWN:
        return f"{len(matrix)} x {len(matrix)}"
    return f"[{'; '.join(' '.join(f'{value:g}' for value in row) for row in matrix)}]"


def _solution_in_words(solution: Solution) -> str:
    last = solution.rounds[-1] if solution.rounds else None
    if solution.method == "cholesky" or last is None:
        return "by Cholesky factor"
    words = f"by PCG in {counted(last.round, 'round')}, relative residual {last.relative_residual:.1e}"
    if last.error_bound is not None:
        return f"{words}, no error above {last.error_bound:.1e} genetic SD"
    return f"{words}, error about {last.error_estimate:.1e} genetic SD"


def _best(table: pl.DataFrame, number: int = 5) -> list[str]:
    """The highest EBVs, one animal a line."""
    lines = []
    for row in table.sort("ebv", descending=True, maintain_order=True).head(number).iter_rows(named=True):
        precision = "" if row["reliability"] is None else f"  reliability {row['reliability']:.3f}"
        lines.append(f"{row['id']}  {row['ebv']:.4f}{precision}  records {row['records']}")
    return lines
