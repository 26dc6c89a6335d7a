"""`evaluation.toml`: what it may say, and what is said of it when it is wrong."""

import json
import tomllib
from dataclasses import fields
from datetime import date, time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breedblup.adjustment import (
    AtPoints,
    BaseBirthYears,
    BaseFounders,
    Combination,
    Difference,
    SumOverRange,
)
from breedblup.analysis import EvaluateOptions
from breedblup.errors import ConfigurationError, ModelError
from breedblup.model import Model
from breedblup.pedigree import MISSING_PARENTS, PedigreeColumns, PedigreeRules
from breedblup.run.config import read_config
from breedblup.run.genotype_schema import GenotypeQualitySection, GenotypesSection, QualitySeveritiesSection
from breedblup.run.relationship_schema import RelationshipSection
from breedblup.run.schema import (
    BaseSection,
    BoundSection,
    CombinationSection,
    CurveSection,
    PedigreeRulesSection,
    PedigreeSection,
    Range,
    RecordsSection,
    RemlSection,
    ResultsSection,
    Sections,
    SolveSection,
    Span,
    StructureSection,
    TieSection,
    parse_sections,
)
from breedblup.run.sources import FromPedigree, MatrixInput
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
reduce = true
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
    assert config.relationships == {"animal": FromPedigree()}
    assert config.options == EvaluateOptions()
    assert (config.folder, config.format, config.base) == (tmp_path / "results/1", "csv", None)
    assert config.combinations == {}
    assert not config.pedigree.columns.of_sires
    assert set(config.inputs()) == {"configuration", "records", "pedigree"}


def test_everything_given(tmp_path):
    config = read(tmp_path, FULL)
    assert config.pedigree.columns == PedigreeColumns(id="name", birth="dob")
    assert config.pedigree.missing_parents == ("", "x")
    assert config.pedigree.rules == PedigreeRules(loop="repair", sex_role="error")
    assert config.records == Path("/data/r.csv")
    assert config.model == Model.from_formula("milk ~ herd + (1 | cow) + (1 | ide(cow)) + (1 | line)", weights="w")
    assert config.variances == VarianceComponents({"cow": 20.0, "ide(cow)": 12.0, "line": 3.0}, residual=28.0)
    assert config.relationships == {"cow": FromPedigree(), "line": MatrixInput(tmp_path / "k.csv", "inverse")}
    assert config.options == EvaluateOptions(
        method="pcg", pev="none", inbreeding=False, accuracy="bif", unknown_animals="founder", missing_effects="drop",
        reduce=True, memory_bytes=2**29, pcg=PcgOptions(maximum_rounds=77),
    )  # fmt: skip
    assert (config.format, config.base) == ("parquet", BaseBirthYears(2015, 2017, recorded_only=True))
    assert config.inputs()["relationship line"] == tmp_path / "k.csv"


def test_rules_are_those_of_the_pedigree():
    assert set(PedigreeRulesSection.model_fields) == {rule.name for rule in fields(PedigreeRules)}


def test_byte_order_mark_and_base_of_ids(tmp_path):
    config = read(tmp_path, "\ufeff" + SMALL + '[base]\nkind = "ids"\nfile = "b.csv"\n')
    assert config.base == config.inputs()["base"] == tmp_path / "b.csv"
    assert read(tmp_path, SMALL + '[base]\nkind = "founders"\n').base == BaseFounders()


