"""`breedblup reml`: from a configuration to published variances."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import polars as pl
import pytest
from conftest import HERE, REFS
from typer.testing import CliRunner

from breedblup import cli
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.history import HISTORY_COLUMNS
from breedblup.analysis.summary_ratios import RATIO_COLUMNS
from breedblup.errors import ConfigurationError
from breedblup.io.tables import read_pedigree, read_records
from breedblup.model import Model
from breedblup.reml.options import RemlOptions
from breedblup.run.config import read_config
from breedblup.run.estimation import run_estimation, variances_toml
from breedblup.run.pipeline import run_evaluation
from breedblup.variances import Bound, Diagonal, FixedValue, ReducedRank, Tie, Unstructured, VarianceComponents

CASE = REFS / "twin_mt_missing"

FORMULA = "(t1, t2) ~ cg + (1 | animal)"

TEXT = f"""
[pedigree]
file = "{CASE / "pedigree.csv"}"

[records]
file = "{CASE / "data.csv"}"

[model]
formula = "{FORMULA}"

[results]
folder = "results/1"
"""


def place(folder: Path, text: str = TEXT) -> Path:
    path = folder / "evaluation.toml"
    path.write_text(text, encoding="utf-8")
    return path


def breedblup(*arguments: object):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


# --- the configuration ------------------------------------------------------------------------------------------------


def test_defaults(tmp_path: Path) -> None:
    config = read_config(place(tmp_path))
    assert config.variances is None
    assert config.reml.options == RemlOptions()
    assert (config.reml.structures, config.reml.bounds, config.reml.ties) == ({}, (), ())
    assert config.reml.folder == tmp_path / "results/1-variances"


GIVEN = """
[variances]
animal = [[12.0, 4.0], [4.0, 7.0]]
pen = [[1.0, 2.0], [2.0, 4.0]]

[variances.residual]
h1 = [[13.0, 0.0], [0.0, 8.0]]
h2 = [[13.0, 0.0], [0.0, 8.0]]

[solve]
inbreeding = false
memory_gib = 0.5

[reml]
method = "em"
likelihood = "ml"
information = "observed"
max_rounds = 7
gain = 1e-6
change = 1
folder = "elsewhere"

[reml.structures]
pen = { kind = "reduced_rank", rank = 1 }
residual = { kind = "fixed", value = [[13.0, 0.0], [0.0, 8.0]] }
"residual h1" = "diagonal"
"residual h2" = "unstructured"

[reml.bounds]
"animal[1,1]" = { lower = 1.0 }
"animal[2,2]" = { lower = 1, upper = 2.5 }

