"""The result of an evaluation: breeding values with their precision, fixed effects, and how all of it was made."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.errors import ModelError, counted, nearest
from breedblup.frames import give_back
from breedblup.mme import Constraints, EquationLayout
from breedblup.model import Model
from breedblup.plan import SolvePlan
from breedblup.relationship import RelationshipInverse
from breedblup.solvers.records import Solution
from breedblup.variances import VarianceComponents

AccuracyScale = Literal["r", "r2", "bif"]


def accuracy_from_reliability(reliability: NDArray[np.float64], scale: AccuracyScale) -> NDArray[np.float64]:
    """Accuracy on the scale asked for: ``r`` = √reliability, ``r2`` = reliability, ``bif`` = 1 - √(1 - reliability).

    The last is that of the Beef Improvement Federation's guidelines.
    """
    if scale == "r":
        return np.sqrt(reliability)
    return reliability if scale == "r2" else 1.0 - np.sqrt(1.0 - reliability)


@dataclass(frozen=True)
class Evaluation:
    """Breeding values and what they rest on. What was not computed is null, never zero.

    Attributes
    ----------
    genetic
        Table behind `ebv` (polars).
    fixed_effects
        Table behind `fixed` (polars).
    random_effects
        Tables behind `random` by term (polars).
    solution
        The solver's last state with every criterion of every round.
    plan
        How it was solved, and why.
    base
        What an EBV of zero means.
    notes
        Every default and decision that mattered.
    counts
        Records read, used and left out; animals; equations.
    seconds
        Time by stage.
    backend
        Data-frame library of the tables handed out.
    """

    model: Model
    variances: VarianceComponents
    genetic: pl.DataFrame
    fixed_effects: pl.DataFrame
    random_effects: Mapping[str, pl.DataFrame]
    relationships: Mapping[str, RelationshipInverse]
    solution: Solution
    plan: SolvePlan
    accuracy_scale: AccuracyScale
    base: str
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    seconds: Mapping[str, float]
    backend: str = "polars"

    @property
    def ebv(self) -> Any:
        """One row for each animal, in the user's order, and each term with a relationship.

        Columns: ``id, term, trait, effect, ebv, pev, reliability, accuracy, inbreeding, records, progeny_records,
        parent_average, mendelian_sampling``. PEV is var(u - û) with the fixed effects estimated; reliability is
        1 - PEV/((1 + F) σ²ₐ); ``records`` are the animal's own, ``progeny_records`` its offspring with records.
        """
        return give_back(self.genetic, self.backend)

    @property
    def fixed(self) -> Any:
        """One row for each fixed effect: ``term, level, trait, estimate, se, constrained``."""
        return give_back(self.fixed_effects, self.backend)

    def random(self, term: str) -> Any:
        """One row for each level of a random term: ``level, trait, effect, solution, pev``; `ModelError` if there is none."""
        if term not in self.random_effects:
            known = list(self.random_effects)
            raise ModelError(f"no random term {term!r}{nearest(term, known)} (there are {', '.join(known)})")
        return give_back(self.random_effects[term], self.backend)

    def __str__(self) -> str:
        return "\n".join([*self.summary(), *(f"  note: {note}" for note in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For a notebook: the same text, and the first animals as a table."""
        return f"<pre>{html.escape(str(self))}</pre>{self.genetic.head(5)._repr_html_()}"

    def summary(self) -> list[str]:
        """What was evaluated, how, and the highest breeding values, in lines for a reader."""
        counts = self.counts
        lines = [
            f"Evaluation of {self.model.traits[0]}: {counts['animals']:,} animals, {counts['records_used']:,} records",
            f"  model      {self.model.formula}",
            f"  variances  {_variances_in_words(self.variances)}",
            f"  solved     {_solution_in_words(self.solution)}, {self.plan.equations:,} equations",
            f"  base       {self.base}",
        ]
        for (term,), table in self.genetic.group_by("term", maintain_order=True):
            ebv = table["ebv"].to_numpy()
            lines.append(
                f"  EBV of {term}: mean {ebv.mean():.4g}, SD {ebv.std():.4g}, from {ebv.min():.4g} to {ebv.max():.4g}"
            )
            if not table["reliability"].is_null().any():
                found = table["reliability"].to_numpy()
                lines.append(f"  reliability mean {found.mean():.3f}, from {found.min():.3f} to {found.max():.3f}")
            else:
                lines.append("  reliability not computed: " + "; ".join(self.plan.reasons))
            lines += ["  highest:", *(f"    {line}" for line in _best(table))]
        return lines


def _variances_in_words(variances: VarianceComponents) -> str:
    parts = [f"{key} {float(variances.matrix(key)[0, 0]):g}" for key in variances.keys()]  # noqa: SIM118
    return ", ".join([*parts, f"residual {float(variances.residual_matrix()[0, 0]):g}"])


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


def genetic_table(
    design: Design,
    layout: EquationLayout,
    x: NDArray[np.float64],
    inverse_diagonal: NDArray[np.float64] | None,
    variances: VarianceComponents,
    scale: AccuracyScale,
) -> pl.DataFrame:
    """The table of `Evaluation.ebv` for all random terms that have a relationship."""
    tables = [
        _term_table(term, design.trait, layout.slice_of(term.name), x, inverse_diagonal, variances, scale)
        for term in design.random
        if term.relationship is not None
    ]
    return pl.concat(tables) if tables else pl.DataFrame(schema=GENETIC_COLUMNS)


