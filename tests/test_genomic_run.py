"""Genotypes by command: what `evaluation.toml` may say of them, what is published, predictions, and bad input."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from breedblup.adjustment.markers import marker_effects, marker_inference, predict_genomic
from breedblup.analysis import evaluate
from breedblup.cli import app
from breedblup.errors import ConfigurationError, InputError, ModelError
from breedblup.genotypes import Genotypes, match_markers
from breedblup.genotypes.quality import GenotypeQuality, Severities, check_genotypes
from breedblup.io.genotypes import read_genotypes, write_genotypes, write_plink
from breedblup.io.marker_effects import read_marker_effects
from breedblup.io.tables import read_pedigree, read_records
from breedblup.mme import EquationPattern
from breedblup.model import Model
from breedblup.relationship import group_inverse, metafounder_inverse
from breedblup.relationship.apy import apy_inverse
from breedblup.relationship.apy_core import core_at_random, core_by_eigenvalues
from breedblup.relationship.gamma import gamma_from_genotypes
from breedblup.relationship.genomic import GenomicOptions, g_inverse, genomic_matrix
from breedblup.relationship.genomic_dominance import dominance_g_inverse
from breedblup.relationship.single_step import h_inverse
from breedblup.run.config import read_config
from breedblup.run.genotype_schema import GenotypeQualitySection, QualitySeveritiesSection
from breedblup.run.pipeline import read_inputs
from breedblup.run.prediction import read_published
from breedblup.run.relationship_schema import RelationshipSection
from breedblup.run.sources import FromGenotypes
from breedblup.solvers.cholesky import SymbolicFactor
from breedblup.variances import VarianceComponents

FOUNDERS, BORN, MARKERS = 16, 44, 240
GENOTYPED = 30
MODEL = "y ~ sex + (1 | animal)"
VARIANCES = "[variances]\nanimal = 2.0\nresidual = 4.0\n"


def flock() -> tuple[pl.DataFrame, np.ndarray]:
    """A pedigree of three generations, and calls that were inherited in it, in long pieces."""
    rng = np.random.default_rng(7)
    n = FOUNDERS + BORN
    frequencies = rng.uniform(0.15, 0.85, MARKERS)
    haplotypes = np.empty((n, 2, MARKERS), dtype=np.int8)
    haplotypes[:FOUNDERS] = rng.random((FOUNDERS, 2, MARKERS)) < frequencies
    parents = np.full((n, 2), -1)
    for animal in range(FOUNDERS, n):
        first = 0 if animal < FOUNDERS + 20 else FOUNDERS
        pool = np.arange(first, FOUNDERS if first == 0 else FOUNDERS + 20)
        parents[animal] = rng.choice(pool[pool % 2 == 0]), rng.choice(pool[pool % 2 == 1])
        for role, parent in enumerate(parents[animal]):
            phase = (rng.integers(2) + np.cumsum(rng.random(MARKERS) < 0.02)) % 2
            haplotypes[animal, role] = haplotypes[parent, phase, np.arange(MARKERS)]
    ids = np.array([f"a{k:02d}" for k in range(n)] + [""])
    pedigree = pl.DataFrame({"animal": ids[:-1], "sire": ids[parents[:, 0]], "dam": ids[parents[:, 1]]})
    return pedigree, haplotypes.sum(axis=1).astype(np.int8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("flock"))


def written(place: Path) -> Path:
    """A folder with a pedigree, records and PLINK files of the last thirty animals, and the youngest six as if they were new."""
    pedigree, calls = flock()
    pedigree.write_csv(place / "p.csv")
    group = pl.when(pl.int_range(pl.len()) < FOUNDERS // 2).then(pl.lit("G1")).otherwise(pl.lit("G2"))
    unknown = [pl.when(pl.col(role) == "").then(group).otherwise(role).alias(role) for role in ("sire", "dam")]
    pedigree.with_columns(unknown).write_csv(place / "grouped.csv")
    rng = np.random.default_rng(8)
    values = rng.normal(10.0, 2.0, calls.shape[0]).round(2)
    recorded = pl.DataFrame({"animal": pedigree["animal"], "sex": ["M", "F"] * 30, "y": values}).head(54)
    recorded.write_csv(place / "r.csv")
    recorded.tail(24).write_csv(place / "of_genotyped.csv")
    table = pl.DataFrame(
        {
            "marker": [f"s{j}" for j in range(MARKERS)],
            "chromosome": "1",
            "position": range(1000, 1000 * MARKERS + 1, 1000),
            "allele1": "A",
            "allele2": "G",
        }
    )
    ids = pedigree["animal"].to_list()
    write_plink(Genotypes.from_calls(calls[-GENOTYPED:], ids[-GENOTYPED:], table), place / "g.bed")
    write_plink(Genotypes.from_calls(calls[-6:], ids[-6:], table), place / "new.bed")
    flipped = table.with_columns(
        pl.when(pl.col("marker") == "s5").then(pl.lit("G")).otherwise("allele1").alias("allele1"),
        pl.when(pl.col("marker") == "s5").then(pl.lit("A")).otherwise("allele2").alias("allele2"),
    )
    other = calls[-6:].copy()
    other[:, 5] = 2 - other[:, 5]
    write_plink(Genotypes.from_calls(other, ids[-6:], flipped), place / "flipped.bed")
    write_plink(Genotypes.from_calls(calls[-6:, 2:], ids[-6:], table[2:]), place / "fewer.bed")
    return place


def configuration(
    files: Path,
    folder: Path,
    relationships: str,
    *,
    genotypes: str = "",
    model: str = MODEL,
    variances: str = VARIANCES,
    pedigree: str = "",
    records: str = "r.csv",
    more: str = "",
) -> Path:
    """An `evaluation.toml` in a folder of its own."""
    named = "" if "file =" in genotypes else f"file = '{files / 'g.bed'}'"
    text = (
        f"[genotypes]\n{named}\n{genotypes}\n"
        f"[records]\nfile = '{files / records}'\n[model]\nformula = '{model}'\n{variances}"
        f"[relationships]\n{relationships}\n[results]\nfolder = 'out'\n{more}"
    )
    if pedigree != "none":
        text += f"\n[pedigree]\nfile = '{files / ('grouped.csv' if pedigree else 'p.csv')}'\n{pedigree}"
    place = folder / "evaluation.toml"
    place.write_text(text, encoding="utf-8")
    return place


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def published(files: Path, folder: Path, relationships: str, **given: Any) -> pl.DataFrame:
    """Breeding values that `run` publishes."""
    result = command("run", configuration(files, folder, relationships, **given))
    assert result.exit_code == 0, result.output
    return pl.read_csv(folder / "out" / "ebv.csv")


def by_hand(
    files: Path, inverses: dict[str, Any], model: str = MODEL, records: str = "r.csv", **variances: float
) -> Any:
    """The same evaluation from Python."""
    components = VarianceComponents({"animal": 2.0} | variances, residual=4.0)
    return evaluate(Model.from_formula(model), read_records(files / records), components, inverses)


def assert_same(found: pl.DataFrame, evaluation: Any) -> None:
    """Breeding values of the same animals, to the bit."""
    assert found.select("id", "ebv").equals(evaluation.ebv.select("id", "ebv"))


def in_use(files: Path) -> Genotypes:
    """What the quality control keeps."""
    return check_genotypes(read_genotypes(files / "g.bed"), pedigree=read_pedigree(files / "p.csv")).genotypes


# --- what is published ------------------------------------------------------------------------------------------------


def test_single_step_is_published_as_python_has_it(files: Path, tmp_path: Path) -> None:
    found = published(files, tmp_path, 'animal = "single_step"')
    genotypes = in_use(files)
    evaluation = by_hand(files, {"animal": h_inverse(read_pedigree(files / "p.csv"), genotypes, GenomicOptions())})
    assert_same(found, evaluation)
    assert found.columns[-1] == "genotyped"
    assert found.filter("genotyped")["id"].to_list() == [f"a{k:02d}" for k in range(30, 60)]
    effects = read_marker_effects(tmp_path / "out" / "marker_effects.parquet")
    np.testing.assert_array_equal(effects.estimates, marker_effects(evaluation).estimates)
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert {"marker_effects.parquet", "exclusions.csv"} <= set(record["files"])
    assert record["genotypes"]["marker_list_sha256"] == effects.digest
    assert (record["genotypes"]["animals"], record["genotypes"]["markers"]) == genotypes.shape
    assert {"genotypes .bim", "genotypes .fam", "genotypes .bed"} == {
        role for role in record["inputs"] if role.startswith("genotypes")
    }
    assert record["cores"] == {}
    said = "\n".join(record["notes"])
    for part in (
        "30 of 30 animals and",
        "form 'explicit' by the plan",
        "memory of H⁻¹ by form: explicit",
        "G against A22",
    ):
        assert part in said


def test_genotyped_animals_alone_need_no_pedigree(files: Path, tmp_path: Path) -> None:
    options = 'animal = { kind = "genomic", method = "vanraden2", ridge = 0.01, frequencies = "half" }'
    found = published(files, tmp_path, options, pedigree="none", records="of_genotyped.csv")
    genotypes = check_genotypes(read_genotypes(files / "g.bed")).genotypes
    inverse = g_inverse(genotypes, GenomicOptions(method="vanraden2", ridge=0.01, frequencies="half"))
    assert_same(found, by_hand(files, {"animal": inverse}, records="of_genotyped.csv"))
    assert found["genotyped"].all()


def test_additive_and_dominance_relationships_of_the_same_animals(files: Path, tmp_path: Path) -> None:
    model = "y ~ sex + (1 | animal) + (1 | vm(animal, D))"
    found = published(
        files, tmp_path, 'animal = { kind = "genomic", blend = 0.05 }\nD = { kind = "genomic_dominance", ridge = 0.02 }',
        model=model, variances='[variances]\nanimal = 2.0\n"vm(animal, D)" = 0.5\nresidual = 4.0\n', records="of_genotyped.csv",
    )  # fmt: skip
    genotypes, pedigree = in_use(files), read_pedigree(files / "p.csv")
    inverses = {
        "animal": g_inverse(genotypes, GenomicOptions(blend=0.05), pedigree=pedigree),
        "D": dominance_g_inverse(genotypes, ridge=0.02),
    }
    evaluation = by_hand(files, inverses, model, "of_genotyped.csv", **{"vm(animal, D)": 0.5})
    assert_same(found, evaluation)
    assert [place.name for place in (tmp_path / "out").glob("marker_effects*")] == ["marker_effects.parquet"]


def test_the_core_is_published_and_can_be_kept(files: Path, tmp_path: Path) -> None:
    found = published(files, tmp_path, 'animal = { kind = "genomic", ridge = 0.01, core_number = 12 }',
                      records="of_genotyped.csv")  # fmt: skip
    genotypes = in_use(files)
    core = core_at_random(genotypes, 12, seed=1)
    evaluation = by_hand(
        files, {"animal": apy_inverse(genotypes, GenomicOptions(ridge=0.01), core=core)}, records="of_genotyped.csv"
    )
    assert_same(found, evaluation)
    assert pl.read_csv(tmp_path / "out" / "core.csv")["id"].to_list() == core
    kept = f"core_file = '{tmp_path / 'out' / 'core.csv'}'"
    (tmp_path / "again").mkdir()
    again = published(files, tmp_path / "again", f'animal = {{ kind = "genomic", ridge = 0.01, {kept} }}',
                      records="of_genotyped.csv")  # fmt: skip
    assert again.equals(found)
    (tmp_path / "share").mkdir()
    published(files, tmp_path / "share", 'animal = { kind = "genomic", ridge = 0.01, core_share = 0.7 }',
              records="of_genotyped.csv")  # fmt: skip
    chosen = core_by_eigenvalues(genomic_matrix(genotypes), 0.7, seed=1)
    assert pl.read_csv(tmp_path / "share" / "out" / "core.csv")["id"].to_list() == chosen
    assert 1 < len(chosen) < GENOTYPED


@pytest.mark.parametrize("form", ["apy", "components", "markers"])
def test_all_forms_agree(files: Path, tmp_path: Path, form: str) -> None:
    core = ", core_number = 30" if form == "apy" else ""
    found = published(
        files, tmp_path, f'animal = {{ kind = "single_step", form = "{form}", tuning = "none"{core} }}',
        more="[solve]\nmethod = 'pcg'\ntolerance = 1e-9",
    )  # fmt: skip
    inverse = h_inverse(read_pedigree(files / "p.csv"), in_use(files), GenomicOptions(tuning="none"), form="explicit")
    evaluation = by_hand(files, {"animal": inverse})
    np.testing.assert_allclose(found["ebv"], evaluation.ebv["ebv"], atol=1e-7)
    effects = read_marker_effects(tmp_path / "out" / "marker_effects.parquet")
    np.testing.assert_allclose(effects.estimates, marker_effects(evaluation).estimates, atol=1e-7)


GROUPS = "groups = ['G1', 'G2']"


@pytest.mark.parametrize(
    "groups",
    ['groups = "fixed", group_equations = "full"', 'groups = "random", ratio = 2.0', "omega = 0.9, tau = 0.95"],
)
def test_groups_of_unknown_parents_in_single_step(files: Path, tmp_path: Path, groups: str) -> None:
    found = published(files, tmp_path, f'animal = {{ kind = "single_step", {groups} }}', pedigree=GROUPS)
    pedigree = read_inputs(read_config(tmp_path / "evaluation.toml")).pedigree
    assert pedigree is not None
    ratio = 2.0 if "ratio" in groups else None
    source = group_inverse(pedigree, ratio=ratio, inbreeding=True)
    weights = {"omega": 0.9, "tau": 0.95} if "omega" in groups else {}
    equations: Any = "full" if "full" in groups else None
    inverse = h_inverse(source, in_use(files), GenomicOptions(), group_equations=equations, **weights)
    assert_same(found, by_hand(files, {"animal": inverse}))
    assert (tmp_path / "out" / "groups.csv").is_file()


@pytest.mark.parametrize("gamma", ["estimate", "gamma.csv"])
def test_metafounders_in_single_step(files: Path, tmp_path: Path, gamma: str) -> None:
    rows = "id1,id2,value\nG1,G1,0.4\nG2,G2,0.5\nG1,G2,0.3\n"
    (tmp_path / "gamma.csv").write_text(rows)
    source = f'{{ kind = "single_step", groups = "metafounders", gamma = "{gamma}" }}'
    found = published(files, tmp_path, f"animal = {source}", pedigree=GROUPS)
    inputs = read_inputs(read_config(tmp_path / "evaluation.toml"))
    assert inputs.pedigree is not None
    genotypes = in_use(files)
    estimated = gamma_from_genotypes(genotypes, inputs.pedigree)
    given = pl.read_csv(tmp_path / "gamma.csv")["value"].to_list()
    assert estimated.names.to_list() == ["G1", "G2"]
    matrix = estimated.gamma if gamma == "estimate" else np.array([[given[0], given[2]], [given[2], given[1]]])
    inverse = h_inverse(metafounder_inverse(inputs.pedigree, matrix), genotypes)
    assert_same(found, by_hand(files, {"animal": inverse}))
    assert any("allele frequencies of 0.5" in note for note in inputs.relationships["animal"].made)


def test_frequencies_and_weights_of_markers_stand_in_files(files: Path, tmp_path: Path) -> None:
    genotypes = in_use(files)
    names = genotypes.markers["marker"]
    rng = np.random.default_rng(3)
    numbers = pl.DataFrame(
        {"marker": names, "frequency": rng.uniform(0.3, 0.6, len(names)), "weight": rng.uniform(0.5, 2.0, len(names))}
    )
    numbers.reverse().write_csv(tmp_path / "n.csv")
    source = 'animal = { kind = "genomic", frequency_file = "n.csv", weight_file = "n.csv", ridge = 0.01 }'
    found = published(files, tmp_path, source, records="of_genotyped.csv")
    options = GenomicOptions(
        frequencies=numbers["frequency"].to_numpy(), weights=numbers["weight"].to_numpy(), ridge=0.01
    )
    assert_same(found, by_hand(files, {"animal": g_inverse(genotypes, options)}, records="of_genotyped.csv"))
    numbers.head(3).write_csv(tmp_path / "n.csv")
    refused(
        configuration(files, tmp_path, source, records="of_genotyped.csv"),
        rf"n\.csv: no frequency of {len(names) - 3} markers in use: .*; add the rows",
    )
    pl.concat([numbers, numbers.head(1)]).write_csv(tmp_path / "n.csv")
    toml = configuration(files, tmp_path, source, records="of_genotyped.csv")
    refused(toml, r"n\.csv: more than one frequency of 's0'; give each marker once")


def refused(toml: Path, message: str) -> None:
    """`run` ends with 20, one message and no traceback, and leaves nothing behind."""
    toml.write_text(toml.read_text().replace("'out'", "'refused'"))
    result = command("run", toml)
    assert (result.exit_code, result.stdout) == (20, ""), result.output
    assert re.search(message, result.stderr[result.stderr.index("error: ") :]), result.stderr
    assert "Traceback" not in result.output
    assert not (toml.parent / "refused").exists()


# --- who takes part ---------------------------------------------------------------------------------------------------


def test_genotyped_animals_that_the_pedigree_lacks(files: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.mkdir()
    shutil.copytree(files, short, dirs_exist_ok=True)
    pl.read_csv(files / "p.csv", infer_schema=False).head(57).write_csv(short / "p.csv")
    refused(
        configuration(short, tmp_path, 'animal = "single_step"'),
        r"g\.bed: 3 genotyped animals not in p\.csv: 'a57', 'a58', 'a59' -> add them to the pedigree, or say unknown_animals = ",
    )
    dropped = published(short, tmp_path, 'animal = "single_step"', genotypes='unknown_animals = "drop"')
    assert (dropped.height, int(dropped["genotyped"].sum())) == (57, 27)
    listed = pl.read_csv(tmp_path / "out" / "genotype_animals.csv")
    assert listed.filter(why="not in the pedigree").select("animal", "outcome").rows() == [
        ("a57", "dropped"), ("a58", "dropped"), ("a59", "dropped"),
    ]  # fmt: skip
    shutil.rmtree(tmp_path / "out")
    founders = published(short, tmp_path, 'animal = "single_step"', genotypes='unknown_animals = "founder"')
    assert (founders.height, int(founders["genotyped"].sum())) == (60, 30)
    note = "3 genotyped animals not in p.csv, added to it as unrelated: 'a57', 'a58', 'a59'"
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert note in record["notes"]
    assert (record["genotypes"]["not_in_the_pedigree"], record["pedigree"]["animals"]) == (3, 60)
    shutil.rmtree(tmp_path / "out")
    exclusions = 'exclusions = "x.csv"'
    (tmp_path / "x.csv").write_text("kind,name\nanimal,a57\nanimal,a58\nanimal,a59\n")
    listed = published(short, tmp_path, 'animal = "single_step"', genotypes=exclusions)
    assert int(listed["genotyped"].sum()) == 27


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "kind,name\nanimal,a31\nsnp,s7\n",
            r"x\.csv line 3: an exclusion needs a kind, .* found kind 'snp', name 's7' -> correct",
        ),
        (
            "kind,name\nmarker,\n",
            r"x\.csv line 2: an exclusion needs .* found kind 'marker', name None -> correct the rows",
        ),
        ("type,name\nmarker,s7\n", r"x\.csv has no column 'kind'"),
    ],
)
def test_exclusions_that_are_refused_name_their_lines(files: Path, tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(rows)
    refused(configuration(files, tmp_path, 'animal = "single_step"', genotypes="exclusions = 'x.csv'"), message)


def test_no_genotyped_animal_in_the_pedigree(files: Path, tmp_path: Path) -> None:
    shutil.copytree(files, tmp_path / "other")
    rows = pl.read_csv(files / "p.csv", infer_schema=False)
    rows.with_columns(pl.all().str.replace("a", "b")).write_csv(tmp_path / "other" / "p.csv")
    toml = configuration(tmp_path / "other", tmp_path, 'animal = "single_step"', genotypes='unknown_animals = "drop"')
    refused(toml, r"g\.bed: none of its animals is in p\.csv -> correct the names of files, or the ids")
    shutil.copytree(files, tmp_path / "coded")
    calls = read_genotypes(files / "g.bed")
    write_plink(replace(calls, ids=pl.Series("id", ["NA", *calls.ids[1:]])), tmp_path / "coded" / "g.bed", replace=True)
    toml = configuration(
        tmp_path / "coded", tmp_path, 'animal = "single_step"', genotypes='unknown_animals = "founder"'
    )
    refused(toml, r"g\.bed: the genotyped animal 'NA' bears the code of a missing parent -> it cannot be added")


def test_exclusions_are_kept_from_run_to_run(files: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text(
        "kind,name,why\nmarker,s7,known to fail\nanimal,a31,sample swapped\nanimal,gone,old\n"
    )
    how = 'exclusions = "old.csv"\n[genotypes.quality]\nminor_allele_frequency = 0.2'
    found = published(files, tmp_path, 'animal = "single_step"', genotypes=how)
    assert not found.filter(id="a31")["genotyped"][0]
    kept = pl.read_csv(tmp_path / "out" / "exclusions.csv")
    assert kept.rows()[:3] == [
        ("marker", "s7", "known to fail"), ("animal", "a31", "sample swapped"), ("animal", "gone", "old"),
    ]  # fmt: skip
    rare = kept.filter(why="minor allele frequency")["name"].to_list()
    assert rare
    markers = pl.read_csv(tmp_path / "out" / "genotype_markers.csv").filter(outcome="excluded")["marker"].to_list()
    assert set(rare) | {"s7"} <= set(markers)
    how = f"exclusions = '{tmp_path / 'out' / 'exclusions.csv'}'"
    (tmp_path / "next").mkdir()
    published(files, tmp_path / "next", 'animal = "single_step"', genotypes=how)
    assert pl.read_csv(tmp_path / "next" / "out" / "exclusions.csv").equals(kept)


def test_a_small_correlation_of_g_with_the_pedigree_is_warned_of_or_refused(files: Path, tmp_path: Path) -> None:
    shutil.copytree(files, tmp_path / "swapped")
    calls = read_genotypes(files / "g.bed")
    ids = calls.ids.sample(fraction=1.0, shuffle=True, seed=5)
    write_plink(replace(calls, ids=ids), tmp_path / "swapped" / "g.bed", replace=True)
    toml = configuration(tmp_path / "swapped", tmp_path, 'animal = "single_step"')
    refused(
        toml,
        r"correlation of G with A22 between different animals is .*, below 0\.3 -> check that samples bear the ids",
    )
    how = "stop_below = -1.0"
    toml = configuration(
        tmp_path / "swapped", tmp_path, 'animal = { kind = "single_step", blend_with = "identity" }', genotypes=how
    )
    result = command("check", toml)
    assert result.exit_code == 0, result.output
    assert re.search(r"warning: the correlation of G with A22 .* below 0\.5: check ids of samples", result.stderr)


def test_check_tells_who_takes_part_and_what_the_forms_need(files: Path, tmp_path: Path) -> None:
    result = command("check", configuration(files, tmp_path, 'animal = { kind = "single_step", prune = true }'))
    assert result.exit_code == 0, result.output
    assert re.search(r"animal +random +60 .*H, explicit: A from pedigree p\.csv .* and g\.bed\n", result.stdout)
    block = result.stdout[result.stdout.index("\ngenotypes ") : result.stdout.index("\nequations ")]
    for line in (
        r"30 of 30 animals and \d+ of 240 markers take part",
        r"animal: form 'explicit' by the plan: 30 genotyped animals",
        r"animal: memory of H⁻¹ by form: explicit .*iB, components .*iB, markers .*iB",
        r"animal: G against A22, 30 animals: correlation 0\.\d+ between animals",
    ):
        assert len(re.findall(line, block)) == 1, line
        assert len(re.findall(line, result.stdout)) == 1, line


def test_variances_are_estimated_with_genomic_relationships(files: Path, tmp_path: Path) -> None:
    toml = configuration(files, tmp_path, 'animal = "single_step"', variances="")
    result = command("reml", toml)
    assert result.exit_code == 0, result.output
    assert "animal 60 (" in result.stdout
    record = json.loads((tmp_path / "out-variances" / "run.json").read_text(encoding="utf-8"))
    assert record["genotypes"]["animals"] == 30


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published results with tests of markers."""
    place = tmp_path_factory.mktemp("results")
    toml = configuration(files, place, 'animal = "single_step"')
    toml.write_text(toml.read_text().replace("folder = 'out'", "folder = 'out'\nmarker_tests = true"))
    result = command("run", toml)
    assert result.exit_code == 0, result.output
    return place / "out"