ROUND_TRIPS = [
    Model.from_formula("milk ~ herd + (1 | animal)"),
    Model.from_formula("(milk, `fat %`) ~ herd + poly(age, 2) + (1 | animal)", weights={"milk": "w", "fat %": "v"}),
    Model.from_formula(
        ["wwt ~ sex + factor(year):factor(sex) + (1 | animal + dam) + (1 | ide(dam))", "ywt ~ 0 + sex + age + (1 | animal)"],
        weights={"ywt": "w"}, residual_classes=["herd", "sex"],
    ),
    Model.from_formula("milk ~ htd + parity:leg(dim, 4, range=(5, 305)) + (leg(dim, 2, range=(5, 305)) || animal)"),
    Model.from_formula("fat ~ 1 + (bspline(dim, 3, knots=(60, 120), range=(5, 305)) | animal) + (0 + c1 + c2 | ide(animal))"),
    Model.from_formula("gain ~ pen + (1 | animal + mm(p1, p2, weights=(1, share))) + (1 | vm(animal, D)) + (1 + t | litter)"),
    Model.from_formula("y ~ herd:year + covariate(age) + (1 | mm(sire, mgs, weights=(1, 0.5))) + (1 | herd:year:line)"),
]  # fmt: skip


def written(folder, model, *, model_section):
    """A configuration of a model, with a variance of 1 for each effect and a file for each relationship."""
    residual = {"": np.eye(len(model.traits))}
    classes = {"h1": residual[""].tolist()} if model.residual.classes else residual[""].tolist()
    matrices = {key: np.eye(len(model.coordinates(key))).tolist() for key in model.keys}
    names = {term.relationship_name for term in model.random} - {None}
    files = {name: {"file": "k.csv", "kind": "inverse"} for name in names}
    return "\n".join(
        [f"[model]\n{as_toml(model_section)}", f"[variances]\n{as_toml(matrices | {'residual': classes})}",
         f"[relationships]\n{as_toml(files)}", '[records]\nfile = "r.csv"\n[results]\nfolder = "x"\n']
    )  # fmt: skip


@pytest.mark.parametrize("model", ROUND_TRIPS, ids=str)
def test_a_model_comes_back_from_its_plain_form(tmp_path, model):
    assert read(tmp_path, written(tmp_path, model, model_section=model.to_dict())).model == model


@pytest.mark.parametrize("model", ROUND_TRIPS, ids=str)
def test_a_model_comes_back_from_its_formulas(tmp_path, model):
    residual = model.to_dict().get("residual", {})
    section = {"formula": list(model.formulas)} | {
        name: residual[key]
        for name, key in (("weights", "weights"), ("residual_classes", "classes"))
        if key in residual
    }
    assert read(tmp_path, written(tmp_path, model, model_section=section)).model == model


