"""Ratios of variances that have names: what the variance of a record is made of, scales, curves, correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT, REFS, expected_in, shared_case
from numpy.typing import NDArray

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.reml_fit import RemlFit
from breedblup.design.complete import complete_model
from breedblup.errors import ModelError
from breedblup.inference.effect_correlations import correlations, curve_covariances
from breedblup.inference.functions import derive
from breedblup.inference.ratio_table import RatioTable
from breedblup.inference.ratios import (
    heritabilities,
    intraclass_correlations,
    phenotypic_variances,
    proportions,
    repeatabilities,
    total_maternal_heritabilities,
)
from breedblup.reml.estimates import Estimates
from breedblup.variances import Diagonal, ParameterSpace

Fitted = tuple[Estimates, bb.Model, bb.Design]


def random_covariance(p: int, seed: int = 4) -> NDArray[np.float64]:
    half = np.random.default_rng(seed).standard_normal((p, 2 * p))
    return half @ half.T / (2 * p)


def fitted(formula: Any, records: Any, relationships: Mapping[str, Any], theta: list[float], **options: Any) -> Fitted:
    """Estimates at given values, with a covariance that is not that of the data."""
    structures = options.pop("structures", None)
    model = complete_model(bb.Model.from_formula(formula, **options), records)
    built = {name: bb.a_inverse(k) if isinstance(k, bb.Pedigree) else k for name, k in relationships.items()}
    design = bb.build_design(model, records, built)
    classes = () if design.residual_levels is None else tuple(design.residual_levels)
    space = ParameterSpace.of(model, classes, structures)
    values = np.array(theta)
    status = space.status(values)
    free = np.array([one in ("free", "tied") for one in status])
    return (
        Estimates(space, values, random_covariance(values.size) * np.outer(free, free), status, "average"),
        model,
        design,
    )


def agrees_with_its_expressions(table: RatioTable, estimates: Estimates) -> None:
    """Each row is what `derive` makes of its expression, and so is its standard error."""
    for row, variance in zip(table.frame.iter_rows(named=True), table.covariance.diagonal(), strict=True):
        found = derive(estimates, row["expression"])
        assert row["estimate"] == pytest.approx(found.estimate, rel=1e-9)
        assert row["se"] == (None if found.se is None else pytest.approx(found.se, rel=1e-7))
        assert row["note"] == found.note
        assert found.se is None or math.sqrt(variance) == pytest.approx(found.se, rel=1e-7)


@pytest.fixture(scope="module")
def gryphon() -> RemlFit:
    folder = shared_case("gryphon_repeated")
    model = bb.Model.from_formula("lay_date ~ factor(age) + (1 | id) + (1 | ide(id))")
    pedigree = bb.read_pedigree(folder / "pedigree.csv")
    return estimate_variances(model, bb.read_records(folder / "data.csv"), {"id": pedigree})


def test_published_heritability_and_repeatability(gryphon: RemlFit) -> None:
    case = expected_in(shared_case("gryphon_repeated"))["expected"]["y_age_animal_pe"]
    parts = gryphon.estimates, gryphon.model, gryphon.problem.design
    h2, repeatability = heritabilities(*parts), repeatabilities(*parts)
    assert h2.estimate == pytest.approx(case["h2"], abs=1e-5)
    assert h2.se == pytest.approx(case["h2_se"], rel=1e-3)
    assert repeatability.estimate == pytest.approx(case["repeatability"], abs=1e-5)
    assert repeatability.se == pytest.approx(case["repeatability_se"], rel=1e-3)
    for table in (h2, repeatability, proportions(*parts), intraclass_correlations(*parts)):
        agrees_with_its_expressions(table, gryphon.estimates)
    assert proportions(*parts).frame["estimate"].sum() == pytest.approx(1.0, rel=EXACT)


TWIN = [25.5, -11.8, 39.2, 11.1, 48.0]


@pytest.fixture(scope="module")
def maternal() -> Fitted:
    folder = REFS / "twin_maternal"
    pedigree = bb.read_pedigree(folder / "pedigree.csv")
    return fitted(
        "y ~ hys + (1 | animal + dam) + (1 | ide(dam))",
        bb.read_records(folder / "data.csv"),
        {"animal": pedigree},
        TWIN,
    )


def test_direct_and_maternal_effects(maternal: Fitted) -> None:
    total = 25.5 - 11.8 + 39.2 + 11.1 + 48.0  # Willham (1972)
    found = heritabilities(*maternal)
    assert found.frame.select("trait", "term", "effect", "scale").rows() == [
        ("y", "animal + dam", "direct", "base population"),
        ("y", "animal + dam", "maternal", "base population"),
    ]
    assert found.frame["estimate"].to_list() == pytest.approx([25.5 / total, 39.2 / total], rel=EXACT)
    assert found.frame["plain"].to_list() == found.frame["estimate"].to_list()
    willham = total_maternal_heritabilities(*maternal)
    assert willham.estimate == pytest.approx((25.5 - 1.5 * 11.8 + 0.5 * 39.2) / total, rel=EXACT)
    shares = proportions(*maternal)
    assert dict(
        shares.frame.select(pl.concat_str("term", "effect", separator="/", ignore_nulls=True), "estimate").rows()
    ) == (
        pytest.approx(
            {
                "animal + dam/direct": 25.5 / total,
                "animal + dam/maternal": 39.2 / total,
                "animal + dam/direct, maternal": -11.8 / total,
                "ide(dam)/direct": 11.1 / total,
                "residual": 48.0 / total,
            }
        )
    )
    assert phenotypic_variances(*maternal).estimate == pytest.approx(total, rel=EXACT)
    groups = intraclass_correlations(*maternal)
    assert groups.frame.select("grouping", "estimate").rows() == [
        ("animal", pytest.approx(25.5 / total)),
        ("dam", pytest.approx((39.2 + 11.1) / total)),
    ]
    for table in (found, willham, shares, groups, phenotypic_variances(*maternal)):
        agrees_with_its_expressions(table, maternal[0])


def test_the_observed_scale_is_the_mean_variance_of_the_records(maternal: Fitted) -> None:
    estimates, _, design = maternal
    direct, mate = (link.codes for link in design.random[0].links)
    relationship = design.random[0].relationship
    assert relationship is not None
    a = bb.a22(relationship, relationship.ids.to_list())
    g = estimates.space.matrix(estimates.theta, estimates.space.blocks[0])
    variances = [
        g[0, 0] * a[i, i] + g[1, 1] * a[j, j] + 2 * g[1, 0] * a[i, j] + 11.1 + 48.0
        for i, j in zip(direct, mate, strict=True)
    ]
    assert (a.diagonal() > 1.0).any()
    total = float(np.mean(variances))
    assert phenotypic_variances(*maternal).frame["scaled"][0] == pytest.approx(total, rel=EXACT)
    found = heritabilities(*maternal).frame
    means = [a.diagonal()[direct].mean(), a.diagonal()[mate].mean()]
    assert found["mean_diagonal"].to_list() == pytest.approx(means, rel=EXACT)
    assert found["scaled"].to_list() == pytest.approx(np.array([25.5, 39.2]) * means / total, rel=EXACT)
    assert proportions(*maternal).frame["scaled"].sum() == pytest.approx(1.0, rel=EXACT)


def test_repeatability_of_a_maternal_model_names_its_animals(maternal: Fitted) -> None:
    assert repeatabilities(*maternal).frame["grouping"].to_list() == ["animal"]
    with pytest.raises(
        ModelError,
        match="no random term has the levels of 'anmal'; did you mean 'animal'\\?; there are 'animal', 'dam'",
    ):
        repeatabilities(*maternal, factor="anmal")
    estimates, model, design = fitted("y ~ (1 | a) + (1 | b)", two_way(), {}, [1.0, 2.0, 3.0])
    with pytest.raises(
        ModelError,
        match="the levels of 'a', 'b' could be the animals whose records repeat; name the column: fit.repeatability_of",
    ):
        repeatabilities(estimates, model, design)
    assert repeatabilities(estimates, model, design, factor="b").estimate == pytest.approx(2.0 / 6.0)


def two_way(n: int = 24) -> pl.DataFrame:
    k = np.arange(n)
    return pl.DataFrame(
        {
            "y": k % 5 + 0.5,
            "x": (k % 7) / 2.0,
            "w": 1.0 + k % 3,
            "a": [f"a{i}" for i in k % 4],
            "b": [f"b{i}" for i in k // 6],
            "sex": np.where(k % 2, "F", "M"),
            "h": np.where(k < 10, "H1", "H2"),
        }
    )


def test_a_single_number_needs_a_single_row(maternal: Fitted) -> None:
    with pytest.raises(
        ModelError, match="Heritability: there are 2 rows, so there is no single estimate; take it from .frame"
    ):
        _ = heritabilities(*maternal).estimate
    with pytest.raises(ModelError, match="there are 2 rows, so there is no single se"):
        _ = heritabilities(*maternal).se


def test_nested_groupings_share_what_they_imply() -> None:
    parts = fitted("y ~ (1 | a/b)", two_way(), {}, [1.0, 2.0, 3.0])
    found = intraclass_correlations(*parts)
    assert dict(found.frame.select("grouping", "estimate").rows()) == pytest.approx({"a": 1.0 / 6.0, "a:b": 3.0 / 6.0})
    agrees_with_its_expressions(found, parts[0])


def dense_k(ids: list[str], scale: float) -> bb.RelationshipInverse:
    half = np.random.default_rng(8).standard_normal((len(ids), 40))
    return bb.inverse_from(scale * (half @ half.T / 40 + 0.1 * np.eye(len(ids))), ids, kind="relationship")


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_heritability_with_a_given_k_does_not_depend_on_its_scale(scale: float) -> None:
    records = pl.DataFrame({"y": np.arange(8) % 3.0, "id": [f"i{k}" for k in (0, 1, 1, 2, 3, 3, 3, 4)]})
    ids = [f"i{k}" for k in range(6)]
    parts = fitted("y ~ (1 | id)", records, {"id": dense_k(ids, scale)}, [6.0 / scale, 10.0])
    diagonal = dense_k(ids, 1.0).diagonal[[0, 1, 1, 2, 3, 3, 3, 4]].mean()
    found = heritabilities(*parts)
    assert found.estimate == pytest.approx(6.0 * diagonal / (6.0 * diagonal + 10.0), rel=EXACT)
    assert found.frame["scale"].to_list() == ["mean diagonal of K"]
    assert found.frame["plain"][0] == pytest.approx(6.0 / scale / (6.0 / scale + 10.0), rel=EXACT)
    assert found.frame["scaled"][0] == found.estimate
    assert "id: estimates are those of the mean diagonal of K; K has a mean diagonal of" in repr(found)
    assert "plain_se" in repr(found)
    agrees_with_its_expressions(found, parts[0])


def test_given_k_between_the_levels_of_a_record() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "i": ["a", "b", "c"], "m": ["b", "d", "b"]})
    k = dense_k(["a", "b", "c", "d"], 1.0)
    parts = fitted("y ~ (1 | i + m)", records, {"i": k}, [4.0, 1.0, 3.0, 5.0])
    dense = k.multiply(np.eye(4))
    wanted = np.mean([4 * dense[i, i] + 3 * dense[j, j] + 2 * dense[i, j] + 5 for i, j in ((0, 1), (1, 3), (2, 1))])
    assert phenotypic_variances(*parts).estimate == pytest.approx(wanted, rel=EXACT)


def test_metafounders_scale_and_fixed_groups_do_not() -> None:
    folder = REFS / "twin_metafounder"
    gamma = expected_in(folder)["inputs"]["Gamma"]
    pedigree = bb.read_pedigree(folder / "pedigree.csv", groups=("M1", "M2", "M3"))
    inverse = bb.metafounder_inverse(pedigree, gamma)
    dams = dict(pl.read_csv(folder / "pedigree.csv").select("animal", "dam").rows())
    pairs = [(animal, dam) for animal, dam in dams.items() if dam in dams]
    records = pl.DataFrame({"y": [float(k % 3) for k in range(len(pairs))]}).with_columns(
        animal=pl.Series([animal for animal, _ in pairs]), dam=pl.Series([dam for _, dam in pairs])
    )
    k, ids = inverse.multiply(np.eye(len(inverse))), inverse.ids.to_list()
    places = [(ids.index(animal), ids.index(dam)) for animal, dam in pairs]
    parts = fitted("y ~ (1 | animal + dam)", records, {"animal": inverse}, [4.0, 1.0, 3.0, 5.0])
    total = np.mean([4 * k[i, i] + 3 * k[j, j] + 2 * k[i, j] + 5 for i, j in places])
    assert phenotypic_variances(*parts).estimate == pytest.approx(total, rel=EXACT)
    found = heritabilities(*parts).frame
    assert found["scale"].unique().to_list() == ["mean diagonal of K"]
    assert found["estimate"][0] == pytest.approx(4 * np.mean([k[i, i] for i, _ in places]) / total, rel=EXACT)
    fixed = fitted("y ~ (1 | animal + dam)", records, {"animal": bb.group_inverse(pedigree)}, [4.0, 1.0, 3.0, 5.0])
    assert heritabilities(*fixed).frame["scale"].unique().to_list() == ["base population"]
    assert phenotypic_variances(*fixed).estimate == pytest.approx(4.0 + 1.0 + 3.0 + 5.0, rel=EXACT)


def test_sires_and_maternal_grandsires() -> None:
    sires = pl.DataFrame({"sire": ["s1", "s2", "s3"], "father": [None, "s1", "s1"], "mgs": [None, None, "s2"]})
    columns = bb.PedigreeColumns(id="sire", sire="father", maternal_grandsire="mgs")
    inverse = bb.sire_mgs_inverse(bb.read_pedigree(sires, columns=columns))
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "sire": ["s1", "s3", "s2"], "mgs": ["s2", "s2", "s3"]})
    parts = fitted("y ~ (1 | mm(sire, mgs, weights=(1, 0.5)))", records, {"sire": inverse}, [5.0, 60.0])
    k = inverse.multiply(np.eye(3))
    found = heritabilities(*parts)
    # s1 and s2, s3 and s2, s2 and s3 are each sire or maternal grandsire of the other
    shares = [0.5, 0.25, 0.25]
    base = np.mean([5.0 * (1 + 0.25 + share) for share in shares]) + 60.0
    assert found.estimate == pytest.approx(4 * 5.0 / base, rel=EXACT)
    observed = [5.0 * (k[i, i] + 0.25 * k[j, j] + k[i, j]) for i, j in ((0, 1), (2, 1), (1, 2))]
    assert phenotypic_variances(*parts).frame["scaled"][0] == pytest.approx(np.mean(observed) + 60.0, rel=EXACT)
    assert "levels are sires, so the heritability is 4 times their share" in repr(found)


def test_levels_that_may_be_sires() -> None:
    """A pedigree does not say whose records they are; the share of a term that looks like sires says what it is then."""
    pedigree = bb.read_pedigree(pl.DataFrame({"animal": ["s1", "s2", "s3", "d1"], "sire": [None, "s1", "s1", None],
                                              "dam": [None, None, "d1", None]}))  # fmt: skip
    records = pl.DataFrame(
        {"sire": ["s1", "s2", "s3"] * 2, "mgs": ["s2", "s3", "s1"] * 2, "y": [1.0, 2.0, 4.0, 3.0, 1.0, 5.0]}
    )
    note = "if its levels are the sires of the recorded animals, the heritability is 4 times this share"
    for formula in ("y ~ (1 | sire)", "y ~ (1 | mm(sire, mgs, weights=(1, 0.5)))"):
        found = heritabilities(*fitted(formula, records, {"sire": pedigree}, [1.0, 9.0]))
        assert found.frame["note"].to_list() == [note]
        assert note in repr(found)
    once = records.with_columns(sire=pl.Series(["s1", "s2", "s3", "s1", "d1", "d1"]))
    for formula, given, theta in (
        ("y ~ (1 | sire)", once, [1.0, 9.0]),
        ("y ~ (1 | sire)", records.head(3), [1.0, 9.0]),
        ("y ~ (1 | sire) + (1 | ide(sire))", records, [1.0, 2.0, 9.0]),
    ):
        assert heritabilities(*fitted(formula, given, {"sire": pedigree}, theta)).frame["note"].to_list() == [""]


def test_a_note_stands_before_that_of_the_error() -> None:
    pedigree = bb.read_pedigree(pl.DataFrame({"animal": ["s1", "s2"], "sire": [None, "s1"], "dam": [None, None]}))
    records = pl.DataFrame({"sire": ["s1", "s2"] * 2, "y": [1.0, 2.0, 4.0, 3.0]})
    found = heritabilities(*fitted("y ~ (1 | sire)", records, {"sire": pedigree}, [0.0, 9.0])).frame
    assert found["note"][0].startswith("if its levels are the sires")
    assert found["note"][0].endswith("; no standard error: sire is on its boundary and adds no variance")


def test_weights_of_records_and_of_members() -> None:
    parts = fitted("y ~ (1 | mm(a, b, weights=(w, 2)))", two_way(), {}, [4.0, 9.0], weights="w")
    found = phenotypic_variances(*parts)
    w = two_way()["w"].to_numpy()
    assert found.estimate == pytest.approx(4.0 * np.mean(w**2 + 4.0) + 9.0, rel=EXACT)
    assert found.notes == ("the residual variance is that of a record with weight 1",)


def test_residual_classes_have_rows_of_their_own() -> None:
    parts = fitted("y ~ (1 | a)", two_way(), {}, [2.0, 3.0, 6.0], residual_classes="h")
    found = intraclass_correlations(*parts)
    assert found.frame.select("residual_class", "estimate").rows() == [("H1", 0.4), ("H2", 0.25)]
    agrees_with_its_expressions(found, parts[0])


RR = [6.2, -2.1, 0.9, 7.7, 3.4, 4.6, 2.9]


@pytest.fixture(scope="module")
def curves() -> Fitted:
    folder = REFS / "twin_rr"
    pedigree = bb.read_pedigree(folder / "pedigree.csv")
    records = bb.read_records(folder / "data.csv")
    leg = "leg(days, 1, range=(10, 300))"
    return fitted(f"y ~ ({leg} | animal) + ({leg} | ide(animal))", records, {"animal": pedigree}, RR)


def test_along_a_curve(curves: Fitted) -> None:
    days = [10.0, 155.0, 290.0]
    estimates, _, design = curves
    g, p = (estimates.space.matrix(estimates.theta, block) for block in estimates.space.blocks[:2])
    phi = bb.basis_values(design.random[0].functions[0].basis, days)
    genetic, permanent = (np.einsum("tk,kl,tl->t", phi, one, phi) for one in (g, p))
    total = genetic + permanent + 2.9
    h2, again = heritabilities(*curves, points=days), repeatabilities(*curves, points=days)
    assert h2.frame.select("point", "estimate").rows() == [
        (day, pytest.approx(one)) for day, one in zip(days, genetic / total, strict=True)
    ]
    assert again.frame["estimate"].to_list() == pytest.approx((genetic + permanent) / total, rel=EXACT)
    assert phenotypic_variances(*curves, points=days).frame["estimate"].to_list() == pytest.approx(total, rel=EXACT)
    for table in (h2, again, proportions(*curves, points=days)):
        agrees_with_its_expressions(table, estimates)


def test_covariances_along_a_curve(curves: Fitted) -> None:
    estimates, _, design = curves
    found = curve_covariances(*curves, [20.0, 200.0], term="animal").frame
    phi = bb.basis_values(design.random[0].functions[0].basis, [20.0, 200.0])
    matrix = phi @ estimates.space.matrix(estimates.theta, estimates.space.blocks[0]) @ phi.T
    assert found["covariance"].to_list() == pytest.approx([matrix[0, 0], matrix[0, 1], matrix[1, 1]], rel=EXACT)
    r = matrix[0, 1] / math.sqrt(matrix[0, 0] * matrix[1, 1])
    assert found["estimate"].to_list() == pytest.approx([1.0, r, 1.0], rel=EXACT)
    weights = phi[0][:, None] * phi[1]
    text = (
        f"{weights[0, 0]} * animal[1,1] + {weights[0, 1] + weights[1, 0]} * animal[2,1] + {weights[1, 1]} * animal[2,2]"
    )
    assert found["covariance_se"][1] == pytest.approx(derive(estimates, text).se, rel=1e-7)
    assert found["se"].is_null().to_list() == [True, False, True]
    assert curve_covariances(*curves, [20.0, 200.0]).frame["term"].unique(maintain_order=True).to_list() == [
        "animal",
        "ide(animal)",
    ]


def test_refused_points(curves: Fitted, maternal: Fitted) -> None:
    with pytest.raises(
        ModelError,
        match="the variance of 'y' changes with 'days' through 'animal'; take it at points of 'days': fit.along",
    ):
        heritabilities(*curves)
    with pytest.raises(ModelError, match="301 lies outside the limits \\(10, 300\\)"):
        heritabilities(*curves, points=[301.0])
    with pytest.raises(ModelError, match="the list of points is empty; give at least one"):
        heritabilities(*curves, points=[])
    with pytest.raises(
        ModelError,
        match="points are given, but no random term is a regression on a covariate, so nothing .* -> take fit.heritability",
    ):
        heritabilities(*maternal, points=[1.0])
    with pytest.raises(
        ModelError, match="the model has no random term 'anima'; did you mean 'animal'\\?; it has 'animal', 'ide"
    ):
        curve_covariances(*curves, [20.0], term="anima")
    several = fitted("y ~ (x | a) + (w | b)", two_way(), {}, [2.0, 0.1, 1.0, 3.0, 0.2, 1.0, 4.0])
    with pytest.raises(
        ModelError,
        match="random terms depend on the covariates 'x', 'w', and a point is a value of one; write the function",
    ):
        proportions(*several, points=[1.0])
    weighted = fitted("y ~ (x | mm(a, b, weights=(w, 1)))", two_way(), {}, [2.0, 0.1, 1.0, 4.0])
    with pytest.raises(
        ModelError, match="the weights of 'mm\\(.*' differ between records and its effects depend on a covariate"
    ):
        proportions(*weighted, points=[1.0])
    mixed = fitted("y ~ (x | a) + (1 | b)", two_way(), {}, [2.0, 0.1, 1.0, 3.0, 4.0])
    with pytest.raises(ModelError, match="'b' is no regression on a covariate, so it has no curve"):
        curve_covariances(*mixed, [1.0], term="b")


def test_random_slopes_have_ratios_at_points() -> None:
    parts = fitted("y ~ (x | a) + (1 | b)", two_way(), {}, [2.0, 0.1, 1.0, 3.0, 4.0])
    found = intraclass_correlations(*parts, points=[0.0, 2.0])
    own = np.array([2.0, 2.0 + 0.4 + 4.0])
    assert found.frame.filter(grouping="a")["estimate"].to_list() == pytest.approx(own / (own + 7.0), rel=EXACT)


def test_classes_left_of_a_bar_have_no_single_ratio() -> None:
    parts = fitted("y ~ (0 + sex | a)", two_way(), {}, [2.0, 0.1, 1.0, 4.0])
    with pytest.raises(
        ModelError,
        match="the variance of 'y' differs between the classes of 'sex' through 'a', so there is no single ratio",
    ):
        proportions(*parts)


def test_refused_ratios(maternal: Fitted) -> None:
    parts = fitted("y ~ (1 | a)", two_way(), {}, [2.0, 3.0])
    with pytest.raises(
        ModelError, match="no random term has a relationship, so there is no heritability; see fit.proportions and"
    ):
        heritabilities(*parts)
    with pytest.raises(
        ModelError, match="no term has direct and maternal effects of the trait, .*\\(1 \\| animal \\+ dam\\) has them"
    ):
        total_maternal_heritabilities(*parts)
    with pytest.raises(ModelError, match="there is no trait 'z'; there are 'y'"):
        proportions(*maternal, trait="z")
    with pytest.raises(
        ModelError, match="there is one trait, and no random term has several effects, so there are no correlations"
    ):
        correlations(*parts)


def test_a_variance_of_zero_has_a_share_and_no_error() -> None:
    parts = fitted("y ~ (1 | a) + (1 | b)", two_way(), {}, [2.0, 0.0, 3.0])
    found = proportions(*parts)
    row = found.frame.row(1, named=True)
    assert (row["estimate"], row["se"]) == (0.0, None)
    assert row["note"] == "no standard error: b is on its boundary and adds no variance"
    assert found.frame["note"][0] == "b is on its boundary and adds no variance"


TWO = [4.0, 1.5, 9.0, 6.0, 2.0, 16.0]


def two_traits(formula: Any = "(y, z) ~ (1 | a)", theta: list[float] = TWO, **options: Any) -> Fitted:
    return fitted(formula, two_way().with_columns(z=pl.col("y") * 0.3 + pl.col("x")), {}, theta, **options)


def test_correlations_of_traits() -> None:
    parts = two_traits()
    found = correlations(*parts)
    assert found.frame.select("term", "trait_1", "trait_2").rows() == [
        ("a", "y", "z"), ("residual", "y", "z"), ("phenotypic", "y", "z"),
    ]  # fmt: skip
    wanted = [1.5 / 6.0, 2.0 / math.sqrt(96.0), 3.5 / math.sqrt(10.0 * 25.0)]
    assert found.frame["estimate"].to_list() == pytest.approx(wanted, rel=EXACT)
    texts = [
        "a[2,1] / sqrt(a[1,1] * a[2,2])",
        "residual[2,1] / sqrt(residual[1,1] * residual[2,2])",
        "(a[2,1] + residual[2,1]) / sqrt((a[1,1] + residual[1,1]) * (a[2,2] + residual[2,2]))",
    ]
    derived = derive(parts[0], texts)
    assert found.frame["se"].to_list() == pytest.approx(derived.frame["se"].to_list(), rel=1e-9)
    assert found.covariance == pytest.approx(derived.covariance, rel=1e-9)
    assert found.frame["covariance"].to_list() == pytest.approx([1.5, 2.0, 3.5], rel=EXACT)
    matrix = found.matrix("a")
    assert matrix.columns == ["", "direct y", "direct z"]
    assert matrix.rows() == [("direct y", 1.0, 0.25), ("direct z", 0.25, 1.0)]
    with pytest.raises(
        ModelError, match="there are no correlations of 'residul'; did you mean 'residual'\\?; there are 'a', "
    ):
        found.matrix("residul")
    assert correlations(*parts, phenotypic=False).frame["term"].to_list() == ["a", "residual"]


def test_correlations_of_effects(maternal: Fitted) -> None:
    found = correlations(*maternal).frame
    assert found.select("term", "effect_1", "effect_2").rows() == [("animal + dam", "direct", "maternal")]
    assert found["estimate"][0] == pytest.approx(-11.8 / math.sqrt(25.5 * 39.2), rel=EXACT)


def test_correlations_that_cannot_be_estimated() -> None:
    at_one = correlations(*two_traits(theta=[4.0, 6.0, 9.0, 6.0, 2.0, 16.0])).frame.row(0, named=True)
    assert (at_one["estimate"], at_one["se"]) == (pytest.approx(1.0), None)
    assert at_one["note"] == "no standard error: a correlation of 1 or -1 is on its boundary"
    without = correlations(*two_traits(theta=[4.0, 0.0, 0.0, 6.0, 2.0, 16.0]))
    assert without.frame.row(0, named=True)["estimate"] is None
    assert without.frame["note"][0] == "no correlation: a variance is zero"
    assert without.matrix("a").rows() == [("direct y", 1.0, None), ("direct z", None, 1.0)]
    apart = correlations(*two_traits(theta=[4.0, 9.0, 6.0, 2.0, 16.0], structures={"a": Diagonal()})).frame.row(
        0, named=True
    )
    assert (apart["estimate"], apart["se"], apart["note"]) == (0.0, None, "zero by the structure of the matrix")


def test_phenotypic_correlation_of_traits_that_no_record_has_together() -> None:
    records = two_way().with_columns(
        z=pl.when(pl.col("sex") == "F").then(pl.col("y")), y=pl.when(pl.col("sex") == "M").then(pl.col("y"))
    )
    found = (
        correlations(*fitted("(y, z) ~ (1 | a)", records, {}, TWO)).frame.filter(term="phenotypic").row(0, named=True)
    )
    assert (found["estimate"], found["note"]) == (None, "no record has both traits")
