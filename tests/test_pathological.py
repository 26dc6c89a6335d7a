"""Bad input: each file of `refs/pathological` gets the verdict that its README asks for, in Python and by command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT, REFS
from reference import indicator, tabular_a
from typer.testing import CliRunner, Result

import breedblup as bb
from breedblup.cli import app
from breedblup.run.config import read_config
from breedblup.run.pipeline import read_inputs

FOLDER = REFS / "pathological"
CALVES = REFS / "mrode_animal" / "pedigree.csv"
FORMULA = "y ~ sex + (1 | animal)"
VARIANCES = {"animal": 20.0, "residual": 40.0}

PARENTS_OF_3 = {"1": (None, None), "2": (None, None), "3": ("1", "2")}


@dataclass(frozen=True)
class Sound:
    """A pedigree that is accepted: the parents and F of its animals in the order of the file, and its only warning."""

    parents: dict[str, tuple[str | None, str | None]]
    inbreeding: tuple[float, ...] = (0.0, 0.0, 0.0)
    warning: str | None = None
    strict: str | None = None


ACCEPTED_PEDIGREES = {
    "ped_sire_also_dam.csv": Sound(
        PARENTS_OF_3 | {"4": ("2", "3"), "5": ("3", "4")},
        (0.0, 0.0, 0.0, 0.25, 0.375),
        r"both sire and dam: animal '2' is sire of '4' \(ped_sire_also_dam\.csv:5\) and dam of '3' "
        r"\(ped_sire_also_dam\.csv:4\); animal '3' is sire of '5' .*:6\) and dam of '4' .*:5\)",
        strict="sire_and_dam",
    ),
    "ped_duplicate_same.csv": Sound(
        PARENTS_OF_3 | {"4": ("3", "2")},
        (0.0, 0.0, 0.0, 0.25),
        r"identical duplicates: 1 row beyond the first of 1 animal left out \('3'\)",
        strict="identical_duplicate",
    ),
    "ped_born_after.csv": Sound(
        PARENTS_OF_3 | {"4": ("3", "2")},
        (0.0, 0.0, 0.0, 0.25),
        r"parent not born before offspring: ped_born_after\.csv:4 sire '1' \(born 2001-01-01\) of '3' "
        r"\(born 1999-03-01\); ped_born_after\.csv:4 dam '2' \(born 2000-06-01\) of '3' \(born 1999-03-01\)",
        strict="born_after",
    ),
    "ped_unsorted.csv": Sound(
        {"5": ("3", "4"), "4": ("1", "2"), "3": ("1", "2"), "2": (None, None), "1": (None, None)},
        (0.25, 0.0, 0.0, 0.0, 0.0),
    ),
    "ids_spaces_utf8.csv": Sound(
        {
            "Stier Älpler": (None, None),
            "Kuh Zoë": (None, None),
            "Kalb, Jr.": ("Stier Älpler", "Kuh Zoë"),
            "牛3": ("Stier Älpler", "Kalb, Jr."),
        },
        (0.0, 0.0, 0.0, 0.25),
    ),
    "ids_leading_zeros.csv": Sound({"001": (None, None), "1": (None, None), "01": ("001", "1")}),
    "missing_zero.csv": Sound(PARENTS_OF_3),
    "missing_NA.csv": Sound(PARENTS_OF_3),
    "trailing_delimiter.csv": Sound(PARENTS_OF_3),
    "crlf.csv": Sound(PARENTS_OF_3),
    "bom.csv": Sound(PARENTS_OF_3),
    "tab.txt": Sound(PARENTS_OF_3),
    "no_final_newline.csv": Sound(PARENTS_OF_3),
}

REFUSED_PEDIGREES = {
    "ped_loop3.csv": r"ped_loop3\.csv: loop, animal -> parent: '2' -> '4' -> '3' -> '2' "
    r"\(ped_loop3\.csv:3, ped_loop3\.csv:5, ped_loop3\.csv:4\) -> correct one parent of each loop",
    "ped_own_parent.csv": r"own parent: ped_own_parent\.csv:4 animal '3' is its own sire -> correct the parent",
    "ped_duplicate_conflict.csv": r"conflicting duplicates: animal '3': ped_duplicate_conflict\.csv:5 says sire '1' "
    r"but ped_duplicate_conflict\.csv:6 says sire '5' -> keep one row",
    "empty.csv": r"empty\.csv: the file is empty",
    "no_header.csv": r"no_header\.csv:1: no name for column 2 of 3; .* The first line reads '1', '', '': if this is "
    r"data, the header line with the names of the columns, such as animal, sire, dam, is not found; add it",
    "duplicate_columns.csv": r"duplicate_columns\.csv:1: more than one column is called 'sire'; rename or remove one",
}

REFUSED_RECORDS = {
    "data_nan_inf.csv": r"data_nan_inf\.csv lines 4, 5: column 'y' is infinite; correct the values or make them "
    r"missing",
    "data_animal_not_in_pedigree.csv": r"data_animal_not_in_pedigree\.csv line 4: animal '99' is not in the "
    r"relationship given for 'animal' -> add to the pedigree, or set unknown_animals to 'founder'",
    "data_no_records.csv": r"data_no_records\.csv: no records below the header",
}

REFUSED_VARIANCES = {
    "variance_negative.json": r"variance of 'animal' is -20; a variance cannot be negative",
    "g0_not_positive_definite.json": r"the matrix of 'animal' is not positive semi-definite: its smallest eigenvalue "
    r"is -11\.2311 \(-0\.4142 on the scale of correlations\)",
}


@dataclass(frozen=True)
class Usable:
    """Records that are accepted: the animals whose records are used, and the decisions that the result names."""

    formula: str
    recorded: tuple[str, ...]
    notes: tuple[str, ...]


ACCEPTED_RECORDS = {
    "data_missing_response_codes.csv": Usable(FORMULA, ("4", "7"), (r"3 records without a value of 'y' left out",)),
    "data_disconnected_cg.csv": Usable(
        "y ~ 0 + cg + sex + (1 | animal)",
        ("4", "5", "6", "7", "8"),
        (r"rank of the fixed part 3 of 5", r"fixed effects set to zero, dependent on others: .*sex 'F'.*"),
    ),
}

ELSEWHERE = ("reml_zero_variance.csv", "ped_boundary.csv", "mt_correlation_plus1.csv")
"""Files of the group "variance boundary" that `test_reml_checks` has."""

GENOTYPES = (
    "geno_monomorphic.csv", "geno_duplicate_genotypes.csv", "geno_absent_from_pedigree.csv", "geno_missing.csv", "geno_ragged.csv",
)  # fmt: skip

TESTED_GROUPS = {"pedigree", "ids", "missing codes", "records", "design", "file", "genotypes"}


# --- the two ways in --------------------------------------------------------------------------------------------------


def from_python(pedigree: Path | pl.DataFrame, records: Any, formula: str = FORMULA, **options: Any) -> bb.Evaluation:
    return bb.evaluate(
        bb.Model.from_formula(formula),
        bb.read_records(records),
        bb.VarianceComponents({"animal": VARIANCES["animal"]}, residual=VARIANCES["residual"]),
        relationships={"animal": bb.read_pedigree(pedigree)},
        options=bb.EvaluateOptions(**options),
    )


def configuration(
    folder: Path,
    pedigree: Path = CALVES,
    records: Path | None = None,
    *,
    formula: str = FORMULA,
    variances: dict[str, Any] = VARIANCES,
    more: str = "",
) -> Path:
    """Write an `evaluation.toml` whose results go to ``folder / "results"``."""
    lines = [
        f'[pedigree]\nfile = "{pedigree}"',
        f'[records]\nfile = "{records or sound_records(folder)}"\n{more}',
        f'[model]\nformula = "{formula}"',
        "[variances]",
        *(f"{key} = {value}" for key, value in variances.items()),
        '[results]\nfolder = "results"',
    ]
    path = folder / "evaluation.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sound_records(folder: Path, animals: tuple[str, ...] = ("2", "3")) -> Path:
    """Records without a fault of the animals named."""
    path = folder / "sound.csv"
    rows = pl.DataFrame({"animal": animals, "sex": ["M", "F"], "y": ["4.5", "2.9"]})
    rows.write_csv(path)
    return path


def only_rule(rule: str, severity: Any) -> bb.PedigreeRules:
    """The rules with the severity of one changed."""
    return bb.PedigreeRules(**{rule: severity})


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_published_as_python_has_it(folder: Path, toml: Path, evaluation: bb.Evaluation) -> dict[str, Any]:
    """Run the command; its EBVs have the bits that Python gives; returns the run record and the log."""
    result = command("run", toml)
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    published = pl.read_csv(folder / "results" / "ebv.csv", schema_overrides=evaluation.ebv.schema)
    assert published.equals(evaluation.ebv)
    record: dict[str, Any] = json.loads((folder / "results" / "run.json").read_text(encoding="utf-8"))
    return record | {"log": result.stderr}


def assert_refused_by_the_command(folder: Path, toml: Path, message: str) -> None:
    """`check` and `run` end with 20, one message and no traceback, and leave nothing behind."""
    before = sorted(folder.rglob("*"))
    for name in ("check", "run"):
        result = command(name, toml)
        assert (result.exit_code, result.stdout) == (20, "")
        errors = result.stderr[result.stderr.index("error: ") :]
        assert re.search(message, errors), errors
        assert "Traceback" not in result.output
        assert sorted(folder.rglob("*")) == before


# --- pedigree, ids, missing codes, file -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCEPTED_PEDIGREES)
def test_accepted_pedigree(tmp_path: Path, name: str) -> None:
    sound = ACCEPTED_PEDIGREES[name]
    pedigree = bb.read_pedigree(FOLDER / name)
    frame = pedigree.to_frame()
    assert dict(zip(frame["animal"], zip(frame["sire"], frame["dam"], strict=True), strict=True)) == sound.parents
    assert frame["animal"].to_list() == list(sound.parents)
    np.testing.assert_allclose(frame["inbreeding"], sound.inbreeding, rtol=EXACT, atol=0)
    assert pedigree.report.repairs.is_empty()
    warnings = pedigree.report.warnings
    assert len(warnings) == (sound.warning is not None)

    records = sound_records(tmp_path, tuple(sound.parents)[1:3])
    evaluation = from_python(FOLDER / name, records)
    record = assert_published_as_python_has_it(tmp_path, configuration(tmp_path, FOLDER / name, records), evaluation)
    published = pl.read_csv(tmp_path / "results" / "ebv.csv", infer_schema=False)
    assert published["id"].to_list() == list(sound.parents)
    assert record["pedigree"]["warnings"] == list(warnings)
    assert ("warning: " in record["log"]) == bool(warnings)
    if sound.warning is not None:
        assert re.fullmatch(sound.warning, warnings[0])
        assert warnings[0] in evaluation.notes
        assert warnings[0] in record["notes"]
        assert f"warning: pedigree: {warnings[0]}\n" in record["log"]


@pytest.mark.parametrize("name", [name for name, sound in ACCEPTED_PEDIGREES.items() if sound.strict])
def test_strict_rules_refuse_what_is_warned_of(tmp_path: Path, name: str) -> None:
    sound = ACCEPTED_PEDIGREES[name]
    assert sound.strict is not None
    with pytest.raises(bb.PedigreeError, match=str(sound.warning)):
        bb.read_pedigree(FOLDER / name, rules=only_rule(sound.strict, "error"))
    toml = configuration(tmp_path, FOLDER / name, more=f'[pedigree.rules]\n{sound.strict} = "error"')
    assert_refused_by_the_command(tmp_path, toml, str(sound.warning))


@pytest.mark.parametrize("name", REFUSED_PEDIGREES)
def test_refused_pedigree(tmp_path: Path, name: str) -> None:
    with pytest.raises(bb.InputError, match=REFUSED_PEDIGREES[name]) as caught:
        bb.read_pedigree(FOLDER / name)
    toml = configuration(tmp_path, FOLDER / name)
    assert_refused_by_the_command(tmp_path, toml, re.escape(str(caught.value)))


def test_a_loop_is_told_without_the_innocent() -> None:
    with pytest.raises(bb.PedigreeError, match="loop") as caught:
        bb.read_pedigree(FOLDER / "ped_loop3.csv")
    assert "'5'" not in str(caught.value)
    assert "'1'" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in REFUSED_PEDIGREES if name.startswith("ped_")])
def test_refused_pedigree_in_a_frame(name: str) -> None:
    frame = pl.read_csv(FOLDER / name, infer_schema=False)
    line = re.compile(rf"{re.escape(re.escape(name))}:(\d+)")
    message = line.sub(lambda found: f"pedigree row {int(found[1]) - 2}", REFUSED_PEDIGREES[name])
    with pytest.raises(bb.PedigreeError, match=message.replace(re.escape(name), "pedigree")):
        bb.read_pedigree(frame)


REPAIRS = {
    "ped_own_parent.csv": ("own_parent", [("3", "sire", "3")]),
    "ped_loop3.csv": ("loop", [("3", "sire", "2")]),
    "ped_duplicate_conflict.csv": ("conflicting_duplicate", [("3", "sire", "1"), ("3", "sire", "5")]),
}


@pytest.mark.parametrize("name", REPAIRS)
def test_a_repair_is_listed(tmp_path: Path, name: str) -> None:
    rule, wanted = REPAIRS[name]
    pedigree = bb.read_pedigree(FOLDER / name, rules=only_rule(rule, "repair"))
    repairs = pedigree.report.repairs
    assert repairs["rule"].unique().to_list() == [rule]
    assert repairs.select("animal", "role", "parent").rows() == wanted
    toml = configuration(tmp_path, FOLDER / name, more=f'[pedigree.rules]\n{rule} = "repair"')
    result = command("run", toml)
    assert result.exit_code == 0, result.output
    published = pl.read_csv(tmp_path / "results" / "pedigree_repairs.csv", infer_schema=False)
    assert published.equals(repairs)
    assert "missing]" in result.stderr
    assert "warning: pedigree: " in result.stderr


# --- records, design --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED_RECORDS)
def test_refused_records(tmp_path: Path, name: str) -> None:
    with pytest.raises(bb.RecordError, match=REFUSED_RECORDS[name]) as caught:
        from_python(CALVES, FOLDER / name)
    toml = configuration(tmp_path, records=FOLDER / name)
    assert_refused_by_the_command(tmp_path, toml, re.escape(str(caught.value)))


@pytest.mark.parametrize("name", ACCEPTED_RECORDS)
def test_accepted_records(tmp_path: Path, name: str) -> None:
    usable = ACCEPTED_RECORDS[name]
    evaluation = from_python(CALVES, FOLDER / name, usable.formula)
    recorded = evaluation.ebv.filter(pl.col("records") > 0)
    assert recorded["id"].to_list() == list(usable.recorded)
    for pattern in usable.notes:
        assert any(re.fullmatch(pattern, note) for note in evaluation.notes), evaluation.notes
    toml = configuration(tmp_path, records=FOLDER / name, formula=usable.formula)
    record = assert_published_as_python_has_it(tmp_path, toml, evaluation)
    for pattern in usable.notes:
        assert re.search(rf"note: {pattern}\n", record["log"])
        assert any(re.fullmatch(pattern, note) for note in record["notes"])
    read, used = record["counts"]["records_read"], record["counts"]["records_used"]
    assert (read, used) == (5, len(usable.recorded))


def test_missing_responses_are_dropped_and_zero_is_a_value() -> None:
    design = bb.prepare(
        bb.Model.from_formula(FORMULA),
        bb.read_records(FOLDER / "data_missing_response_codes.csv"),
        bb.VarianceComponents({"animal": 20.0}, residual=40.0),
        relationships={"animal": bb.read_pedigree(CALVES)},
    ).design
    assert design.y.tolist() == [[4.5], [0.0]]
    assert design.rows.tolist() == [0, 3]
    assert (design.counts.used, design.counts.without_trait) == (2, 3)


def test_nan_is_missing_once_infinities_are_mended(tmp_path: Path) -> None:
    text = (FOLDER / "data_nan_inf.csv").read_text(encoding="utf-8")
    records = tmp_path / "mended.csv"
    records.write_text(text.replace("-inf", "2.9").replace("inf", "3.1"), encoding="utf-8")
    evaluation = from_python(CALVES, records)
    assert evaluation.ebv.filter(pl.col("records") > 0)["id"].to_list() == ["4", "6", "7", "8"]
    assert "1 record without a value of 'y' left out" in evaluation.notes
    assert_published_as_python_has_it(tmp_path, configuration(tmp_path, records=records), evaluation)


def test_an_unknown_animal_is_a_founder_where_asked_for(tmp_path: Path) -> None:
    records = FOLDER / "data_animal_not_in_pedigree.csv"
    evaluation = from_python(CALVES, records, unknown_animals="founder")
    note = "1 animal of the records added to the pedigree as unrelated: '99'"
    assert note in evaluation.notes
    assert evaluation.ebv["id"].to_list()[-1] == "99"
    toml = configuration(tmp_path, records=records, more='unknown_animals = "founder"')
    record = assert_published_as_python_has_it(tmp_path, toml, evaluation)
    assert f"note: {note}\n" in record["log"]
    assert note in record["notes"]


def disconnected_by_hand() -> dict[str, float]:
    """EBVs of the disconnected groups: û = G Z'P y with P from a dense generalised inverse of X'V⁻¹X."""
    pedigree, data = (pl.read_csv(path, infer_schema=False) for path in (CALVES, FOLDER / "data_disconnected_cg.csv"))
    ids = pedigree["animal"].to_list()
    row = {name: k for k, name in enumerate(ids)} | {None: -1}
    g = VARIANCES["animal"] * tabular_a([row[s] for s in pedigree["sire"]], [row[d] for d in pedigree["dam"]])
    z = np.array([[float(name == animal) for name in ids] for animal in data["animal"]])
    y = data["y"].cast(pl.Float64).to_numpy()
    x = np.hstack([indicator(data[column].to_list())[0] for column in ("cg", "sex")])
    assert x.shape[1] == 5
    assert np.linalg.matrix_rank(x) == 3
    v_inverse = np.linalg.inv(z @ g @ z.T + VARIANCES["residual"] * np.eye(y.size))
    b = np.linalg.pinv(x.T @ v_inverse @ x) @ x.T @ v_inverse @ y
    return dict(zip(ids, g @ z.T @ v_inverse @ (y - x @ b), strict=True))


@pytest.mark.parametrize("method", ["cholesky", "pcg"])
@pytest.mark.parametrize(
    ("formula", "rank", "zero"),
    [
        ("y ~ 0 + cg + sex + (1 | animal)", "3 of 5", {("sex", "F"), ("sex", "M")}),
        ("y ~ 0 + sex + cg + (1 | animal)", "3 of 5", {("sex", "F"), ("sex", "M")}),
        ("y ~ cg + sex + (1 | animal)", "3 of 6", {("(Intercept)", ""), ("cg", "a"), ("sex", "F")}),
        ("y ~ 0 + cg:sex + (1 | animal)", "3 of 3", set()),
    ],
)
def test_ebvs_of_disconnected_groups_are_unique(
    method: str, formula: str, rank: str, zero: set[tuple[str, str]]
) -> None:
    pcg = bb.PcgOptions(tolerance=1e-12)
    evaluation = from_python(CALVES, FOLDER / "data_disconnected_cg.csv", formula, method=method, pcg=pcg)
    assert f"rank of the fixed part {rank}" in evaluation.notes
    constrained = evaluation.fixed.filter("constrained")
    assert set(constrained.select("term", "level").rows()) == zero
    assert (constrained["estimate"] == 0).all()
    assert constrained["se"].is_null().all()
    said = " ".join(note for note in evaluation.notes if note.startswith("fixed effects set to zero"))
    for term, level in zero:
        assert (f"{term} {level!r}" if level else term) in said
    by_hand = disconnected_by_hand()
    found = dict(evaluation.ebv.select("id", "ebv").iter_rows())
    assert found.keys() == by_hand.keys()
    np.testing.assert_allclose([found[name] for name in by_hand], list(by_hand.values()), atol=1e-10, rtol=0)


# --- variances --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED_VARIANCES)
def test_refused_variances(tmp_path: Path, name: str) -> None:
    given = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    with pytest.raises(bb.ModelError, match=REFUSED_VARIANCES[name]) as caught:
        bb.VarianceComponents({"animal": given["animal"]}, residual=given["residual"])
    toml = configuration(tmp_path, variances=given)
    message = rf"^error: evaluation\.toml: \[variances\] {re.escape(str(caught.value))}\n$"
    assert_refused_by_the_command(tmp_path, toml, message)


# --- genotypes --------------------------------------------------------------------------------------------------------


def genomic_configuration(
    folder: Path,
    name: str,
    relationship: str,
    genotypes: str = "",
    animals: tuple[str, ...] = ("4", "5"),
    pedigree: str = "",
) -> Path:
    """Genotypes of a file, alone unless a pedigree is given, and records that do not differ."""
    records = folder / "equal.csv"
    pl.DataFrame({"animal": ["4", *animals], "y": [1.0, *[2.0] * len(animals)]}).write_csv(records)
    lines = [
        f'[genotypes]\nfile = "{FOLDER / name}"\nstop_below = -1.0\nwarn_below = -1.0\n{genotypes}',
        f'[records]\nfile = "{records}"\n[model]\nformula = "y ~ 1 + (1 | animal)"',
        f"[variances]\nanimal = 20.0\nresidual = 40.0\n[relationships]\nanimal = {relationship}",
        f'[results]\nfolder = "results"\n{pedigree}',
    ]
    path = folder / "evaluation.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def genomic_results(folder: Path, *how: Any, **more: Any) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Breeding values and the run record of the command."""
    result = command("run", genomic_configuration(folder, *how, **more))
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    ebv = pl.read_csv(folder / "results" / "ebv.csv", schema_overrides={"id": pl.String})
    return ebv, json.loads((folder / "results" / "run.json").read_text(encoding="utf-8"))