def as_toml(value, top=True):
    """A plain dict as keys of a section."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(key, ensure_ascii=False)} = {as_toml(inner, False)}" for key, inner in value.items()]
        return "\n".join(pairs) if top else "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(inner, False) for inner in value) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def test_matrices_and_residual_classes(tmp_path):
    text = SMALL.replace(
        'formula = "milk ~ herd + (1 | animal)"',
        'formula = ["milk ~ herd + (1 | animal)", "fat ~ age + (1 | animal)"]\nresidual_classes = "herd"',
    )
    text = text.replace("animal = 20.0\nresidual = 40", "animal = [[20.0, 18], [18, 40]]\n[variances.residual]\n"
                        "h1 = [[40, 11], [11, 30]]\nh2 = [[45, 0], [0, 30]]")  # fmt: skip
    config = read(tmp_path, text)
    assert config.model.residual.classes == ("herd",)
    assert config.variances == VarianceComponents(
        {"animal": [[20, 18], [18, 40]]}, residual={"h1": [[40, 11], [11, 30]], "h2": [[45, 0], [0, 30]]}
    )
    refused(
        tmp_path,
        text.replace("h1 = [[40, 11], [11, 30]]", "h1 = 40.0"),
        r"\[variances\] the matrix of the residual class 'h1' is 1 x 1, that of 'h2' is 2 x 2; each class needs a row for",
    )
    refused(
        tmp_path, text.replace("[[45, 0], [0, 30]]", '"45"'), r"\[variances\] residual class 'h2' has to be a number"
    )
    refused(
        tmp_path,
        text.replace("[[20.0, 18], [18, 40]]", "[[20.0, 18, 1], [18, 40, 1], [1, 1, 9]]"),
        r"\[variances\] the matrix of 'animal' is 3 x 3; the model needs 2 x 2, in this order: direct milk, direct fat$",
    )


RELATED = SMALL.replace("herd + (1 | animal)", "herd + (1 | animal) + (1 | vm(animal, D)) + (1 | sire)").replace(
    "animal = 20.0", 'animal = 20.0\n"vm(animal, D)" = 5.0\nsire = 5.0'
)
BUILT = '[relationships]\nanimal = { kind = "pedigree", prune = true }\nD = "dominance"\nsire = "sire_mgs"\n'


def test_relationships_of_the_pedigree(tmp_path):
    assert read(tmp_path, RELATED + BUILT).relationships == {
        "animal": FromPedigree("pedigree", prune=True),
        "D": FromPedigree("dominance"),
        "sire": FromPedigree("sire_mgs"),
    }
    refused(
        tmp_path, RELATED + BUILT.replace("D =", "E ="),
        r"^evaluation\.toml: \[relationships\] vm\(animal, D\) needs the relationship 'D', and none of that name is given; "
        r'write D = "dominance" for that of the pedigree, or D = \{ file = "k\.csv", kind = "relationship" \} for a matrix$',
    )  # fmt: skip
    needs = r"^evaluation\.toml: \[relationships\] vm\(animal, D\) needs the relationship 'D', and none .* D = \"dominance\" for"
    refused(tmp_path, RELATED, needs)
    alone = RELATED.replace("(1 | animal) + ", "").replace(" + (1 | sire)", "")
    refused(tmp_path, alone, needs)
    refused(
        tmp_path, RELATED + BUILT.replace("sire =", "sier ="),
        r"\[relationships\] a relationship is given for 'sier', but no random term \(1 \| sier\) is .*; did you mean 'sire'\?$",
    )  # fmt: skip
    refused(
        tmp_path, RELATED + '[relationships]\nD = "dominance"\n',
        r"^evaluation\.toml: the random term 'animal' has no relationship; add animal = \"pedigree\" to \[relationships\], which "
        r"has to list it too where it is given$",
    )  # fmt: skip
    alone = RELATED.replace('[pedigree]\nfile = "p.csv"\n', "") + '[relationships]\nsire = "sire_mgs"\n'
    refused(
        tmp_path, alone, r"\[relationships\] names 'sire_mgs', which is made of the pedigree, but section \[pedigree\]"
    )


def test_a_pedigree_of_sires(tmp_path):
    text = SMALL.replace("animal", "sire").replace('"p.csv"', '"p.csv"\nmaternal_grandsire = "mgs"')
    config = read(tmp_path, text + '[relationships]\nsire = { kind = "sire_mgs", prune = true }\n')
    assert config.pedigree.columns == PedigreeColumns(maternal_grandsire="mgs")
    assert config.pedigree.columns.of_sires
    assert config.relationships == {"sire": FromPedigree("sire_mgs", prune=True)}
    refused(
        tmp_path, text + '[relationships]\nsire = "pedigree"\n',
        r'\[relationships\] sire = "pedigree" needs dams, and \[pedigree\] has maternal_grandsire; write sire = "sire_mgs" '
        r"for relationships among sires, or name the dam in \[pedigree\]$",
    )  # fmt: skip
    refused(
        tmp_path,
        text.replace("| sire", "| animal").replace("\nsire =", "\nanimal ="),
        r'animal = "pedigree" needs dams',
    )


def test_the_pedigree_of_a_term_of_several_groups(tmp_path):
    text = SMALL.replace("(1 | animal)", "(1 | animal + dam)").replace("animal =", '"animal + dam" =')
    assert read(tmp_path, text.replace("20.0", "[[20, 1], [1, 5]]")).relationships == {"animal": FromPedigree()}


def test_combinations_and_curves(tmp_path):
    text = (
        SMALL
        + """
