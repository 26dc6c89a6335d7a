"""Groups of unknown parents in a scheduled evaluation: every way to say them in `evaluation.toml`, as the API has it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import breedblup as bb
from breedblup.run.config import read_config
from breedblup.run.pipeline import run_evaluation

RECORDS = "animal,sex,gain\n4,male,4.5\n5,female,2.9\n6,female,3.9\n7,male,3.5\n8,male,5.0\n"
PEDIGREE = (
    "animal,sire,dam,birth,breed\n1,G1,G2,2001,H\n2,G1,G2,2001,H\n3,G1,G2,2003,J\n4,1,G2,2005,H\n5,3,2,2006,H\n"
    "6,1,2,2007,H\n7,4,5,2010,H\n8,3,6,2011,H\n"
)
MODEL = '[model]\nformula = "gain ~ sex + (1 | animal)"\n[variances]\nanimal = 20.0\nresidual = 40.0\n'
REST = '[records]\nfile = "records.csv"\n[results]\nfolder = "results"\n'
VARIANCES = bb.VarianceComponents({"animal": 20.0}, residual=40.0)


def run(folder: Path, sections: str) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """EBVs and groups as published, and the run record."""
    (folder / "records.csv").write_text(RECORDS, encoding="utf-8")
    (folder / "pedigree.csv").write_text(PEDIGREE, encoding="utf-8")
    (folder / "evaluation.toml").write_text(REST + MODEL + sections, encoding="utf-8")
    published = run_evaluation(read_config(folder / "evaluation.toml"))
    text = {"id": pl.String, "group": pl.String}
    tables = [pl.read_csv(published / f"{name}.csv", schema_overrides=text) for name in ("ebv", "groups")]
    return tables[0], tables[1], (published / "run.json").read_text(encoding="utf-8")


def evaluated(relationship: bb.Pedigree | bb.RelationshipInverse) -> bb.Evaluation:
    records = pl.read_csv(RECORDS.encode(), schema_overrides={"animal": pl.String})
    model = bb.Model.from_formula("gain ~ sex + (1 | animal)")
    return bb.evaluate(model, records, VARIANCES, {"animal": relationship})


def frame() -> pl.DataFrame:
    return pl.read_csv(PEDIGREE.encode(), infer_schema=False)


def assert_same(published: pl.DataFrame, evaluation: bb.Evaluation) -> None:
    assert published["id"].to_list() == evaluation.ebv["id"].to_list()
    assert published["ebv"].to_list() == pytest.approx(evaluation.ebv["ebv"].to_list(), rel=1e-12)


CODES = '[pedigree]\nfile = "pedigree.csv"\ngroups = ["G1", "G2"]\n'


def test_codes_are_fixed_groups(tmp_path: Path) -> None:
    ebv, groups, record = run(tmp_path, CODES)
    evaluation = evaluated(bb.read_pedigree(frame(), groups=("G1", "G2")))
    assert_same(ebv, evaluation)
    assert groups["group"].to_list() == ["G1", "G2"]
    assert groups["kind"].to_list() == ["fixed", "fixed"]
    assert ebv["pev"].is_null().all()
    assert "fixed groups of unknown parents set to zero" in record
    assert "groups.csv" in record


def test_random_groups(tmp_path: Path) -> None:
    ebv, groups, _ = run(tmp_path, CODES + '[relationships]\nanimal = { kind = "groups", ratio = 2.0 }\n')
    assert_same(ebv, evaluated(bb.group_inverse(bb.read_pedigree(frame(), groups=("G1", "G2")), ratio=2.0)))
    assert groups["pev"].null_count() == 0


def test_metafounders(tmp_path: Path) -> None:
    gamma = "id1,id2,value\nG2,G2,0.4\nG1,G1,0.6\nG1,G2,0.1\n"
    (tmp_path / "gamma.csv").write_text(gamma, encoding="utf-8")
    ebv, _, record = run(tmp_path, CODES + '[relationships]\nanimal = { kind = "metafounders", file = "gamma.csv" }\n')
    pedigree = bb.read_pedigree(frame(), groups=("G1", "G2"))
    assert_same(ebv, evaluated(bb.metafounder_inverse(pedigree, [[0.6, 0.1], [0.1, 0.4]])))
    assert "gamma.csv" in record
    assert "variance scaling 0.95" in record


@pytest.mark.parametrize(
    ("gamma", "message"),
    [
        (
            "G1,G1,0.6\nG3,G3,0.4\n",
            r"gamma.csv: 'G3' is no group; no rows for 'G2'; Γ needs id, id",
        ),
        ("G1,G1,0.6\n", "gamma.csv: no rows for 'G2'; Γ needs id, id, value for each group of pedigree.csv"),
    ],
)
def test_gammas_of_other_groups_are_refused(tmp_path: Path, gamma: str, message: str) -> None:
    (tmp_path / "gamma.csv").write_text("id1,id2,value\n" + gamma, encoding="utf-8")
    with pytest.raises(bb.ConfigurationError, match=message):
        run(tmp_path, CODES + '[relationships]\nanimal = { kind = "metafounders", file = "gamma.csv" }\n')


def test_metafounders_decide_about_inbreeding(tmp_path: Path) -> None:
    sections = '[relationships]\nanimal = { kind = "metafounders", file = "g.csv" }\n[solve]\ninbreeding = false\n'
    with pytest.raises(bb.ConfigurationError, match="where Γ decides about inbreeding; leave inbreeding out of"):
        run(tmp_path, CODES + sections)


def test_phantom_parents(tmp_path: Path) -> None:
    shares = "parent,north,south\nG1,1,0\nG2,0.25,0.75\n"
    (tmp_path / "phantoms.csv").write_text(shares, encoding="utf-8")
    ebv, groups, _ = run(tmp_path, '[pedigree]\nfile = "pedigree.csv"\nphantom_parents = "phantoms.csv"\n')
    phantoms = bb.read_phantom_parents(tmp_path / "phantoms.csv")
    assert_same(ebv, evaluated(bb.read_pedigree(frame(), groups=phantoms)))
    assert groups["group"].to_list() == ["north", "south"]
    assert groups["unknown_parents"].to_list() == [4.0, 3.0]


def test_a_rule_with_breeds(tmp_path: Path) -> None:
    rule = '[pedigree.group_rule]\nyears = 0\npath = false\nsex = false\nbreed = "breed"\nsmallest = 1\n'
    sections = '[pedigree]\nfile = "pedigree.csv"\nmissing_parents = ["G1", "G2"]\n' + rule
    ebv, groups, _ = run(tmp_path, sections)
    pedigree = bb.group_unknown_parents(
        bb.read_pedigree(frame(), missing_parents=("G1", "G2")),
        bb.GroupRule(years=0, path=False, smallest=1),
        breeds=frame().select("animal", "breed"),
    )
    assert_same(ebv, evaluated(pedigree))
    assert groups["group"].to_list() == ["H", "J"]


def test_pruned_groups_and_inbreeding_of_contemporaries(tmp_path: Path) -> None:
    sections = '[relationships]\nanimal = { kind = "groups", prune = true }\n[solve]\ninbreeding = "contemporaries"\n'
    ebv, _, record = run(tmp_path, CODES + sections)
    pedigree = bb.read_pedigree(frame(), groups=("G1", "G2"))
    inbreeding = bb.inbreeding_of_contemporaries(pedigree.ancestors_of(["4", "5", "6", "7", "8"]))
    relationship = bb.group_inverse(pedigree.ancestors_of(["4", "5", "6", "7", "8"]), inbreeding=inbreeding)
    assert_same(ebv, evaluated(relationship))
    assert "VanRaden 1992" in record