[reml.ties]
"animal[2,2]" = { to = "animal[1,1]", factor = 2.0 }
"residual h2[2,2]" = { to = "residual h2[1,1]" }
"""


def test_everything_given(tmp_path: Path) -> None:
    text = TEXT.replace('(1 | animal)"', '(1 | animal) + (1 | pen)"\nresidual_classes = "herd"')
    config = read_config(place(tmp_path, text + GIVEN))
    task = config.reml
    residuals = {level: [[13, 0], [0, 8]] for level in ("h1", "h2")}
    assert config.variances == VarianceComponents({"animal": [[12, 4], [4, 7]], "pen": [[1, 2], [2, 4]]}, residuals)
    assert task.options == RemlOptions(
        likelihood="ml", method="em", information="observed", max_rounds=7, gain=1e-6, change=1.0, inbreeding=False,
        memory_bytes=2**29,
    )  # fmt: skip
    assert list(task.structures) == ["pen", "residual", "residual h1", "residual h2"]
    fixed = task.structures["residual"]
    assert isinstance(fixed, FixedValue)
    assert fixed.matrix.tolist() == [[13, 0], [0, 8]]
    assert (task.structures["pen"], task.structures["residual h1"]) == (ReducedRank(1), Diagonal())
    assert task.structures["residual h2"] == Unstructured()
    assert task.bounds == (Bound("animal[1,1]", 1.0), Bound("animal[2,2]", 1.0, 2.5))
    assert task.ties == (Tie("animal[2,2]", "animal[1,1]", 2.0), Tie("residual h2[2,2]", "residual h2[1,1]"))
    assert task.folder == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('[reml]\nmethod = "newton"', r"\[reml\] method can be 'ai', 'em' or 'px-em', found text 'newton'"),
        ("[reml]\nmax_rounds = 0", r"\[reml\] max_rounds has to be at least 1, found 0"),
        ("[reml]\nmax_round = 3", r"\[reml\] unknown key 'max_round'; did you mean 'max_rounds'\? \(known: method, "),
        ("[reml]\ngain = 0.0", r"\[reml\] gain has to be more than 0, found 0"),
        ('[reml.structures]\nanimal = "diag"',
         r"\[reml\.structures\.animal\] kind can be .*found text 'diag'; did you mean 'diagonal'\?"),
        ('[reml.structures]\nanimal = "reduced_rank"',
         r'\[reml\.structures\] animal: write "unstructured", "diagonal", \{ kind = "reduced_rank", rank = 1 \}'),
        ('[reml.structures]\nanimal = { kind = "fixed", value = "x" }',
         r'\[reml\.structures\] "animal": value has to be a number, or a matrix as a list of rows of numbers$'),
        ('[reml.structures]\nanimal = { kind = "fixed", value = -1.0 }', r'\[reml\.structures\] "animal": .*-1'),
        ("[reml.structures]\nanimal = { rnak = 1 }", r"unknown key 'rnak'; did you mean 'rank'\? \(known: kind, rank, value\)"),
        ("[reml.bounds]\nanimal = {}", r"\[reml\.bounds\]: the bound of 'animal' has neither a lower nor an upper limit"),
        ("[reml.bounds]\nanimal = { lower = nan }", r"\[reml\.bounds\.animal\] lower has to be a finite number, found nan"),
        ("[reml.bounds]\nanimal = 3",
         r"\[reml\.bounds\] animal has to be \{ lower = 0\.5, upper = 2\.0 \}, or one of the two, found the whole number 3$"),
        ('[reml.ties]\nx = "animal"', r'\[reml\.ties\] x has to be \{ to = "animal\[1,1\]", factor = 2\.0 \}, the element that '
         r"it follows, found text 'animal'$"),
        ("[reml.structures]\nanimal = 3", r'\[reml\.structures\] animal has to be "diagonal", "unstructured", \{ kind = '
         r'"reduced_rank", rank = 1 \} or \{ kind = "fixed", value = 20\.0 \}, found the whole number 3$'),
        ("[reml]\nbounds = 3", r"\[reml\] bounds has to be a section, found the whole number 3$"),
        ('[reml.structures]\npe = "diagonal"', r"^evaluation\.toml: \[reml\] structures: there is no 'pe'; the model has "
         r"'animal', 'residual'$"),
        ('[reml.bounds]\n"animal[3,1]" = { lower = 1.0 }',
         r"^evaluation\.toml: \[reml\] bounds: there is no parameter 'animal\[3,1\]'; did you mean"),
        ('[reml.ties]\nanimal = { to = "residual[1,1]" }',
         r"^evaluation\.toml: \[reml\] ties: there is no parameter 'animal'; did you mean"),
        ('[reml.structures]\nanimal = { kind = "reduced_rank", rank = 1 }\n[reml.bounds]\n"animal[1,1]" = { lower = 1.0 }',
         r"^evaluation\.toml: \[reml\] 'animal\[1,1\]' cannot have a bound: "),
        ("[reml.ties]\nanimal = { factor = 2 }", r"\[reml\.ties\.animal\] to is missing; it has to be given"),
        ('[reml.ties]\nanimal = { to = "animal" }', r"\[reml\.ties\]: 'animal' is tied to itself"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, section: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_config(place(tmp_path, f"{TEXT}\n{section}\n"))


def test_everything_that_does_not_fit_the_model_is_said(tmp_path: Path) -> None:
    section = """
