"""Dropped genes follow Mendel, Haldane's map and the pedigree; true breeding values are the sums of their effects."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import polars as pl
import pytest
import reference
from conftest import EXACT
from numpy.testing import assert_allclose, assert_array_equal

import breedblup as bb
from breedblup.errors import ModelError
from breedblup.genotypes import Genotypes
from breedblup.genotypes.matching import match_markers
from breedblup.io.genotypes import read_fam, read_plink
from breedblup.kernels.gene_dropping import drop_gametes
from breedblup.simulation import (
    GenomeOptions,
    PedigreeOptions,
    RecordOptions,
    SimulatedGenome,
    SimulatedPedigree,
    simulate_genotypes,
    simulate_pedigree,
    simulate_records,
)
from breedblup.simulation.founders import pack_alleles, unpack_alleles
from breedblup.simulation.meioses import draw_meioses

FLOCK = Path(__file__).parent.parent / "data" / "genomic"
POPULATION = PedigreeOptions(animals=600, years=6, sire_share=0.1, missing_parents=0.1, seed=11)
SMALL = GenomeOptions(
    chromosomes=3, length_morgan=(1.0, 0.5, 0.7), markers=300, qtl=40, ancestral_size=30, ancestral_generations=10
)
EQUILIBRIUM = GenomeOptions(chromosomes=25, markers=5_000, qtl=500, ancestral_size=400, ancestral_generations=0)


@pytest.fixture(scope="module")
def pedigree() -> SimulatedPedigree:
    return simulate_pedigree(POPULATION)


@pytest.fixture(scope="module")
def genome(pedigree: SimulatedPedigree) -> SimulatedGenome:
    return simulate_genotypes(pedigree, SMALL)


def families(*parents: tuple[int, int]) -> SimulatedPedigree:
    """A pedigree of rows of sire and dam."""
    sire, dam = np.array(parents, dtype=np.int32).T
    years = np.arange(len(parents), dtype=np.int32)
    return SimulatedPedigree(sire.copy(), dam.copy(), np.ones(sire.size, np.int8), years)


# --- meioses ----------------------------------------------------------------------------------------------------------


def test_gametes_are_those_of_the_slow_twin() -> None:
    random = np.random.default_rng(5)
    alleles = random.random((40, 150)) < 0.5
    pointer = np.array([0, 0, 1, 3, 4, 6, 8, 9, 12])
    crossovers = np.array([0, 64, 63, 150, 70, 70, 149, 1, 127, 128, 5, 64], dtype=np.int32)
    start = np.array([0, 3, 4, 7, 32, 35, 2, 36], dtype=np.int32)  # some of gametes made before
    expected = reference.gametes_locus_by_locus(alleles[:32], start, pointer, crossovers)
    haplotypes = pack_alleles(alleles)
    drop_gametes(start, pointer, crossovers.copy(), 32, haplotypes)
    assert_array_equal(unpack_alleles(haplotypes, 150), expected)


def test_recombination_is_haldanes_without_interference() -> None:
    gametes, places = 40_000, np.array([0.1, 0.11, 0.2, 0.6, 1.6, 3.0])
    meioses = draw_meioses(np.random.default_rng(1), places, 3.0, gametes)
    haplotypes = np.zeros((2 + gametes, 1), dtype=np.uint64)
    haplotypes[1] = ~np.uint64(0)
    drop_gametes(meioses.strand, meioses.pointer, meioses.crossovers, 2, haplotypes)
    strands = unpack_alleles(haplotypes[2:], places.size)
    changes = strands[:, 1:] != strands[:, :-1]
    rates = 0.5 * (1 - np.exp(-2 * np.diff(places)))
    assert_allclose(changes.mean(axis=0), rates, atol=4 * 0.5 / gametes**0.5)
    assert_allclose((changes[:, 2] & changes[:, 3]).mean(), rates[2] * rates[3], atol=4 * 0.4 / gametes**0.5)
    assert_allclose(strands.mean(axis=0), 0.5, atol=4 * 0.5 / gametes**0.5)
    assert_allclose(np.diff(meioses.pointer).mean(), 3.0, atol=4 * 3**0.5 / gametes**0.5)


# --- genotypes --------------------------------------------------------------------------------------------------------


def test_offspring_have_one_allele_of_each_parent(pedigree: SimulatedPedigree, genome: SimulatedGenome) -> None:
    calls = genome.genotypes.calls()
    both = (pedigree.sire >= 0) & (pedigree.dam >= 0)
    sire, dam, child = calls[pedigree.sire[both]], calls[pedigree.dam[both]], calls[both]
    assert both.sum() > 300
    assert np.all(child >= (sire == 2).astype(np.int8) + (dam == 2))
    assert np.all(child <= (sire > 0).astype(np.int8) + (dam > 0))
    half = (pedigree.sire >= 0) & (pedigree.dam < 0)
    assert np.all(np.abs(calls[pedigree.sire[half]] - calls[half]) < 2)


def test_frequencies_of_founders_are_those_of_the_base_but_for_sampling() -> None:
    founders = families(*[(-1, -1)] * 500)
    genome = simulate_genotypes(founders, EQUILIBRIUM)
    p = genome.base_frequencies
    z = (genome.genotypes.frequencies - p) / np.sqrt(p * (1 - p) / 1000)
    assert abs(z.mean()) < 4 / z.size**0.5
    assert abs((z**2).mean() - 1) < 4 * (2 / z.size) ** 0.5


def test_realised_relationships_are_those_of_the_pedigree() -> None:
    """Full sibs mated for three generations, sire and daughter, half-sibs: G of base frequencies averages A."""
    family = [(-1, -1), (-1, -1), (0, 1), (0, 1), (2, 3), (2, 3), (4, 5), (4, 5), (0, 2), (0, -1), (9, 2)]
    size, copies = len(family), 60
    parents = [
        (p + k * size if p >= 0 else -1, q + k * size if q >= 0 else -1) for k in range(copies) for p, q in family
    ]
    genome = simulate_genotypes(families(*parents), EQUILIBRIUM)
    p = genome.base_frequencies
    z = genome.genotypes.calls() - 2 * p
    blocks = z.reshape(copies, size, -1)
    realised = np.einsum("kim,kjm->kij", blocks, blocks) / (2 * p @ (1 - p))
    a = reference.tabular_a(*np.array(family).T.tolist())
    assert a[7, 7] == 1.375
    standard_error = realised.std(axis=0) / copies**0.5
    assert np.all(np.abs(realised.mean(axis=0) - a) < 4.5 * standard_error)
    assert standard_error.max() < 0.02
    heterozygous = (genome.genotypes.calls() == 1).reshape(copies, size, -1).sum(axis=2) / (2 * p @ (1 - p))
    assert_allclose(1 - heterozygous.mean(axis=0), np.diag(a) - 1, atol=0.04)


def test_near_loci_are_in_disequilibrium() -> None:
    """r² falls with distance as 1 / (1 + 4Nc) (Sved 1971), once drift and recombination are in balance."""
    founders = families(*[(-1, -1)] * 1000)
    genome = simulate_genotypes(founders, GenomeOptions(chromosomes=4, markers=400, qtl=4, ancestral_size=60))
    chromosome = genome.genotypes.markers["chromosome"].cast(pl.Int64).to_numpy()
    morgan = genome.genotypes.markers["position"].to_numpy() / 1e8
    r2 = np.corrcoef(genome.genotypes.calls().T) ** 2
    distance = np.where(chromosome[:, None] == chromosome, np.abs(morgan[:, None] - morgan), 9.0)
    for low, high in ((0.005, 0.02), (0.02, 0.06), (0.1, 0.3)):
        near = (distance > low) & (distance < high)
        expected = np.mean(1 / (1 + 240 * distance[near]))
        assert 0.6 * expected < r2[near].mean() < 1.5 * expected + 1 / 120
    assert r2[distance > 8].mean() < 0.015


def test_the_same_seed_gives_the_same_bits(pedigree: SimulatedPedigree, genome: SimulatedGenome) -> None:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        again = simulate_genotypes(pedigree, SMALL)
    finally:
        numba.set_num_threads(threads)
    assert_array_equal(again.genotypes.packed, genome.genotypes.packed)
    assert_array_equal(again.breeding_value, genome.breeding_value)
    other = simulate_genotypes(pedigree, replace(SMALL, seed=4))
    assert np.mean(other.genotypes.packed != genome.genotypes.packed) > 0.5


def test_the_genome_does_not_depend_on_the_pedigree(genome: SimulatedGenome) -> None:
    assert simulate_genotypes(families((-1, -1)), SMALL).loci.equals(genome.loci)


def test_chosen_animals_have_the_genotypes_of_all(pedigree: SimulatedPedigree, genome: SimulatedGenome) -> None:
    rows = np.array([599, 3, 77, 500, 12])
    some = simulate_genotypes(pedigree, SMALL, rows)
    assert (
        some.genotypes.ids.to_list()
        == genome.ids.gather(rows).to_list()
        == ["UK0000600", "UK0000004"] + [f"UK{row + 1:07d}" for row in rows[2:]]
    )
    assert_array_equal(some.genotypes.calls(), genome.genotypes.calls()[rows])
    assert_array_equal(some.breeding_value, genome.breeding_value)
    mask = np.zeros(600, dtype=np.bool_)
    mask[rows] = True
    assert_array_equal(simulate_genotypes(pedigree, SMALL, mask).genotypes.calls(), genome.genotypes.calls()[mask])


def test_a_chromosome_may_be_too_short_for_a_marker(pedigree: SimulatedPedigree) -> None:
    short = replace(SMALL, length_morgan=[1.0, 1e-9, 0.5], qtl=3)
    genome = simulate_genotypes(pedigree, short)
    assert genome.loci["chromosome"].unique(maintain_order=True).to_list() == ["1", "3"]
    assert_array_equal(np.bincount(genome.genotypes.calls().ravel(), minlength=3) > 0, True)
    assert genome.genotypes.shape == (600, 300)


def test_a_checked_pedigree_keeps_its_ids(pedigree: SimulatedPedigree, genome: SimulatedGenome) -> None:
    checked = bb.Pedigree.from_frame(pedigree.to_frame().select("animal", "sire", "dam"))
    dropped = simulate_genotypes(checked, SMALL, [5])
    assert dropped.ids.equals(checked.ids, check_names=False)
    assert dropped.genotypes.ids.to_list() == [checked.ids[5]]
    assert dropped.loci.equals(genome.loci)


# --- loci and breeding values -----------------------------------------------------------------------------------------


def test_the_table_of_loci(genome: SimulatedGenome) -> None:
    loci, markers = genome.loci, genome.genotypes.markers
    assert loci.height == 340
    assert genome.qtl.height == 40
    assert not genome.qtl["is_marker"].any()
    assert markers.height == 300
    assert markers["marker"].equals(loci.filter("is_marker")["name"], check_names=False)
    assert loci["name"].n_unique() == 340
    for chromosome, length, number in (("1", 1.0, (136, 18)), ("2", 0.5, (69, 9)), ("3", 0.7, (95, 13))):
        part = loci.filter(pl.col("chromosome") == chromosome)
        assert part["position"].is_sorted()
        assert part["morgan"].max() < length
        assert (part["is_marker"].sum(), part["effect"].count()) == number
        assert_allclose(part["morgan"].to_numpy() * 1e8, part["position"].to_numpy(), rtol=EXACT)
    p = genome.base_frequencies
    assert np.minimum(p, 1 - p).min() >= SMALL.lowest_frequency
    assert (loci["allele1"] != loci["allele2"]).all()


@pytest.mark.parametrize("options", [replace(SMALL, qtl_among_markers=True), replace(SMALL, qtl=None)])
def test_breeding_values_are_sums_of_effects(pedigree: SimulatedPedigree, options: GenomeOptions) -> None:
    genome = simulate_genotypes(pedigree, options)
    markers = genome.loci.filter("is_marker")
    assert markers.height == genome.loci.height == 300
    effects = markers["effect"].fill_null(0.0).to_numpy()
    assert np.count_nonzero(effects) == (300 if options.qtl is None else 40) == genome.qtl.height
    p = genome.base_frequencies
    assert_allclose(np.sum(2 * p * (1 - p) * effects**2), 1.0, rtol=EXACT)
    assert_allclose(genome.breeding_value, (genome.genotypes.calls() - 2 * p) @ effects, rtol=EXACT, atol=EXACT)


def test_breeding_values_of_founders_have_variance_one() -> None:
    values = simulate_genotypes(
        families(*[(-1, -1)] * 4000), replace(EQUILIBRIUM, markers=1000, qtl=800)
    ).breeding_value
    assert abs(values.mean()) < 0.1
    assert 0.85 < values.var() < 1.15  # 400 ancestors leave some disequilibrium


def test_records_rest_on_given_breeding_values(pedigree: SimulatedPedigree, genome: SimulatedGenome) -> None:
    options = RecordOptions(heritability=0.4, phenotypic_variance=25.0)
    plain = simulate_records(pedigree, options)
    given = simulate_records(pedigree, options, breeding_value=genome.breeding_value)
    assert_allclose(given.breeding_value, genome.breeding_value * 10**0.5, rtol=EXACT)
    change = (given.breeding_value - plain.breeding_value)[plain.animal]
    assert_allclose(given.y - plain.y, change, atol=1e-9)
    assert_array_equal(given.contemporary_group, plain.contemporary_group)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chromosomes": 0}, "chromosomes is 0; give at least 1"),
        ({"ancestral_size": 1}, "ancestral_size is 1; give at least 2"),
        ({"ancestral_generations": -1}, "ancestral_generations is -1; give at least 0"),
        ({"length_morgan": (1.0, 2.0)}, "2 lengths for 3 chromosomes; give one for each"),
        ({"length_morgan": 0.0}, "length_morgan is 0.0; give lengths above 0"),
        ({"markers": 2}, "2 markers on 3 chromosomes; give one for each at least"),
        ({"qtl": 0}, "qtl is 0; give at least 1, and not more than markers"),
        ({"qtl": 301, "qtl_among_markers": True}, "qtl is 301; give at least 1, and not more than markers"),
        ({"frequency_shape": (0.0, 1.0)}, r"frequency_shape is \(0.0, 1.0\); give two numbers above 0"),
        ({"lowest_frequency": 0.5}, "lowest_frequency is 0.5; give 0 or more, below 0.5"),
    ],
)
def test_options_that_no_genome_can_have(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1, 600], "rows 1 to 600 of a pedigree of 600; give rows from 0"),
        ([-1, 5], "rows -1 to 5 of a pedigree of 600"),
        ([1, 2, 1], "a row is named twice; name each animal once"),
        ([True, False], "a mask of 2 rows for a pedigree of 600; give one value for each animal"),
    ],
)
def test_rows_that_are_not_there(pedigree: SimulatedPedigree, rows: list[int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        simulate_genotypes(pedigree, SMALL, rows)


def test_loci_that_no_longer_vary_are_counted() -> None:
    lost = replace(SMALL, ancestral_size=2, ancestral_generations=200)
    with pytest.raises(ModelError, match="only 0 of .* loci of chromosome 1 still vary enough after 200 generations"):
        simulate_genotypes(families((-1, -1)), lost)


def test_what_memory_cannot_hold_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(bb.ResourceError, match="genes of 1 animals and keeping those of 1 takes .* fewer markers"):
        simulate_genotypes(families((-1, -1)), replace(SMALL, markers=10**14))


def test_maternal_grandsires_are_no_dams() -> None:
    frame = pl.DataFrame(
        {"animal": ["a", "b"], "sire": [None, "a"], "mgs": [None, None]}, schema_overrides={"mgs": pl.String}
    )
    sires = bb.Pedigree.from_frame(frame, columns=bb.PedigreeColumns(dam="mgs"))
    with pytest.raises(ModelError, match="cannot be dropped through maternal grandsires; give sires and dams"):
        simulate_genotypes(replace(sires, of_sires=True), SMALL)


def test_records_need_a_breeding_value_for_each_animal(pedigree: SimulatedPedigree) -> None:
    with pytest.raises(ModelError, match="3 breeding values for 600 animals; give one for each"):
        simulate_records(pedigree, RecordOptions(), breeding_value=np.zeros(3))


# --- the example ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flock() -> tuple[pl.DataFrame, Genotypes, Genotypes]:
    """Pedigree, genotypes, and those of the lambs."""
    pedigree = pl.read_csv(FLOCK / "pedigree.csv")
    return pedigree, read_plink(FLOCK / "genotypes"), read_plink(FLOCK / "new")


def test_the_flock_book_is_what_its_script_writes(tmp_path: Path) -> None:
    runpy.run_path(str(FLOCK / "simulate.py"))["write_example"](tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert len(written) == 9
    for name in written:
        assert (tmp_path / name).read_bytes() == (FLOCK / name).read_bytes(), name


def test_the_readme_of_the_flock_book_states_what_the_script_uses() -> None:
    script = runpy.run_path(str(FLOCK / "simulate.py"))
    readme = (FLOCK / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    trait, seeds = script["TRAIT"], [script[name].seed for name in ("POPULATION", "GENOME", "TRAIT")]
    assert f"| {trait.genetic_variance:.3f} kg² |" in readme
    assert f"| {trait.residual_variance:.3f} kg² |" in readme
    assert f"fleece = {trait.mean} + {trait.age_slope} · (age − 24)" in readme
    assert "Seeds: {} (pedigree), {} (genome), {} (records), {} (chip)".format(*seeds, script["CHIP_SEED"]) in readme
    assert f"{script['SWAPPED']} markers of `new.bim` count" in readme
    assert f"{script['OTHER_STRAND']} markers of `new.bim` are read" in readme
    flocks = pl.read_csv(FLOCK / "records.csv")["flock_year"].str.head(3).n_unique()
    assert f"in {flocks} flocks" in readme


def test_faults_of_the_flock_book_are_those_named(flock: tuple[pl.DataFrame, Genotypes, Genotypes]) -> None:
    pedigree, genotypes, new = flock
    assert genotypes.shape == (800, 2000)
    assert new.shape == (30, 2000)
    assert pedigree.height == 3000
    assert not new.ids.is_in(pedigree["animal"].implode()).any()
    called = 1 - genotypes.counts[:, 3] / 800
    assert ((called > 0.5) & (called < 0.9)).sum() == 12
    assert (called < 0.98).sum() == 12
    assert ((genotypes.counts[:, :3] > 0).sum(axis=1) == 1).sum() == 8
    calls = genotypes.calls()
    links = pedigree.filter(
        pl.col("animal").is_in(genotypes.ids.implode()), pl.col("sire").is_in(genotypes.ids.implode())
    )
    child, sire = (calls[genotypes.positions_of(links[name])] for name in ("animal", "sire"))
    opposite = (np.abs(child - sire) == 2) & (child >= 0) & (sire >= 0)
    share = opposite.sum(axis=1) / ((child >= 0) & (sire >= 0)).sum(axis=1)
    wrong = links.row(int(share.argmax()))
    assert wrong[:2] == ("UK0002999", "UK0001558")
    assert f"{share.max():.1%}" == "5.7%"
    assert f"{np.sort(share)[-2]:.2%}" == "0.15%"


def test_the_lambs_are_read_as_the_others_once_alleles_are_matched(
    flock: tuple[pl.DataFrame, Genotypes, Genotypes],
) -> None:
    _, genotypes, new = flock
    match = match_markers(new, genotypes.markers)
    assert dict(match.table["problem"].value_counts().iter_rows()) == {"swapped": 150, "strand": 40}
    calls = new.calls()
    calls = np.where(match.swapped & (calls >= 0), 2 - calls, calls)
    fam = read_fam(FLOCK / "new.fam")
    sire = genotypes.positions_of(fam["sire"])
    of_genotyped = calls[sire >= 0], genotypes.calls()[sire[sire >= 0]]
    opposite = (np.abs(of_genotyped[0] - of_genotyped[1]) == 2) & (np.minimum(*of_genotyped) >= 0)
    assert len(opposite) > 20
    assert opposite.mean(axis=1).max() < 0.003
