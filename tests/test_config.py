"""`evaluation.toml`: what it may say, and what is said of it when it is wrong."""

import tomllib
from dataclasses import fields
from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breedblup.adjustment import BaseBirthYears, BaseFounders
from breedblup.analysis import EvaluateOptions
from breedblup.errors import ConfigurationError, ModelError
from breedblup.model import Model
from breedblup.pedigree import MISSING_PARENTS, PedigreeColumns, PedigreeRules
from breedblup.run.config import MatrixInput, read_config
from breedblup.run.schema import (
    BaseSection,
    PedigreeRulesSection,
    PedigreeSection,
    RecordsSection,
    RelationshipSection,
    ResultsSection,
    Sections,
    SolveSection,
    parse_sections,
)
from breedblup.solvers.records import PcgOptions
from breedblup.variances import VarianceComponents

SMALL = """
[pedigree]
file = "p.csv"

[records]
file = "r.csv"

[model]
formula = "milk ~ herd + (1 | animal)"

[variances]
animal = 20.0
residual = 40

[results]
folder = "results/1"
"""

FULL = """
[pedigree]
file = "p.csv"
id = "name"
birth = "dob"
missing_parents = ["", "x"]
[pedigree.rules]
loop = "repair"
sex_role = "error"
[records]
file = "/data/r.csv"
missing_effects = "drop"
unknown_animals = "founder"
[model]
formula = "milk ~ herd + (1 | cow) + (1 | ide(cow)) + (1 | line)"
weights = "w"
[variances]
cow = 20.0
"ide(cow)" = [[12.0]]
line = 3
residual = 28.0
[relationships]
cow = "pedigree"
line = { file = "k.csv", kind = "inverse" }
[solve]
method = "pcg"
pev = "none"
inbreeding = false
maximum_rounds = 77
memory_gib = 0.5
[results]
folder = "results/1"
format = "parquet"
accuracy = "bif"
[base]
kind = "birth_years"
first = 2015
last = 2017
recorded_only = true
"""


def read(folder, text):
    path = folder / "evaluation.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def test_defaults(tmp_path):
    config = read(tmp_path, SMALL)
    assert config.pedigree.file == tmp_path / "p.csv"
    assert config.pedigree.columns == PedigreeColumns()
    assert config.pedigree.missing_parents == MISSING_PARENTS
    assert config.pedigree.rules == PedigreeRules()
    assert config.records == tmp_path / "r.csv"
    assert config.model == Model.from_formula("milk ~ herd + (1 | animal)")
    assert config.variances == VarianceComponents({"animal": 20.0}, residual=40.0)
    assert config.relationships == {"animal": "pedigree"}
    assert config.options == EvaluateOptions()
    assert (config.folder, config.format, config.base) == (tmp_path / "results/1", "csv", None)
    assert set(config.inputs()) == {"configuration", "records", "pedigree"}


def test_everything_given(tmp_path):
    config = read(tmp_path, FULL)
    assert config.pedigree.columns == PedigreeColumns(id="name", birth="dob")
    assert config.pedigree.missing_parents == ("", "x")
    assert config.pedigree.rules == PedigreeRules(loop="repair", sex_role="error")
    assert config.records == Path("/data/r.csv")
    assert config.model == Model.from_formula("milk ~ herd + (1 | cow) + (1 | ide(cow)) + (1 | line)", weights="w")
    assert config.variances == VarianceComponents({"cow": 20.0, "ide(cow)": 12.0, "line": 3.0}, residual=28.0)
    assert config.relationships == {"cow": "pedigree", "line": MatrixInput(tmp_path / "k.csv", "inverse")}
    assert config.options == EvaluateOptions(
        method="pcg", pev="none", inbreeding=False, accuracy="bif", unknown_animals="founder", missing_effects="drop",
        memory_bytes=2**29, pcg=PcgOptions(maximum_rounds=77),
    )  # fmt: skip
    assert (config.format, config.base) == ("parquet", BaseBirthYears(2015, 2017, recorded_only=True))
    assert config.inputs()["relationship line"] == tmp_path / "k.csv"