def test_predictions_are_those_of_the_stored_effects(files: Path, results: Path, tmp_path: Path) -> None:
    effects = read_marker_effects(results / "marker_effects.parquet")
    wanted = predict_genomic(effects, read_genotypes(files / "new.bed"))
    result = command("predict", results, files / "new.bed")
    assert result.exit_code == 0, result.output
    assert pl.read_csv(io.StringIO(result.stdout)).equals(wanted)
    assert wanted["reliability"].is_between(0.0, 1.0).all()
    flipped = command("predict", results, files / "flipped.bed", "--output", tmp_path / "new.csv")
    assert (flipped.exit_code, flipped.stdout) == (0, "")
    assert "warning: flipped.bed: 1 marker with allele1 and allele2 exchanged, repaired" in flipped.stderr
    np.testing.assert_allclose(pl.read_csv(tmp_path / "new.csv")["gebv"], wanted["gebv"], atol=1e-12)
    assert [place.name for place in tmp_path.iterdir()] == ["new.csv"]
    again = command("predict", results, files / "new.bed", "--output", tmp_path / "new.csv")
    assert again.exit_code == 20
    assert "new.csv: there is such a file already; ask to --replace it, or name another file" in again.stderr
    replaced = command("predict", results, files / "new.bed", "--output", tmp_path / "new.csv", "--replace")
    assert replaced.exit_code == 0
    assert pl.read_csv(tmp_path / "new.csv").equals(wanted)