def ebv_of_genotyped(genotypes: bb.Genotypes, options: bb.GenomicOptions, animals: tuple[str, ...]) -> bb.Evaluation:
    """The same from Python."""
    return bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        pl.DataFrame({"animal": ["4", *animals], "y": [1.0, *[2.0] * len(animals)]}),
        bb.VarianceComponents({"animal": 20.0}, residual=40.0),
        {"animal": bb.g_inverse(genotypes, options)},
    )


@pytest.mark.parametrize("method", ["vanraden1", "vanraden2", "yang"])
def test_monomorphic_markers_are_left_out(tmp_path: Path, method: Any) -> None:
    options = bb.GenomicOptions(method=method, ridge=0.1)
    genotypes = bb.read_genotypes(FOLDER / "geno_monomorphic.csv")
    evaluation = ebv_of_genotyped(genotypes, options, ("5", "6"))
    assert any("2 markers left out: 2 without variation" in note for note in evaluation.notes)
    relationship = f'{{ kind = "genomic", method = "{method}", ridge = 0.1 }}'
    found, record = genomic_results(tmp_path, "geno_monomorphic.csv", relationship, animals=("5", "6"))
    np.testing.assert_allclose(found["ebv"], evaluation.ebv["ebv"], rtol=EXACT)
    assert "geno_monomorphic.csv: 2 markers left out: monomorphic" in record["notes"]
    left_out = pl.read_csv(tmp_path / "results" / "genotype_markers.csv").filter(why="monomorphic")
    assert left_out["marker"].to_list() == ["s3", "s4"]


