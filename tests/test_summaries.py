"""Every fit has a summary: ratios where the records of a trait have one variance, a sentence where they have several."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest
from test_bootstrap import fitted
from test_reml_dense import KINDS, draw

import breedblup as bb
from breedblup.analysis.reml_fit import RemlFit
from breedblup.analysis.summary import summary_tables
from breedblup.inference.ratios import heritabilities, proportions, repeatabilities


def fit_of(formula: str | Sequence[str], *, classes: Sequence[str] = (), known: bool = True) -> RemlFit:
    data = draw(7)
    model = bb.Model.from_formula(formula if isinstance(formula, str) else list(formula), residual_classes=classes)
    return bb.estimate_variances(model, data.records, {"animal": data.known["animal"]} if known else None)


def notes_of(fit: RemlFit) -> str:
    """The notes of a summary in one line."""
    return " ".join(fit.summary().split("\n\nNotes\n")[1].split())


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_of_model_has_a_summary(name: str) -> None:
    fit = fitted(name)
    shown = fit.summary()
    assert shown.startswith("Linear m")
    assert shown.count("\n\n") == fit._repr_html_().count("<p><b>") + ("Residual standard error" in shown) - 1


@pytest.mark.parametrize(
    ("formula", "classes"),
    [
        ("y1 ~ x + (0 + class | animal)", ()),
        ("y1 ~ x + (class | litter)", ()),
        ("y1 ~ x + (0 + class || litter)", ()),
        ("y1 ~ x + (0 + class:day | litter)", ()),
        ("y1 ~ x + (0 + class | litter) + (1 | mm(mate1, mate2))", ("herd",)),
    ],
)
def test_where_variances_differ_between_classes_the_summary_says_so(formula: str, classes: Sequence[str]) -> None:
    fit = fit_of(formula, classes=classes, known="animal)" in formula)
    tables = summary_tables(fit)
    assert set(tables.ratios["what"]) <= {"correlation"}
    assert tables.shares.height == 0
    assert "no ratios: the variance of 'y1' differs between the classes of 'class' through" in notes_of(fit)
    assert "fit.derive(expression) has that of a class" in notes_of(fit)
    assert "no ratios" in fit._repr_html_()


def test_along_a_curve_the_summary_says_where_ratios_are() -> None:
    fit = fit_of("y1 ~ herd + (day | litter)", known=False)
    said = (
        "no single ratios: the variance of 'y1' changes with 'day' through 'litter'; fit.along(points) has them there"
    )
    assert said in notes_of(fit)
    assert set(summary_tables(fit).ratios["what"]) == {"correlation"}


def test_traits_with_one_variance_keep_their_ratios() -> None:
    formulas = ["y1 ~ herd + (1 | animal) + (0 + class | litter)", "y2 ~ herd + (1 | animal)"]
    fit = fit_of(formulas)
    tables, arguments = summary_tables(fit), (fit.estimates, fit.model, fit.problem.design)
    assert "the variance of 'y1' differs" in notes_of(fit)
    assert "the variance of 'y2'" not in notes_of(fit)
    ratios = tables.ratios.filter(pl.col("what") != "correlation")
    wanted = heritabilities(*arguments, trait="y2").frame
    assert (
        ratios.select("trait", "term", "estimate", "se").rows()
        == wanted.select("trait", "term", "estimate", "se").rows()
    )
    columns = ["term", "trait", "effect", "estimate"]
    assert tables.shares.rows() == proportions(*arguments, trait="y2").frame.select(columns).rows()


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        (("y1 ~ herd + (1 | animal)", "y2 ~ herd"), {("heritability", "y1")}),
        (
            ("y1 ~ herd + (1 | animal)", "y2 ~ herd + (1 | litter)"),
            {("heritability", "y1"), ("intra-class correlation", "y2")},
        ),
        (
            ("y1 ~ herd + (1 | animal + mother)", "y2 ~ herd + (1 | animal)"),
            {("heritability", "y1"), ("total heritability", "y1"), ("heritability", "y2"),
             ("intra-class correlation", "y1")},
        ),
        ("y1 ~ herd + (1 | mm(mate1, mate2))", set()),
        ("y1 ~ herd", set()),
    ],
)  # fmt: skip
def test_each_trait_has_the_ratios_that_it_can_have(formula: str | Sequence[str], wanted: set[tuple[str, str]]) -> None:
    fit = fit_of(formula, known="animal" in str(formula))
    ratios = summary_tables(fit).ratios.filter(pl.col("what") != "correlation")
    assert set(ratios.select("what", "trait").rows()) == wanted


def test_ratios_that_a_model_cannot_have_are_refused() -> None:
    linear = fit_of("y1 ~ herd", known=False)
    with pytest.raises(bb.ModelError, match=r"^the model has no random terms, so no .*; see fit\.linear_model"):
        _ = linear.intraclass_correlation
    with pytest.raises(bb.ModelError, match=r"^no random term has the levels of one factor, so there is no repeat"):
        _ = linear.repeatability
    assert linear.proportions.frame["note"].to_list() == [
        "no standard error: the value is the same whatever the components are"
    ]
    members = fit_of("y1 ~ herd + (1 | mm(mate1, mate2))", known=False)
    with pytest.raises(bb.ModelError, match=r"^there are no random terms with one level a record, .*; see fit\.comp"):
        _ = members.intraclass_correlation
    own = fit_of(["y1 ~ herd + (1 | animal)", "y2 ~ herd + (1 | litter)"])
    arguments = own.estimates, own.model, own.problem.design
    with pytest.raises(bb.ModelError, match="^no random term of the trait has a relationship, so it has no heritab"):
        heritabilities(*arguments, trait="y2")
    with pytest.raises(
        bb.ModelError, match="^no random term of the trait has the levels of 'animal', so there is no rep"
    ):
        repeatabilities(*arguments, factor="animal", trait="y2")


def test_structural_zeros_make_a_phenotypic_correlation_of_zero() -> None:
    data = draw(7)
    structures = {"animal": bb.Diagonal(), "residual": bb.Diagonal()}
    known = {"animal": data.known["animal"]}
    model = bb.Model.from_formula("(y1, y2) ~ herd + (1 | animal)")
    fit = bb.estimate_variances(model, data.records, known, structures=structures)
    row = fit.correlations.frame.filter(term="phenotypic").row(0, named=True)
    assert (row["estimate"], row["se"]) == (0.0, None)
    assert row["note"] == "zero by the structure of the matrices"


def test_covariances_along_name_effects_of_related_levels() -> None:
    assert fit_of("y1 ~ herd + (day | litter)", known=False).covariances_along([1.0]).frame["effect"].to_list() == [
        None
    ]
    assert fit_of("y1 ~ herd + (day | animal)").covariances_along([1.0]).frame["effect"].to_list() == ["direct"]


def test_the_observed_information_is_refused_beside_a_singular_matrix() -> None:
    data = draw(7)
    model = bb.Model.from_formula("y1 ~ x + (0 + class | animal)")
    with pytest.raises(
        bb.NumericalError, match="^the observed information is asked for beside the boundary .* -> ask for"
    ):
        bb.estimate_variances(
            model, data.records, {"animal": data.known["animal"]}, options=bb.RemlOptions(information="observed")
        )


def test_whole_numbers_are_criteria_too() -> None:
    assert bb.RemlOptions(gain=1, change=2).gain == 1
    with pytest.raises(bb.ModelError, match="gain is True; it has to be a number above 0"):
        bb.RemlOptions(gain=True)