def test_tests_of_markers_are_those_of_python(files: Path, results: Path) -> None:
    pedigree, genotypes = read_pedigree(files / "p.csv"), in_use(files)
    inference = marker_inference(
        Model.from_formula(MODEL), read_records(files / "r.csv"), VarianceComponents({"animal": 2.0}, residual=4.0),
        {"animal": h_inverse(pedigree, genotypes, GenomicOptions())},
    )  # fmt: skip
    found = pl.read_csv(results / "marker_tests.csv")
    np.testing.assert_array_equal(found["minus_log10_p"], inference.table["minus_log10_p"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("flipped.bed", ["--flips", "refuse"], r"alleles exchanged or read from the other strand at 1 marker: s5"),
        ("fewer.bed", [], r"fewer\.bed: 2 markers of the \d+ that have effects are lacking: 's0', 's1' -> impute them"),
        ("nowhere.bed", [], r"nowhere\.bed: there is no such file"),
        ("new.bed", ["--term", "dam"], r"there are effects of markers of 'animal', and none of 'dam'"),
        (
            "new.bed",
            ["--output", "nowhere/new.csv"],
            r"nowhere/new\.csv: the predictions cannot be written: No such file",
        ),
        ("new.bed", ["--output", "."], r"\.: this is a folder; name a file in it, or another"),
        ("flipped.bed", ["--flips", "refuse"], r"-> mend the file, or allow --flips repair\n$"),
        ("fewer.bed", [], r"-> impute them, or take --missing-markers mean, which lowers the accuracy\n$"),
        (
            "new.bed",
            ["--map", "m.csv"],
            r"a map of markers \(markers=, map, --map\) has no meaning for genotypes of the format pl",
        ),
    ],
)
def test_predictions_that_are_refused(files: Path, results: Path, name: str, options: list[str], message: str) -> None:
    result = command("predict", results, files / name, *options)
    assert (result.exit_code, result.stdout) == (20, "")
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.output


