"""The models of `reml.py`, their records, and the files in which a run finds them.

Populations are those of `breedblup.simulation`; lme4's examples come out of the R package when the benchmark runs. Seeds are
fixed: the same size gives the same data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from model_data import MODELS, SEED, simulate_test_days, simulate_traits

from breedblup.simulation import (
    MALE,
    PedigreeOptions,
    RecordOptions,
    SimulatedPedigree,
    drop_breeding_values,
    simulate_pedigree,
    simulate_records,
    text_ids,
)

TINY = 1000
"""Animals to warm up with."""
TINY_ROWS = 2000
"""Records to warm up with, where there are no animals."""

GENETIC, RESIDUAL = 30.0, 70.0
SEX_EFFECT = 4.0

ROWS_PER_GROUP = 10
SLOPE_COVARIANCE = np.array([[40.0, -3.0], [-3.0, 4.0]])
SLOPE_RESIDUAL = 60.0


class Frames(NamedTuple):
    """Records, and the pedigree of a model of animals."""

    records: pl.DataFrame
    pedigree: pl.DataFrame | None


class Statsmodels(NamedTuple):
    """A model as statsmodels' MixedLM takes it, and how its answer is ours.

    Attributes
    ----------
    groups
        Column of the independent groups; empty for one group of all records (crossed factors).
    effects
        ``re_formula`` of the groups; empty for none.
    components
        ``vc_formula``: further variances within groups, by our key.
    key
        Our key of the groups.
    """

    groups: str
    effects: str
    components: Mapping[str, str] = {}
    key: str = ""


@dataclass(frozen=True)
class RemlCase:
    """One model and its data.

    Attributes
    ----------
    formulas
        One, or one for each trait.
    make
        Data of a size: animals, or records where there are no animals; None for an example of lme4.
    factors
        Columns of an example that are classes.
    peers
        Whether lme4 can fit it.
    statsmodels
        How statsmodels can, if it can.
    """

    title: str
    formulas: tuple[str, ...]
    about: str
    make: Callable[[int], Frames] | None = None
    size: int = 0
    tiny: int = TINY
    factors: tuple[str, ...] = ()
    peers: bool = False
    statsmodels: Statsmodels | None = field(default=None)


def few_sires(animals: int) -> PedigreeOptions:
    """A population in which 2 % of the males of a cohort are sires."""
    return PedigreeOptions(animals=animals, sire_share=0.02)


def random_mating(animals: int) -> PedigreeOptions:
    """A population in which every male and every female may be a parent, all about as often, with all parents known."""
    return PedigreeOptions(
        animals=animals, sire_share=1.0, dam_share=1.0, dam_survival=1.0, sire_popularity=0.1, missing_parents=0.0
    )


def simulate_animals(population: PedigreeOptions) -> Frames:
    """One record of every animal: sex, breeding value, residual."""
    pedigree = simulate_pedigree(population)
    random, size = np.random.default_rng(SEED), len(pedigree)
    u = drop_breeding_values(pedigree.sire, pedigree.dam, random.normal(0.0, np.sqrt(GENETIC), size))
    male = pedigree.sex == MALE
    y = 100.0 + SEX_EFFECT * male + u + random.normal(0.0, np.sqrt(RESIDUAL), size)
    ids = text_ids(np.arange(size, dtype=np.int32), size)
    return Frames(pl.DataFrame({"animal": ids, "sex": np.where(male, "M", "F"), "y": y}), _parents(pedigree))


def simulate_groups(animals: int) -> Frames:
    """Contemporary groups of 20, 58 % of the animals recorded, h² 0.4: like the data on which R packages were measured."""
    pedigree = simulate_pedigree(PedigreeOptions(animals=animals))
    records = simulate_records(pedigree, RecordOptions(heritability=0.4, recorded_share=0.582)).to_frame()
    group = pl.col("contemporary_group").cast(pl.String).alias("group")
    return Frames(records.select("animal", group, "y"), _parents(pedigree))


def simulate_slopes(rows: int) -> Frames:
    """Ten records of every group: correlated intercepts and slopes on a covariate between −1 and 1."""
    random, groups = np.random.default_rng(SEED), max(2, rows // ROWS_PER_GROUP)
    group = np.repeat(np.arange(groups), ROWS_PER_GROUP)
    effects = random.standard_normal((groups, 2)) @ np.linalg.cholesky(SLOPE_COVARIANCE).T
    x = random.uniform(-1.0, 1.0, group.size)
    y = 50.0 + 2.0 * x + effects[group, 0] + effects[group, 1] * x
    y += random.normal(0.0, np.sqrt(SLOPE_RESIDUAL), group.size)
    return Frames(pl.DataFrame({"g": [f"g{k}" for k in group], "x": x, "y": y}), None)


def _with_pedigree(simulate: Callable[[SimulatedPedigree], pl.DataFrame], animals: int) -> Frames:
    pedigree = simulate_pedigree(PedigreeOptions(animals=animals))
    return Frames(simulate(pedigree), _parents(pedigree))


def _parents(pedigree: SimulatedPedigree) -> pl.DataFrame:
    return pedigree.to_frame().select("animal", "sire", "dam")


def animal_case(population: Callable[[int], PedigreeOptions], animals: int) -> RemlCase:
    """`y ~ sex + (1 | animal)` in one of the populations."""
    few = population is few_sires
    return RemlCase(
        f"{animals:,} animals, {'2 % of the males are sires' if few else 'random mating'}",
        ("y ~ sex + (1 | animal)",),
        "one record of each animal, h² 0.3",
        lambda size: simulate_animals(population(size)),
        animals,
    )


def group_case(animals: int) -> RemlCase:
    """Like the data of the R packages in `peers.md`."""
    return RemlCase(
        f"{animals:,} animals, 58 % recorded",
        ("y ~ 0 + factor(group) + (1 | animal)",),
        "contemporary groups of 20, h² 0.4",
        simulate_groups,
        animals,
    )


def slope_case(rows: int) -> RemlCase:
    """Correlated random intercepts and slopes."""
    return RemlCase(
        f"Random slopes, {rows:,} records",
        ("y ~ 1 + x + (1 + x | g)",),
        f"{rows // ROWS_PER_GROUP:,} groups of {ROWS_PER_GROUP} records",
        simulate_slopes,
        rows,
        TINY_ROWS,
        peers=True,
        statsmodels=Statsmodels("g", "~x", key="g"),
    )


def _example(formula: str, factors: str, statsmodels: Statsmodels | None = None) -> RemlCase:
    title, _, formula = formula.partition(": ")
    about = "data of the R package lme4"
    return RemlCase(title, (formula,), about, factors=tuple(factors.split()), peers=True, statsmodels=statsmodels)


EXAMPLES = {
    case.title: case
    for case in (
        _example("InstEval: y ~ service + (1 | s) + (1 | d) + (1 | dept:service)", "s d service dept"),
        _example(
            "sleepstudy: Reaction ~ Days + (Days | Subject)", "Subject", Statsmodels("Subject", "~Days", key="Subject")
        ),
        _example("Dyestuff: Yield ~ 1 + (1 | Batch)", "Batch", Statsmodels("Batch", "~1", key="Batch")),
        _example("Dyestuff2: Yield ~ 1 + (1 | Batch)", "Batch", Statsmodels("Batch", "~1", key="Batch")),
        _example(
            "Penicillin: diameter ~ 1 + (1 | plate) + (1 | sample)",
            "plate sample",
            Statsmodels("", "", {"plate": "0 + C(plate)", "sample": "0 + C(sample)"}),
        ),
        _example(
            "Pastes: strength ~ 1 + (1 | batch/cask)",
            "batch cask",
            Statsmodels("batch", "~1", {"batch:cask": "0 + C(cask)"}, "batch"),
        ),
        _example(
            "cake: angle ~ recipe * temperature + (1 | recipe:replicate)",
            "recipe temperature replicate",
            Statsmodels("recipe:replicate", "~1", key="recipe:replicate"),
        ),
    )
}
"""lme4's own, by the name of the data; bare names are classes where they are listed."""