def test_rules_are_those_of_the_pedigree():
    assert set(PedigreeRulesSection.model_fields) == {rule.name for rule in fields(PedigreeRules)}


def test_byte_order_mark_and_base_of_ids(tmp_path):
    config = read(tmp_path, "\ufeff" + SMALL + '[base]\nkind = "ids"\nfile = "b.csv"\n')
    assert config.base == config.inputs()["base"] == tmp_path / "b.csv"
    assert read(tmp_path, SMALL + '[base]\nkind = "founders"\n').base == BaseFounders()


def test_the_plain_form_of_a_model(tmp_path):
    model = Model.from_formula("milk ~ herd + (1 | animal)")
    text = SMALL.replace('formula = "milk ~ herd + (1 | animal)"', as_toml(model.to_dict()))
    assert read(tmp_path, text).model == model


def as_toml(value, top=True):
    """A plain dict as keys of a section."""
    if isinstance(value, dict):
        pairs = [f"{key} = {as_toml(inner, False)}" for key, inner in value.items()]
        return "\n".join(pairs) if top else "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(inner, False) for inner in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def test_no_relationships(tmp_path):
    text = SMALL.replace('[pedigree]\nfile = "p.csv"\n', "").replace("(1 | animal)", "(1 | ide(animal))")
    config = read(tmp_path, text.replace("animal = 20.0", '"ide(animal)" = 20.0'))
    assert config.relationships == {}
    assert config.pedigree is None
    based = text.replace("animal = 20.0", '"ide(animal)" = 20.0') + '[base]\nkind = "founders"\n'
    with pytest.raises(
        ConfigurationError, match=r"\[base\] is given, but no random term has a pedigree or another rel"
    ):
        read(tmp_path, based)


VALUES = st.one_of(
    st.sampled_from([True, 0, 1, -5, 10**400, 1.5, float("inf"), float("nan"), "", "x", "pedigree", "ids", [], {}]),
    st.sampled_from(
        [date(2026, 1, 1), time(1), [1], ["a", 2], {"file": 3}, {"kind": "matrix"}, [{}], {"": 1}, {"a b": {}}]
    ),
)
PLACES = [
    (), ("pedigree",), ("pedigree", "rules"), ("records",), ("model",), ("variances",), ("relationships",),
    ("relationships", "animal"), ("solve",), ("results",), ("base",),
]  # fmt: skip
SECTIONS = (
    Sections, PedigreeSection, PedigreeRulesSection, RecordsSection, RelationshipSection, SolveSection, ResultsSection,
    BaseSection,
)  # fmt: skip
KEYS = sorted({key for section in SECTIONS for key in section.model_fields} | {"animal", "x", "a b"})