def test_alleles_that_nobody_knows(files: Path, results: Path, tmp_path: Path) -> None:
    """Calls as text count either allele: that is refused, until a map tells or a person says so."""
    wanted = command("predict", results, files / "flipped.bed").stdout
    flipped = read_genotypes(files / "flipped.bed")
    write_genotypes(flipped, tmp_path / "new.csv")
    refusal = command("predict", results, tmp_path / "new.csv")
    assert (refusal.exit_code, refusal.stdout) == (20, "")
    assert re.search(
        r"error: new\.csv: alleles of \d+ markers are not known, so that exchanged ones would not be seen -> read the genotypes "
        r"with a map of alleles, --map map\.csv, or say that the same alleles are counted with --unknown-alleles as_written\n",
        refusal.stderr,
    )
    flipped.markers.write_csv(tmp_path / "map.csv")
    mapped = command("predict", results, tmp_path / "new.csv", "--map", tmp_path / "map.csv")
    assert mapped.stdout == wanted
    said = command("predict", results, tmp_path / "new.csv", "--unknown-alleles", "as_written")
    assert said.exit_code == 0
    assert said.stdout != wanted
    known = pl.col("marker") == "s5"
    part = flipped.markers.with_columns(pl.when(known).then(pl.col("allele1", "allele2")).name.keep())
    part.write_csv(tmp_path / "map.csv")
    some = command("predict", results, tmp_path / "new.csv", "--map", tmp_path / "map.csv")
    assert some.stdout == wanted
    note = r"warning: new\.csv: alleles of \d+ markers are not known: exchanged ones are not seen; of text a map tells them, --map"
    assert re.search(note, some.stderr)


