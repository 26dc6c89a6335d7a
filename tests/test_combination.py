"""Combinations of effects and values along curves: rows of the table of breeding values, and another base for all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from breedblup.adjustment import (
    AtPoints,
    BaseBirthYears,
    BaseIds,
    Combination,
    Difference,
    SumOverRange,
    check_combinations,
    combine,
    rebase,
)
from breedblup.analysis import EvaluateOptions, evaluate
from breedblup.design.basis import basis_values
from breedblup.errors import ModelError
from breedblup.evaluation import Evaluation
from breedblup.model import Basis, Model
from breedblup.pedigree import Pedigree
from breedblup.relationship import inverse_from
from breedblup.variances import VarianceComponents

IDS = list("gabcdefhi")
PEDIGREE = Pedigree.from_frame(
    pl.DataFrame(
        {"animal": IDS, "sire": ["e", None, None, "a", "a", "c", "c", "e", "e"],
         "dam": ["f", None, None, "b", "b", "d", "b", "f", "d"], "born": [str(2000 + k) for k in range(9)]}
    )
)  # fmt: skip
"""Parents behind their offspring; e is inbred."""


def records() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    n = 40
    return pl.DataFrame(
        {"animal": rng.choice(list("cdefghi"), n), "dam": rng.choice(list("bdf"), n), "mate": rng.choice(list("abc"), n),
         "t": rng.uniform(5.0, 305.0, n), "s": rng.uniform(0.5, 2.0, n), "y": rng.normal(10.0, 2.0, n),
         "z": rng.normal(5.0, 1.0, n)}
    )  # fmt: skip


def covariance(order: int) -> NDArray[np.float64]:
    half = np.random.default_rng(order).normal(size=(order, order))
    return half @ half.T


@cache
def evaluation(*formulas: str, orders: tuple[int, ...], pev: Any = "exact") -> Evaluation:
    model = Model.from_formula(formulas if len(formulas) > 1 else formulas[0])
    matrices = {key: covariance(order) for key, order in zip(model.keys, orders, strict=True)}
    variances = VarianceComponents(matrices, residual=3.0 * np.eye(len(model.traits)))
    return evaluate(model, records(), variances, {"animal": PEDIGREE}, options=EvaluateOptions(pev=pev))


def maternal(**options: Any) -> Evaluation:
    return evaluation("(y, z) ~ 1 + (1 | animal + dam)", orders=(4,), **options)


def curves() -> Evaluation:
    return evaluation("y ~ 1 + (leg(t, 2, range=(5, 305)) | animal + dam)", orders=(6,))


def rows(result: Evaluation, effect: str, trait: str = "y") -> pl.DataFrame:
    found = result.genetic.filter((pl.col("effect") == effect) & (pl.col("trait") == trait))
    assert found["id"].to_list() == IDS
    return found


def assert_is(found: pl.DataFrame, result: Evaluation, weights: Any) -> None:
    """Whether rows are those of w'u, computed from solutions, blocks of PEV, G₀ and 1 + F, animal by animal."""
    w = np.asarray(weights, dtype=np.float64)
    (effects,) = (one for one in result.effects.values() if one.term.relationship is not None)
    relationship = effects.term.relationship
    assert effects.pev is not None
    assert relationship is not None
    by_id = {name: k for k, name in enumerate(effects.term.levels.to_list())}
    for row in found.iter_rows(named=True):
        k = by_id[row["id"]]
        assert row["ebv"] == pytest.approx(w @ effects.solutions[k], rel=EXACT, abs=1e-12)
        pev = w @ effects.pev[k] @ w
        assert row["pev"] == pytest.approx(pev, rel=EXACT)
        prior = relationship.diagonal[k] * (w @ effects.covariance @ w)
        assert row["reliability"] == pytest.approx(1.0 - pev / prior, abs=1e-9)
        assert row["ebv"] == pytest.approx(row["parent_average"] + row["mendelian_sampling"], rel=EXACT, abs=1e-12)


WEIGHT = st.floats(-3.0, 3.0).filter(lambda w: abs(w) > 1e-3)


@settings(max_examples=20)
@given(st.tuples(WEIGHT, WEIGHT), st.tuples(WEIGHT, WEIGHT, WEIGHT))
def test_a_combination_is_the_weighted_sum(of_effects: tuple[float, ...], of_pairs: tuple[float, ...]) -> None:
    d, m = of_effects
    total = Combination("total", {"direct": d, "maternal": m})
    index = Combination("index", {"direct": {"y": of_pairs[0], "z": of_pairs[1]}, "maternal": {"z": of_pairs[2]}})
    result = combine(maternal(), total, index)
    assert_is(rows(result, "total", "y"), result, [d, 0, m, 0])
    assert_is(rows(result, "total", "z"), result, [0, d, 0, m])
    assert_is(rows(result, "index", "y + z"), result, [of_pairs[0], of_pairs[1], 0, of_pairs[2]])