def test_duplicated_genotypes_are_named(tmp_path: Path) -> None:
    name = "geno_duplicate_genotypes.csv"
    genotypes = bb.read_genotypes(FOLDER / name)
    message = r"G of 4 animals is not positive definite, '5' and '6' have the same genotypes -> add to its diagonal"
    with pytest.raises(bb.NotPositiveDefinite, match=message):
        bb.g_inverse(genotypes)
    without = '{ kind = "genomic", ridge = 0.0 }'
    assert_refused_by_the_command(tmp_path, genomic_configuration(tmp_path, name, without), message)
    blended = '{ kind = "genomic", blend = 0.05, blend_with = "identity" }'
    found, _ = genomic_results(tmp_path, name, blended, animals=("5", "6"))
    evaluation = ebv_of_genotyped(genotypes, bb.GenomicOptions(blend=0.05, blend_with="identity"), ("5", "6"))
    np.testing.assert_allclose(found["ebv"], evaluation.ebv["ebv"], rtol=EXACT)
    ebv = dict(found.select("id", "ebv").iter_rows())
    assert ebv["5"] == pytest.approx(ebv["6"], rel=EXACT)
    pairs = pl.read_csv(tmp_path / "results" / "duplicates.csv").select("animal", "other", "identical")
    assert pairs.rows() == [(5, 6, 1.0)]


