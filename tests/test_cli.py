"""The command as its users meet it: what stands on standard output, what in the log, and the exit code."""

import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from numba.core import event
from polars.exceptions import PanicException
from rich.console import Console
from typer.testing import CliRunner

from breedblup import cli
from breedblup.adjustment import (
    AtPoints,
    BaseBirthYears,
    Combination,
    Difference,
    SumOverRange,
    combine,
    rebase,
)
from breedblup.analysis import evaluate, evaluate_by_factor
from breedblup.errors import (
    ModelError,
    NotConverged,
    NotPositiveDefinite,
    PublishError,
    RecordError,
    ResourceError,
)
from breedblup.io.tables import read_pedigree, read_records
from breedblup.pedigree import PedigreeColumns
from breedblup.relationship import dominance_inverse, sire_mgs_inverse
from breedblup.run import pipeline
from breedblup.run.config import read_config

PEDIGREE = "animal,sire,dam,birth\nÄlpler,,,2010\n牛2,0,0,2011\n003,Älpler,牛2,2014\n04,Älpler,,2014\n5,003,04,2016\n"
RECORDS = "animal,herd,milk,w\n003,h1,20.5,1\n003,h2,22,1\n04,h1,18,2\n5,h2,25,1\n牛2,h1,,1\n"
CONFIGURATION = """
[pedigree]
file = "pedigree.csv"
[records]
file = "records.csv"
[model]
formula = "milk ~ herd + (1 | animal) + (1 | ide(animal))"
[variances]
animal = 20.0
"ide(animal)" = 12.0
residual = 28.0
[results]
folder = "results/2026"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pedigree.csv").write_text(PEDIGREE, encoding="utf-8")
    (tmp_path / "records.csv").write_text(RECORDS, encoding="utf-8")
    configure(tmp_path)
    return tmp_path


def configure(folder, old="[results]", new="[results]"):
    """Write the configuration with one thing changed."""
    assert old in CONFIGURATION
    (folder / "evaluation.toml").write_text(CONFIGURATION.replace(old, new), encoding="utf-8")


def breedblup(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def process(*arguments, code="from breedblup.cli import main; main()", **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, **options)


def names(folder):
    return sorted(place.name for place in folder.iterdir())


def test_check_prints_a_table_and_writes_nothing(folder):
    before = names(folder)
    result = breedblup("check", folder / "evaluation.toml")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["term", "kind", "levels", "equations", "set", "to", "zero", "relationship"]
    rows = {line.split()[0]: line.split()[1:5] for line in lines[1:5]}
    assert rows["herd"] == ["fixed", "2", "2", "1"]
    assert rows["animal"] == ["random", "5", "5", "0"]
    assert rows["ide(animal)"] == ["random", "3", "3", "0"]
    facts = {line.split()[0]: line for line in lines[6:] if line and not line.startswith(" ")}
    assert "5 read, 4 used, 1 without milk, 0 without an effect" in facts["records"]
    assert facts["equations"].split()[1] == "11"
    assert facts["method"].endswith("cholesky, with exact PEV")
    assert {"model", "non-zeros", "memory", "because", "note"} <= facts.keys()
    assert "reading pedigree" in result.stderr
    assert names(folder) == before


def test_run_publishes_and_prints_the_folder(folder):
    result = breedblup("run", folder / "evaluation.toml")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{folder / 'results' / '2026'}\n"
    results = folder / "results" / "2026"
    assert names(results) == ["ebv.csv", "fixed.csv", "random_ide_animal.csv", "run.json"]
    ebv = pl.read_csv(results / "ebv.csv", infer_schema=False)
    assert ebv["id"].to_list() == ["Älpler", "牛2", "003", "04", "5"]
    assert pl.read_csv(results / "random_ide_animal.csv").height == 3


def test_run_gives_the_bits_of_python(folder):
    breedblup("run", folder / "evaluation.toml")
    config = read_config(folder / "evaluation.toml")
    relationships = {"animal": read_pedigree(folder / "pedigree.csv")}
    evaluation = evaluate(config.model, read_records(folder / "records.csv"), config.variances, relationships)
    published = pl.read_csv(folder / "results/2026/ebv.csv", schema_overrides=evaluation.ebv.schema)
    assert published.equals(evaluation.ebv)


def test_the_run_record(folder):
    configure(folder, "[records]", '[pedigree.rules]\nborn_after = "error"\n[records]')
    breedblup("run", folder / "evaluation.toml")
    record = json.loads((folder / "results/2026/run.json").read_text(encoding="utf-8"))
    assert record["command"] == "run"
    for role, name in (("configuration", "evaluation.toml"), ("pedigree", "pedigree.csv"), ("records", "records.csv")):
        content = (folder / name).read_bytes()
        expected = {"path": str(folder / name), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert record["inputs"][role] == expected
    ebv = (folder / "results/2026/ebv.csv").read_bytes()
    assert record["files"]["ebv.csv"] == {"rows": 5, "bytes": len(ebv), "sha256": hashlib.sha256(ebv).hexdigest()}
    assert record["options"]["accuracy"] == "r"
    assert record["counts"]["records_read"] == 5
    assert record["counts"]["records_used"] == 4
    assert record["pedigree"]["animals"] == 5
    assert record["pedigree"]["founders"] == 2
    assert record["configuration"]["pedigree"]["rules"] == {"born_after": "error"}
    assert record["solution"]["method"] == "cholesky"
    assert record["solution"]["converged"] is True
    assert record["versions"].keys() >= {"breedblup", "python", "numpy", "numba", "scipy", "scikit-sparse", "polars"}
    assert record["machine"].keys() == {"processor", "cores", "memory_bytes", "system"}
    assert record["machine"]["memory_bytes"] > 2**20
    stages = [stage["stage"] for stage in record["stages"]]
    assert stages[:3] == ["checksums of inputs", "read inputs", "relationships"]
    assert stages[-2:] == ["write results", "checksums of inputs again"]
    peaks = [stage["peak_memory_bytes_so_far"] for stage in record["stages"]]
    assert peaks == sorted(peaks)
    assert peaks[0] > 2**20
    assert any("inbreeding" in note for note in record["notes"])


def test_parquet_pcg_base_and_repairs(folder):
    (folder / "pedigree.csv").write_text(PEDIGREE.replace("04,Älpler,,2014", "04,Älpler,,2009"), encoding="utf-8")
    configure(
        folder,
        'folder = "results/2026"',
        """