def test_rows_are_added_and_nothing_else_changes() -> None:
    before = maternal()
    after = combine(before, Combination("bif", {"direct": 0.5, "maternal": 1}, trait="z"))
    assert after.genetic.height == before.genetic.height + len(IDS)
    assert after.genetic.head(before.genetic.height).equals(before.genetic)
    assert after.genetic["effect"].tail(1).item() == "bif"
    assert (
        "combined effects of animal + dam: 'bif' with direct = 0.5, maternal = 1 (z); base: the expected breeding"
        in after.notes[-1]
    )
    assert combine(before).genetic.equals(before.genetic)
    np.testing.assert_allclose(
        rows(after, "bif", "z")["ebv"], 0.5 * rows(after, "direct", "z")["ebv"] + rows(after, "maternal", "z")["ebv"], rtol=EXACT
    )  # fmt: skip


def test_social_total_breeding_value() -> None:
    before = evaluation("y ~ 1 + (1 | animal + mm(mate, dam))", orders=(2,))
    after = combine(before, Combination("social total", {"direct": 1, "associative": 2}))
    assert_is(rows(after, "social total"), after, [1, 2])


def test_a_combination_is_made_for_traits_that_have_its_effects() -> None:
    before = evaluation("y ~ 1 + (1 | animal + dam)", "z ~ 1 + (1 | animal)", orders=(3,))
    after = combine(before, Combination("total", {"direct": 1, "maternal": 1}))
    assert after.genetic.filter(effect="total")["trait"].unique().to_list() == ["y"]
    with pytest.raises(ModelError, match=r"'total': 'animal \+ dam' has no effect 'maternal' of 'z'"):
        combine(before, Combination("total", {"direct": 1, "maternal": 1}, trait="z"))


def test_no_trait_has_all_effects() -> None:
    before = evaluation(
        "y ~ 1 + (leg(t, 1, range=(5, 305)) | animal)", "z ~ 1 + (leg(t, 2, range=(5, 305)) | animal)", orders=(5,)
    )
    effects = {coordinate.trait: coordinate.effect for coordinate in before.effects["animal"].term.coordinates}
    with pytest.raises(ModelError, match="'both': no trait of 'animal' has all of"):
        combine(before, Combination("both", dict.fromkeys(effects.values(), 1.0)))


def test_what_is_null_stays_null() -> None:
    after = combine(maternal(pev="none"), Combination("total", {"direct": 1, "maternal": 1}))
    assert rows(after, "total").select("pev", "reliability", "accuracy").null_count().row(0) == (9, 9, 9)
    assert rows(after, "total")["ebv"].null_count() == 0
    model = Model.from_formula("y ~ 1 + (1 | animal + dam)")
    for matrix, weights in (([[2, 0], [0, 0]], {"maternal": 2}), ([[1, 1], [1, 1]], {"direct": 1, "maternal": -1})):
        variances = VarianceComponents({"animal + dam": matrix}, residual=3.0)
        without = combine(evaluate(model, records(), variances, {"animal": PEDIGREE}), Combination("none", weights))
        assert rows(without, "none").select("reliability", "accuracy").null_count().row(0) == (9, 9)
        np.testing.assert_allclose(rows(without, "none")["ebv"], 0.0, atol=1e-12)


@settings(max_examples=20)
@given(st.lists(st.floats(5.0, 305.0), min_size=1, max_size=3, unique=True))
def test_values_along_a_curve(points: list[float]) -> None:
    result = combine(curves(), AtPoints(tuple(points)))
    phi = basis_values(Basis("legendre", 2, 5.0, 305.0), points)
    for point, values in zip(points, phi, strict=True):
        text = repr(point).removesuffix(".0")
        assert_is(rows(result, f"direct at {text}"), result, [*values, 0, 0, 0])
        assert_is(rows(result, f"maternal at {text}"), result, [0, 0, 0, *values])