def test_markers_are_matched_once(files: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for place in ("run.prediction", "adjustment.markers.prediction"):
        monkeypatch.setattr(f"breedblup.{place}.match_markers", counting(match_markers, calls))
    assert command("predict", results, files / "new.bed").exit_code == 0
    assert calls == ["match_markers"]


def counting(function: Any, calls: list[str]) -> Any:
    """A function that tells of its calls."""

    def told(*given: Any, **named: Any) -> Any:
        calls.append(function.__name__)
        return function(*given, **named)

    return told


def test_missing_markers_can_be_taken_at_the_mean(files: Path, results: Path) -> None:
    result = command("predict", results, files / "fewer.bed", "--missing-markers", "mean")
    assert result.exit_code == 0
    assert "warning: fewer.bed: 2 markers lacking" in result.stderr
    assert pl.read_csv(io.StringIO(result.stdout)).height == 6


def test_folders_without_effects_are_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"there are no results \(no run\.json that can be read\); name the folder that"
    ):
        read_published(tmp_path)
    (tmp_path / "run.json").write_text('{"files": {"ebv.csv": {}}}')
    with pytest.raises(InputError, match="these results hold no effects of markers; evaluate with genotypes, as"):
        read_published(tmp_path)


def test_effects_of_several_terms_are_told_apart(files: Path, tmp_path: Path) -> None:
    model = "y ~ sex + (1 | animal) + (1 | vm(animal, G2))"
    toml = configuration(
        files, tmp_path, 'animal = { kind = "genomic", ridge = 0.01 }\nG2 = { kind = "genomic", method = "vanraden2", ridge = 0.01 }',
        model=model, variances='[variances]\nanimal = 2.0\n"vm(animal, G2)" = 0.5\nresidual = 4.0\n', records="of_genotyped.csv",
    )  # fmt: skip
    toml.write_text(toml.read_text().replace("'out'", "'out'\nmarker_tests = true"))
    result = command("run", toml)
    assert result.exit_code == 0, result.output
    names = sorted(place.name for place in (tmp_path / "out").glob("*.parquet"))
    assert names == ["marker_effects_animal.parquet", "marker_effects_vm_animal_G2.parquet"]
    tests = pl.read_csv(tmp_path / "out" / "marker_tests.csv")
    assert tests["term"].unique(maintain_order=True).to_list() == ["animal", "vm(animal, G2)"]
    with pytest.raises(InputError, match=r"effects of markers of 'animal', .*one has to be named with --term"):
        read_published(tmp_path / "out")
    assert read_published(tmp_path / "out", "vm(animal, G2)").term == "vm(animal, G2)"


