"""The documentation does what it says: code runs, output is that shown, commands, options, keys, codes and links are whole.

Blocks of a page by their fence: ``python`` runs, all of a page in one namespace; ``text output`` below one is what it prints;
``console`` is commands and what they print; ``toml`` is accepted by `read_config`. Of outputs, ``...`` stands for anything, and
sizes of memory and times are not compared.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from conftest import HERE, REFS, shared_case
from typer.testing import CliRunner

from breedblup import cli
from breedblup.analysis.estimation import estimate_variances
from breedblup.errors import ModelError
from breedblup.io.tables import read_pedigree
from breedblup.model import Model
from breedblup.pedigree import PedigreeRules
from breedblup.pedigree.reading import RECOGNISED
from breedblup.pedigree.rules import REPAIR_COLUMNS
from breedblup.run import schema
from breedblup.run.config import read_config
from breedblup.run.pipeline import run_evaluation
from breedblup.solvers.records import PcgRound

ROOT = HERE.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ROOT / "docs" / "command-line.md"

FROM_ELSEWHERE = {"field-trial.md": ("seed_sorghum_E3", "sorghum.csv")}
"""Data of other packages that a page reads: the case, and the name that the page gives it."""

FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: page, line of its first row, info string and text."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = FENCE.finditer(text)
    return [Block(page, text.count("\n", 0, match.start()) + 2, match[1].strip(), match[2]) for match in found]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of_kind(info: str) -> list[Block]:
    """Blocks with this fence."""
    return [block for block in BLOCKS if block.info == info]


def comparable(text: str) -> str:
    """Text without what differs between two runs: folder, times, sizes of memory, blanks at ends of lines."""
    text = text.replace(str(Path.cwd()), "/srv")
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\d[\d,.]* [KMG]iB", "SIZE", text)
    text = re.sub(r"^.* compiling, once after installing.*\n", "", text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def assert_shown(block: Block, printed: str) -> None:
    """What was printed is what a block shows."""
    shown, found = comparable(block.text), comparable(printed)
    same = doctest.OutputChecker().check_output(shown, found, doctest.ELLIPSIS)
    assert same, f"{block} shows\n{shown}\nbut this is printed\n{found}"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, the reference cases and the results of the two evaluations of ``data``."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "data", place / "data")
    shutil.copytree(REFS, place / "tests" / "refs")
    for example in ("dairy", "genomic"):
        run_evaluation(read_config(place / "data" / example / "evaluation.toml"))
    return place


@pytest.fixture
def beside(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to run in."""
    place = tmp_path / "evaluation"
    shutil.copytree(published, place)
    monkeypatch.chdir(place)
    return place


# --- what runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs_and_prints_what_is_shown(page: Path, beside: Path) -> None:
    if page.name in FROM_ELSEWHERE:
        case, name = FROM_ELSEWHERE[page.name]
        shutil.copy(shared_case(case) / "data.csv", beside / name)
    namespace: dict[str, Any] = {"__name__": "__docs__"}
    printed = io.StringIO()
    for block in blocks_of(page):
        if block.info == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), namespace)
        elif block.info == "text output":
            assert_shown(block, printed.getvalue())


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.info == "console" for b in blocks_of(p))], ids=lambda p: p.name
)
def test_commands_print_what_is_shown(page: Path, beside: Path) -> None:
    runner = CliRunner()
    code = 0
    for block in blocks_of(page):
        if block.info != "console":
            continue
        lines = []
        for command in (line[2:] for line in block.text.splitlines() if line.startswith("$ ")):
            lines.append(f"$ {command}")
            if command == "echo $?":
                lines.append(str(code))
                continue
            program, *arguments = shlex.split(command)
            assert program == "breedblup", f"{block}: only breedblup is run here"
            result = runner.invoke(cli.app, arguments, prog_name="breedblup")
            code = result.exit_code
            lines.append(result.output.rstrip("\n"))
        assert_shown(block, "\n".join(lines))