GENETIC_COLUMNS: Mapping[str, Any] = {
    "id": pl.String, "term": pl.String, "trait": pl.String, "effect": pl.String, "ebv": pl.Float64, "pev": pl.Float64,
    "reliability": pl.Float64, "accuracy": pl.Float64, "inbreeding": pl.Float64, "records": pl.Int64,
    "progeny_records": pl.Int64, "parent_average": pl.Float64, "mendelian_sampling": pl.Float64,
}  # fmt: skip


def _term_table(
    term: DesignTerm,
    trait: str,
    equations: slice,
    x: NDArray[np.float64],
    inverse_diagonal: NDArray[np.float64] | None,
    variances: VarianceComponents,
    scale: AccuracyScale,
) -> pl.DataFrame:
    relationship = term.relationship
    assert relationship is not None
    pedigree = relationship.pedigree
    n = len(term.levels)
    ebv = x[equations]
    records = np.bincount(term.codes, minlength=n)
    columns: dict[str, Any] = dict.fromkeys(GENETIC_COLUMNS)
    columns |= {
        "id": term.levels,
        "term": term.name,
        "trait": trait,
        "effect": "direct",
        "ebv": ebv,
        "records": records,
    }
    if inverse_diagonal is not None:
        pev = inverse_diagonal[equations]
        reliability = 1.0 - pev / (relationship.diagonal * float(variances.matrix(term.name)[0, 0]))
        reliability = reliability.clip(0.0, 1.0)  # rounding alone takes it below 0, where an animal has no information
        columns |= {"pev": pev, "reliability": reliability, "accuracy": accuracy_from_reliability(reliability, scale)}
    if pedigree is not None:
        average = parent_average(ebv, pedigree.sire, pedigree.dam)
        columns |= {
            "inbreeding": pedigree.inbreeding,
            "progeny_records": progeny_with_records(records > 0, pedigree.sire, pedigree.dam),
            "parent_average": average,
            "mendelian_sampling": ebv - average,
        }
    return _in_users_order(pl.DataFrame(columns, schema_overrides=dict(GENETIC_COLUMNS)), relationship)


def parent_average(ebv: NDArray[np.float64], sire: NDArray[np.int32], dam: NDArray[np.int32]) -> NDArray[np.float64]:
    """½ (û_sire + û_dam); an unknown parent stands at the base, 0."""
    with_base = np.append(ebv, 0.0)  # position -1
    average: NDArray[np.float64] = 0.5 * (with_base[sire] + with_base[dam])
    return average


def progeny_with_records(
    recorded: NDArray[np.bool_], sire: NDArray[np.int32], dam: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Number of offspring that have records of their own; a selfed offspring counts once."""
    n = recorded.size
    known_sire, known_dam = recorded & (sire >= 0), recorded & (dam >= 0) & (dam != sire)
    return np.bincount(sire[known_sire], minlength=n) + np.bincount(dam[known_dam], minlength=n)


def random_table(
    term: DesignTerm, trait: str, equations: slice, x: NDArray[np.float64], inverse_diagonal: NDArray[np.float64] | None
) -> pl.DataFrame:
    """The table of `Evaluation.random` for one term."""
    pev = None if inverse_diagonal is None else inverse_diagonal[equations]
    table = pl.DataFrame(
        {"level": term.levels, "trait": trait, "effect": "direct", "solution": x[equations], "pev": pev},
        schema_overrides={"pev": pl.Float64},
    )
    return table if term.relationship is None else _in_users_order(table, term.relationship)


def _in_users_order(table: pl.DataFrame, relationship: RelationshipInverse) -> pl.DataFrame:
    """Rows of a relationship's levels as the user gave them; copied only where that is another order."""
    pedigree = relationship.pedigree
    if pedigree is None or (np.diff(pedigree.user_order) == 1).all():
        return table
    return table[pedigree.user_order]


def fixed_table(
    design: Design,
    layout: EquationLayout,
    constraints: Constraints,
    x: NDArray[np.float64],
    inverse_diagonal: NDArray[np.float64] | None,
) -> pl.DataFrame:
    """The table of `Evaluation.fixed`; constrained effects are 0 and have no standard error."""
    size = layout.fixed_size
    constrained = np.zeros(size, dtype=bool)
    constrained[constraints.equations] = True
    labels = [_labels(term) for term in design.fixed]
    names = [pl.repeat(term.name, term.equations, eager=True) for term in design.fixed]
    errors = None
    if inverse_diagonal is not None:
        errors = pl.Series(np.where(constrained, np.nan, np.sqrt(inverse_diagonal[:size]))).fill_nan(None)
    return pl.DataFrame(
        {
            "term": pl.concat(names) if names else [],
            "level": pl.concat(labels) if labels else [],
            "trait": design.trait,
            "estimate": x[:size],
            "se": errors,
            "constrained": constrained,
        },
        schema_overrides={"term": pl.String, "level": pl.String, "se": pl.Float64},
    )


def _labels(term: DesignTerm) -> pl.Series:
    """Labels of a term's equations, in their order."""
    if len(term.coefficients) == 1 and not term.coefficients[0]:
        return term.levels.rename("level")
    labels = [term.label(level, c) for level in range(len(term.levels)) for c in range(len(term.coefficients))]
    return pl.Series("level", labels, dtype=pl.String)