def test_a_genotyped_animal_outside_the_pedigree(tmp_path: Path) -> None:
    name = "geno_absent_from_pedigree.csv"
    genotypes, pedigree = bb.read_genotypes(FOLDER / name), bb.read_pedigree(CALVES)
    with pytest.raises(bb.PedigreeError, match="'77'"):
        bb.h_inverse(pedigree, genotypes)
    section = f'[pedigree]\nfile = "{CALVES}"'
    toml = genomic_configuration(tmp_path, name, '"single_step"', pedigree=section)
    assert_refused_by_the_command(
        tmp_path, toml, r"1 genotyped animal not in pedigree\.csv: '77' -> add them to the pedigree"
    )
    how = 'unknown_animals = "founder"'
    found, record = genomic_results(tmp_path, name, '"single_step"', how, pedigree=section)
    assert found["id"].to_list() == ["1", "2", "3", "4", "5", "6", "7", "8", "77"]
    assert "1 genotyped animal not in pedigree.csv, added to it as unrelated: '77'" in record["notes"]
    alone = tmp_path / "alone"
    alone.mkdir()
    found, _ = genomic_results(alone, name, '{ kind = "genomic", ridge = 0.1 }')
    assert found["id"].to_list() == ["4", "77", "5"]


def test_missing_calls(tmp_path: Path) -> None:
    name = "geno_missing.csv"
    message = r"geno_missing\.csv:4: .*'9'"
    with pytest.raises(bb.GenotypeError, match=message):
        bb.read_genotypes(FOLDER / name)
    relationship = '{ kind = "genomic", ridge = 0.1 }'
    assert_refused_by_the_command(tmp_path, genomic_configuration(tmp_path, name, relationship), message)
    genotypes = bb.read_genotypes(FOLDER / name, missing=["9"])
    assert genotypes.calls().tolist() == [[0, -1, 2, 1], [1, -1, 1, 2], [2, 0, -1, 1], [1, 1, 0, 0]]
    evaluation = ebv_of_genotyped(genotypes, bb.GenomicOptions(ridge=0.1), ("5", "6"))
    rates = "marker_call_rate = 0.5\nanimal_call_rate = 0.5\nduplicate_share = 1.0"
    how = f'missing = ["9"]\n[genotypes.quality]\n{rates}'
    found, record = genomic_results(tmp_path, name, relationship, how, animals=("5", "6"))
    np.testing.assert_allclose(found["ebv"], evaluation.ebv["ebv"], rtol=EXACT)
    assert any("3 calls missing (18.8 %), set to the mean of their marker" in note for note in record["notes"])