[[combinations]]
name = "total"
weights = { direct = 1.0, maternal = 1 }
trait = "milk"
term = "animal"
[[combinations]]
name = "index"
weights = { direct = { milk = 0.5 } }
[[curves]]
points = [60, 305.5]
[[curves]]
sum = { first = 5, last = 305 }
group = "maternal"
[[curves]]
sum = { first = 5, last = 305, step = 10 }
term = "animal"
[[curves]]
difference = { later = 280, earlier = 60 }
trait = "milk"
"""
    )
    assert list(read(tmp_path, text).combinations.items()) == [
        ("[[combinations]] 1", Combination("total", {"direct": 1.0, "maternal": 1}, trait="milk", term="animal")),
        ("[[combinations]] 2", Combination("index", {"direct": {"milk": 0.5}})),
        ("[[curves]] 1", AtPoints([60.0, 305.5])),
        ("[[curves]] 2", SumOverRange(5, 305, group="maternal")),
        ("[[curves]] 3", SumOverRange(5, 305, 10, term="animal")),
        ("[[curves]] 4", Difference(280, 60, trait="milk")),
    ]


def test_no_relationships(tmp_path):
    text = SMALL.replace('[pedigree]\nfile = "p.csv"\n', "").replace("animal", "pen")
    config = read(tmp_path, text)
    assert config.relationships == {}
    assert config.pedigree is None
    with pytest.raises(
        ConfigurationError, match=r"\[base\] is given, but no random term has a pedigree or another rel"
    ):
        read(tmp_path, text + '[base]\nkind = "founders"\n')


VALUES = st.one_of(
    st.sampled_from([True, 0, 1, -5, 10**400, 1.5, float("inf"), float("nan"), "", "x", "pedigree", "ids", [], {}]),
    st.sampled_from(
        [date(2026, 1, 1), time(1), [1], ["a", 2], {"file": 3}, {"kind": "matrix"}, [{}], {"": 1}, {"a b": {}}]
    ),
)
PLACES = [
    (), ("pedigree",), ("pedigree", "rules"), ("records",), ("model",), ("variances",), ("relationships",),
    ("relationships", "animal"), ("solve",), ("results",), ("base",), ("combinations", 0), ("curves", 0),
    ("curves", 0, "sum"), ("curves", 0, "difference"), ("reml",), ("reml", "structures"), ("reml", "structures", "animal"),
    ("reml", "bounds"), ("reml", "bounds", "animal"), ("reml", "ties"), ("reml", "ties", "animal"), ("genotypes",),
    ("genotypes", "quality"), ("genotypes", "quality", "severities"),
]  # fmt: skip
SECTIONS = (
    Sections, PedigreeSection, PedigreeRulesSection, RecordsSection, RelationshipSection, SolveSection, ResultsSection,
    BaseSection, CombinationSection, CurveSection, Range, Span, RemlSection, StructureSection, BoundSection, TieSection,
    GenotypesSection, GenotypeQualitySection, QualitySeveritiesSection,
)  # fmt: skip
KEYS = sorted({key for section in SECTIONS for key in section.model_fields} | {"animal", "x", "a b"})


@given(place=st.sampled_from(PLACES), key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_anywhere_is_taken_or_refused_in_plain_words(place, key, value):
    content = tomllib.loads(SMALL)
    section = content
    for name, inner in zip(place, (*place[1:], "")[: len(place)], strict=True):
        section = section[name] if isinstance(name, int) else section.setdefault(name, [{}] if inner == 0 else {})
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
     r"unknown section 'record'; did you mean 'records'\? \(known: pedigree, genotypes, records, model, "),
    ('"p.csv"', '"p"\nsirre = "s"', r"^evaluation\.toml: \[pedigree\] unknown key 'sirre'; did you mean 'sire'\? "
     r"\(known: file, id, sire, dam, maternal_grandsire, sex, birth, twin_of, missing_parents, groups, phantom_parents, "
     r"group_rule, rules\)$"),
    ('"p.csv"', '"p"\ngroups = ["G"]\nphantom_parents = "f.csv"', r"\[pedigree\]: groups of unknown parents are given "
     r"twice; give one of groups \(codes\), phantom_parents \(a file\) and group_rule$"),
    ('"p.csv"', '"p"\ngroups = ["G"]\nmaternal_grandsire = "g"', r"relationships among sires take no groups of unknown "
     r"parents; leave them out$"),
    ('"p.csv"', '"p"\ngroups = ["G"]\n[relationships]\nanimal = "dominance"', r"\[pedigree\] groups unknown parents, and "
     r"\[relationships\] does not use that; leave the groups out$"),
    ('"p.csv"', '"p"\ndam = "d"\nmaternal_grandsire = "g"', r"\[pedigree\]: dam and maternal_grandsire are both given; a "
     r"pedigree of sires has no dams, leave one out$"),
    ('"p.csv"', '"p"\nmaternal_grandsire = "g"\nrules = { sire_and_dam = "repair" }', r"\[pedigree\]: sire_and_dam cannot be "
     r"a fault where maternal grandsires are known; leave the rule out$"),
    ('[records]\nfile = "r.csv"', "[x]", r"\[records\] is missing; it has to be given\n.*unknown section 'x' \(kno"),
    ('\n[pedigree]\nfile = "p.csv"', "pedigree = 3", r"\[pedigree\] has to be a section, found the whole number 3$"),
    ("\n[pedigree]", 'fodler = "x"\n[pedigree]', r"unknown key 'fodler' \(known: pedigree, genotypes, records"),
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
    ("[variances]", "weights = 3\n[variances]", r"\[model\] weights has to be text in quotes, or a table with "
     r"the column of each trait, such as \{ milk = \"w\" \}$"),
    ("[variances]", "weights = { milk = 3 }\n[variances]", r"\[model\] weights has to be text in quotes, or a table"),
    ("[variances]", "weights = { mlik = \"w\" }\n[variances]", r"^evaluation\.toml: \[model\] the weights: the model has no "
     r"trait 'mlik'; did you mean 'milk'"),
    ("[variances]", "residual_classes = [1]\n[variances]", r"residual_classes has to be text in quotes, or a list of texts$"),
    ("[variances]", "traits = ['y']\n[variances]", r"unknown key 'traits' \(known: formula, weights, residual_classes\)$"),
    ("[variances]", "residual_classes = 'herd'\n[variances]",
     r"\[variances\] the model has a residual variance for each class of 'herd'; give one for each"),
    ("residual = 40", "residual = { h1 = 40 }", r"\[variances\] residual variances are given for the classes 'h1'; the model"),
    ("residual = 40", "residual = {}", r"\[variances\] the residual variances of classes are empty; give one for each class"),
    ('formula = "milk', 'formula = 3 # "', r"\[model\] formula has to be text in quotes, or a list of texts, one for each tr"),
    ("(1 | animal)", "(1 | animal", r"^evaluation\.toml: \[model\] formula, column 26: expected '\)' to close the '\(' "),
    ('"milk ~ herd + (1 | animal)"', '["fat ~ 1", "milk ~ herd + (1 | animal"]',
     r"^evaluation\.toml: \[model\] formula 2, column 26: expected '\)'"),
    ('"milk ~ herd + (1 | animal)"', '["fat ~ herd", "milk ~ herd:leg(dim, 2):factor(herd)"]', r"^evaluation\.toml: \[model\] formula 2"),
    ('"milk ~ herd + (1 | animal)"', '["milk ~ 1", "milk ~ herd + (1 | animal)"]',
     r"^evaluation\.toml: \[model\] formula: the formulas 1 and 2 both have the response 'milk'"),
    ("herd + (1", "milk + (1", r"^evaluation\.toml: \[model\] formula: "),
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
    ("| animal", "| ide(animal)", r"there is none that takes a relationship \(random terms: 'ide\(animal\)'\); leave \[ped"),
    ("| animal", "| animal:dam", r"^evaluation\.toml: \[pedigree\] is given for the random terms of the model, and there is none "
     r"that takes a relationship \(random terms: 'animal:dam'\); leave \[pedigree\] out, or write the random term of the "
     r"animals as \(1 \| animal\)$"),
    (" + (1 | animal)", "", r"\[pedigree\] is given for the random terms of the model, and there is none; leave \[pedigree\] out"),
    ('[pedigree]\nfile = "p.csv"\n', '[relationships]\nanimal = "pedigree"\n',
     r"\[relationships\] names the pedigree, but section \[pedigree\] is missing$"),
]  # fmt: skip

ADDED = [
    ('[pedigree.rules]\nlop = "warn"', r"\[pedigree\.rules\] unknown key 'lop'; did you mean 'loop'\?"),
    ('[pedigree.rules]\nborn_after = "wran"',
     r"\[pedigree\.rules\] born_after can be 'error', 'warn' or 'repair', found text 'wran'; did you mean 'warn'\?$"),
    ('[pedigree.rules]\nloop = "warn"', r"\[pedigree\.rules\] pedigree rule 'loop' cannot be 'warn'"),
    ("[solve]\ninbreeding = 1", r"\[solve\] inbreeding: it can be true, false or 'contemporaries', found the whole number 1$"),
    ("[solve]\ntolerance = 0.0", r"\[solve\] tolerance has to be more than 0, found 0\.0$"),
    ("[solve]\nmaximum_rounds = 0", r"\[solve\] maximum_rounds has to be at least 1, found 0$"),
    ("[solve]\nmaximum_rounds = 1.5", r"\[solve\] maximum_rounds has to be a whole number, found the number 1\.5$"),
    ("[solve]\nmemory_gib = inf", r"\[solve\] memory_gib has to be a finite number, found inf$"),
    ('[solve]\nmemory_gib = "8"', r"\[solve\] memory_gib has to be a number, found text '8'$"),
    ('[solve]\ncriterion = "relativ_residual"',
     r"\[solve\] criterion can be 'error', .* found text 'relativ_residual'; did you mean 'relative_residual'\?$"),
    ('[relationships]\nanimal = "pedigre"',
     r"\[relationships\.animal\] kind can be 'pedigree', 'groups', 'metafounders', 'dominance', 'sire_mgs', 'genomic', 'single_step', 'genomic_dominance', "
     r"'relationship' or 'inverse', found "
     r"text 'pedigre'; did you"),
    ('[relationships]\nanimal = 5', r"\[relationships\] animal has to be a section, found the whole number 5$"),
    ('[relationships]\nanimla = "pedigree"', r"^evaluation\.toml: \[relationships\] a relationship is given for 'animla', but no "
     r"random term \(1 \| animla\) is in the model; did you mean 'animal'\?$"),
    ('[relationships]\nanimla = { file = "k.csv", kind = "inverse" }', r"given for 'animla', .* did you mean 'animal'\?$"),
    ('[relationships]\nanimal = { file = "k.csv" }', r"\[relationships\.animal\] kind is missing"),
    ('[relationships]\nanimal = { fiel = "k.csv", kind = "inverse" }',
     r"\[relationships\.animal\] unknown key 'fiel'; did you mean 'file'\?"),
    ('[relationships]\nanimal = { kind = "inverse" }', r'\[relationships\] animal: "pedigree" stands alone, and so do '
     r'"groups", "dominance" and "sire_mgs"; '
     r'\{ file = "k\.csv", kind = "relationship" \} \(or "inverse", or "metafounders" with Γ\) names a file$'),
    ('[relationships]\nanimal = { kind = "groups", ratio = 2.0 }', r'\[relationships\] animal has kind = "groups", and '
     r"\[pedigree\] has no groups of unknown parents; give groups \(codes in the parent columns\), phantom_parents"),
    ('[relationships]\nanimal = { kind = "pedigree", ratio = 2.0 }', r"ratio is that of random groups; it goes with kind"),
    ('[relationships]\nanimal = { file = "k.csv", kind = "inverse" }',
     r"\[pedigree\] is given and \[relationships\] does not use it; write which factor's it is, or leave the section"),
    ('[relationships]\nanimal = { kind = "inverse", file = "k", prune = true }',
     r"\[relationships\] animal: prune goes with a pedigree, not with a file; leave it out$"),
    ("[combinations]\nname = 'x'", r"\[combinations\] has to be a list of sections; write \[\[combinations\]\] with two"),
    ("[[combinations]]\nname = 'x'", r"^evaluation\.toml: \[\[combinations\]\] 1 weights is missing; it has to be given$"),
    ("[[combinations]]\nname = 'x'\nweights = 3",
     r"\[\[combinations\]\] 1 weights has to be a section, found the whole number 3$"),
    ("[[combinations]]\nname = 'x'\nweights = { direct = '1' }",
     r"\[\[combinations\]\] 1: the weight of 'direct' in 'x' must be a finite number, found '1'$"),
    ("[[curves]]\npoints = [1]\n[[curves]]\npoits = [1]",
     r"\[\[curves\]\] 2 unknown key 'poits'; did you mean 'points'\? \(known: points, sum, difference, trait, term, group\)"),
    ("[[curves]]\ntrait = 'milk'", r"\[\[curves\]\] 1: give one of points = \[60, 305\], sum = \{ first = 5, last = 305 \} and "),
    ("[[curves]]\npoints = [1, 'x']", r"\[\[curves\]\] 1 points item 2 has to be a number, found text 'x'$"),
    ("[[curves]]\npoints = [1, 1]", r"^evaluation\.toml: \[\[curves\]\] 1: AtPoints has the point 1 more than once$"),
    ("[[curves]]\nsum = { first = 1 }", r"\[\[curves\]\] 1 sum\.last is missing; it has to be given$"),
    ("[[curves]]\nsum = { first = 1, lsat = 2 }", r"1 sum unknown key 'lsat'; did you mean 'last'\? \(known: first, last, st"),
    ("[[curves]]\ndifference = { later = 1, earlier = 60 }", r"1: the later point of Difference has to be above the earl"),
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


NOT_TOML = [
    ("milk = 1\nmilk = 2\n", r"\(at line 2, .*; this key or section is given before; leave one of the two out\n    milk = 2$"),
    ("[solve]\na = 1\n[solve]\n", r"line 3.*; this key or section is given before; leave one"),
    ("a = { b = 1, b = 2 }\n", r"this key or section is given before; leave one"),
    ("[variances]\nanimal = 20,5\n", r"line 2.*; numbers have a decimal point, such as 20\.5\n    animal = 20,5$"),
    ("animal,sire,dam\n1,2,3\n", r"^evaluation\.toml: this is no configuration: it begins with 'animal,sire,dam', and not with a "
     r"section such as \[records\]; give the path of evaluation\.toml$"),
    ('# mine\n{"records": 1}\n', r"this is no configuration: it begins with '\{\"records\": 1\}', and not"),
    ("formula = milk ~ herd\n", r"line 1.*; text belongs in quotes, and so do names with .*\n    formula = milk ~ herd$"),
    ("file = 2026.csv\n", r"; text belongs in quotes"),
    ("[variances]\nide(animal) = 12.0\n", r"; text belongs in quotes, and so do names .*\n    ide\(animal\) = 12\.0$"),
    ("[records]\nfile r.csv\n", r"; write a section as \[records\], and all else as name = value\n    file r\.csv$"),
    ('file = "C:\\data\\x"\n', r"; write / in names of files, or put them between single quotes"),
    ("file = “r.csv”\n", r'; put text between straight quotes, "…"'),
    ("reduce = True\n", r"; write true and false in small letters"),
    ("animal =\n", r"; write a value behind the ="),
    ('file = "r.csv\n', r"; close the quotes on the line on which they open"),
    ("animal = [[20, 5 1]]\n", r"; close the bracket; commas stand between the items of a list or table"),
    ("[records\nx = 1\n", r"; close the bracket"),
    ("animal = [1, 2", r"this is not TOML: .*; close the bracket; .* list or table$"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), NOT_TOML)
def test_advice_on_a_file_that_is_not_toml(tmp_path, text, message):
    refused(tmp_path, text, message)


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
