"""Genomic relationships of a configuration: what is refused and how it is said, defaults that work, animals that take no part."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_genomic_run import (
    GROUPS,
    assert_same,
    by_hand,
    command,
    configuration,
    in_use,
    published,
    refused,
    written,
)

from breedblup.errors import ConfigurationError
from breedblup.io.genotypes import read_genotypes, write_plink
from breedblup.io.tables import read_pedigree
from breedblup.relationship import single_step_plan
from breedblup.relationship.diagnostics import AgreementLimits
from breedblup.relationship.genomic import GenomicOptions, g_inverse
from breedblup.relationship.genomic_dominance import dominance_g_inverse
from breedblup.run.config import read_config
from breedblup.run.genomic_relationships import agreement_notes
from breedblup.run.relationship_schema import RelationshipSection

ALONE = 'animal = "genomic"'
YOUNG = "of_genotyped.csv"
"""Records of genotyped animals."""


@pytest.fixture(scope="module")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("config"))


def with_marker_tests(toml: Path) -> Path:
    """The same with tests of markers."""
    toml.write_text(toml.read_text().replace("'out'", "'out'\nmarker_tests = true"))
    return toml


def noted(folder: Path) -> str:
    """Notes of a run."""
    return "\n".join(json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))["notes"])


# --- what is refused before anything is read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "pedigree", "message"),
    [
        ('form = "apy"', "", r'animal has form = "apy"; write form = "explicit", or leave marker_tests out'),
        ("core_number = 5", "", r'animal has form = "apy"; write form = "explicit" without a core, or leave marker_tests'),
        ('form = "markers"', "", r'marker_tests need G itself .*\] animal has form = "markers"; write form = "explicit", or'),
        ("omega = 0.8", "", r"animal has tau = 1 and omega = 0\.8; leave them at 1, or leave marker_tests out"),
        ("prune = false", GROUPS, r'has groups = "fixed"; write groups = "metafounders", or leave groups out of \[pedigree\], or'),
        ('groups = "random", ratio = 2.0', GROUPS, r'animal has groups = "random"; write groups = "metafounders"'),
    ],
)  # fmt: skip
def test_tests_of_markers_are_refused_in_the_words_of_the_file(
    flock: Path, tmp_path: Path, source: str, pedigree: str, message: str
) -> None:
    toml = with_marker_tests(
        configuration(flock, tmp_path, f'animal = {{ kind = "single_step", {source} }}', pedigree=pedigree)
    )
    for what in ("check", "run"):
        result = command(what, toml)
        assert (result.exit_code, result.stdout) == (20, "")
        assert re.search(message, result.stderr), result.stderr
        assert "reading" not in result.stderr


def test_tests_of_markers_go_with_metafounders(flock: Path, tmp_path: Path) -> None:
    source = 'animal = { kind = "single_step", groups = "metafounders", gamma = "estimate" }'
    assert read_config(with_marker_tests(configuration(flock, tmp_path, source, pedigree=GROUPS))).marker_tests


def test_a_form_that_the_plan_chose_may_have_no_tests(
    flock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_step_plan, "EXPLICIT_UP_TO", 5)
    result = command(
        "check", with_marker_tests(configuration(flock, tmp_path, 'animal = { kind = "single_step", tuning = "none" }'))
    )
    assert result.exit_code == 20
    words = r'animal has form = "auto", which comes to "markers" here, and \[results\] marker_tests need a factor; write form ='
    assert re.search(words, result.stderr), result.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"groups": "random"},
            r'groups = "random" needs ratio, additive variance over that of a group; groups = "fixed"',
        ),
        ({"core_share": 2.0}, r"core_share has to be below 1, a share of the variation in G, found 2$"),
    ],
)
def test_keys_that_lack_another_or_are_too_large(
    flock: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    said = ", ".join(f"{key} = {json.dumps(value)}" for key, value in given.items())
    toml = configuration(flock, tmp_path, f'animal = {{ kind = "single_step", {said} }}', pedigree=GROUPS)
    with pytest.raises(ConfigurationError, match=rf"^evaluation\.toml: \[relationships\] animal: {message}"):
        read_config(toml)


def test_random_groups_have_a_ratio() -> None:
    assert RelationshipSection(kind="single_step", groups="random", ratio=2.0).ratio == 2.0


# --- defaults of genotyped animals alone ------------------------------------------------------------------------------


def test_genotyped_animals_alone_work_as_a_word(flock: Path, tmp_path: Path) -> None:
    model = "y ~ sex + (1 | animal) + (1 | vm(animal, D))"
    variances = '[variances]\nanimal = 2.0\n"vm(animal, D)" = 0.5\nresidual = 4.0\n'
    both = f'{ALONE}\nD = "genomic_dominance"'
    found = published(flock, tmp_path, both, model=model, variances=variances, records=YOUNG)
    genotypes = in_use(flock)
    inverses = {
        "animal": g_inverse(genotypes, GenomicOptions(ridge=0.01)),
        "D": dominance_g_inverse(genotypes, ridge=0.01),
    }
    assert_same(found, by_hand(flock, inverses, model, YOUNG, **{"vm(animal, D)": 0.5}))
    said = noted(tmp_path)
    for name in ("animal", "D"):
        assert f"{name}: ridge = 0.01, as neither blend nor ridge is given: G of observed allele frequencies is" in said


def test_a_singular_g_is_refused_in_words_that_help(flock: Path, tmp_path: Path) -> None:
    bare = 'animal = { kind = "genomic", ridge = 0.0 }'
    advice = (
        r"add up to 0 over the animals -> add to its diagonal \(ridge = 0\.01\), or blend it \(blend = 0\.05\) with A22, "
        r"or with I \(blend_with = 'identity'\), which needs no pedigree"
    )
    refused(configuration(flock, tmp_path, bare, pedigree="none", records=YOUNG), advice)
    for k, works in enumerate(("ridge = 0.01", "blend = 0.05, blend_with = 'identity'")):
        (tmp_path / str(k)).mkdir()
        found = published(
            flock, tmp_path / str(k), f'animal = {{ kind = "genomic", {works} }}', pedigree="none", records=YOUNG
        )
        assert found.height == 30
        assert "neither blend nor ridge" not in noted(tmp_path / str(k))


# --- records and cores of animals that take no part -------------------------------------------------------------------


def excluded(folder: Path, *names: str) -> str:
    """A list of exclusions, and what names it."""
    rows = "".join(f"animal,{name},sample swapped\n" for name in names)
    (folder / "x.csv").write_text(f"kind,name,why\n{rows}")
    return 'exclusions = "x.csv"'


def test_records_of_animals_without_a_genotype_in_use(flock: Path, tmp_path: Path) -> None:
    how = excluded(tmp_path, "a31", "a33")
    refused(
        configuration(flock, tmp_path, ALONE, genotypes=how),
        r"r\.csv: 32 records with 'animal' of 32 animals that take no part in the genotypes, which \[relationships\] animal is "
        r"made of alone: 30 no genotype \('a00', .* and 20 more\); 2 left out: on the exclusion list \('a31', 'a33'\) -> write "
        r'ungenotyped_records = "drop" in \[genotypes\] to leave',
    )
    found = published(flock, tmp_path, ALONE, genotypes=f'{how}\nungenotyped_records = "drop"')
    rows = pl.read_csv(flock / "r.csv")
    rows.filter(pl.col("animal").is_in(found["id"].implode())).write_csv(tmp_path / "kept.csv")
    shutil.copy(tmp_path / "kept.csv", flock / "kept.csv")
    (tmp_path / "few").mkdir()
    excluded(tmp_path / "few", "a31", "a33")
    assert found.equals(published(flock, tmp_path / "few", ALONE, genotypes=how, records="kept.csv"))
    listed = pl.read_csv(tmp_path / "out" / "genotype_animals.csv").filter(outcome="records dropped")
    assert listed.height == 32
    assert listed.filter(pl.col("why") != "no genotype").select("animal", "why").rows() == [
        ("a31", "left out: on the exclusion list"), ("a33", "left out: on the exclusion list"),
    ]  # fmt: skip
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["genotypes"]["records_dropped"] == 32
    assert (record["counts"]["records_read"], record["counts"]["records_used"]) == (54, 22)
    assert "r.csv: dropped, counted as without a value: 32 records with 'animal' of 32 animals" in noted(tmp_path)
    rows.head(20).write_csv(flock / "old.csv")
    toml = configuration(flock, tmp_path, ALONE, genotypes=f'{how}\nungenotyped_records = "drop"', records="old.csv")
    refused(toml, r"old\.csv: no record is left without the 20 records with 'animal' of 20 animals that take no part")


def test_a_record_that_names_two_such_animals_is_dropped_once(flock: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(flock / YOUNG).with_columns(other="animal")
    pl.concat([pl.DataFrame({"animal": "a01", "sex": "M", "y": 11.0, "other": "a02"}), rows]).write_csv(
        flock / "two.csv"
    )
    published(
        flock, tmp_path, ALONE, genotypes='ungenotyped_records = "drop"', records="two.csv",
        model="y ~ sex + (1 | animal + other)",
        variances='[variances]\n"animal + other" = [[2.0, 0.5], [0.5, 1.0]]\nresidual = 4.0\n',
    )  # fmt: skip
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["genotypes"]["records_dropped"] == 1
    listed = pl.read_csv(tmp_path / "out" / "genotype_animals.csv").filter(outcome="records dropped")
    assert listed["animal"].to_list() == ["a01", "a02"]


def test_records_without_a_trait_need_no_genotype(flock: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(flock / "r.csv").with_columns(y=pl.when(pl.int_range(pl.len()) >= 30).then("y"))
    rows.write_csv(flock / "half.csv")
    assert published(flock, tmp_path, ALONE, records="half.csv").height == 30


def test_a_kept_core_loses_animals_that_take_no_part(flock: Path, tmp_path: Path) -> None:
    names = [f"a{k}" for k in range(30, 45)]
    for place, listed in {"core.csv": [*names, "a02"], "twice.csv": ["a30", "a30"], "gone.csv": ["a31", "a02"]}.items():
        (tmp_path / place).write_text("id\n" + "\n".join(listed) + "\n")
    how = excluded(tmp_path, "a31")
    source = 'animal = {{ kind = "{}", form = "apy", core_file = "{}", ridge = 0.01 }}'
    said = "core.csv: 2 of 16 animals of the core take no part: 1 left out: on the exclusion list ('a31'); 1 no genotype ('a02'); the"
    for kind, records in (("genomic", YOUNG), ("single_step", "r.csv")):
        (tmp_path / "rows.csv").write_bytes((flock / records).read_bytes())
        rows = pl.read_csv(flock / records).filter(pl.col("animal") != "a31")
        rows.write_csv(flock / "rows.csv")
        toml = configuration(flock, tmp_path, source.format(kind, "core.csv"), genotypes=how, records="rows.csv")
        result = command("run", toml, "--replace")
        assert result.exit_code == 0, result.output
        assert f"warning: {said}" in result.stderr
        assert said in noted(tmp_path)
        assert pl.read_csv(tmp_path / "out" / "core.csv")["id"].to_list() == [name for name in names if name != "a31"]
    for place, message in {
        "twice.csv": r"twice\.csv: the core has 'a30' more than once; name each animal once",
        "gone.csv": r"gone\.csv: 2 of 2 animals of the core take no part: .*; none is left, choose a core anew by core_number",
    }.items():
        refused(configuration(flock, tmp_path, source.format("single_step", place), genotypes=how), message)
    toml = configuration(flock, tmp_path, 'animal = { kind = "single_step", core_number = 31 }')
    refused(
        toml,
        r"evaluation\.toml: \[relationships\] animal has core_number = 31, and 30 genotyped animals take part; ask for no more",
    )


# --- G against A22 ----------------------------------------------------------------------------------------------------


def test_g_is_compared_among_the_animals_that_the_pedigree_knows(flock: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(flock, short)
    pl.read_csv(flock / "p.csv", infer_schema=False).head(58).write_csv(short / "p.csv")
    published(short, tmp_path, ALONE, records=YOUNG)
    said = noted(tmp_path)
    assert "animal: G against A22, 28 animals: correlation 0." in said
    assert "animal: G against A22: 2 genotyped animals not compared, not in the pedigree" in said
    calls = read_genotypes(flock / "g.bed")
    ids = pl.concat([calls.ids.head(28).sample(fraction=1.0, shuffle=True, seed=5), calls.ids.tail(2)])
    write_plink(replace(calls, ids=ids), short / "g.bed", replace=True)
    refused(
        configuration(short, tmp_path, ALONE, records=YOUNG),
        r"correlation of G with A22 between different animals is .* \(28 animals\), below 0\.3 -> check that samples",
    )


def test_too_few_known_animals_and_twins_are_not_compared(flock: Path) -> None:
    made = g_inverse(in_use(flock), GenomicOptions(ridge=0.01))
    few = read_pedigree(pl.DataFrame({"animal": ["a30", "a31"], "sire": "", "dam": ""}))
    assert agreement_notes(made, few, AgreementLimits()) == [
        "G against A22: 28 genotyped animals not compared, not in the pedigree"
    ]
    rows = pl.read_csv(flock / "p.csv", infer_schema=False).with_columns(
        twin_of=pl.when(pl.col("animal") == "a59").then(pl.lit("a58"))
    )
    rows = rows.with_columns(
        pl.when(pl.col("animal") == "a59").then(pl.col(role).get(58)).otherwise(role).alias(role)
        for role in ("sire", "dam")
    )
    notes = agreement_notes(made, read_pedigree(rows), AgreementLimits(warn=-1.0, stop=-1.0))
    assert notes[0].startswith("G against A22, 29 animals: ")