def test_a_sum_is_that_of_its_points_and_a_difference_that_of_two() -> None:
    days = tuple(range(5, 306, 50))
    result = combine(
        curves(), AtPoints(days, group="direct"), SumOverRange(5, 305, 50, group="direct"), Difference(305, 55), SumOverRange(5, 305)
    )  # fmt: skip
    at = {day: rows(result, f"direct at {day}") for day in days}
    total = rows(result, "direct sum 5 to 305 by 50")
    np.testing.assert_allclose(total["ebv"], np.sum([table["ebv"] for table in at.values()], axis=0), rtol=1e-9)
    less = rows(result, "direct 305 less 55")
    np.testing.assert_allclose(less["ebv"], at[305]["ebv"] - at[55]["ebv"], rtol=1e-9, atol=1e-12)
    phi = basis_values(Basis("legendre", 2, 5.0, 305.0), [305.0, 55.0])
    assert_is(less, result, [*(phi[0] - phi[1]), 0, 0, 0])
    daily = basis_values(Basis("legendre", 2, 5.0, 305.0), np.arange(5.0, 305.5)).sum(axis=0)
    assert_is(rows(result, "maternal sum 5 to 305"), result, [0, 0, 0, *daily])
    assert "direct at 55" in result.genetic["effect"].to_list()
    assert "maternal at 55" not in result.genetic["effect"].to_list()


def test_notes_of_curves_name_functions_and_weights() -> None:
    result = combine(curves(), AtPoints((5, 60, 305), group="direct"), AtPoints((10, 20, 30, 40), group="maternal"))
    first, second = result.notes[-2:]
    assert (
        "'direct at 5' with direct 0 = 0.707107, direct 1 = -1.22474, direct 2 = 1.58114 (y); 'direct at 60'" in first
    )
    assert "; functions leg(t, 2) on (5, 305); base: the expected breeding value" in first
    assert "and 1 more; functions" in second
    assert "and" not in first.split("; functions")[0].replace("animal", "")


def test_intercept_and_slope_are_a_curve_too() -> None:
    result = combine(evaluation("y ~ 1 + (1 + t | animal)", orders=(2,)), AtPoints([100]), Difference(200, 100))
    assert_is(rows(result, "at 100"), result, [1, 100])
    assert_is(rows(result, "200 less 100"), result, [0, 100])
    assert "functions t; base" in result.notes[-1]


def test_curves_of_several_traits() -> None:
    before = evaluation("(y, z) ~ 1 + (bspline(t, 2, knots=(150), range=(5, 305)) | animal)", orders=(8,))
    result = combine(before, AtPoints((60,)), SumOverRange(10, 20, trait="z"))
    phi = basis_values(Basis("bspline", 2, 5.0, 305.0, (150.0,)), [60.0, *range(10, 21)])
    assert_is(rows(result, "at 60", "y"), result, np.kron(phi[0], [1, 0]))
    assert_is(rows(result, "at 60", "z"), result, np.kron(phi[0], [0, 1]))
    assert_is(rows(result, "sum 10 to 20", "z"), result, np.kron(phi[1:].sum(axis=0), [0, 1]))
    assert result.genetic.filter(effect="sum 10 to 20")["trait"].unique().to_list() == ["z"]


def test_groups_without_a_covariate_have_no_curve() -> None:
    before = evaluation(
        "y ~ 1 + (1 | animal + dam)", "z ~ 1 + (leg(t, 1, range=(5, 305)) | animal) + (1 | ide(dam))", orders=(4, 1)
    )
    result = combine(before, AtPoints([60], term="animal + dam"))
    assert result.genetic.filter(pl.col("effect").str.ends_with("at 60"))["trait"].unique().to_list() == ["z"]


def test_base_is_that_of_every_effect_and_combination() -> None:
    """Also of animals with records: the maternal effect's are those of the direct effect, so that parts add up."""
    before = combine(maternal(), Combination("total", {"direct": 1, "maternal": 1}))
    for base, members in (
        (BaseIds.of(["e", "h"]), "eh"),
        (BaseBirthYears(2000, 2005, recorded_only=True), None),
    ):
        after = rebase(before, base)
        recorded = (
            rows(before, "direct").filter((pl.col("records") > 0) & pl.col("id").is_in(list("gabcde")))["id"].to_list()
        )
        chosen = recorded if members is None else list(members)
        for effect in ("direct", "maternal", "total"):
            for trait in "yz":
                table = rows(after, effect, trait)
                assert table.filter(pl.col("id").is_in(chosen))["ebv"].mean() == pytest.approx(0.0, abs=1e-12)
                shift = (rows(before, effect, trait)["ebv"] - table["ebv"]).to_numpy()
                np.testing.assert_allclose(shift, shift[0], atol=1e-12)
                np.testing.assert_allclose(
                    table["ebv"], table["parent_average"] + table["mendelian_sampling"], atol=1e-12
                )
                assert f"animal + dam {trait} {effect} {shift[0]:.6g} over {len(chosen)} animals" in after.base
        np.testing.assert_allclose(
            rows(after, "total")["ebv"], rows(after, "direct")["ebv"] + rows(after, "maternal")["ebv"], atol=1e-12
        )
        assert after.genetic["pev"].equals(before.genetic["pev"])
    with pytest.raises(
        ModelError, match="this evaluation has another base, which combinations would not share -> combine first"
    ):
        combine(after, Combination("total 2", {"direct": 1}))