@pytest.mark.parametrize("block", [block for block in of_kind("toml") if "@" not in block.text], ids=str)
def test_toml_is_accepted(block: Block, tmp_path: Path) -> None:
    """A fragment is completed by the sections that a file needs."""
    text = block.text
    for section, rest in {
        "[model]": '[model]\nformula = "y ~ 1 + (1 | animal)"\n[variances]\nanimal = 1.0\nresidual = 2.0\n'
        + '[pedigree]\nfile = "p.csv"\n' * ("[pedigree]" not in text),
        "[records]": '[records]\nfile = "r.csv"\n',
        "[results]": '[results]\nfolder = "out"\n',
    }.items():
        if section not in text:
            text += f"\n{rest}"
    place = tmp_path / "evaluation.toml"
    place.write_text(text, encoding="utf-8")
    assert read_config(place).model.traits


def test_formulas_are_accepted_or_refused_as_the_page_says() -> None:
    """Rows of tables that begin with formulas in code, one or one for each trait: those 'refused' are, the others are models."""
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    rows = re.findall(r"^\| ((?:`[^`]* ~ [^`]*`(?:, )?)+) \|(.*)$", text, re.MULTILINE)
    assert len(rows) > 20
    for code, rest in rows:
        formulas = re.findall(r"`([^`]*)`", code.replace("\\|", "|"))
        if "refused" in rest:
            with pytest.raises(ModelError, match="cannot|share the relationship of the first one"):
                Model.from_formula(formulas)
        else:
            assert len(Model.from_formula(formulas).traits) >= len(formulas)


def test_the_nightly_script_publishes_a_dated_folder(beside: Path) -> None:
    script = next(block.text for block in of_kind("bash") if block.text.startswith("#!"))
    template = next(block.text for block in of_kind("toml") if "by-hand" in block.text)
    for name in ("pedigree.csv", "records.csv"):
        shutil.copy(beside / "data" / "dairy" / name, beside / name)
    (beside / "evaluation.toml").write_text(template, encoding="utf-8")
    (beside / "nightly.sh").write_text(script, encoding="utf-8")
    environment = os.environ | {"BREEDBLUP": str(Path(sys.executable).with_name("breedblup"))}
    days = {f"{datetime.now():%Y-%m-%d}"}
    runs = [
        subprocess.run(["bash", "nightly.sh"], env=environment, capture_output=True, text=True, check=False)
        for _ in range(2)
    ]
    days.add(f"{datetime.now():%Y-%m-%d}")
    assert (runs[0].returncode, runs[0].stderr) == (0, "")
    assert (beside / "results" / "latest").readlink().name in days
    assert (beside / "results" / "latest" / "run.json").is_file()
    assert runs[1].returncode == cli.REFUSED
    assert "there are results already" in runs[1].stderr


# --- what is whole ----------------------------------------------------------------------------------------------------


def test_every_command_and_option_is_documented() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    command = typer.main.get_command(cli.app)
    assert isinstance(command, typer.core.TyperGroup)
    assert command.commands
    options = [option for parameter in command.params for option in parameter.opts]
    for name, inner in command.commands.items():
        assert f"`breedblup {name}" in text, f"command {name}"
        for parameter in inner.params:
            options += [option for option in parameter.opts if option.startswith("-")]
    assert "--replace" in options
    assert "--version" in options
    for option in options:
        assert f"`{option}`" in text, f"option {option}"


def test_every_exit_code_is_documented() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    codes = {int(code) for code in re.findall(r"^ {4}(\d+) {2,}\S", str(cli.__doc__), re.MULTILINE)}
    constants = {cli.REFUSED, cli.NOT_CONVERGED, cli.NO_RESOURCES, cli.OWN_FAULT, cli.STOPPED}
    assert codes == constants | {0, 2}
    for code in codes:
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE), f"exit code {code} has no row"


def test_every_key_of_the_configuration_is_documented() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    for place, section in schema._KNOWN.items():
        for key in section.model_fields:
            if not place:
                assert f"`[{key}]`" in text, f"section {key}"
            elif (*place, key) not in schema._KNOWN:
                assert f"| `{key}` |" in text, f"key {key} of {place}"