folder = "results/2026"
format = "parquet"
[pedigree.rules]
born_after = "repair"
[solve]
method = "pcg"
pev = "none"
[base]
kind = "birth_years"
first = 2014
last = 2014
""",
    )
    result = breedblup("run", folder / "evaluation.toml")
    assert result.exit_code == 0, result.stderr
    results = folder / "results/2026"
    files = ["convergence", "ebv", "fixed", "pedigree_repairs", "random_ide_animal"]
    assert names(results) == [*(f"{name}.parquet" for name in files), "run.json"]
    ebv = pl.read_parquet(results / "ebv.parquet")
    assert ebv.filter(pl.col("id") == "003")["ebv"].item() == 0
    assert ebv["pev"].null_count() == 5
    repairs = pl.read_parquet(results / "pedigree_repairs.parquet")
    assert repairs.select("animal", "role", "parent").rows() == [("04", "sire", "Älpler")]
    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["pedigree"]["repairs"] == 1
    rounds = pl.read_parquet(results / "convergence.parquet")
    assert record["solution"]["last_round"] == rounds.row(-1, named=True)
    assert record["solution"]["last_round"]["round"] == rounds.height
    assert "warning: pedigree: " in result.stderr
    assert " note: base: mean of animals born 2014 to 2014 is 0" in result.stderr
    assert " round 2, error about " in result.stderr


def test_base_by_a_file_of_ids(folder):
    (folder / "base.csv").write_text("id,why\n5,young\n", encoding="utf-8")
    configure(folder, "[results]", '[base]\nkind = "ids"\nfile = "base.csv"\n[results]')
    assert breedblup("run", folder / "evaluation.toml").exit_code == 0
    ebv = pl.read_csv(folder / "results/2026/ebv.csv", infer_schema=False)
    assert ebv["ebv"].to_list()[-1] == "0.0"
    (folder / "base.csv").write_text("id\n", encoding="utf-8")
    result = breedblup("run", folder / "evaluation.toml", "--replace")
    assert result.exit_code == 20
    assert "error: base.csv: no ids below the header; the base needs at least one animal" in result.stderr


def test_a_matrix_of_the_users(folder):
    (folder / "k.csv").write_text("id1,id2,value\n003,003,2\n04,04,2\n5,5,2\n5,003,0.5\n", encoding="utf-8")
    text = CONFIGURATION.replace("[pedigree]", '[relationships]\nanimal = { file = "k.csv", kind = "relationship" }')
    text = text.replace('file = "pedigree.csv"\n', "").replace("[records]", "[records]")
    (folder / "evaluation.toml").write_text(text, encoding="utf-8")
    (folder / "records.csv").write_text(RECORDS.replace("牛2,h1,,1\n", ""), encoding="utf-8")
    result = breedblup("run", folder / "evaluation.toml")
    assert result.exit_code == 0, result.stderr
    assert pl.read_csv(folder / "results/2026/ebv.csv", infer_schema=False)["id"].to_list() == ["003", "04", "5"]
    record = json.loads((folder / "results/2026/run.json").read_text(encoding="utf-8"))
    assert record["pedigree"] is None
    assert record["inputs"]["relationship animal"]["path"] == str(folder / "k.csv")
    (folder / "k.csv").write_text("id1,id2,value\n003,003,2\n04,04,2\n5,5,2\n5,003,3\n", encoding="utf-8")
    result = breedblup("check", folder / "evaluation.toml")
    assert result.exit_code == 20
    assert "error: k.csv: the relationship matrix is not positive definite, noticed at '" in result.stderr


SEVERAL_PEDIGREE = (
    "animal,sire,dam,birth\ns1,,,2010\ns2,s1,,2011\nd1,,,2010\nd2,s1,,2011\nd3,s2,d1,2012\n"
    "c1,s2,d1,2014\nc2,s1,d2,2014\nc3,s2,d3,2014\nc4,s2,d1,2015\nold,,,2001\n"
)
SEVERAL_RECORDS = (
    "animal,sire,dam,herd,sex,t,wwt,ywt\nc1,s2,d1,h1,m,5,200,310.5\nc2,s1,d2,h1,f,60,190,\nc3,s2,d3,h2,m,120,,330\n"
    "c4,s2,d1,h2,f,300,205,300\nd3,s2,d1,h1,f,205,180,290\nc1,s2,d1,h2,m,150,210,320\n"
)
MATERNAL = """
[pedigree]
file = "pedigree.csv"
[records]
file = "records.csv"
[model]
formula = ["wwt ~ herd + sex + (1 | animal + dam) + (1 | ide(dam))", "ywt ~ herd + (1 | animal)"]
residual_classes = "sex"
[variances]
"animal + dam" = [[20, 15, -2], [15, 40, 0], [-2, 0, 8]]
"ide(dam)" = 5
[variances.residual]
m = [[40, 11], [11, 60]]
f = [[30, 8], [8, 50]]
[solve]
reduce = true
[results]
folder = "results/2026"
[base]
kind = "birth_years"
first = 2010
last = 2011
[[combinations]]
name = "total"
weights = { direct = 1, maternal = 1 }
[[combinations]]
name = "index"
weights = { direct = { wwt = 0.3, ywt = 0.7 } }
"""


@pytest.fixture
def several(tmp_path):
    (tmp_path / "pedigree.csv").write_text(SEVERAL_PEDIGREE, encoding="utf-8")
    (tmp_path / "records.csv").write_text(SEVERAL_RECORDS, encoding="utf-8")
    return tmp_path


def write(folder, text):
    path = folder / "evaluation.toml"
    path.write_text(text, encoding="utf-8")
    return path


def python_twin(folder, relationships, *specs, base=None):
    """The evaluation of a configuration as an analyst makes it."""
    config = read_config(folder / "evaluation.toml")
    records = read_records(folder / "records.csv")
    evaluation = evaluate(config.model, records, config.variances, relationships, options=config.options)
    evaluation = combine(evaluation, *specs)
    return evaluation if base is None else rebase(evaluation, base)


def published_ebv(folder, schema):
    result = breedblup("run", folder / "evaluation.toml", "--replace")
    assert result.exit_code == 0, result.stderr
    return pl.read_csv(folder / "results/2026/ebv.csv", schema_overrides=schema)


def test_several_traits_maternal_effects_classes_and_combinations(several):
    path = write(several, MATERNAL)
    pedigree = read_pedigree(several / "pedigree.csv")
    specs = (
        Combination("total", {"direct": 1, "maternal": 1}), Combination("index", {"direct": {"wwt": 0.3, "ywt": 0.7}})
    )  # fmt: skip
    expected = python_twin(several, {"animal": pedigree}, *specs, base=BaseBirthYears(2010, 2011))
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    results = several / "results" / "2026"
    assert names(results) == ["ebv.csv", "fixed.csv", "random_ide_dam.csv", "run.json"]
    assert pl.read_csv(results / "fixed.csv")["trait"].unique().sort().to_list() == ["wwt", "ywt"]
    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["combinations"]["[[combinations]] 2"]["weights"] == [["direct", [["wwt", 0.3], ["ywt", 0.7]]]]
    assert record["options"]["reduce"] is True
    assert record["model"] == read_config(path).model.to_dict()
    assert any(
        note.startswith("combined effects of animal + dam: 'index' with direct wwt = 0.3") for note in record["notes"]
    )


def test_check_tells_values_patterns_and_effects_of_several_traits(several):
    result = breedblup("check", write(several, MATERNAL))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("model"))
    assert [" ".join(line.split()) for line in lines[start : start + 7]] == [
        "model wwt ~ herd + sex + (1 | animal + dam) + (1 | ide(dam))",
        "ywt ~ herd + (1 | animal)",
        "records 6 read, 6 used, 0 without any trait, 0 without an effect",
        "values wwt 5, ywt 5",
        "3 patterns of traits with a value",
        "effects animal + dam: direct wwt, direct ywt, maternal wwt",
        "equations 25 of 40, the others eliminated",
    ]


def blocks(stdout):
    """What `check` prints: terms, facts, variances, sums; blanks between columns made one."""
    return [[" ".join(line.split()) for line in block.splitlines()] for block in stdout.split("\n\n")]


def test_check_shows_the_variances(folder, several):
    path = write(several, MATERNAL)
    _, _, variances, sums = blocks(breedblup("check", path).stdout)
    assert variances == [
        "variances row",
        "animal + dam direct wwt 20 15 -2", "direct ywt 15 40 0", "maternal wwt -2 0 8",
        "ide(dam) direct wwt 5",
        "residual m wwt 40 11", "ywt 11 60",
        "residual f wwt 30 8", "ywt 8 50",
    ]  # fmt: skip
    found = pl.read_csv(several / "records.csv").select(pl.col("wwt", "ywt").var()).row(0)
    of_wwt, of_ywt = 20 + 8 + 5 + (2 * 40 + 3 * 30) / 5, 40 + (3 * 60 + 2 * 50) / 5
    assert sums == [
        "trait sum of variances variance of the records",
        f"wwt {of_wwt:g} {found[0]:.7g}",
        f"ywt {of_ywt:g} {found[1]:.7g}",
    ]


def test_the_sum_of_variances_of_a_regression_and_of_weighted_records(several):
    text = REGRESSION.replace("leg(t, 1, range=(5, 305))", "1 + t").partition("[[curves]]")[0]
    write(several, text.replace("[variances]", 'weights = "t"\n[variances]'))
    printed = breedblup("check", several / "evaluation.toml").stdout
    t = pl.read_csv(several / "records.csv").filter(pl.col("wwt").is_not_null())["t"].to_numpy()
    _, facts, variances, sums = blocks(printed)
    assert "weights t of wwt; residual variance divided by the weight" in facts
    assert variances[1:] == ["animal intercept wwt 20 2", "t wwt 2 5", "residual wwt 40"]
    assert float(sums[1].split()[1]) == pytest.approx((20 + 4 * t + 5 * t**2 + 40 / t).mean(), rel=1e-6)


def test_check_names_the_weights_of_each_trait(several):
    text = MATERNAL.replace("residual_classes", 'weights = { ywt = "t" }\nresidual_classes')
    assert (
        "weights t of ywt; residual variance divided by the weight"
        in blocks(breedblup("check", write(several, text)).stdout)[1]
    )
    assert not any(
        line.startswith("weights") for line in blocks(breedblup("check", write(several, MATERNAL)).stdout)[1]
    )


def test_a_single_record_has_no_variance_to_compare_with(folder):
    (folder / "records.csv").write_text(RECORDS.splitlines()[0] + "\n003,h1,20.5,1\n", encoding="utf-8")
    assert breedblup("check", folder / "evaluation.toml").stdout.splitlines()[-1].split() == ["milk", "60"]


REGRESSION = """
[pedigree]
file = "pedigree.csv"
[records]
file = "records.csv"
[relationships]
animal = { kind = "pedigree", prune = true }
[model]
formula = "wwt ~ herd + (leg(t, 1, range=(5, 305)) | animal)"
[variances]
animal = [[20, 2], [2, 5]]
residual = 40
[results]
folder = "results/2026"
[[curves]]
points = [60, 305]
[[curves]]
sum = { first = 5, last = 305 }
[[curves]]
difference = { later = 280, earlier = 60 }
"""


def test_curves_of_a_pruned_pedigree(several):
    write(several, REGRESSION)
    pedigree = read_pedigree(several / "pedigree.csv").ancestors_of(["c1", "c2", "c4", "d3", "c3"])
    assert "old" not in pedigree.ids
    specs = (AtPoints([60, 305]), SumOverRange(5, 305), Difference(280, 60))
    expected = python_twin(several, {"animal": pedigree}, *specs)
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    shown = expected.ebv["effect"].unique(maintain_order=True).to_list()
    assert shown == ["0", "1", "at 60", "at 305", "sum 5 to 305", "280 less 60"]


BUILT = """
[pedigree]
file = "pedigree.csv"
[records]
file = "records.csv"
[relationships]
animal = "pedigree"
D = { kind = "dominance", prune = true }
[model]
formula = "wwt ~ herd + (1 | animal) + (1 | vm(animal, D))"
[variances]
animal = 20
"vm(animal, D)" = 5
residual = 40
[results]
folder = "results/2026"
"""


def test_dominance_beside_additive_effects(several):
    path = write(several, BUILT)
    pedigree = read_pedigree(several / "pedigree.csv")
    recorded = dominance_inverse(pedigree, ["d3", "c1", "c2", "c3", "c4"])  # as the pedigree has them
    expected = python_twin(several, {"animal": pedigree, "D": recorded})
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    write(several, BUILT.replace('{ kind = "dominance", prune = true }', '"dominance"'))
    expected = python_twin(several, {"animal": pedigree, "D": dominance_inverse(pedigree)})
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    assert "building relationships of D: dominance" in breedblup("check", path).stderr


def test_unknown_animals_of_built_relationships(several):
    records = SEVERAL_RECORDS + "new,s2,d1,h1,f,9,201,300\n"
    (several / "records.csv").write_text(records, encoding="utf-8")
    path = write(several, BUILT.replace('D = { kind = "dominance", prune = true }', 'D = "dominance"'))
    result = breedblup("check", path)
    assert result.exit_code == 20
    assert "records.csv line 8: animal 'new' is not in the relationship given for 'animal' ->" in result.stderr
    write(several, BUILT.replace('"records.csv"', '"records.csv"\nunknown_animals = "founder"'))
    pedigree = read_pedigree(several / "pedigree.csv").with_founders(pl.Series("id", ["new"]))
    recorded = dominance_inverse(pedigree, ["d3", "c1", "c2", "c3", "c4", "new"])
    expected = python_twin(several, {"animal": pedigree, "D": recorded})
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    record = json.loads((several / "results/2026/run.json").read_text(encoding="utf-8"))
    assert record["notes"].count("1 animal of the records added to the pedigree as unrelated: 'new'") == 1
    (several / "records.csv").write_text(records.replace("new,", "0,"), encoding="utf-8")
    result = breedblup("check", path)
    assert (result.exit_code, result.stdout) == (20, "")
    assert "records.csv: animal '0' of the records bears the code of a missing parent ->" in result.stderr


SIRES = """
[pedigree]
file = "pedigree.csv"
[records]
file = "records.csv"
[relationships]
sire = "sire_mgs"
[model]
formula = "wwt ~ herd + (1 | sire)"
[variances]
sire = 5
residual = 40
[results]
folder = "results/2026"
"""


@pytest.mark.parametrize("inbreeding", [True, False])
def test_sires_and_maternal_grandsires_of_a_full_pedigree(several, inbreeding):
    write(several, SIRES + f"[solve]\ninbreeding = {str(inbreeding).lower()}\n")
    lines = read_pedigree(several / "pedigree.csv").male_ancestors_of(["s1", "s2"])
    expected = python_twin(several, {"sire": sire_mgs_inverse(lines, inbreeding=inbreeding)})
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    assert set(expected.ebv["id"]) == {"s1", "s2"}


SEXED = (
    "animal,sire,dam,sex\ns1,,,M\ns2,s1,,M\nd1,,,\nd2,s1,,\nc1,s2,d1,F\nc2,s1,d2,M\nc3,s2,d2,F\nc4,s2,d1,M\nd3,s2,d1,\n"
)


def test_females_among_sires_are_refused(several):
    (several / "pedigree.csv").write_text(SEXED, encoding="utf-8")
    path = write(several, SIRES.replace("sire =", "animal =").replace("| sire", "| animal"))
    result = breedblup("check", path)
    assert (result.exit_code, result.stdout) == (20, "")
    assert result.stderr.splitlines()[-1] == (
        "error: evaluation.toml: [relationships] animal = \"sire_mgs\" relates sires, but 'animal' of records.csv names 2 that "
        "pedigree.csv has as females or dams: 'c1', 'c3'; write animal = \"pedigree\""
    )
    write(
        several, SIRES.replace("(1 | sire)", "(1 | sire + dam)").replace("sire = 5", '"sire + dam" = [[5, 0], [0, 5]]')
    )
    assert (
        "names 2 that pedigree.csv has as females or dams: 'd1', 'd2'; write sire =" in breedblup("check", path).stderr
    )
    write(several, SIRES)
    assert breedblup("check", path).exit_code == 0


def test_females_in_a_pedigree_of_sires_are_refused(several):
    (several / "pedigree.csv").write_text("sire,of_sire,mgs,sex\ns0,,,M\ns1,s0,,M\ns2,s1,s0,F\n", encoding="utf-8")
    declared = '"pedigree.csv"\nid = "sire"\nsire = "of_sire"\nmaternal_grandsire = "mgs"'
    path = write(several, SIRES.replace('"pedigree.csv"', declared))
    assert (
        breedblup("check", path)
        .stderr.splitlines()[-1]
        .endswith(
            "names 1 that pedigree.csv has as females: 's2'; write sire = \"pedigree\", with the dam in [pedigree]"
        )
    )


def test_a_trait_without_records_and_animals_without_a_pedigree(several):
    records = SEVERAL_RECORDS.replace("310.5", "").replace("330", "").replace(",300\n", ",\n").replace("290", "")
    (several / "records.csv").write_text(records.replace("320", "NA"), encoding="utf-8")
    result = breedblup("check", write(several, MATERNAL))
    assert result.exit_code == 20
    assert result.stderr.splitlines()[-1] == "error: records.csv: none of the 6 records has a value of 'ywt'"
    (several / "records.csv").write_text(SEVERAL_RECORDS.replace("s1,", "x1,").replace("s2,", "x2,"), encoding="utf-8")
    result = breedblup("check", write(several, SIRES))
    assert result.exit_code == 20
    assert result.stderr.splitlines()[-1] == (
        "error: records.csv: none of the ids in 'sire' is in pedigree.csv "
        "-> correct the names of files or columns, or the ids"
    )
    (several / "records.csv").write_text(SEVERAL_RECORDS.replace("s1,", "x1,"), encoding="utf-8")
    result = breedblup("check", write(several, SIRES))
    assert result.exit_code == 20
    assert "error: records.csv line 3: sire 'x1' is not in the relationship given for 'sire' ->" in result.stderr


def test_unknown_sires_become_founders(several):
    (several / "records.csv").write_text(SEVERAL_RECORDS.replace(",s1,", ",x1,"), encoding="utf-8")
    write(several, SIRES.replace('"records.csv"', '"records.csv"\nunknown_animals = "founder"'))
    lines = (
        read_pedigree(several / "pedigree.csv").with_founders(pl.Series("id", ["x1"])).male_ancestors_of(["s2", "x1"])
    )
    expected = python_twin(several, {"sire": sire_mgs_inverse(lines)})
    assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)
    assert expected.ebv["id"].to_list() == ["s1", "s2", "x1"]


def test_sires_and_maternal_grandsires_by_name(several):
    (several / "pedigree.csv").write_text("sire,of_sire,mgs\ns0,,\ns1,s0,\ns2,s1,s0\nold,,\n", encoding="utf-8")
    declared = '"pedigree.csv"\nid = "sire"\nsire = "of_sire"\nmaternal_grandsire = "mgs"'
    columns = PedigreeColumns(id="sire", sire="of_sire", maternal_grandsire="mgs")
    pedigree = read_pedigree(several / "pedigree.csv", columns=columns)
    for source, used in (
        ('"sire_mgs"', pedigree),
        ("{ kind = 'sire_mgs', prune = true }", pedigree.ancestors_of(["s2"])),
    ):
        write(several, SIRES.replace('"pedigree.csv"', declared).replace('"sire_mgs"', source))
        expected = python_twin(several, {"sire": sire_mgs_inverse(used)})
        assert published_ebv(several, expected.ebv.schema).equals(expected.ebv)


FAULTS = [
    (SIRES, "(1 | sire)", "(1 | sire) + (1 | hred)", "evaluation.toml: [variances] no variance is given for the random term 'hred'"),
    (SIRES, "wwt ~ herd + (1 | sire)", "wwt ~ herd + (1 | sire + dma)", "[variances] the model has no random term 'sire'"),
    (BUILT, "herd + (1 | animal)", "herd + aniaml + (1 | animal)", "records.csv has no column 'aniaml'; did you mean 'animal'?"),
    (BUILT, "wwt ~", "sex ~", "records.csv lines 2, 3, 4, 5, 6, 7: column 'sex' holds 'm', 'f' where a number belongs"),
    (MATERNAL, "herd + sex", "hred + sex", "records.csv has no column 'hred'; did you mean 'herd'? (its columns: "),
    (MATERNAL, '"sex"\n[var', '"sxe"\n[var', "records.csv has no column 'sxe'; did you mean 'sex'? (its columns: "),
    (MATERNAL, "[[20, 15, -2], [15, 40, 0], [-2, 0, 8]]", "[[20, 15], [15, 40]]", "evaluation.toml: [variances] the matrix of "
     "'animal + dam' is 2 x 2; the model needs 3 x 3, in this order: direct wwt, direct ywt, maternal wwt"),
    (MATERNAL, "f = [[30, 8], [8, 50]]", "x = [[30, 8], [8, 50]]",
     "no residual variance is given for 'f', which the records have (given: 'm', 'x') ->"),
    (MATERNAL, "maternal = 1", "maternl = 1", "evaluation.toml: [[combinations]] 1: 'total': 'animal + dam' has no effect "
     "'maternl'; did you mean 'maternal'?"),
    (MATERNAL, 'name = "index"', 'name = "direct"\nterm = "animal"', "evaluation.toml: [[combinations]] 2: no random term 'animal'"),
    (REGRESSION, "range=(5, 305)", "range=(5, 250)", "t is 300, outside the range (5, 250) of leg(t, 1)"),
    (REGRESSION, "points = [60, 305]", "points = [60, 306]", "evaluation.toml: [[curves]] 1: 'at 306' of 'animal': "),
    (REGRESSION, "difference = { later = 280, earlier = 60 }", "points = [60]",
     "evaluation.toml: [[curves]] 3: 'animal' already has an effect 'at 60' of 'wwt'"),
    (REGRESSION, "difference = { later = 280, earlier = 60 }", "sum = { first = 5, last = 305 }", "leave one out"),
    (REGRESSION, "t, 1", "tt, 1", "records.csv has no column 'tt'"),
    (REGRESSION, "| animal)", "| dam)", "evaluation.toml: [relationships] a relationship is given for 'animal', but no "),
    (BUILT, "D =", "E =", "evaluation.toml: [relationships] vm(animal, D) needs the relationship 'D', and none of that name"),
    (SIRES, "wwt ~", "wwwt ~", "records.csv has no column 'wwwt'; did you mean 'wwt'?"),
    (SIRES, "(1 | sire)", "(1 | dam)", "evaluation.toml: [relationships] a relationship is given for 'sire', but no random "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "message"), FAULTS)
def test_faults_of_a_model_are_told_in_one_line(several, text, old, new, message):
    assert old in text
    result = breedblup("check", write(several, text.replace(old, new)))
    assert (result.exit_code, result.stdout) == (20, "")
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.stderr.splitlines()[-1:] == errors
    assert message in errors[0]


def test_replace(folder):
    assert breedblup("run", folder / "evaluation.toml").exit_code == 0
    first = (folder / "results/2026/run.json").read_bytes()
    refused = breedblup("run", folder / "evaluation.toml")
    assert refused.exit_code == 20
    assert "there are results already; name another folder, or ask to --replace them" in refused.stderr
    assert refused.stdout == ""
    assert (folder / "results/2026/run.json").read_bytes() == first
    assert breedblup("run", folder / "evaluation.toml", "--replace").exit_code == 0
    assert (folder / "results/2026/run.json").read_bytes() != first
    assert names(folder / "results") == ["2026"]


def test_an_iteration_that_does_not_converge_publishes_nothing(folder):
    configure(folder, "[results]", '[solve]\nmethod = "pcg"\npev = "none"\nmaximum_rounds = 1\n[results]')
    result = breedblup("run", folder / "evaluation.toml")
    assert (result.exit_code, result.stdout) == (30, "")
    assert result.stderr.splitlines()[-1].startswith("error: PCG stopped after 1 rounds")
    assert names(folder / "results") == []


def test_too_little_memory(folder):
    configure(folder, "[results]", "[solve]\nmemory_gib = 1e-9\n[results]")
    result = breedblup("run", folder / "evaluation.toml")
    assert (result.exit_code, result.stdout) == (40, "")


def test_inputs_that_change_during_the_run_are_refused(folder, monkeypatch):
    def meddling(*arguments, **options):
        (folder / "records.csv").write_text(RECORDS + "5,h1,30,1\n", encoding="utf-8")
        return evaluate_by_factor(*arguments, **options)

    monkeypatch.setattr(pipeline, "evaluate_by_factor", meddling)
    result = breedblup("run", folder / "evaluation.toml")
    assert result.exit_code == 20
    assert "error: 'records.csv': changed while the evaluation ran; nothing is published; run it again" in result.stderr
    assert names(folder / "results") == []


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (RecordError("records.csv:3: bad"), 20, "error: records.csv:3: bad"),
        (ModelError("no"), 20, "error: no"),
        (NotPositiveDefinite("no", 3), 20, "error: no"),
        (PublishError("in the way"), 20, "error: in the way"),
        (NotConverged("30 rounds", None), 30, "error: 30 rounds"),
        (ResourceError("too big"), 40, "error: too big"),
        (MemoryError(), 40, "error: the memory of the machine does not suffice; see what `breedblup check` plans"),
        (KeyboardInterrupt(), 60, "error: stopped on request; nothing is published"),
    ],
)
def test_exit_codes_without_traceback(folder, monkeypatch, raised, code, message):
    def fail(*arguments, **options):
        raise raised

    for name in ("check", "run"):
        monkeypatch.setattr(cli, f"{name}_evaluation", fail)
        result = breedblup(name, folder / "evaluation.toml")
        assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"{message}\n")


@pytest.mark.parametrize("fault", [IndexError, PanicException])
def test_a_fault_of_ours_is_logged_with_its_traceback(folder, monkeypatch, fault):
    def fail(*arguments, **options):
        raise fault("[0, 1] out of [bold]bounds[/bold]")

    monkeypatch.setattr(cli, "check_evaluation", fail)
    result = breedblup("check", folder / "evaluation.toml")
    assert (result.exit_code, result.stdout) == (50, "")
    assert "Traceback" in result.stderr
    assert f"{fault.__name__}: [0, 1] out of [bold]bounds[/bold]" in result.stderr
    assert result.stderr.splitlines()[-1] == (
        f"error: a fault of breedblup itself ({fault.__name__}); please report it with the log above"
    )


def test_usage(folder):
    for arguments in (["run"], ["run", "--rplace", "x.toml"], ["chek", "x.toml"]):
        result = breedblup(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "Usage: " in result.stderr


def test_help_gives_an_example_of_each_command():
    for command in ("check", "run"):
        text = breedblup(command, "--help").stdout
        assert f"Example: breedblup {command} evaluation.toml" in text
        assert command in breedblup("--help").stdout
    assert breedblup("--version").stdout.startswith("breedblup 0.")


def test_rounds_on_a_terminal():
    written = io.StringIO()
    with cli.rounds_shown(Console(file=written, force_terminal=True, no_color=True)) as show:
        show("solve", {"method": "pcg"})
        for number in (1, 2, 3):
            show("round", {"round": number, "error": None if number == 1 else 0.5})
        show("tables", {})
    assert "round 3, error about 5.0e-01 genetic SD" in written.getvalue()


def test_errors_of_the_configuration(folder):
    configure(folder, "[records]", "[recrods]")
    result = process("check", folder / "evaluation.toml", text=True)
    assert (result.returncode, result.stdout) == (20, "")
    assert result.stderr.splitlines() == [
        "error: evaluation.toml: [records] is missing; it has to be given",
        "evaluation.toml: unknown section 'recrods'; did you mean 'records'? "
        "(known: pedigree, genotypes, records, model, variances, relationships, solve, reml, results, base, "
        "combinations, curves)",
    ]


def test_any_script_on_any_terminal(folder):
    configure(folder, "milk ~ herd", "milk ~ 牛舎")
    (folder / "records.csv").write_text(RECORDS.replace("herd", "牛舎"), encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert b"\n\\u725b\\u820e " in process("check", folder / "evaluation.toml", env=environment).stdout
    lines = process("check", folder / "evaluation.toml").stdout.decode().splitlines()
    assert lines[2].startswith("牛舎  ")
    assert lines[0].index("kind") == lines[2].index("fixed") + 2  # two letters that are two cells wide


SLEEPING = """
import sys, time
from breedblup import cli
def sleep(*arguments, **options):
    print("asleep", file=sys.stderr, flush=True)
    time.sleep(60)