def test_base_of_terms_that_share_a_relationship() -> None:
    before = evaluation("y ~ 1 + (1 | animal) + (0 + s | animal)", orders=(1, 1))
    after = rebase(before, BaseIds.of(["e", "h"]))
    assert after.base.count("over 2 animals") == 2
    for result, is_zero in ((before, False), (after, True)):
        means = result.genetic.filter(pl.col("id").is_in(["e", "h"])).group_by("term").agg(pl.col("ebv").mean())
        assert (means["ebv"].abs() < 1e-12).to_list() == [is_zero, is_zero]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Combination("total", {"direct": 1, "mternal": 1}), r"'total': 'animal \+ dam' has no effect 'mternal'; did you mean 'maternal'\? \(it has 'direct', 'maternal'\)"),
        (Combination("total", {"direct": 1}, trait="x"), r"'total': 'animal \+ dam' has no trait 'x' \(it has 'y', 'z'\)"),
        (Combination("index", {"direct": {"y": 1, "milk": 1}}), r"'index': 'animal \+ dam' has no trait 'milk'"),
        (Combination("direct", {"direct": 1}), r"'animal \+ dam' already has an effect 'direct' of 'y' -> choose another name"),
        (Combination("total", {"direct": 1}, term="animal"), r"no random term 'animal'; did you mean 'animal \+ dam'\? \(name one of 'animal \+ dam'\)"),
        (AtPoints([60]), r"no effect of 'animal \+ dam' that is asked for depends on a covariate, so there is no curve -> name a term"),
        ("total", "a combination is a str; give Combination, AtPoints, SumOverRange or Difference"),
    ],
)  # fmt: skip
def test_combinations_refused(spec: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        combine(maternal(), spec)


def test_a_name_is_used_once() -> None:
    twice = Combination("total", {"direct": 1}), Combination("total", {"maternal": 1})
    with pytest.raises(ModelError, match=r"'animal \+ dam' already has an effect 'total' of 'y'"):
        check_combinations([effects.term for effects in maternal().effects.values()], *twice)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (AtPoints((60, 400)), r"'at 400' of 'animal \+ dam': 400 lies outside the limits \(5, 305\) of a legendre basis of degree 2"),
        (SumOverRange(1, 305), r"'sum 1 to 305' of 'animal \+ dam': 1 lies outside the limits"),
        (Difference(310, 60), r"'310 less 60' of 'animal \+ dam': 310 lies outside"),
        (AtPoints([60], group="paternal"), r"'animal \+ dam' has no group of levels 'paternal'; did you mean 'maternal'\? \(it has 'direct', 'maternal'\)"),
        (AtPoints([60], trait="x"), r"'animal \+ dam' has no trait 'x' \(it has 'y'\)"),
    ],
)  # fmt: skip
def test_curves_refused(spec: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        combine(curves(), spec)


def test_terms_are_named_where_it_is_not_clear() -> None:
    two = evaluation("y ~ 1 + (0 + t + s | animal) + (1 | animal) + (1 | dam)", orders=(2, 1, 1))
    key = "0 + t + s | animal"
    with pytest.raises(
        ModelError,
        match=r"which term a combination is made of is not clear; name one of '0 \+ t \+ s \| animal', '1 \| animal'",
    ):
        combine(two, Combination("total", {"direct": 1}))
    with pytest.raises(
        ModelError, match="'dam' has no relationship, and the table of breeding values no rows for it; name one of"
    ):
        combine(two, Combination("total", {"direct": 1}, term="dam"))
    with pytest.raises(
        ModelError,
        match=r"effects of '0 \+ t \+ s \| animal' depend on the covariates 't', 's', and a point is a value of one -> choose a trait",
    ):
        combine(two, AtPoints([60], term=key))
    with pytest.raises(
        ModelError,
        match=r"'0 .* animal' has no group of levels 'direct' \(it has one, without a name; leave the group out\)",
    ):
        combine(two, AtPoints([60], term=key, group="direct"))
    none = evaluate(
        Model.from_formula("y ~ 1 + (1 | dam)"), records(), VarianceComponents({"dam": 1.0}, residual=1.0)
    )  # fmt: skip
    with pytest.raises(
        ModelError, match="combinations are made of random terms that have a relationship, and the model has none"
    ):
        combine(none, Combination("total", {"direct": 1}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Combination("", {"direct": 1}), "a combination needs a name, found ''"),
        (lambda: Combination("t", 3), "the combination 't': weights are a table of names and numbers, found 3"),  # type: ignore[arg-type]
        (lambda: Combination("t", {}), "the combination 't': weights need names, found {}"),
        (lambda: Combination("t", (("direct", 1), ("direct", 2))), "the combination 't': 'direct' has more than one weight"),
        (lambda: Combination("t", {"direct": float("nan")}), "the weight of 'direct' in 't' must be a finite number, found nan"),
        (lambda: Combination("t", {"direct": {"y": "a"}}), "the weight of 'direct' in 't', 'y' must be a finite number, found 'a'"),  # type: ignore[dict-item]
        (lambda: Combination("t", {"direct": {"y": 1}, "maternal": 1}), "weights of 't' are numbers for some effects and by trait for others -> give all by trait"),
        (lambda: Combination("t", {"direct": 0, "maternal": 0}), "all weights of 't' are 0; give one that is not"),
        (lambda: Combination("t", {"direct": {"y": 1}}, trait="y"), "weights of 't' are given by trait; leave out the trait 'y'"),
        (lambda: AtPoints(()), "AtPoints has no points; give at least one"),
        (lambda: AtPoints((1, 2, 1.0)), "AtPoints has the point 1 more than once"),
        (lambda: AtPoints(60), "AtPoints takes a list of points, found 60"),  # type: ignore[arg-type]
        (lambda: AtPoints(["60"]), "a point of AtPoints must be a finite number, found '60'"),  # type: ignore[list-item]
        (lambda: SumOverRange(305, 5), "SumOverRange goes up from first to last, found 305 to 5 in steps of 1"),
        (lambda: SumOverRange(5, 305, -1), "SumOverRange goes up from first to last, found 5 to 305 in steps of -1"),
        (lambda: SumOverRange(5, 305, 7), "SumOverRange from 5 in steps of 7 passes over 305 -> end at 299, or change the step"),
        (lambda: SumOverRange(5, None), "last of SumOverRange must be a finite number, found None"),  # type: ignore[arg-type]
        (lambda: Difference(60, 280), "the later point of Difference has to be above the earlier, found 60 and 280"),
        (lambda: Difference(True, 0), "later of Difference must be a finite number, found True"),
    ],
)  # fmt: skip
def test_specifications_refused(make: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()


def test_specifications_are_plain_values() -> None:
    one = Combination("t", {"direct": {"y": 1, "z": 2}})
    assert one == Combination("t", (("direct", (("y", 1), ("z", 2))),))
    assert hash(one) == hash(Combination("t", one.weights))
    assert one.parts == (("direct", "y", 1.0), ("direct", "z", 2.0))
    assert AtPoints([5, 10]) == AtPoints(np.array([5, 10])) == AtPoints((5.0, 10.0))


def test_a_given_relationship_has_combinations_without_parents() -> None:
    given_k = inverse_from(np.eye(len(IDS)), IDS, kind="relationship")
    variances = VarianceComponents({"animal + dam": covariance(2)}, residual=3.0)
    before = evaluate(Model.from_formula("y ~ 1 + (1 | animal + dam)"), records(), variances, {"animal": given_k})
    found = rows(combine(before, Combination("total", {"direct": 1, "maternal": 1})), "total")
    assert found["parent_average"].null_count() == len(IDS)
    assert found["reliability"].null_count() == 0


def test_a_name_is_taken_by_an_earlier_combination_too() -> None:
    evaluation = combine(maternal(), Combination("total", {"direct": 1, "maternal": 1}))
    with pytest.raises(
        ModelError, match="already has an effect 'total' of 'y' -> choose another name, or leave one out"
    ):
        combine(evaluation, Combination("total", {"direct": 0.5, "maternal": 1}))


def test_a_sum_of_too_many_points() -> None:
    with pytest.raises(
        ModelError, match=r"in steps of 1e-07 adds up 3e\+09 points; at most 100,000 -> take longer steps"
    ):
        SumOverRange(5, 305, step=1e-7)