def test_every_column_and_key_of_the_results_is_documented(published: Path) -> None:
    text = (ROOT / "docs" / "data-model.md").read_text(encoding="utf-8")
    folder = published / "results" / "dairy"
    for name in ("ebv", "fixed", "random_ide_animal"):
        section = text.partition(f"`{name}.csv`")[2].partition("###")[0]
        for column in (folder / f"{name}.csv").read_text(encoding="utf-8").partition("\n")[0].split(","):
            assert f"`{column}`" in section, f"{name}: {column}"
    genotyped = text.partition("### Files of genotypes")[2].partition("###")[0]
    for file in (published / "results" / "genomic").iterdir():
        if file.stem not in ("ebv", "fixed", "run"):
            columns = pl.read_csv(file).columns if file.suffix == ".csv" else pl.read_parquet_schema(file)
            row = next(line for line in genotyped.splitlines() if line.startswith(f"| `{file.name}` |"))
            assert all(f"`{column}`" in row for column in columns), file.name
    for column in (*REPAIR_COLUMNS, *(criterion.name for criterion in fields(PcgRound))):
        assert f"`{column}`" in text, column
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    told = COMMANDS.read_text(encoding="utf-8").partition("### run.json")[2]
    for key in record:
        assert f"`{key}`" in told, f"run.json: {key}"


def test_every_column_of_a_fit_is_documented() -> None:
    text = (ROOT / "docs" / "data-model.md").read_text(encoding="utf-8")
    section = text.partition("## Estimated variances")[2].partition("\n## ")[0]
    records = pl.read_csv(REFS / "twin_mt_missing" / "data.csv")
    pedigree = read_pedigree(REFS / "twin_mt_missing" / "pedigree.csv")
    fit = estimate_variances(Model.from_formula("(t1, t2) ~ cg + (1 | animal)"), records, {"animal": pedigree})
    means, curves = fit.means("cg"), pl.read_csv(REFS / "twin_rr" / "data.csv")
    slopes = estimate_variances(Model.from_formula("y ~ days + (1 + days | animal)"), curves)
    tables = {
        "components": fit.components, "history": fit.history_table, "criteria": fit.criteria.frame, "fixed": fit.fixed,
        "wald": fit.wald, "heritability": fit.heritability.frame, "intraclass": fit.intraclass_correlation.frame,
        "correlations": fit.correlations.frame, "derive": fit.derive(["animal[1,1]"]).frame, "means": means.means.drop("cg"),
        "differences": means.differences, "averages": means.averages, "residuals": fit.residuals.table, "leverages": fit.leverages.table,
        "quantiles": fit.residuals.quantiles, "bootstrap": fit.bootstrap(2).table(),
        "profile": slopes.profile("residual", points=0).frame, "along": slopes.covariances_along([100.0]).frame,
        "contrasts": fit.contrasts({"g2": {("cg", "g2", "t1"): 1.0}}).table, "predict": fit.predict(records).table,
    }  # fmt: skip
    for table, frame in tables.items():
        for column in frame.columns:
            if column not in fit.estimates.space.names and not column.startswith("seconds "):
                assert f"`{column}`" in section, f"{table}: {column}"


def test_defaults_of_the_rules_are_documented() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    for rule, severity in asdict(PedigreeRules()).items():
        assert f'| `{rule}` | `"{severity}"` |' in text, rule


def test_recognised_columns_are_documented() -> None:
    text = (ROOT / "docs" / "data-model.md").read_text(encoding="utf-8")
    for role, names in RECOGNISED.items():
        assert f"| {role} | {', '.join(f'`{name}`' for name in names)} |" in text, role


def test_the_second_command_of_the_readme_is_that_of_ci() -> None:
    commands = [block.text.strip() for block in of_kind("sh") if block.page.name == "README.md"]
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert commands[1] in run.splitlines()
    assert commands[0].endswith("run data/dairy/evaluation.toml --replace")


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(place), f"{page.name}: {target}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(LINK.findall(PAGES[0].read_text(encoding="utf-8")))
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= linked


def test_only_known_fences_are_used() -> None:
    known = {"python", "text", "text output", "console", "toml", "sh", "bash", "cron"}
    assert not [f"{block} {block.info!r}" for block in BLOCKS if block.info not in known]