[reml.structures]
pe = "diagonal"
animal = { kind = "fixed", value = "x" }
residual = { kind = "reduced_rank", rank = 1 }
[reml.bounds]
anmal = { lower = 1.0 }
"animal[1,1]" = { lower = 3.0, upper = 2.0 }
[reml.ties]
"animal[1,1]" = { to = "pe" }
"""
    with pytest.raises(ConfigurationError) as caught:
        read_config(place(tmp_path, TEXT + section))
    lines = str(caught.value).splitlines()
    starts = (
        'evaluation.toml: [reml.structures] "animal": value has to be a number',
        "evaluation.toml: [reml.bounds]: the lower limit of 'animal[1,1]' (3) is above the upper one",
        "evaluation.toml: [reml] structures: there is no 'pe'",
        "evaluation.toml: [reml] 'residual' cannot have reduced rank",
        "evaluation.toml: [reml] bounds: there is no parameter 'anmal'",
        "evaluation.toml: [reml] ties: there is no parameter 'pe'",
    )
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)


def test_names_of_residual_classes_are_those_of_the_records(tmp_path: Path) -> None:
    """What the records have to say is left to them; what the model says is not."""
    classes = TEXT.replace("[results]", 'residual_classes = "cg"\n[results]')
    section = """
[reml.structures]
"residual g1" = "diagonal"
[reml.bounds]
"residual g2[2,1]" = { lower = 0.0 }
[reml.ties]
"residual g2[2,2]" = { to = "residual g1[2,2]" }
"""
    assert len(read_config(place(tmp_path, classes + section)).reml.ties) == 1
    for wrong in (
        '[reml.structures]\nanmal = "diagonal"',
        '[reml.ties]\n"residual[1,1]" = { to = "residual g1[1,1]" }',
    ):
        with pytest.raises(ConfigurationError, match=r"\[reml\] (structures|ties): there is no .*; did you mean"):
            read_config(place(tmp_path, f"{classes}\n{wrong}\n"))


def test_classes_left_of_a_bar_are_those_of_the_records(tmp_path: Path) -> None:
    text = TEXT.replace("(1 | animal)", "(factor(cg) | animal)")
    task = read_config(place(tmp_path, text + '[reml.bounds]\n"animal[9,9]" = { lower = 1.0 }\n')).reml
    assert task.bounds == (Bound("animal[9,9]", 1.0),)


def test_an_evaluation_needs_variances(tmp_path: Path) -> None:
    said = r"^evaluation\.toml: \[variances\] is missing; it has to be given, and `breedblup reml` estimates it$"
    with pytest.raises(ConfigurationError, match=said):
        run_evaluation(read_config(place(tmp_path)))
    result = breedblup("check", tmp_path / "evaluation.toml")
    assert result.exit_code == cli.REFUSED
    assert result.output == (
        "error: evaluation.toml: [variances] is missing; it has to be given, and `breedblup reml` estimates it\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.toml"]


# --- variances as a section -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variances",
    [
        VarianceComponents({"animal": 0.1 + 0.2, "ide(animal)": 0.0}, 1e-300),
        VarianceComponents({"animal + dam": [[2.0, -1.0], [-1.0, 3.0]]}, [[1.0, 0.5], [0.5, 1.0]]),
        VarianceComponents({'a "b"\\c': 3.0}, {"H 1": 28.0, "é": 1 / 3}),
    ],
)
def test_variances_are_written_with_every_digit(variances: VarianceComponents) -> None:
    section = tomllib.loads(variances_toml(variances))["variances"]
    residual = section.pop("residual")
    assert VarianceComponents(section, residual=residual) == variances


# --- runs -------------------------------------------------------------------------------------------------------------


def test_what_is_published(tmp_path: Path) -> None:
    result = breedblup("reml", place(tmp_path))
    folder = tmp_path / "results" / "1-variances"
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {
        "components.csv", "ratios.csv", "fixed.csv", "wald.csv", "history.csv", "variances.toml", "summary.txt", "run.json",
    }  # fmt: skip
    fit = estimate_variances(
        Model.from_formula(FORMULA), read_records(CASE / "data.csv"), {"animal": read_pedigree(CASE / "pedigree.csv")}
    )
    summary = (folder / "summary.txt").read_text(encoding="utf-8")
    assert summary == f"{fit}\n"
    assert result.stdout == summary
    section = tomllib.loads((folder / "variances.toml").read_text(encoding="utf-8"))["variances"]
    assert VarianceComponents({"animal": section["animal"]}, section["residual"]) == fit.variances
    components = pl.read_csv(folder / "components.csv")
    assert components.equals(fit.estimates.table)
    assert pl.read_csv(folder / "ratios.csv").columns == list(RATIO_COLUMNS)
    history = pl.read_csv(folder / "history.csv")
    assert history.columns[: len(HISTORY_COLUMNS)] == list(HISTORY_COLUMNS)
    assert history.height == len(fit.history)
    assert pl.read_csv(folder / "fixed.csv").height == 14
    assert pl.read_csv(folder / "wald.csv").height == 4
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert set(record["files"]) == {path.name for path in folder.iterdir()} - {"run.json"}
    assert record["command"] == "reml"
    assert record["options"]["method"] == "ai"
    assert record["likelihood"]["minus2_log_l"] == fit.minus2_log_likelihood
    assert record["likelihood"]["with_constant"] == fit.reml_criterion
    assert record["likelihood"]["converged"] is True
    assert record["counts"] == {
        "records_read": 294, "records_used": 275, "records_without_trait": 19, "records_without_effect": 0, "values": 421,
        "fixed_rank": 12, "equations": 602, "parameters": 6,
    }  # fmt: skip
    assert record["notes"] == list(fit.notes)
    assert {stage["stage"] for stage in record["stages"]} >= {"read inputs", "rounds", "information", "tables"}
    assert record["start"] is None
    assert record["plan"]["factor"] > 0


def test_an_evaluation_reads_the_variances(tmp_path: Path) -> None:
    """reml, then run with the section that it wrote."""
    run_estimation(read_config(place(tmp_path)))
    section = (tmp_path / "results" / "1-variances" / "variances.toml").read_text(encoding="utf-8")
    folder = run_evaluation(read_config(place(tmp_path, TEXT + section)))
    assert pl.read_csv(folder / "ebv.csv").height == 2 * 294


def test_given_variances_are_where_it_begins(tmp_path: Path) -> None:
    start = "[variances]\nanimal = [[12.0, 4.0], [4.0, 7.0]]\nresidual = [[13.5, 0.0], [0.0, 8.5]]\n"
    breedblup("reml", place(tmp_path, TEXT + start), "--folder", tmp_path / "here")
    history = pl.read_csv(tmp_path / "here" / "history.csv")
    assert history.row(0, named=True)["animal[1,1]"] == 12.0
    assert history.row(0, named=True)["residual[2,2]"] == 8.5
    record = json.loads((tmp_path / "here" / "run.json").read_text(encoding="utf-8"))
    assert record["start"]["random"]["animal"] == [[12.0, 4.0], [4.0, 7.0]]


def test_rounds_are_logged(tmp_path: Path) -> None:
    result = breedblup("reml", place(tmp_path))
    rounds = [line for line in result.stderr.splitlines() if " round " in line]
    assert len(rounds) == pl.read_csv(tmp_path / "results" / "1-variances" / "history.csv").height
    assert "round 0, -2 log L " in rounds[0]
    assert "a further round promises" in rounds[-1]


def test_structures_bounds_and_ties_reach_the_fit(tmp_path: Path) -> None:
    section = """