cli.run_evaluation = sleep
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_on_request(folder, number):
    command = [sys.executable, "-c", SLEEPING, "run", str(folder / "evaluation.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr.readline() == "asleep\n"
        running.send_signal(number)
        stdout, stderr = running.communicate(timeout=30)
    assert (running.returncode, stdout) == (60, "")
    assert stderr == "error: stopped on request; nothing is published\n"


def test_a_reader_that_goes_away_is_no_fault(folder):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from breedblup.cli import main; main()", "check", str(folder / "evaluation.toml")]
    with os.fdopen(write, "w") as closed:
        result = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    "arguments", [("run", "evaluation.toml"), ("reml", "evaluation.toml"), ("run", "nowhere.toml")]
)
def test_a_log_without_a_reader_stops_nothing(folder, arguments):
    """`breedblup … 2>&1 | head -1`: the run goes on without its log, and keeps its exit code."""
    animals = range(30)
    (folder / "pedigree.csv").write_text("animal,sire,dam\n" + "".join(f"a{a},,\n" for a in animals), encoding="utf-8")
    rows = [f"a{a},h{r % 2},{20 + 3 * ((a * a) % 5) + (a * 7 + r * 3) % 4},1\n" for a in animals for r in range(3)]
    (folder / "records.csv").write_text("animal,herd,milk,w\n" + "".join(rows), encoding="utf-8")
    text = (folder / "evaluation.toml").read_text(encoding="utf-8")
    text = text.replace(" + (1 | ide(animal))", "").replace('"ide(animal)" = 12.0\n', "")
    (folder / "evaluation.toml").write_text(text, encoding="utf-8")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "breedblup", *arguments]
    with os.fdopen(write, "w") as closed:
        result = subprocess.run(command, cwd=folder, stdout=closed, stderr=closed, check=False)
    name = {"run": "2026", "reml": "2026-variances"}[arguments[0]]
    refused = arguments[1] == "nowhere.toml"
    assert result.returncode == (cli.REFUSED if refused else 0)
    assert (folder / "results" / name / "run.json").is_file() == (not refused)


def test_the_command_is_a_module_too():
    command = [sys.executable, "-m", "breedblup", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, breedblup("--version").stdout)


def test_the_command_is_installed():
    command = Path(sys.executable).parent / "breedblup"
    result = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("breedblup 0.")


def test_another_folder_for_the_results(folder):
    result = breedblup("run", folder / "evaluation.toml", "--folder", str(folder / "elsewhere"))
    assert (result.exit_code, result.stdout.strip()) == (0, str(folder / "elsewhere"))
    assert (folder / "elsewhere" / "run.json").is_file()
    assert not (folder / "results").exists()


def test_compiling_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A first run takes a minute longer: the log says why."""
    listener = cli._Compiling()
    with caplog.at_level(logging.INFO, logger="breedblup"):
        for _ in range(2):
            listener.on_start(event.Event("numba:compile", event.EventStatus.START))
            listener.on_end(event.Event("numba:compile", event.EventStatus.END))
    assert [record.getMessage() for record in caplog.records] == [
        "compiling, once after installing: each part when it is first used, about a minute in all"
    ]