# --- bad input --------------------------------------------------------------------------------------------------------


def broken(files: Path, folder: Path, ending: str, change: Any) -> Path:
    """Copies of the files of which one is changed."""
    shutil.copytree(files, folder / "broken")
    place = folder / "broken" / f"g{ending}"
    place.write_bytes(change(place.read_bytes()))
    return folder / "broken"


@pytest.mark.parametrize(
    ("ending", "change", "message"),
    [
        (".bed", lambda content: b"PK" + content[2:], r"g\.bed: it begins with the bytes 50 4b, not with 6c 1b, the magic"),
        (".bed", lambda content: content[:-5], r"g\.bed: 1,915 bytes of calls, where .* need 1,920: .*cut short"),
        (".fam", lambda content: content + b"x x 0 0 0 -9\n" * 9, r"g\.fam line.*: more than one animal is called 'x'"),
        (".fam", lambda content: content[: content.rindex(b"f" if b"f" in content else b"a")], r"g\.fam:30: \d columns where"),
        (".bim", lambda content: content[content.index(b"\n") + 1 :], r"240 .*|it fits 240 markers, so it is cut short or the"),
        (".bed", lambda content: content[:3] + (7 * b"\x55" + b"\x05") * 240, r"g\.bed: none of the markers is left after 'call rate"),
    ],
    ids=["magic", "truncated", "fam repeated", "fam cut", "bim of others", "all missing"],
)  # fmt: skip
def test_damaged_files_are_refused(files: Path, tmp_path: Path, ending: str, change: Any, message: str) -> None:
    place = broken(files, tmp_path, ending, change)
    refused(configuration(place, tmp_path, 'animal = "single_step"'), message)


