"""Tables of results, as they are handed out and published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.evaluation.effects import RandomEffects
from breedblup.mme import Constraints, EquationLayout
from breedblup.pedigree.twins import with_twins
from breedblup.relationship import RelationshipInverse

AccuracyScale = Literal["r", "r2", "bif"]

Parents = tuple[tuple[NDArray[np.int32], float], ...]
"""As in `RelationshipInverse.parents`."""

NO_VARIANCE = 1e-12
"""A combination whose variance is below this share of what its parts could add up to has none."""

GENETIC_COLUMNS: Mapping[str, Any] = {
    "id": pl.String, "term": pl.String, "trait": pl.String, "effect": pl.String, "ebv": pl.Float64, "pev": pl.Float64,
    "reliability": pl.Float64, "accuracy": pl.Float64, "inbreeding": pl.Float64, "records": pl.Int64,
    "progeny_records": pl.Int64, "parent_average": pl.Float64, "mendelian_sampling": pl.Float64,
}  # fmt: skip


GROUP_COLUMNS: Mapping[str, Any] = {
    "group": pl.String, "kind": pl.String, "term": pl.String, "trait": pl.String, "effect": pl.String, "solution": pl.Float64,
    "pev": pl.Float64, "unknown_parents": pl.Float64,
}  # fmt: skip


def accuracy_from_reliability(reliability: NDArray[np.float64], scale: AccuracyScale) -> NDArray[np.float64]:
    """Accuracy on the scale asked for: ``r`` = √reliability, ``r2`` = reliability, ``bif`` = 1 - √(1 - reliability).

    The last is that of the Beef Improvement Federation's guidelines.
    """
    if scale == "r":
        return np.sqrt(reliability)
    return reliability if scale == "r2" else 1.0 - np.sqrt(1.0 - reliability)


def genetic_table(effects: Sequence[RandomEffects], scale: AccuracyScale) -> pl.DataFrame:
    """The table of `Evaluation.ebv`: every effect of every term that has a relationship."""
    tables = []
    for of_term in effects:
        coordinates = of_term.term.coordinates if of_term.term.relationship is not None else ()
        for weights, coordinate in zip(np.eye(len(coordinates)), coordinates, strict=True):
            tables.append(genetic_rows(of_term, weights, coordinate.effect, coordinate.trait, scale))
    return pl.concat(tables) if tables else pl.DataFrame(schema=GENETIC_COLUMNS)


def genetic_rows(
    effects: RandomEffects, weights: NDArray[np.float64], name: str, trait: str, scale: AccuracyScale
) -> pl.DataFrame:
    """Rows of the table of breeding values for w'u, a combination of the effects of each animal, in the user's order.

    PEV is w'Pw, reliability 1 - PEV/(K_ii w'G₀w), null where w'G₀w is 0. ``records`` counts those of the effect in the
    combination that has most.

    Parameters
    ----------
    effects
        Of a term that has a relationship.
    weights
        w, one for each effect of a level.
    name, trait
        What the columns ``effect`` and ``trait`` say.
    """
    term = effects.term
    relationship = term.relationship
    assert relationship is not None
    animals = slice(0, relationship.animals)
    solutions = effects.solutions @ weights
    ebv = solutions[animals]
    records = effects.records[animals, weights != 0].max(axis=1, initial=0)
    columns: dict[str, Any] = dict.fromkeys(GENETIC_COLUMNS)
    columns |= {
        "id": term.levels[animals],
        "term": term.name,
        "trait": trait,
        "effect": name,
        "ebv": ebv,
        "records": records,
    }
    if effects.pev is not None:
        pev = np.einsum("nij,i,j->n", effects.pev[animals], weights, weights)
        columns["pev"] = pev
        prior = float(weights @ effects.covariance @ weights)
        if prior > NO_VARIANCE * float(np.abs(weights) @ np.sqrt(effects.covariance.diagonal())) ** 2:
            reliability = 1.0 - pev / (relationship.diagonal[animals] * prior)
            reliability = reliability.clip(0.0, 1.0)  # rounding alone takes it below 0, where nothing is known
            accuracy = accuracy_from_reliability(reliability, scale)  # null where K_ii is not known
            columns |= {
                "reliability": pl.Series(reliability).fill_nan(None),
                "accuracy": pl.Series(accuracy).fill_nan(None),
            }
    if relationship.parents:
        average = parent_average(relationship.with_classes(solutions), relationship.parents)
        columns |= {
            "inbreeding": relationship.inbreeding,
            "progeny_records": progeny_with_records(records > 0, relationship.parents),
            "parent_average": average,
            "mendelian_sampling": ebv - average,
        }
    return _in_users_order(pl.DataFrame(columns, schema_overrides=dict(GENETIC_COLUMNS)), relationship)


def parent_average(ebv: NDArray[np.float64], parents: Parents) -> NDArray[np.float64]:
    """What an animal expects of its parents: ½ (û_sire + û_dam) for A; an unknown parent stands at the base, 0.

    ``ebv`` is that of animals, and of classes of unknown parents after them where there are any.
    """
    with_base = np.append(ebv, 0.0)  # position -1
    average = np.zeros(parents[0][0].size)
    for parent, share in parents:
        average += share * with_base[parent]
    return average


def progeny_with_records(recorded: NDArray[np.bool_], parents: Parents) -> NDArray[np.int64]:
    """Number of offspring that have records of their own; a selfed offspring counts once."""
    counts = np.zeros(recorded.size, dtype=np.int64)
    counted: list[NDArray[np.int32]] = []
    for parent, _ in parents:
        first = recorded & (parent >= 0) & (parent < recorded.size)
        for before in counted:
            first &= parent != before
        counts += np.bincount(parent[first], minlength=recorded.size)
        counted.append(parent)
    return counts


def random_table(effects: RandomEffects) -> pl.DataFrame:
    """The table of `Evaluation.random` for one term: level, trait, effect, solution, pev; one effect after the other."""
    relationship = effects.term.relationship
    if relationship is None:
        return pl.concat(_solutions(effects, slice(None)))
    tables = _solutions(effects, slice(0, relationship.animals))
    return pl.concat([_in_users_order(table, relationship) for table in tables])


def _solutions(effects: RandomEffects, rows: slice) -> list[pl.DataFrame]:
    """Solutions of some levels, a table for each effect."""
    tables = []
    for c, coordinate in enumerate(effects.term.coordinates):
        pev = None if effects.pev is None else np.ascontiguousarray(effects.pev[rows, c, c])
        columns = {
            "level": effects.term.levels[rows], "trait": coordinate.trait, "effect": coordinate.effect,
            "solution": np.ascontiguousarray(effects.solutions[rows, c]), "pev": pev,
        }  # fmt: skip
        tables.append(pl.DataFrame(columns, schema_overrides={"pev": pl.Float64}))
    return tables


def groups_table(effects: Sequence[RandomEffects], subtracted: Mapping[tuple[str, str, str], float]) -> pl.DataFrame:
    """The table of `Evaluation.groups`: solutions of groups of unknown parents, or of metafounders.

    ``unknown_parents`` counts those that belong to the group, by their shares. ``subtracted`` are the means that a base has taken
    off the breeding values, by term, trait and effect.
    """
    tables = [pl.DataFrame(schema=GROUP_COLUMNS)]
    for one in effects:
        relationship = one.term.relationship
        if relationship is None or relationship.groups is None:
            continue
        groups = relationship.groups
        members = None if relationship.pedigree is None else relationship.pedigree.groups
        for table in _solutions(one, slice(relationship.animals, None)):
            named = table.rename({"level": "group"}).with_columns(
                pl.lit(one.term.name).alias("term"),
                pl.lit(groups.kind).alias("kind"),
                pl.lit(None if members is None else pl.Series(members.members())).alias("unknown_parents"),
            )
            key = (one.term.name, table["trait"][0], table["effect"][0])
            named = named.with_columns(pl.col("solution") - subtracted.get(key, 0.0))
            tables.append(named.select(list(GROUP_COLUMNS)).cast(pl.Schema(GROUP_COLUMNS)))
    return pl.concat(tables)


def _in_users_order(table: pl.DataFrame, relationship: RelationshipInverse) -> pl.DataFrame:
    """Rows of a relationship's levels as the user gave them, then its identical twins; copied only where that differs."""
    pedigree = relationship.pedigree
    return table if pedigree is None else with_twins(table, pedigree.user_order, pedigree.twins)