def test_a_ragged_row_of_genotypes(tmp_path: Path) -> None:
    name = "geno_ragged.csv"
    message = r"geno_ragged\.csv:2: "
    with pytest.raises(bb.GenotypeError, match=message):
        bb.read_genotypes(FOLDER / name)
    assert_refused_by_the_command(tmp_path, genomic_configuration(tmp_path, name, '"genomic"'), message)


# --- as a scheduler meets it, and whether all is covered --------------------------------------------------------------


@pytest.mark.parametrize(
    ("pedigree", "records", "message"),
    [
        ("ped_loop3.csv", None, REFUSED_PEDIGREES["ped_loop3.csv"]),
        ("empty.csv", None, REFUSED_PEDIGREES["empty.csv"]),
        (CALVES, "data_nan_inf.csv", REFUSED_RECORDS["data_nan_inf.csv"]),
    ],
)
def test_refused_in_a_process_of_its_own(tmp_path: Path, pedigree: str, records: str | None, message: str) -> None:
    toml = configuration(tmp_path, FOLDER / pedigree, None if records is None else FOLDER / records)
    before = sorted(tmp_path.rglob("*"))
    start = [sys.executable, "-c", "from breedblup.cli import main; main()"]
    result = subprocess.run([*start, "run", toml], capture_output=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stdout) == (20, "")
    assert re.search(message, result.stderr.splitlines()[-1])
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_reads_what_python_reads(tmp_path: Path) -> None:
    toml = configuration(tmp_path, FOLDER / "ped_born_after.csv")
    read = read_inputs(read_config(toml)).pedigree
    assert read is not None
    given = bb.read_pedigree(FOLDER / "ped_born_after.csv")
    assert read.to_frame().equals(given.to_frame())
    assert read.report.warnings == given.report.warnings


def test_every_file_is_covered() -> None:
    faults = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    groups: dict[str, str] = {fault["file"]: fault["group"] for fault in faults}
    files = {path.name for path in FOLDER.iterdir()} - {"README.md", "expected.json"}
    assert files == groups.keys()
    tables = (ACCEPTED_PEDIGREES, REFUSED_PEDIGREES, REFUSED_RECORDS, ACCEPTED_RECORDS, REFUSED_VARIANCES)
    tested = [*ELSEWHERE, *GENOTYPES, *(name for table in tables for name in table)]
    assert len(tested) == len(set(tested))
    in_groups = {name for name, group in groups.items() if group in TESTED_GROUPS}
    assert in_groups == set(tested) - REFUSED_VARIANCES.keys() - set(ELSEWHERE)
    limitations = (Path(__file__).parent.parent / "docs" / "limitations.md").read_text(encoding="utf-8")
    promised = [line for line in limitations.splitlines() if "not yet" in line]
    for name in files - set(tested):
        assert any(f"`{name}`" in line for line in promised), f"{name} has neither a test nor a 'not yet'"
    for name in tested:
        assert not any(f"`{name}`" in line for line in promised), f"{name} has a test; docs/limitations.md is stale"