def test_one_marker_and_duplicates(files: Path, tmp_path: Path) -> None:
    calls = read_genotypes(files / "g.bed")
    shutil.copytree(files, tmp_path / "one")
    write_plink(calls.at_markers(np.array([0])), tmp_path / "one" / "g.bed", replace=True)
    bare = 'animal = { kind = "genomic", ridge = 0.0 }'
    toml = configuration(tmp_path / "one", tmp_path, bare, pedigree="none", records="of_genotyped.csv")
    refused(
        toml,
        r"G of 30 animals is not positive definite, '\w+' and '\w+' have the same genotypes -> add to its diagonal",
    )
    shutil.copytree(files, tmp_path / "twice")
    array = calls.calls()
    array[1] = array[0]
    twice = Genotypes.from_calls(array, calls.ids, calls.markers)
    write_plink(twice, tmp_path / "twice" / "g.bed", replace=True)
    toml = configuration(tmp_path / "twice", tmp_path, bare, pedigree="none", records="of_genotyped.csv")
    refused(toml, r"'a30' and 'a31' have the same genotypes -> ")
    found = published(
        tmp_path / "twice",
        tmp_path,
        'animal = { kind = "genomic", ridge = 0.01 }',
        pedigree="none",
        records="of_genotyped.csv",
    )
    assert found["genotyped"].all()
    assert pl.read_csv(tmp_path / "out" / "duplicates.csv").select("animal", "other").rows() == [("a30", "a31")]


# --- what the configuration may say -----------------------------------------------------------------------------------


def test_keys_of_the_quality_are_those_of_the_control() -> None:
    only_python = {"frequencies"}  # of a result that a run does not publish
    assert set(GenotypeQualitySection.model_fields) == {one.name for one in fields(GenotypeQuality)} - only_python
    assert set(QualitySeveritiesSection.model_fields) == {one.name for one in fields(Severities)}


def test_everything_of_genotypes_given(files: Path, tmp_path: Path) -> None:
    how = (
        "file = 'calls.txt'\nformat = 'blupf90'\nmap = 'm.csv'\nmissing = ['9']\nunknown_animals = 'drop'\nexclusions = 'x.csv'\n"
        "warn_below = 0.6\nstop_below = 0.2\n[genotypes.quality]\nmarker_call_rate = 0.8\nx_chromosome = ['30']\n"
        "g_diagonal = [0.4, 2]\nfewest_compared = 50\n[genotypes.quality.severities]\nmendelian = 'exclude'\n"
    )
    source = (
        'animal = { kind = "single_step", method = "yang", frequency_file = "f.csv", weight_file = "w.csv", blend = 0.1, '
        'blend_with = "identity", ridge = 0.01, tuning = "mean", order = "tune_blend", core_share = 0.9, tau = 1.1, omega = 0.8, '
        "prune = true }"
    )
    config = read_config(configuration(files, tmp_path, source, genotypes=how))
    given = config.genotypes
    assert given is not None
    assert given.files == {
        "genotypes": tmp_path / "calls.txt", "map of markers": tmp_path / "m.csv", "exclusions": tmp_path / "x.csv",
    }  # fmt: skip
    assert (given.source.format, given.source.missing, given.unknown_animals) == ("blupf90", ("9",), "drop")
    assert (given.agreement.warn, given.agreement.stop) == (0.6, 0.2)
    assert given.quality == GenotypeQuality(
        marker_call_rate=0.8, x_chromosome=("30",), g_diagonal=(0.4, 2), fewest_compared=50,
        severities=Severities(mendelian="exclude"),
    )  # fmt: skip
    options = GenomicOptions("yang", blend=0.1, blend_with="identity", ridge=0.01, tuning="mean", order="tune_blend")
    assert config.relationships["animal"] == FromGenotypes(
        "single_step", options, tmp_path / "f.csv", tmp_path / "w.csv", "apy", 0.9, 1.1, 0.8, prune=True
    )
    assert config.inputs()["relationship animal weights"] == tmp_path / "w.csv"
    prefix = read_config(configuration(files, tmp_path, 'animal = "single_step"', genotypes="file = 'chip'"))
    assert set(prefix.inputs()) >= {"genotypes .bed", "genotypes .bim", "genotypes .fam"}
    (tmp_path / "calls.dat").touch()
    odd = read_config(
        configuration(files, tmp_path, 'animal = "single_step"', genotypes="file = 'calls.dat'\nformat = 'plink'")
    )
    assert odd.inputs()["genotypes .bed"] == tmp_path / "calls.dat"
    assert odd.inputs()["genotypes .fam"] == tmp_path / "calls.fam"