[reml.structures]
residual = "diagonal"
[reml.bounds]
"animal[2,1]" = { lower = 1.0, upper = 1.5 }
[reml.ties]
"residual[2,2]" = { to = "residual[1,1]", factor = 0.5 }
"""
    result = breedblup("reml", place(tmp_path, TEXT + section), "--folder", tmp_path / "here")
    assert result.exit_code == 0, result.output
    rows = {row["parameter"]: row for row in pl.read_csv(tmp_path / "here" / "components.csv").iter_rows(named=True)}
    assert "residual[2,1]" not in rows
    assert rows["animal[2,1]"]["status"] == "bound"
    assert rows["animal[2,1]"]["estimate"] == pytest.approx(1.5, abs=1e-6)
    assert rows["residual[2,2]"]["estimate"] == pytest.approx(0.5 * rows["residual[1,1]"]["estimate"], rel=1e-9)
    record = json.loads((tmp_path / "here" / "run.json").read_text(encoding="utf-8"))
    assert record["structures"] == {"residual": "Diagonal()"}
    assert record["bounds"] == [{"parameter": "animal[2,1]", "lower": 1.0, "upper": 1.5}]
    assert record["ties"] == [{"parameter": "residual[2,2]", "to": "residual[1,1]", "factor": 0.5}]


def test_without_convergence_nothing_is_published(tmp_path: Path) -> None:
    result = breedblup("reml", place(tmp_path, f"{TEXT}\n[reml]\nmax_rounds = 1\n"))
    assert result.exit_code == cli.NOT_CONVERGED
    assert "error: REML stopped after" in result.stderr
    assert list((tmp_path / "results").iterdir()) == []


def test_results_in_the_way(tmp_path: Path) -> None:
    path = place(tmp_path)
    first = breedblup("reml", path)
    again = breedblup("reml", path)
    assert again.exit_code == cli.REFUSED
    assert "there are results already; name another folder, or ask to --replace them" in again.stderr
    assert breedblup("reml", path, "--replace").stdout == first.stdout


def test_breeding_values_and_variances_do_not_replace_each_other(tmp_path: Path) -> None:
    start = "[variances]\nanimal = [[12.0, 4.0], [4.0, 7.0]]\nresidual = [[13.5, 0.0], [0.0, 8.5]]\n"
    path = place(tmp_path, TEXT + start)
    breedblup("run", path)
    variances = tmp_path / "results" / "1"
    held = {file.name for file in variances.iterdir()}
    result = breedblup("reml", path, "--replace", "--folder", variances)
    assert result.exit_code == cli.REFUSED
    assert "1: it holds what `breedblup run` published, which `breedblup reml` never replaces" in result.stderr
    assert {file.name for file in variances.iterdir()} == held
    breedblup("reml", path)
    result = breedblup("run", path, "--replace", "--folder", tmp_path / "results" / "1-variances")
    assert result.exit_code == cli.REFUSED
    assert "it holds what `breedblup reml` published, which `breedblup run` never replaces" in result.stderr


def test_a_structure_of_a_term_that_is_not_there(tmp_path: Path) -> None:
    result = breedblup("reml", place(tmp_path, f'{TEXT}\n[reml.structures]\nanimla = "diagonal"\n'))
    assert result.exit_code == cli.REFUSED
    assert "there is no 'animla'; did you mean 'animal'?" in result.stderr


def test_every_column_and_key_is_documented(tmp_path: Path) -> None:
    run_estimation(read_config(place(tmp_path)))
    folder = tmp_path / "results" / "1-variances"
    text = (HERE.parent / "docs" / "command-line.md").read_text(encoding="utf-8")
    section = text.partition("## The folder of variances")[2].partition("\n## ")[0]
    names = set(pl.read_csv(folder / "components.csv")["parameter"])
    for file in folder.iterdir():
        assert f"`{file.name}`" in section, file.name
        if file.suffix == ".csv":
            (row,) = (line for line in section.splitlines() if line.startswith(f"| `{file.name}`"))
            for column in pl.read_csv(file).columns:
                assert f"`{column}`" in row or column in names or column.startswith("seconds "), (
                    f"{file.name}: {column}"
                )
    for key in json.loads((folder / "run.json").read_text(encoding="utf-8")):
        assert f"`{key}`" in section, key