def fixed_table(
    layout: EquationLayout,
    constraints: Constraints,
    x: NDArray[np.float64],
    variances_of_error: NDArray[np.float64] | None,
) -> pl.DataFrame:
    """The table of `Evaluation.fixed`; constrained effects are 0 and have no standard error."""
    size = layout.fixed_size
    constrained = np.zeros(size, dtype=bool)
    constrained[constraints.equations] = True
    fixed = [term for term in layout.terms if term.kind == "fixed"]
    names = [pl.repeat(term.name, len(term.levels) * len(term.coordinates), eager=True) for term in fixed]
    errors = None
    if variances_of_error is not None:
        errors = pl.Series(np.where(constrained, np.nan, np.sqrt(variances_of_error))).fill_nan(None)
    return pl.DataFrame(
        {
            "term": pl.concat(names) if names else [],
            "level": pl.concat([_labels(term) for term in fixed]) if fixed else [],
            "trait": pl.concat([_traits(term) for term in fixed]) if fixed else [],
            "estimate": x[:size],
            "se": errors,
            "constrained": constrained,
        },
        schema_overrides={"term": pl.String, "level": pl.String, "trait": pl.String, "se": pl.Float64},
    )


def _labels(term: DesignTerm) -> pl.Series:
    """Labels of a term's equations, in their order."""
    if len(term.coordinates) == 1 and not term.coordinates[0].effect:
        return term.levels.rename("level")
    coordinates = range(len(term.coordinates))
    labels = [term.label(level, c) for level in range(len(term.levels)) for c in coordinates]
    return pl.Series("level", labels, dtype=pl.String)


def _traits(term: DesignTerm) -> pl.Series:
    traits = [coordinate.trait for coordinate in term.coordinates]
    return pl.Series("trait", traits * len(term.levels), dtype=pl.String)