@pytest.mark.parametrize(
    ("relationships", "genotypes", "message"),
    [
        ('{ kind = "pedigree", tau = 0.9 }', "", r'tau does not go with kind = "pedigree", which takes prune$'),
        ('{ kind = "single_step", core_number = 5, core_share = 0.9 }', "", "core_number and core_share both choose the core"),
        ('{ kind = "single_step", core_number = 5, form = "markers" }', "", r'core_number chooses the core of form = "apy", and form'),
        ('{ kind = "genomic_dominance", frequencies = "base" }', "", r'frequencies = "base" is none of genomic_dominance, which takes'),
        ('{ kind = "genomic", form = "markers" }', "", r'form = "markers" is one of single_step; genomic takes "auto", "explicit"'),
        ('{ kind = "single_step", frequencies = "half", frequency_file = "f.csv" }', "", "frequencies and frequency_file are both"),
        ('{ kind = "single_step", gamma = "estimate" }', "", r'gamma \(a file, or "estimate"\) goes with groups = "metafounders"'),
        ('{ kind = "single_step", blend = 1.5 }', "", r"\[relationships\] animal: GenomicOptions: blend is 1\.5"),
        ('{ kind = "single_step", groups = "fixed" }', "", r'animal has groups = "fixed", and \[pedigree\] has no groups of unk'),
        ('"pedigree"', "", r"\[genotypes\] is given, and no relationship rests on them; write animal = "),
        ('"single_step"', "warn_below = 0.1", r"\[genotypes\] warn_below = 0\.1 and stop_below = 0\.3 have to be correlations"),
        ('"single_step"', "[genotypes.quality]\nmarker_call_rate = 2.0", r"\[genotypes\.quality\] marker_call_rate is 2\.0 -> a share"),
        ('"single_step"', "[genotypes.quality]\nfrequencies = 'all'", r"\[genotypes\.quality\] unknown key 'frequencies'"),
        ('"single_step"', "[genotypes.quality]\ng_diagonal = [1.0]", r"g_diagonal: two numbers are needed, the smaller first, found 1"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(
    files: Path, tmp_path: Path, relationships: str, genotypes: str, message: str
) -> None:
    with pytest.raises((ConfigurationError, ModelError), match=message):
        read_config(configuration(files, tmp_path, f"animal = {relationships}", genotypes=genotypes))


def test_sections_that_are_missing(files: Path, tmp_path: Path) -> None:
    toml = configuration(files, tmp_path, 'animal = "single_step"', pedigree="none")
    with pytest.raises(ConfigurationError, match=r"names 'single_step', which is made of the pedigree, but section"):
        read_config(toml)
    toml = configuration(files, tmp_path, 'animal = { kind = "genomic", blend = 0.05 }', pedigree="none")
    with pytest.raises(
        ConfigurationError, match=r'names "genomic" with something of A22 \(blend without blend_with = '
    ):
        read_config(toml)
    text = configuration(files, tmp_path, 'animal = "single_step"').read_text()
    toml.write_text(text[text.index("[records]") :])
    with pytest.raises(
        ConfigurationError, match=r'animal has kind = "single_step", and section \[genotypes\] is missing'
    ):
        read_config(toml)


def test_markers_are_tested_from_the_evaluation_itself(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One preparation, one factor: the tests solve nothing anew."""
    calls: list[str] = []
    for name in ("equations", "of"):
        monkeypatch.setattr(EquationPattern, name, counting(getattr(EquationPattern, name), calls))
    factorised, plain = [], SymbolicFactor.factorise
    monkeypatch.setattr(
        SymbolicFactor, "factorise", lambda self, matrix: factorised.append(matrix.shape[0]) or plain(self, matrix)
    )
    toml = configuration(files, tmp_path, 'animal = "single_step"')
    toml.write_text(toml.read_text().replace("'out'", "'out'\nmarker_tests = true"))
    result = command("run", toml)
    assert result.exit_code == 0, result.output
    assert sorted(calls) == ["equations", "of"]
    assert "testing markers of animal" in result.stderr
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert factorised.count(record["counts"]["equations"]) == 1
    assert sum(note.startswith("marker_tests: solved by a factor of all equations") for note in record["notes"]) == 1
    stages = [stage["stage"] for stage in record["stages"]]
    assert stages.index("solve") < stages.index("tests of markers") < stages.index("write results")
    assert stages.count("solve") == 1


def test_tests_of_markers_need_genotypes(files: Path, tmp_path: Path) -> None:
    text = configuration(files, tmp_path, 'animal = "pedigree"').read_text()
    (tmp_path / "evaluation.toml").write_text(
        text[text.index("[records]") :].replace("'out'", "'out'\nmarker_tests = true")
    )
    with pytest.raises(ConfigurationError, match=r"\[results\] marker_tests are made of genotypes, and section"):
        read_config(tmp_path / "evaluation.toml")


def test_every_key_of_a_relationship_is_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text(encoding="utf-8")
    for key in RelationshipSection.model_fields:
        assert f"| `{key}` |" in text, key