def larger_models(rows: int, animals: int) -> dict[str, RemlCase]:
    """Random slopes, three traits, a random regression."""
    curves = MODELS["random_regression"]
    three = tuple(f"{trait} ~ 0 + factor({trait}_group) + (1 | animal)" for trait in ("birth", "weaning", "yearling"))
    return {
        "slopes": slope_case(rows),
        "three_traits": RemlCase(
            f"Three traits, {animals:,} animals",
            three,
            "60 % of the animals recorded, traits missing as in `models.md`: 12 variances and covariances",
            partial(_with_pedigree, lambda pedigree: simulate_traits(pedigree, (0, 1, 2))),
            animals,
        ),
        "random_regression": RemlCase(
            f"Random regression of degree 2, {animals:,} animals",
            curves.formulas,
            f"{curves.about}: 13 variances and covariances",
            partial(_with_pedigree, simulate_test_days),
            animals,
        ),
    }


def write_case(folder: Path, name: str, case: RemlCase) -> None:
    """The formulas and, where they are simulated, the data of a case, full and to warm up with."""
    (folder / f"{name}.json").write_text(json.dumps({"formulas": case.formulas}), encoding="utf-8")
    if case.make is None:
        columns = dict.fromkeys(case.factors, pl.String)
        records = pl.read_csv(folder / f"{name}.csv", schema_overrides=columns)
        full, tiny = Frames(records, None), Frames(records.head(TINY_ROWS), None)
    else:
        full, tiny = case.make(case.size), case.make(min(case.size, case.tiny))
        if case.peers:
            full.records.write_csv(folder / f"{name}.csv")
    for size, frames in (("full", full), ("tiny", tiny)):
        frames.records.write_parquet(folder / f"{name}_{size}.parquet")
        if frames.pedigree is not None:
            frames.pedigree.write_parquet(folder / f"{name}_pedigree_{size}.parquet")


def read_case(folder: Path, name: str, size: str) -> tuple[dict[str, Any], Frames]:
    """What `write_case` wrote: ``full`` or ``tiny``."""
    told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    pedigree = folder / f"{name}_pedigree_{size}.parquet"
    records = pl.read_parquet(folder / f"{name}_{size}.parquet")
    return told, Frames(records, pl.read_parquet(pedigree) if pedigree.exists() else None)