@given(place=st.sampled_from(PLACES), key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_anywhere_is_taken_or_refused_in_plain_words(place, key, value):
    content = tomllib.loads(SMALL)
    section = content
    for name in place:
        section = section.setdefault(name, {})
    section[key] = value
    said = "evaluation.toml: "
    try:
        parse_sections("evaluation.toml", content)
    except ConfigurationError as wrong:
        said = str(wrong)
    assert said.startswith("evaluation.toml: ")
    assert "pydantic" not in said


REPLACED = [
    ("[records]", "[record]", r"^evaluation\.toml: \[records\] is missing; it has to be given\nevaluation\.toml: "
     r"unknown section 'record'; did you mean 'records'\? \(known: pedigree, records, model, "),
    ('"p.csv"', '"p"\nsirre = "s"', r"^evaluation\.toml: \[pedigree\] unknown key 'sirre'; did you mean 'sire'\? "
     r"\(known: file, id, sire, dam, sex, birth, missing_parents, rules\)$"),
    ('[records]\nfile = "r.csv"', "[x]", r"\[records\] is missing; it has to be given\n.*unknown section 'x' \(kno"),
    ('\n[pedigree]\nfile = "p.csv"', "pedigree = 3", r"\[pedigree\] has to be a section, found the whole number 3$"),
    ("\n[pedigree]", 'fodler = "x"\n[pedigree]', r"unknown key 'fodler' \(known: pedigree, records"),
    ('"p.csv"', "5", r"\[pedigree\] file has to be text in quotes, found the whole number 5$"),
    ('"p.csv"', '""', r"\[pedigree\] file is empty text; write a name, or leave the key out$"),
    ('"p.csv"', '"p"\nmissing_parents = "0"', r"missing_parents has to be a list, found text '0'$"),
    ('"p.csv"', '"p"\nmissing_parents = ["", 0]',
     r"\[pedigree\] missing_parents item 2 has to be text in quotes, found the whole number 0$"),
    ('"r.csv"', "2026-01-01", r"\[records\] file has to be text in quotes, found the date 2026-01-01$"),
    ('"r.csv"', '"r"\nmissing_effects = true', r"missing_effects can be 'error' or 'drop', found true$"),
    ('folder = "results/1"', "", r"\[results\] folder is missing; it has to be given$"),
    ('folder = "results/1"', 'folder = ["a"]', r"folder has to be text in quotes, found a list$"),
    ('folder = "results/1"', "folder = { a = 1 }", r"folder has to be text in quotes, found a section$"),
    ("[model]\nformula =", "[model]\nformulae =", r"\[model\] unknown key 'formulae'; did you mean 'formula'\?"),
    ("[model]\nformula =", "[model]\nweights =", r'\[model\] .*; a formula is given as formula = "…"$'),
    ("[variances]", 'weight = "w"\n[variances]', r"\[model\] unknown key 'weight'; did you mean 'weights'\?"),
    ("[variances]", "weights = 3\n[variances]", r"\[model\] weights has to be text in quotes$"),
    ("(1 | animal)", "(1 | animal", r"^evaluation\.toml: \[model\] formula: "),
    ("animal = 20.0", "animal = -20.0", r"^evaluation\.toml: \[variances\] .*-20"),
    ("animal = 20.0", 'animal = "20"', r"\[variances\] 'animal' has to be a number, or a matrix as a list of rows of "),
    ("animal = 20.0", "animal = true", r"\[variances\] 'animal' has to be a number"),
    ("animal = 20.0", "animal = [20.0]", r"\[variances\] 'animal' has to be a number"),
    ("animal = 20.0", "animal = []", r"\[variances\] 'animal' has to be a number"),
    ("animal = 20.0", "animl = 20.0", r"\[variances\] .*'animl'; did you mean 'animal'"),
    ("residual = 40", "", r"\[variances\] residual is missing; it has to be given$"),
    ("animal = 20.0", "ide(animal) = 20.0", r"^evaluation\.toml: this is not TOML: .*line 12.*; text belongs in q"),
    ("| animal", "| cow", r"no random term is called 'animal', so \[relationships\] has to say whose pedigree this is, "
     r"such as cow = \"pedigree\" \(random terms: 'cow'\)$"),
    ("| animal", "| ide(animal)", r"such as animal = \"pedigree\" \(random terms: none\)$"),
    ('[pedigree]\nfile = "p.csv"\n', '[relationships]\nanimal = "pedigree"\n',
     r"\[relationships\] names the pedigree, but section \[pedigree\] is missing$"),
]  # fmt: skip

ADDED = [
    ('[pedigree.rules]\nlop = "warn"', r"\[pedigree\.rules\] unknown key 'lop'; did you mean 'loop'\?"),
    ('[pedigree.rules]\nborn_after = "wran"',
     r"\[pedigree\.rules\] born_after can be 'error', 'warn' or 'repair', found text 'wran'; did you mean 'warn'\?$"),
    ('[pedigree.rules]\nloop = "warn"', r"\[pedigree\.rules\] pedigree rule 'loop' cannot be 'warn'"),
    ("[solve]\ninbreeding = 1", r"\[solve\] inbreeding has to be true or false, found the whole number 1$"),
    ("[solve]\ntolerance = 0.0", r"\[solve\] tolerance has to be more than 0, found 0\.0$"),
    ("[solve]\nmaximum_rounds = 0", r"\[solve\] maximum_rounds has to be at least 1, found 0$"),
    ("[solve]\nmaximum_rounds = 1.5", r"\[solve\] maximum_rounds has to be a whole number, found the number 1\.5$"),
    ("[solve]\nmemory_gib = inf", r"\[solve\] memory_gib has to be a finite number, found inf$"),
    ('[solve]\nmemory_gib = "8"', r"\[solve\] memory_gib has to be a number, found text '8'$"),
    ('[solve]\ncriterion = "relativ_residual"',
     r"\[solve\] criterion can be 'error', .* found text 'relativ_residual'; did you mean 'relative_residual'\?$"),
    ('[relationships]\nanimal = "pedigre"',
     r"\[relationships\.animal\] kind can be 'pedigree', 'relationship' or 'inverse', found text 'pedigre'; did you"),
    ('[relationships]\nanimal = 5', r"\[relationships\] animal has to be a section, found the whole number 5$"),
    ('[relationships]\nanimal = { file = "k.csv" }', r"\[relationships\.animal\] kind is missing"),
    ('[relationships]\nanimal = { fiel = "k.csv", kind = "inverse" }',
     r"\[relationships\.animal\] unknown key 'fiel'; did you mean 'file'\?"),
    ('[relationships]\nanimal = { kind = "inverse" }', r'\[relationships\] animal: "pedigree" stands alone; '
     r'\{ file = "k\.csv", kind = "relationship" \} \(or "inverse"\) names a file$'),
    ('[relationships]\nanimal = { file = "k.csv", kind = "inverse" }',
     r"\[pedigree\] is given and \[relationships\] does not use it; write which factor's it is, or leave the section"),
    ('[base]\nkind = "birth_years"\nfirst = 15', r'\[base\]: kind = "birth_years" takes first and last, found first$'),
    ('[base]\nkind = "founders"\nfirst = 15', r'\[base\]: kind = "founders" takes no other key, found first$'),
    ('[base]\nkind = "founders"\nrecorded_only = true', r'kind = "founders" takes no other key, found recorded_only$'),
    ('[base]\nkind = "ids"', r'\[base\]: kind = "ids" takes file, found none$'),
    ('[base]\nkind = "birth_years"\nfirst = 18\nlast = 17', r"\[base\]: first = 18 is later than last = 17$"),
    ('[base]\nkind = "birthyears"', r"\[base\] kind can be 'founders', .*did you mean 'birth_years'"),
]  # fmt: skip


def refused(folder, text, message):
    with pytest.raises((ConfigurationError, ModelError), match=message) as caught:
        read(folder, text)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(("old", "new", "message"), REPLACED)
def test_refused_in_plain_words(tmp_path, old, new, message):
    assert old in SMALL
    refused(tmp_path, SMALL.replace(old, new), message)


@pytest.mark.parametrize(("added", "message"), ADDED)
def test_added_sections_are_refused_in_plain_words(tmp_path, added, message):
    refused(tmp_path, SMALL + added, message)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigurationError, match=r"x\.toml: there is no such file$"):
        read_config(tmp_path / "x.toml")
    with pytest.raises(ConfigurationError, match=r"this is a folder; name the configuration file in it$"):
        read_config(tmp_path)
    with pytest.raises(ConfigurationError, match=r"the file cannot be read: File name too long$"):
        read_config(tmp_path / ("x" * 300))
    (tmp_path / "latin.toml").write_bytes(b"# \xe4\n")
    with pytest.raises(ConfigurationError, match=r"latin\.toml: the file is not UTF-8; save it as UTF-8 text$"):
        read_config(tmp_path / "latin.toml")


def test_animals_without_a_relationship_are_refused(tmp_path):
    text = SMALL.replace('[pedigree]\nfile = "p.csv"\n', "")
    refused(
        tmp_path,
        text,
        r"the random term 'animal' has no relationship; give \[pedigree\], or a matrix in \[relationships\]",
    )
