"""How well young genotyped animals without records are predicted: ``python benchmarks/genomic_accuracy.py``.

Genes are dropped through a population with overlapping generations; each record is a contemporary group + the true breeding
value + a residual. Young animals are some of the last cohort, of which no record is used. Pedigree BLUP uses every other
record, GBLUP the records of the genotyped animals, single-step all of them. Accuracy is the correlation of true and predicted
breeding values of the young, dispersion the regression of true on predicted: 1 unless predictions are inflated (below) or
deflated (above). Prints the tables and writes them to ``benchmarks/results/genomic_accuracy.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import breedblup as bb
from breedblup.genotypes import Genotypes
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.genomic import GenomicOptions, g_inverse
from breedblup.relationship.single_step import h_inverse
from breedblup.simulation import (
    GenomeOptions,
    PedigreeOptions,
    RecordOptions,
    simulate_genotypes,
    simulate_pedigree,
    simulate_records,
)

HERE = Path(__file__).parent
MODEL = bb.Model.from_formula("y ~ 0 + factor(contemporary_group) + (1 | animal)")
RECORDS = RecordOptions(heritability=0.3)
VARIANCES = bb.VarianceComponents({"animal": RECORDS.genetic_variance}, residual=RECORDS.residual_variance)
GBLUP = GenomicOptions(blend=0.05, tuning="chen")
"""On the scale of the pedigree, as single-step has it by default."""


@dataclass(frozen=True)
class Scenario:
    """A population, its genome, and how many animals are genotyped."""

    title: str
    animals: int = 20_000
    years: int = 12
    chromosomes: int = 10
    markers: int = 10_000
    qtl: int | None = None
    reference: int = 2_000
    young: int = 500


SCENARIOS = (
    Scenario("Markers have the effects"),
    Scenario("500 loci beside the markers have the effects", qtl=500),
)


@dataclass(frozen=True)
class Replicate:
    """What is known of a population, and what is true of its young animals.

    Attributes
    ----------
    genotypes
        Of the reference, then of the young.
    records
        Of all animals born before the young.
    young
        Ids, and true breeding values in the unit of the records.
    """

    pedigree: bb.Pedigree
    genotypes: Genotypes
    records: pl.DataFrame
    young: pl.DataFrame


@dataclass(frozen=True)
class Found:
    """Of one way to predict, in one replicate."""

    accuracy: float
    dispersion: float


def simulate(scenario: Scenario, seed: int) -> Replicate:
    """The reference are the youngest recorded animals born before the last cohort."""
    of_pedigree, of_genome, of_records, of_choice = np.random.SeedSequence(seed).generate_state(4).tolist()
    population = simulate_pedigree(
        PedigreeOptions(animals=scenario.animals, years=scenario.years, sire_share=0.05, seed=of_pedigree)
    )
    trait = replace(RECORDS, seed=of_records)
    taken = simulate_records(population, trait)  # who has records does not depend on breeding values
    old = population.birth_year[taken.animal] < population.birth_year[-1]
    reference = np.unique(taken.animal[old])[-scenario.reference :]
    last = np.flatnonzero(population.birth_year == population.birth_year[-1])
    young = np.random.default_rng(of_choice).choice(last, scenario.young, replace=False)
    genome = simulate_genotypes(
        population,
        GenomeOptions(chromosomes=scenario.chromosomes, markers=scenario.markers, qtl=scenario.qtl, seed=of_genome),
        np.concatenate((reference, young)),
    )
    records = simulate_records(population, trait, breeding_value=genome.breeding_value)
    return Replicate(
        bb.Pedigree.from_frame(population.to_frame().select("animal", "sire", "dam")),
        genome.genotypes,
        records.to_frame().select("animal", "contemporary_group", "y").filter(pl.Series(old)),
        pl.DataFrame({"id": genome.ids.gather(young), "true": records.breeding_value[young]}),
    )


def _pedigree_blup(replicate: Replicate) -> tuple[RelationshipInverse, pl.DataFrame]:
    return bb.a_inverse(replicate.pedigree), replicate.records


def _gblup(replicate: Replicate) -> tuple[RelationshipInverse, pl.DataFrame]:
    genotypes = replicate.genotypes
    own = replicate.records.filter(pl.col("animal").is_in(genotypes.ids.implode()))
    return g_inverse(genotypes, GBLUP, pedigree=replicate.pedigree), own


def _single_step(replicate: Replicate) -> tuple[RelationshipInverse, pl.DataFrame]:
    return h_inverse(replicate.pedigree, replicate.genotypes), replicate.records


Method = Callable[[Replicate], tuple[RelationshipInverse, pl.DataFrame]]
METHODS: Mapping[str, Method] = {
    "pedigree BLUP": _pedigree_blup,
    "GBLUP": _gblup,
    "single-step": _single_step,
}
"""K⁻¹ and records of each."""


def measure(replicate: Replicate, method: Method) -> Found:
    """Predict, and compare with the truth."""
    inverse, records = method(replicate)
    result = bb.evaluate(MODEL, records, VARIANCES, {"animal": inverse}, options=bb.EvaluateOptions(pev="none"))
    both = replicate.young.join(result.ebv.select("id", "ebv"), on="id", how="left")
    true, predicted = both["true"].to_numpy(), both["ebv"].to_numpy()
    covariance = np.cov(true, predicted)
    return Found(float(np.corrcoef(true, predicted)[0, 1]), float(covariance[0, 1] / covariance[1, 1]))


def compare(scenario: Scenario, replicates: int, first_seed: int = 1) -> dict[str, list[Found]]:
    """Every method on the same replicates."""
    found: dict[str, list[Found]] = {name: [] for name in METHODS}
    for seed in range(first_seed, first_seed + replicates):
        replicate = simulate(scenario, seed)
        for name, method in METHODS.items():
            found[name].append(measure(replicate, method))
    return found


def accuracy_table(found: Mapping[str, Sequence[Found]]) -> str:
    """Means over replicates, with their standard errors; gains are those within replicates."""
    lines = [
        "| | accuracy | gain over pedigree BLUP | dispersion |",
        "| --- | ---: | ---: | ---: |",
    ]
    of_pedigree = np.array([run.accuracy for run in found["pedigree BLUP"]])
    for name, runs in found.items():
        accuracy = np.array([run.accuracy for run in runs])
        dispersion = np.array([run.dispersion for run in runs])
        gain = "" if name == "pedigree BLUP" else _mean(accuracy - of_pedigree)
        lines.append(f"| {name} | {_mean(accuracy)} | {gain} | {_mean(dispersion)} |")
    return "\n".join(lines)


def _mean(values: NDArray[Any]) -> str:
    """Mean ± standard error."""
    error = f" ± {values.std(ddof=1) / values.size**0.5:.3f}" if values.size > 1 else ""
    return f"{values.mean():.3f}{error}"


def section(scenario: Scenario, found: Mapping[str, Sequence[Found]]) -> str:
    """Title, sizes, table."""
    return (
        f"## {scenario.title}\n\n"
        f"{scenario.animals:,} animals, {scenario.reference:,} genotyped with a record of their own, {scenario.young:,} young, "
        f"{scenario.markers:,} markers on {scenario.chromosomes} chromosomes.\n\n{accuracy_table(found)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, predict, print, write."""
    parser = argparse.ArgumentParser(description="Accuracy and dispersion of predictions of young genotyped animals.")
    parser.add_argument("--replicates", type=int, default=10, help="populations of each scenario")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "genomic_accuracy.md")
    options = parser.parse_args(arguments)
    parts = [
        "# Predictions of young genotyped animals\n\n"
        "Written by `python benchmarks/genomic_accuracy.py`; `benchmarks/README.md` says how to read it. Simulated: heritability "
        f"{RECORDS.heritability}, one record of 60 % of the animals, none of the last cohort is used; no selection. Means of "
        f"{options.replicates} replicates with standard errors. Accuracy: correlation of true and predicted breeding values of "
        "the young; dispersion: regression of true on predicted."
    ]
    for scenario in SCENARIOS:
        parts.append(section(scenario, compare(scenario, options.replicates)))
        print(f"\n{parts[-1]}", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
