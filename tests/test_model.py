"""Models: what formulas mean, what is refused, and the round trips through formula and dictionary."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from breedblup.errors import ModelError
from breedblup.model import (
    INTERCEPT,
    LINEAR,
    Basis,
    ByType,
    Classes,
    Coordinate,
    Covariate,
    Effect,
    Fixed,
    LevelGroup,
    Levels,
    Members,
    Model,
    Random,
    Residual,
)

LEG4 = Basis("legendre", 4)

FIXED: dict[str, tuple[Fixed | Covariate | ByType, ...]] = {
    "1": (INTERCEPT,),
    "0 + herd": (ByType(("herd",)),),
    "herd - 1": (ByType(("herd",)),),
    "herd": (INTERCEPT, ByType(("herd",))),
    "herd + 1": (INTERCEPT, ByType(("herd",))),
    "herd:year": (INTERCEPT, ByType(("herd", "year"))),
    "herd*year": (INTERCEPT, ByType(("herd",)), ByType(("year",)), ByType(("herd", "year"))),
    "factor(herd)": (INTERCEPT, Fixed(("herd",))),
    "C(herd):factor(year)": (INTERCEPT, Fixed(("herd", "year"))),
    "covariate(age)": (INTERCEPT, Covariate("age")),
    "factor(herd):covariate(age)": (INTERCEPT, Covariate("age", within=("herd",))),
    "covariate(age):herd:factor(sex)": (INTERCEPT, Covariate("age", within=("herd", "sex"))),
    "poly(age, 2)": (INTERCEPT, Covariate("age", Basis("polynomial", 2))),
    "breed:poly(age, 2)": (INTERCEPT, Covariate("age", Basis("polynomial", 2), ("breed",))),
    "leg(dim, 4)": (Covariate("dim", LEG4),),
    "1 + leg(dim, 4)": (Covariate("dim", LEG4),),
    "herd + leg(dim, 4, range=(4, 310))": (ByType(("herd",)), Covariate("dim", Basis("legendre", 4, 4.0, 310.0))),
    "bspline(dim, 3, knots=(50, 100), range=(4, 310))": (
        Covariate("dim", Basis("bspline", 3, 4.0, 310.0, (50.0, 100.0))),
    ),
    "herd:leg(dim, 4)": (Covariate("dim", LEG4, ("herd",)),),
    "factor(herd):age": (INTERCEPT, ByType(("herd", "age"), factors=("herd",))),
    "(herd + year)^2": (INTERCEPT, ByType(("herd",)), ByType(("year",)), ByType(("herd", "year"))),
    "herd*year - herd": (INTERCEPT, ByType(("year",)), ByType(("herd", "year"))),
    "log(age)": (INTERCEPT, Covariate("log(age)")),
    "herd:I(age^2)": (INTERCEPT, Covariate("I(age^2)", within=("herd",))),
    "leg(log(dim), 4)": (Covariate("log(dim)", LEG4),),
    "covariate(age):covariate(dim)": (INTERCEPT, Covariate("I(age * dim)")),
    "herd:covariate(age):log(dim)": (INTERCEPT, Covariate("I(age * log(dim))", within=("herd",))),
    "`log(age)`": (INTERCEPT, ByType(("log(age)",))),
}


@pytest.mark.parametrize("right", FIXED)
def test_fixed_part_of_a_formula(right: str) -> None:
    assert Model.from_formula(f"milk ~ {right}") == Model(("milk",), FIXED[right])


ANIMAL, DAM = Levels(("animal",)), Levels(("dam",))
LEG2 = Basis("legendre", 2)
SEX = Classes("sex")
RANDOM: dict[str, tuple[Random, ...]] = {
    "(1 | animal)": (Random.of("animal"),),
    "(1 || animal)": (Random.of("animal"),),
    "(1 | animal) + (1 | ide(animal))": (Random.of("animal"), Random.of("animal", identity=True)),
    "(1 | animal) + (1 | vm(animal, D))": (Random.of("animal"), Random.of("animal", relationship="D")),
    "(1 | herd:year)": (Random.of("herd", "year"),),
    "(1 | herd/year)": (Random.of("herd"), Random.of("herd", "year")),
    "(1 | mm(a, b))": (Random((Effect(Members(("a", "b"))),)),),
    "(1 | mm(a, b, weights=(1, 0.5)))": (Random((Effect(Members(("a", "b"), (1.0, 0.5))),)),),
    "(1 | mm(a, b, weights=w))": (Random((Effect(Members(("a", "b"), ("w", "w"))),)),),
    "(1 | animal + dam)": (Random((Effect(ANIMAL), Effect(DAM))),),
    "(1 || animal + dam)": (Random((Effect(ANIMAL), Effect(DAM)), correlated=False),),
    "(1 + t | animal)": (Random((Effect(ANIMAL), Effect(ANIMAL, "t"))),),
    "(t | animal)": (Random((Effect(ANIMAL), Effect(ANIMAL, "t"))),),
    "(covariate(t) | animal)": (Random((Effect(ANIMAL), Effect(ANIMAL, "t"))),),
    "(t || animal)": (Random((Effect(ANIMAL), Effect(ANIMAL, "t")), correlated=False),),
    "(0 + t || animal)": (Random((Effect(ANIMAL, "t"),)),),
    "(0 + c1 + c2 | animal)": (Random((Effect(ANIMAL, "c1"), Effect(ANIMAL, "c2"))),),
    "(leg(t, 2) | animal)": (Random((Effect(ANIMAL, "t", LEG2),)),),
    "(1 + leg(t, 2) | animal)": (Random((Effect(ANIMAL, "t", LEG2),)),),
    "(0 + leg(t, 2) || animal)": (Random((Effect(ANIMAL, "t", LEG2),), correlated=False),),
    "(x + bspline(t, 2, knots=5) | animal)": (
        Random((Effect(ANIMAL, "x"), Effect(ANIMAL, "t", Basis("bspline", 2, knots=(5.0,))))),
    ),
    "(1 + t | animal + dam)": (Random((Effect(ANIMAL), Effect(ANIMAL, "t"), Effect(DAM), Effect(DAM, "t"))),),
    "(leg(t, 2) | animal + dam)": (Random((Effect(ANIMAL, "t", LEG2), Effect(DAM, "t", LEG2))),),
    "(1 | animal + mm(p1, p2))": (Random((Effect(ANIMAL), Effect(Members(("p1", "p2"))))),),
    "(factor(sex) | animal)": (Random((Effect(ANIMAL), Effect(ANIMAL, classes=(SEX,)))),),
    "(0 + factor(sex) || animal)": (Random((Effect(ANIMAL, classes=(SEX,)),), correlated=False),),
    "(0 + C(sex, levels=(F, M)) | animal)": (Random((Effect(ANIMAL, classes=(Classes("sex", ("F", "M")),)),)),),
    "(0 + sex:t | animal)": (
        Random((Effect(ANIMAL, classes=(Classes("sex", by_type=True), Classes("t", by_type=True))),)),
    ),
    "(0 + factor(sex):t | animal)": (Random((Effect(ANIMAL, classes=(SEX, Classes("t", by_type=True))),)),),
    "(0 + sex:covariate(t) | animal)": (Random((Effect(ANIMAL, "t", classes=(SEX,)),)),),
    "(sex:leg(t, 2) | animal)": (Random((Effect(ANIMAL, "t", LEG2, classes=(SEX,)),)),),
    "(log(t) + I(t^2) | animal)": (Random((Effect(ANIMAL), Effect(ANIMAL, "log(t)"), Effect(ANIMAL, "I(t^2)"))),),
    "(leg(log(t), 2) | animal)": (Random((Effect(ANIMAL, "log(t)", LEG2),)),),
    "(0 + covariate(t):log(x) | animal)": (Random((Effect(ANIMAL, "I(t * log(x))"),)),),
    "(0 + sex + covariate(t):sex | animal + dam)": (
        Random(
            (
                Effect(ANIMAL, "sex"),
                Effect(ANIMAL, "t", classes=(SEX,)),
                Effect(DAM, "sex"),
                Effect(DAM, "t", classes=(SEX,)),
            )
        ),
    ),
}


@pytest.mark.parametrize("right", RANDOM)
def test_random_part_of_a_formula(right: str) -> None:
    model = Model.from_formula(f"milk ~ {right}")
    assert model == Model(("milk",), (INTERCEPT,), RANDOM[right])
    assert Model.from_formula(f"milk ~ 0 + {right}") == Model(("milk",), (), RANDOM[right])
    assert Model.from_formula(model.formulas) == model


@pytest.mark.parametrize(
    ("right", "keys"),
    [
        ("(1 | animal) + (1 | ide(animal))", ("animal", "ide(animal)")),
        ("(1 | animal) + (0 + t | animal)", ("1 | animal", "0 + t | animal")),
        ("(1 + t || a) + (x | a) + (1 | b)", ("1 + t || a", "1 + x | a", "b")),
        (
            "(leg(t, 2, range=(0, 1)) | a) + (leg(t, 2) | a)",
            ("leg(t, 2, range=(0, 1)) | a", "leg(t, 2) | a"),
        ),
        ("(1 | a:b) + (0 + t | b:a)", ("1 | a:b", "0 + t | a:b")),
        ("(1 | mm(a, b, weights=(1, w)) + c) + (1 | vm(a, D))", ("mm(a, b, weights=(1, w)) + c", "vm(a, D)")),
        ("(1 | `my animal`)", ("my animal",)),
        ("(1 | a:b) + (1 | `a:b`)", ("1 | a:b", "1 | `a:b`")),
        ("(1 | a) + (0 + sex | a)", ("1 | a", "0 + sex | a")),
        ("(1 | a) + (0 + factor(sex, levels=(F, M)) | a)", ("1 | a", "0 + sex | a")),
        ("(1 | a) + (0 + x:sex | a)", ("1 | a", "0 + sex:x | a")),
        ("(1 | a) + (0 + factor(sex):covariate(x) | a)", ("1 | a", "0 + sex:x | a")),
        ("(1 | a) + (log(x) | a)", ("1 | a", "1 + log(x) | a")),
    ],
)
def test_keys_are_the_text_right_of_the_bar_or_between_the_parentheses(right: str, keys: tuple[str, ...]) -> None:
    assert Model.from_formula(f"y ~ {right}").keys == keys


@pytest.mark.parametrize(
    ("formula", "key", "rows"),
    [
        ("y ~ (1 | animal)", "animal", ["direct y"]),
        (
            "(y, z) ~ (1 | animal + dam)",
            "animal + dam",
            ["direct y", "direct z", "maternal y", "maternal z"],
        ),
        ("(y, z) ~ (1 + t | animal)", "animal", ["intercept y", "intercept z", "t y", "t z"]),
        (
            "y ~ (leg(t, 1) | animal + dam)",
            "animal + dam",
            ["direct 0 y", "direct 1 y", "maternal 0 y", "maternal 1 y"],
        ),
        ("y ~ (1 | animal + mm(p1, p2))", "animal + mm(p1, p2)", ["direct y", "associative y"]),
        (["y ~ (1 | animal + dam)", "z ~ (1 | animal)"], "animal + dam", ["direct y", "direct z", "maternal y"]),
        (["y ~ (1 | animal)", "z ~ (1 | animal + dam)"], "animal + dam", ["direct y", "direct z", "maternal z"]),
        ("y ~ (factor(a, levels=(p, q, r)) | g)", "g", ["intercept y", "a q y", "a r y"]),
        ("y ~ (0 + factor(a, levels=(p, q, r)) | g)", "g", ["a p y", "a q y", "a r y"]),
        ("y ~ (factor(a, levels=(p, q)) || g)", "g", ["intercept y", "a p y", "a q y"]),
        (
            "y ~ (0 + factor(a, levels=(p, q)) + factor(b, levels=(u, v)) | g)",
            "g",
            ["a p y", "a q y", "b v y"],
        ),
        (
            "y ~ (factor(a, levels=(p, q)) * factor(b, levels=(u, v, w)) | g)",
            "g",
            ["intercept y", "a q y", "b v y", "b w y", "a q:b v y", "a q:b w y"],
        ),
        (
            "y ~ (0 + factor(a, levels=(p, q)):factor(b, levels=(u, v)) | g)",
            "g",
            ["a p:b u y", "a p:b v y", "a q:b u y", "a q:b v y"],
        ),
        ("y ~ (covariate(t) * factor(a, levels=(p, q)) | g)", "g", ["intercept y", "t y", "a q y", "a q:t y"]),
        ("y ~ (0 + factor(a, levels=(p, q)):covariate(t) | g)", "g", ["a p:t y", "a q:t y"]),
        ("y ~ (factor(a, levels=(p, q)):leg(t, 1) | g)", "g", ["a p:0 y", "a p:1 y", "a q:0 y", "a q:1 y"]),
        (
            "y ~ (leg(t, 1) + factor(a, levels=(p, q)) | g + h)",
            "g + h",
            ["direct 0 y", "direct 1 y", "direct a q y", "maternal 0 y", "maternal 1 y", "maternal a q y"],
        ),
        (
            "(y, z) ~ (0 + factor(a, levels=(p, q)) | g)",
            "g",
            ["a p y", "a p z", "a q y", "a q z"],
        ),
    ],
)
def test_rows_of_a_covariance_matrix(formula: Any, key: str, rows: list[str]) -> None:
    assert [str(row) for row in Model.from_formula(formula).coordinates(key)] == rows


def test_coordinates_of_an_unknown_term() -> None:
    model = Model.from_formula("y ~ (1 | animal)")
    assert model.coordinates("animal") == (Coordinate("direct", "y"),)
    message = "the model has no random term 'anmal'; did you mean 'animal'? (it has 'animal')"
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        model.coordinates("anmal")
    with pytest.raises(ModelError, match=re.escape("the model has no random term 'a' (it has none)")):
        Model.from_formula("y ~ 1").coordinates("a")


AB = ("a", "b")


@pytest.mark.parametrize(
    ("texts", "fixed", "random"),
    [
        (("a ~ x", "b ~ x"), (INTERCEPT, ByType(("x",))), ()),
        (
            ("a ~ x + y", "b ~ 0 + y + z"),
            (
                Fixed((), ("a",)),
                ByType(("x",), ("a",)),
                ByType(("y",)),
                ByType(("z",), ("b",)),
            ),
            (),
        ),
        (("a ~ 0 + x:y", "b ~ 1 + y:x"), (Fixed((), ("b",)), ByType(("x", "y"))), ()),
        (
            ("a ~ leg(t, 4)", "b ~ leg(t, 2)"),
            (Covariate("t", LEG4, traits=("a",)), Covariate("t", LEG2, traits=("b",))),
            (),
        ),
        (
            ("a ~ 0 + factor(x)", "b ~ 0 + covariate(x)"),
            (Fixed(("x",), ("a",)), Covariate("x", traits=("b",))),
            (),
        ),
        (
            ("a ~ (1 | animal + dam) + (1 | ide(dam))", "b ~ (1 | animal) + (1 | pen)"),
            (INTERCEPT,),
            (
                Random((Effect(ANIMAL), Effect(DAM, traits=("a",)))),
                Random((Effect(Levels(("dam",), identity=True), traits=("a",)),)),
                Random((Effect(Levels(("pen",)), traits=("b",)),)),
            ),
        ),
        (
            ("a ~ (1 | f) + (0 + x | f)", "b ~ (1 | f)"),
            (INTERCEPT,),
            (Random.of("f"), Random((Effect(Levels(("f",)), "x", traits=("a",)),))),
        ),
        (
            ("a ~ (1 | f:g)", "b ~ (t | g:f)"),
            (INTERCEPT,),
            (Random((Effect(Levels(("f", "g"))), Effect(Levels(("f", "g")), "t", traits=("b",)))),),
        ),
        (
            ("a ~ (1 || f)", "b ~ (0 + t || f)"),
            (INTERCEPT,),
            (
                Random(
                    (Effect(Levels(("f",)), traits=("a",)), Effect(Levels(("f",)), "t", traits=("b",))),
                    correlated=False,
                ),
            ),
        ),
    ],
)
def test_a_list_of_formulas(texts: tuple[str, ...], fixed: Any, random: Any) -> None:
    model = Model.from_formula(list(texts))
    assert model == Model(AB, fixed, random)
    assert model.fixed == fixed
    assert model.random == random
    assert Model.from_formula(model.formulas) == model
    assert Model.from_dict(model.to_dict()) == model


def test_equal_formulas_are_one() -> None:
    assert Model.from_formula(["a ~ x + (1 | f)", "b ~ x + (1 | f)"]) == Model.from_formula("(a, b) ~ x + (1 | f)")
    assert Model.from_formula(["(a, b) ~ x"]) == Model.from_formula("(a, b) ~ x")
    assert Model.from_formula(["a ~ x", "b ~ x"]).formula == "(a, b) ~ x"


def test_formulas_of_traits_are_joined_to_be_shown() -> None:
    model = Model.from_formula(("a ~ 1 + (1 | f)", "b ~ x"))
    assert model.formulas == ("a ~ 1 + (1 | f)", "b ~ x")
    assert str(model) == model.formula == "a ~ 1 + (1 | f); b ~ x"


def test_terms_are_put_in_the_order_of_formulas() -> None:
    model = Model(
        AB,
        (Fixed(("z",), ("b",)), Fixed(("x",), ("b", "a")), Fixed((), ("a",)), Fixed(("z",), ("a",)), Fixed((), ("b",))),
        (
            Random((Effect(Levels(("g",)), traits=("b",)),)),
            Random((Effect(Levels(("f",)), "t"), Effect(Levels(("f",)), traits=AB))),
        ),
    )
    assert model.fixed == (INTERCEPT, Fixed(("x",)), Fixed(("z",)))
    assert model.random == (
        Random((Effect(Levels(("f",))), Effect(Levels(("f",)), "t"))),
        Random((Effect(Levels(("g",)), traits=("b",)),)),
    )
    assert model.formulas == (
        "a ~ factor(x) + factor(z) + (1 + t | f)",
        "b ~ factor(x) + factor(z) + (1 + t | f) + (1 | g)",
    )


def test_weights_are_given_beside_the_formula() -> None:
    model = Model.from_formula("milk ~ 1", weights="w")
    assert model.residual == Residual("w")
    assert model.columns == ("milk", "w")


def test_residual_of_a_formula() -> None:
    model = Model.from_formula("(a, b) ~ 1", weights={"b": "v", "a": "w"}, residual_classes=["herd", "sex"])
    assert model.residual == Residual((("a", "w"), ("b", "v")), ("herd", "sex"))
    assert [model.residual.weight_of(trait) for trait in AB] == ["w", "v"]
    assert model.columns == ("a", "b", "w", "v", "herd", "sex")
    model = Model.from_formula("(a, b) ~ 1", weights={"b": "v", "a": "v"}, residual_classes="herd")
    assert model.residual == Residual("v", ("herd",))
    model = Model.from_formula("(a, b) ~ 1", weights={"b": "v"})
    assert model.residual == Residual((("b", "v"),))
    assert model.residual.weight_of("a") is None


@pytest.mark.parametrize(
    ("term", "name", "columns"),
    [
        (INTERCEPT, "(Intercept)", ()),
        (Fixed(("herd", "year")), "herd:year", ("herd", "year")),
        (Covariate("age"), "age", ("age",)),
        (Covariate("age", within=("herd",)), "herd:age", ("herd", "age")),
        (Covariate("age", Basis("polynomial", 2)), "poly(age, 2)", ("age",)),
        (Covariate("dim", LEG4, ("herd",)), "herd:leg(dim, 4)", ("herd", "dim")),
        (ByType(("herd", "year")), "herd:year", ("herd", "year")),
    ],
)
def test_names_and_columns(term: Fixed | Covariate | ByType, name: str, columns: tuple[str, ...]) -> None:
    assert term.name == name
    assert term.columns == columns


@pytest.mark.parametrize(
    ("term", "key", "columns", "relationship"),
    [
        (Random.of("animal"), "animal", ("animal",), "animal"),
        (Random.of("animal", identity=True), "ide(animal)", ("animal",), None),
        (Random.of("animal", relationship="D"), "vm(animal, D)", ("animal",), "D"),
        (Random.of("herd", "year"), "herd:year", ("herd", "year"), None),
        (Random.of("herd", "year", identity=True), "ide(herd:year)", ("herd", "year"), None),
        (Random((Effect(ANIMAL, "t", LEG2), Effect(DAM, "t", LEG2))), "animal + dam", ("animal", "t", "dam"), "animal"),
        (Random((Effect(Members(("a", "b"), (1.0, "w"))),)), "mm(a, b, weights=(1, w))", ("a", "b", "w"), "a"),
        (Random((Effect(Members(("a", "b"), ("w",))),)), "mm(a, b, weights=w)", ("a", "b", "w", "w"), "a"),
    ],
)
def test_keys_columns_and_relationships(
    term: Random, key: str, columns: tuple[str, ...], relationship: str | None
) -> None:
    assert term.key == key
    assert term.columns == tuple(dict.fromkeys(columns))
    assert term.relationship_name == relationship


def test_columns_of_functions_are_those_that_they_are_made_of() -> None:
    model = Model.from_formula("log(y) ~ a:I(x/z) + (log(x):sex | g)", weights="I(1/v)")
    assert model.columns == ("y", "a", "x", "z", "g", "sex", "v")
    assert model.computed_columns == ("log(y)", "a", "I(x/z)", "g", "sex", "log(x)", "I(1/v)")


def test_coordinates_of_classes_that_are_not_known() -> None:
    model = Model.from_formula("y ~ (0 + sex:covariate(t) | g)")
    message = (
        "the random term 'g' has an effect for each class of 'sex:t', which the records know -> name them, as in "
        "factor(x, levels=(A, B)), or take complete_model(model, records)"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        model.coordinates("g")


def test_repr_of_classes_left_of_a_bar() -> None:
    known = "factor(a, levels=(p, q, r))"
    lines = repr(Model.from_formula(f"y ~ ({known}*t | g) + (a:leg(t, 1) | h) + (0 + a:x || k)")).splitlines()
    assert lines == [
        "Model",
        "  trait     y",
        "  fixed     (Intercept)",
        "  random    g            K of 'g' where given, else identity",
        "                         a: classes q, r",
        "                         a:t: classes that the records have, or regression, by type",
        "            h            K of 'h' where given, else identity",
        "                         a:leg(t, 1): classes that the records have",
        "                         leg(t, 1): normalised Legendre polynomials of degree 0 to 1 on the range of the data",
        "            k            K of 'k' where given, else identity",
        "                         a:x: classes that the records have, or regression, by type",
        "  residual  R",
        "  equation  y = intercept + g + g:a + g:t + g:a:t + h:a:leg(t, 1) + k:a:x + residual",
    ]
    lines = repr(Model.from_formula(f"y ~ ({known} + {known}:covariate(t) | g)")).splitlines()
    assert lines[4:7] == [
        "                         a: classes q, r",
        "                         a:t: classes p, q, r",
        "                         covariance matrix 6 x 6: intercept y, a q y, a r y, a p:t y, a q:t y, a r:t y",
    ]


def test_columns_of_a_model_come_once() -> None:
    model = Model.from_formula("milk ~ herd*year + covariate(dim) + (1 | animal) + (1 | ide(animal))", weights="w")
    assert model.columns == ("milk", "herd", "year", "dim", "animal", "w")
    model = Model.from_formula("a ~ (leg(t, 2) | animal + mm(p1, p2, weights=(1, w)))", residual_classes="herd")
    assert model.columns == ("a", "animal", "t", "p1", "p2", "w", "herd")


@pytest.mark.parametrize(("kind", "size"), [("linear", 1), ("polynomial", 3), ("legendre", 4), ("bspline", 4)])
def test_size_of_a_basis(kind: Any, size: int) -> None:
    assert Basis(kind, 1 if kind == "linear" else 3).size == size
    assert Basis("bspline", 3, knots=(1, 2)).size == 6


def test_the_intercept_stands_first() -> None:
    assert Model(("y",), (Fixed(("a",)), INTERCEPT)).fixed == (INTERCEPT, Fixed(("a",)))


def test_lists_become_tuples_and_limits_floats() -> None:
    assert Fixed(["a", "b"]) == Fixed(("a", "b"))  # type: ignore[arg-type]
    model = Model(["y"], [INTERCEPT], [Random([Effect(Levels(["a"]))])])  # type: ignore[arg-type]
    assert model == Model(("y",), (INTERCEPT,), (Random.of("a"),))
    assert hash(model) == hash(Model(("y",), (INTERCEPT,), (Random.of("a"),)))
    assert isinstance(Basis("legendre", 1, 0, 10).lower, float)


def test_models_are_frozen_and_can_be_sent_to_another_process() -> None:
    model = Model.from_formula("milk ~ leg(dim, 2) + (1 | animal)", weights="w")
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.traits = ("fat",)  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(model)) == model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Basis("legndre"),
            "unknown basis 'legndre'; did you mean 'legendre'?; known are 'linear', 'polynomial'",
        ),
        (lambda: Basis("polynomial", 0), "the degree of a basis is a whole number from 1, found 0"),
        (lambda: Basis("polynomial", 1.5), "the degree of a basis is a whole number from 1, found 1.5"),
        (lambda: Basis("polynomial", True), "the degree of a basis is a whole number from 1, found True"),
        (lambda: Basis("linear", 2), "a linear basis has degree 1, found 2; use 'polynomial' or 'legendre'"),
        (
            lambda: Basis("polynomial", 2, 0, 1),
            "only a Legendre basis and B-splines have limits, found 0 and 1 (polynomial)",
        ),
        (lambda: Basis("legendre", 2, knots=(1,)), "only B-splines have knots, found 1.0 (legendre)"),
        (lambda: Basis("bspline", 2, knots=3), "the knots of a basis must be a list of numbers, found 3"),
        (lambda: Basis("bspline", 2, knots=("a",)), "the knots of a basis are finite numbers, found 'a'"),
        (lambda: Basis("bspline", 2, knots=(2, 2)), "the knots of a basis have to ascend, found 2.0, 2.0"),
        (lambda: Basis("bspline", 2, 0, 5, (0, 3, 6)), "inner knots lie between 0 and 5, found 0.0, 6.0"),
        (
            lambda: Basis("legendre", 2, 3, 3),
            "the lower limit of a basis must be below the upper one, found 3.0 and 3.0",
        ),
        (lambda: Basis("legendre", 2, 3), "the limits of a basis are two finite numbers, found None"),
        (
            lambda: Basis("legendre", 2, 3, float("inf")),
            "the limits of a basis are two finite numbers, found inf",
        ),
        (lambda: Basis("legendre", 2, "3", 4), "the limits of a basis are two finite numbers, found '3'"),
        (lambda: Fixed("herd"), "the factors of Fixed must be a list of names, found 'herd'"),
        (lambda: Fixed((3,)), "the factors of Fixed must be names, found 3"),
        (lambda: Fixed((" ",)), "the factors of Fixed hold an empty name"),
        (lambda: Fixed(("a", "a")), "the factors of Fixed hold 'a' more than once"),
        (lambda: Covariate(""), "the column of Covariate hold an empty name"),
        (
            lambda: Covariate("a", within="b"),
            "the factors within which Covariate is nested must be a list of names, found 'b'",
        ),
        (lambda: Covariate("a", within=("a",)), "'a' is both the covariate and a factor of the term 'a:a'"),
        (lambda: Covariate("a", "linear"), "the basis of Covariate must be a Basis, found 'linear'"),
        (lambda: ByType(()), "the columns of ByType are empty; at least 1 must be named"),
        (lambda: Fixed(("a",), ("y", "y")), "the traits of Fixed hold 'y' more than once"),
        (lambda: Covariate("a", traits="y"), "the traits of Covariate must be a list of names, found 'y'"),
        (lambda: ByType(("a",), (1,)), "the traits of ByType must be names, found 1"),
        (lambda: Random.of(), "the factors of a random term are empty; at least 1 must be named"),
        (lambda: Levels(("a",), 1), "identity of a random term is true or false, found 1"),
        (lambda: Levels(("a",), relationship=""), "the relationship of a random term hold an empty name"),
        (
            lambda: Levels(("a", "b"), relationship="D"),
            "the relationship 'D' is that of one factor, without identity; found 'a', 'b'",
        ),
        (
            lambda: Levels(("a",), True, "D"),
            "the relationship 'D' is that of one factor, without identity; found 'a' with identity",
        ),
        (lambda: Members(()), "the columns of Members are empty; at least 1 must be named"),
        (lambda: Members(("a", "a")), "the columns of Members hold 'a' more than once"),
        (lambda: Members(("a",), "w"), "the weights of Members must be a list of columns or numbers, found 'w'"),
        (lambda: Members(("a",), (None,)), "the weights of Members are columns or finite numbers, found None"),
        (lambda: Members(("a",), ("",)), "the weights of Members hold an empty name"),
        (lambda: Members(("a", "b", "c"), (1, 2)), "mm() of 'a', 'b', 'c' has 2 weights; give one for each, or one"),
        (lambda: Effect("a"), "the group of an Effect must be Levels or Members, found 'a'"),
        (lambda: Effect(ANIMAL, "t", "leg"), "the basis of an Effect must be a Basis, found 'leg'"),
        (lambda: Effect(ANIMAL, basis=LEG2), "the basis 'legendre' of an Effect needs a column"),
        (
            lambda: Effect(ANIMAL, "t", Basis("polynomial", 2)),
            "poly(t, 2) depends on the records in use and cannot be a random regression; write leg(), bspline(), or its powers "
            "as columns, x + I(x^2)",
        ),
        (lambda: Effect(ANIMAL, ""), "the column of an Effect hold an empty name"),
        (lambda: Effect(ANIMAL, classes=("sex",)), "a class term must be Classes, found 'sex'"),
        (lambda: Effect(ANIMAL, "t", classes=(Classes("t"),)), "the columns of an Effect hold 't' more than once"),
        (lambda: Classes(""), "the factor of Classes hold an empty name"),
        (lambda: Classes("sex", ("F", "F")), "the levels of Classes hold 'F' more than once"),
        (lambda: Classes("sex", ("F",)), "'sex' has one class only, 'F'; a factor has two or more"),
        (lambda: Classes("sex", by_type=1), "by_type of Classes is true or false, found 1"),
        (
            lambda: Classes("sex", ("F", "M"), True),
            "'sex' has levels and so is a factor, whatever the type of its column",
        ),
        (
            lambda: ByType(("a",), factors=("a",)),
            "the factors of ByType are some of its columns, not all; found 'a' of 'a'",
        ),
        (
            lambda: ByType(("a", "b"), factors=("c",)),
            "the factors of ByType are some of its columns, not all; found 'c'",
        ),
        (lambda: Effect(ANIMAL, traits=("",)), "the traits of an Effect hold an empty name"),
        (lambda: Random(()), "a random term has no effects; give at least one Effect"),
        (lambda: Random((ANIMAL,)), "a random term must be Effect, found Levels("),
        (lambda: Random((Effect(ANIMAL),), 1), "correlated of Random is true or false, found 1"),
        (lambda: Residual(""), "the weights of Residual hold an empty name"),
        (
            lambda: Residual(3),
            "weights are the name of a column, or a column for each of some traits; found 3",
        ),
        (lambda: Residual(()), "the traits of weights are empty; at least 1 must be named"),
        (lambda: Residual({"y": 3}), "the weights of Residual must be names, found 3"),
        (lambda: Residual(None, "herd"), "the classes of Residual must be a list of names, found 'herd'"),
        (lambda: Model((), (INTERCEPT,)), "the traits of a model are empty; at least 1 must be named"),
        (lambda: Model("y", (INTERCEPT,)), "the traits of a model must be a list of names, found 'y'"),
        (lambda: Model(("y", "y"), (INTERCEPT,)), "the traits of a model hold 'y' more than once"),
        (
            lambda: Model(("wwt", "pwt"), (Fixed((), ("wwtt",)),)),
            "the term '(Intercept)': the model has no trait 'wwtt'; did you mean 'wwt'? (it has 'wwt', 'pwt')",
        ),
        (
            lambda: Model(("y",), (INTERCEPT,), (Random((Effect(ANIMAL, traits=("z",)),)),)),
            "the random term 'animal': the model has no trait 'z' (it has 'y')",
        ),
        (
            lambda: Model(("y",), (INTERCEPT,), (), Residual({"z": "w"})),
            "the weights: the model has no trait 'z' (it has 'y')",
        ),
        (
            lambda: Model(("y", "z"), (Fixed((), ("y",)),)),
            "the trait 'z' has no terms; fit at least the intercept, Fixed(())",
        ),
        (
            lambda: Model(("y",), (), (Random((Effect(ANIMAL), Effect(ANIMAL, "t"), Effect(DAM))),)),
            "the random term 'animal + dam' has the effects '1', 't' for 'animal' and '1' for 'dam' (trait 'y'); give "
            "each group the same effects, or write two terms",
        ),
        (
            lambda: Model(AB, (), (Random((Effect(ANIMAL, traits=("a",)), Effect(DAM))),)),
            "the random term 'animal + dam' affects 'b' without its first group 'animal'; give the trait an effect of "
            "that group too, or write two terms",
        ),
        (
            lambda: Model(
                AB,
                (INTERCEPT,),
                (Random((Effect(ANIMAL, traits=("b",)),)), Random((Effect(ANIMAL, "t"),))),
            ),
            "the second random term of 'animal' affects 'a' and the one before it does not; put the term of more "
            "traits first, or give one of them a copy of the column under another name",
        ),
        (
            lambda: Model(("y",), (), (Random((Effect(ANIMAL), Effect(ANIMAL))),)),
            "the random term 'animal' has the same effect twice for 'y'; leave one out",
        ),
        (
            lambda: Model(("y",), (), (Random((Effect(Levels(AB)), Effect(Levels(("b", "a"))))),)),
            "the random term 'a:b + b:a' has the same effect twice for 'y'; leave one out",
        ),
        (
            lambda: Model(("y",), (), (Random((Effect(ANIMAL, "t", LEG2), Effect(ANIMAL))),)),
            "leg(t, 2) of the random term 'animal' has a constant of its own; leave the effect without a column out",
        ),
        (
            lambda: Model(
                ("y",), (), (Random((Effect(ANIMAL, "t", LEG2), Effect(ANIMAL, "t", Basis("legendre", 2, 0, 1)))),)
            ),
            "two effects of the random term 'animal' are called 'leg(t, 2) 0 y'; leave one out, or give it a copy",
        ),
        (
            lambda: Model(("y",), (), (Random((Effect(ANIMAL), Effect(Levels(("dam",), identity=True)))),)),
            "the groups of the random term 'animal + ide(dam)' share the relationship of the first one; write 'dam' in "
            "the place of 'ide(dam)'",
        ),
        (
            lambda: Model(("y",), (), (Random((Effect(ANIMAL), Effect(Levels(("dam",), relationship="D")))),)),
            "the groups of the random term 'animal + vm(dam, D)' share the relationship of the first one; write 'dam' "
            "in the place of 'vm(dam, D)'",
        ),
        (lambda: Model(("y",), ()), "the model has no terms; fit at least the intercept, Fixed(())"),
        (
            lambda: Model(("y",), INTERCEPT),
            "the fixed terms must be a list of Fixed or Covariate or ByType, found Fixed(factors=(), traits=())",
        ),
        (
            lambda: Model(("y",), (Random.of("a"),)),
            "a fixed term must be Fixed or Covariate or ByType, found Random(",
        ),
        (lambda: Model(("y",), (INTERCEPT,), ("a",)), "a random term must be Random, found 'a'"),
        (lambda: Model(("y",), (INTERCEPT,), (), "w"), "residual must be a Residual, found 'w'"),
        (
            lambda: Model(("y",), (ByType(("y",)),)),
            "the trait 'y' stands also among the terms or weights; leave it out",
        ),
        (
            lambda: Model(("y",), (INTERCEPT,), (), Residual("y")),
            "the trait 'y' stands also among the terms or weights",
        ),
        (
            lambda: Model(("y",), (INTERCEPT,), (), Residual(None, ("y",))),
            "the trait 'y' stands also among the terms or weights",
        ),
        (
            lambda: Model(("y",), (INTERCEPT,), (Random((Effect(Members(AB, ("y",))),)),)),
            "the trait 'y' stands also among the terms or weights",
        ),
        (
            lambda: Model(AB, (INTERCEPT, Covariate("b", traits=("a",)))),
            "the trait 'b' stands also among the terms or weights",
        ),
        (
            lambda: Model(("y",), (INTERCEPT, Covariate("t", Basis("legendre", 1)))),
            "leg(t, 1) has a constant of its own; leave the intercept Fixed(()) out",
        ),
        (
            lambda: Model(AB, (Fixed((), ("b",)), Covariate("t", Basis("bspline", 1)))),
            "bspline(t, 1) has a constant of its own; leave the intercept Fixed(()) out",
        ),
    ],
)
def test_what_makes_no_model_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize(
    ("fixed", "random", "name"),
    [
        ((Fixed(("a",)), Fixed(("a",))), (), "a"),
        ((Fixed(("a", "b")), Fixed(("b", "a"))), (), "b:a"),
        ((Fixed(("a",)), Covariate("a")), (), "a"),
        ((ByType(("a", "b")), Covariate("a", within=("b",))), (), "b:a"),
        ((INTERCEPT, INTERCEPT), (), "(Intercept)"),
        ((INTERCEPT,), (Random.of("a"), Random.of("a")), "1 | a"),
        ((INTERCEPT,), (Random.of("a", "b", identity=True), Random.of("b", "a", identity=True)), "1 | ide(a:b)"),
        ((Fixed(("a",)),), (Random.of("a"),), "a"),
        ((Fixed(("b", "a")),), (Random.of("b:a"),), "b:a"),
        ((INTERCEPT,), (Random((Effect(ANIMAL, "t", LEG2),)),) * 2, "leg(t, 2) | animal"),
    ],
)
def test_names_are_unique_in_a_model(fixed: Any, random: Any, name: str) -> None:
    message = (
        f"two terms of the model are called {name!r}; leave one out, or give it a copy of the column under another"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        Model(("y",), fixed, random)


def test_names_are_unique_in_each_trait() -> None:
    model = Model(AB, (Fixed(("x",), ("a",)), Covariate("x", traits=("b",))))
    assert [term.name for term in model.fixed] == ["x", "x"]
    model = Model.from_formula(["a ~ x", "b ~ (1 | x)"])
    assert model.fixed[1].name == model.keys[0] == "x"
    with pytest.raises(ModelError, match="two terms of the model are called 'x'"):
        Model(AB, (Fixed(("x",), ("a",)), Covariate("x")))


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ([], "the list of formulas is empty; write one for each trait"),
        (3, "a formula is a text, or a list of texts, one for each trait; found 3"),
        (["a ~ 1", 3], "a formula is a text, or a list of texts, one for each trait; found ['a ~ 1', 3]"),
        (
            ["a ~ 1", "(b, c) ~ 1"],
            "formula 2 of 2 has the responses 'b', 'c'; in a list each formula has one response",
        ),
        (
            ["a ~ 1", "b ~ 1", "a ~ x"],
            "the formulas 1 and 3 both have the response 'a'; write one formula for each trait",
        ),
        ("(a, a) ~ 1", "the traits of a model hold 'a' more than once"),
        (
            ["a ~ (t | f)", "b ~ (t || f)"],
            "the random term 'f' of 'a' has '|' and 'f' of 'b' '||'; write the same bar in each formula",
        ),
        (
            ["a ~ (t || f)", "b ~ (t | f)"],
            "the random term 'f' of 'a' has '||' and 'f' of 'b' '|'; write the same bar in each formula",
        ),
        (
            "y ~ (leg(t, 2):covariate(x) | f)",
            "leg(t, 2):covariate(x): of several covariates only the columns themselves are multiplied, not functions",
        ),
        ("y ~ (0 + sex:factor(sex) | f)", "the columns of an Effect hold 'sex' more than once"),
        (
            ["a ~ (factor(sex) | f)", "b ~ (0 + factor(sex) | f)"],
            "the random term 'f' has the effects '1' and 'sex', but for 'b' only the second; write the same left of the bar",
        ),
        (
            "y ~ (0 + factor(sex, levels=(F, M)) + `sex F` | f)",
            "two effects of the random term 'f' are called 'sex F y'; leave one out",
        ),
        (
            "y ~ factor(sex, levels=(F, M))",
            "factor(sex, levels=(F, M)): levels= stands left of a bar; a fixed factor has the levels of its column",
        ),
        ("log(y) ~ y", "the trait 'log(y)' stands also among the terms or weights; leave it out there"),
        ("y ~ I(x/y)", "the trait 'y' stands also among the terms or weights; leave it out there"),
        ("y ~ (poly(t, 2) | f)", "poly(t, 2) depends on the records in use and cannot be a random regression"),
        ("y ~ (t + covariate(t) | f)", "the random term 'f' has the same effect twice for 'y'; leave one out"),
        ("y ~ (1 | f + f)", "the random term 'f' has the same effect twice for 'y'"),
        (
            "y ~ (t | f) + (t || f)",
            "the random terms '1 + t | f' and '1 + t || f' have the same effects for 'y'; leave one out, or give it a copy of the column",
        ),
        ("y ~ (t | f) + (covariate(t) | f)", "two terms of the model are called '1 + t | f'"),
        (
            "y ~ bspline(t, 2, knots=(1, 7), range=(0, 5))",
            "inner knots lie between 0 and 5, found 7.0",
        ),
        (
            "y ~ covariate(a):poly(b, 2)",
            "covariate(a):poly(b, 2): of several covariates only the columns themselves are multiplied, not functions such "
            "as poly(); write their product, as in I(x * z)",
        ),
        ("y ~ a + factor(a)", "two terms of the model are called 'a'"),
    ],
)
def test_formulas_that_are_no_model(formula: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        Model.from_formula(formula)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("milk~1", "milk ~ 1"),
        ("milk ~ 1 + (1|animal)", "milk ~ 1 + (1 | animal)"),
        ("milk ~ herd - 1", "milk ~ 0 + herd"),
        ("milk ~ C(c):C(b) + 1 + (1 | a/b)", "milk ~ factor(c):factor(b) + (1 | a) + (1 | a:b)"),
        ("milk ~ factor(herd):covariate(age)", "milk ~ herd:covariate(age)"),
        (
            "`fat %` ~ leg(dim,2,range=(4,310)) + (1 | ide(animal))",
            "`fat %` ~ leg(dim, 2, range=(4, 310)) + (1 | ide(animal))",
        ),
        ("y ~ (covariate(t)||f) + (t+1|g)", "y ~ 1 + (1 + t || f) + (1 + t | g)"),
        ("log( y )~I(x**2):a + covariate(log(x))", "log(y) ~ a:I(x^2) + log(x)"),
        ("y ~ x:factor(a) - 1", "y ~ 0 + x:factor(a)"),
        (
            "y ~ (t*C(a, levels=(p, `q q`)) | g) + (x:a || h) + (log(x):a | k)",
            "y ~ 1 + (1 + t + factor(a, levels=(p, `q q`)) + t:factor(a, levels=(p, `q q`)) | g) + (1 + x:a || h) "
            "+ (1 + factor(a):log(x) | k)",
        ),
        ("y ~ 0 + (1 + leg(t, 2) | vm(f, D) + g)", "y ~ 0 + (leg(t, 2) | vm(f, D) + g)"),
        (
            "(y, `z z`) ~ bspline(t,2,range=(0,5),knots=(1,2)) + (bspline(t, 2, knots=1)|mm(a, b, weights=(1,`w w`)))",
            "(y, `z z`) ~ bspline(t, 2, knots=(1, 2), range=(0, 5)) "
            "+ (bspline(t, 2, knots=1) | mm(a, b, weights=(1, `w w`)))",
        ),
    ],
)
def test_formula_is_printed(written: str, printed: str) -> None:
    model = Model.from_formula(written)
    assert str(model) == model.formula == printed


def test_repr() -> None:
    model = Model.from_formula(
        "milk ~ herd + factor(sex) + covariate(age) + sex:poly(x, 2) + (1 | animal) + (1 | ide(animal))", weights="w"
    )
    assert repr(model).splitlines() == [
        "Model",
        "  trait     milk",
        "  fixed     (Intercept)",
        "            herd            classes or regression, by the type of the column",
        "            sex             classes",
        "            age             regression",
        "            sex:poly(x, 2)  orthogonal polynomials of degree 1 to 2, within sex",
        "  random    animal          K of 'animal' where given, else identity",
        "            ide(animal)     identity",
        "  residual  R/w",
        "  equation  milk = intercept + herd + sex + age + sex:poly(x, 2) + animal + ide(animal) + residual",
    ]


def test_repr_of_several_traits() -> None:
    model = Model.from_formula(
        [
            "wwt ~ sex + herd:year + (1 | animal + dam) + (1 | ide(dam))",
            "pwt ~ sex + bspline(age, 2, knots=(50, 90), range=(1, 99)) + (1 + age | animal)",
        ],
        weights={"pwt": "n"},
        residual_classes=["herd", "sex"],
    )
    assert repr(model).splitlines() == [
        "Model",
        "  trait     wwt",
        "            pwt",
        "  fixed     (Intercept)      for wwt",
        "            sex              classes or regression, by the type of the column",
        "            herd:year        classes or regression, by the type of the column; for wwt",
        "            bspline(age, 2)  B-splines of degree 2 on 1 to 99, inner knots 50, 90; for pwt",
        "  random    animal + dam     K of 'animal' where given, else identity",
        "                             covariance matrix 4 x 4: direct intercept wwt, direct intercept pwt, direct age pwt, maternal wwt",
        "            ide(dam)         identity",
        "  residual  R/w              covariance matrix 2 x 2: wwt, pwt",
        "                             w: n for pwt",
        "                             one for each class of herd:sex",
        "  equation  wwt = intercept + sex + herd:year + animal (direct) + dam (maternal) + ide(dam) + residual",
        "            pwt = sex + bspline(age, 2) + animal (direct) + animal:age (direct) + residual",
    ]


def test_repr_of_random_regressions() -> None:
    model = Model.from_formula(
        "y ~ 0 + (leg(t, 1, range=(5, 305)) || animal) + (1 | vm(animal, D)) + (1 | animal + mm(p, q)) + (1 | a:b)"
    )
    assert repr(model).splitlines() == [
        "Model",
        "  trait     y",
        "  random    animal             K of 'animal' where given, else identity",
        "                               leg(t, 1): normalised Legendre polynomials of degree 0 to 1 on 5 to 305",
        "                               covariance matrix, effects uncorrelated 2 x 2: 0 y, 1 y",
        "            vm(animal, D)      K of 'D'",
        "            animal + mm(p, q)  K of 'animal' where given, else identity",
        "                               covariance matrix 2 x 2: direct y, associative y",
        "            a:b                identity",
        "  residual  R",
        "  equation  y = animal:leg(t, 1) + vm(animal, D) + animal (direct) + mm(p, q) (associative) + a:b + residual",
    ]


@pytest.mark.parametrize(("limits", "shown"), [("", "the range of the data"), (", range=(4, 310)", "4 to 310")])
def test_repr_of_legendre_terms_shows_the_range(limits: str, shown: str) -> None:
    lines = repr(Model.from_formula(f"milk ~ leg(dim, 2{limits})")).splitlines()
    assert lines[2] == f"  fixed     leg(dim, 2)  normalised Legendre polynomials of degree 0 to 2 on {shown}"
    assert lines[3] == "  residual  R"


def test_to_dict_is_what_toml_holds() -> None:
    text = """
        traits = ["milk"]
        fixed = [
            {columns = ["herd", "year"]},
            {columns = ["sex", "x"], as_factors = ["sex"]},
            {factors = ["sex"]},
            {covariate = "age", within = ["sex"]},
            {covariate = "dim", basis = "legendre", degree = 4, lower = 4.0, upper = 310.0},
        ]
        random = [
            {factors = ["animal"]},
            {factors = ["animal"], identity = true},
            {effects = [
                {factors = ["g"], classes = [{column = "x"}, {factor = "sex", levels = ["F", "M"]}]},
                {factors = ["g"], covariate = "log(age)", classes = [{factor = "sex"}]},
            ]},
        ]
        residual = {weights = "w"}
    """
    plain = tomllib.loads(text)
    model = Model.from_dict(plain)
    assert model == Model.from_formula(
        "milk ~ herd:year + factor(sex):x + factor(sex) + sex:covariate(age) + leg(dim, 4, range=(4, 310)) "
        "+ (1 | animal) + (1 | ide(animal)) + (0 + x:factor(sex, levels=(F, M)) + sex:log(age) | g)",
        weights="w",
    )
    assert model.to_dict() == plain


def test_to_dict_of_several_traits() -> None:
    text = """
        traits = ["a", "b"]
        fixed = [
            {factors = []},
            {factors = ["sex"], traits = ["a"]},
            {columns = ["herd"], traits = ["b"]},
            {covariate = "age", traits = ["b"]},
            {covariate = "t", basis = "polynomial", degree = 2, within = ["sex"]},
        ]
        random = [
            {factors = ["animal"], relationship = "D"},
            {effects = [{factors = ["animal"]}, {factors = ["dam"], traits = ["a"]}]},
            {effects = [{factors = ["pe"], identity = true, traits = ["b"]}]},
            {effects = [{members = ["p", "q"], weights = [1.0, "w"], covariate = "t"}, {members = ["r"], covariate = "t"}]},
            {effects = [
                {factors = ["c"], covariate = "t", basis = "bspline", degree = 2, lower = 0.0, upper = 9.0, knots = [4.0]},
            ], correlated = false},
        ]
        residual = {weights = {a = "w"}, classes = ["herd"]}
    """
    plain = tomllib.loads(text)
    model = Model.from_dict(plain)
    pe = "(1 | ide(pe)) + "
    mm = "(0 + t | mm(p, q, weights=(1, w)) + mm(r)) + (bspline(t, 2, knots=4, range=(0, 9)) || c)"
    assert model == Model.from_formula(
        [
            f"a ~ factor(sex) + sex:poly(t, 2) + (1 | vm(animal, D)) + (1 | animal + dam) + {mm}",
            f"b ~ herd + covariate(age) + sex:poly(t, 2) + (1 | vm(animal, D)) + (1 | animal) + {pe}{mm}",
        ],
        weights={"a": "w"},
        residual_classes="herd",
    )
    assert Model.from_dict(model.to_dict()) == model
    ordered = model.to_dict()
    for part in ("fixed", "random"):
        assert sorted(map(str, ordered.pop(part))) == sorted(map(str, plain.pop(part)))
    assert ordered == plain


ONE = {"traits": ["y"], "fixed": [{"factors": []}]}


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([], "model: expected a table, found []"),
        (ONE | {"randm": []}, "model: unknown key 'randm'; did you mean 'random'?; known are 'traits', 'fixed'"),
        ({"traits": ["y"]}, "model: the key 'fixed' is missing"),
        (ONE | {"traits": "y"}, "the traits of a model must be a list of names, found 'y'"),
        (ONE | {"fixed": "sex"}, "fixed: expected a list of tables, found 'sex'"),
        (ONE | {"fixed": ["sex"]}, "fixed term: expected a table, found 'sex'"),
        (ONE | {"fixed": [{"factor": ["a"]}]}, "fixed term: unknown key 'factor'; did you mean 'factors'?"),
        (ONE | {"fixed": [{}]}, "a fixed term has one of 'factors', 'columns' and 'covariate', found nothing"),
        (
            ONE | {"fixed": [{"factors": ["a"], "covariate": "b"}]},
            "a fixed term has one of 'factors', 'columns' and 'covariate', found 'factors', 'covariate'",
        ),
        (
            ONE | {"fixed": [{"factors": ["a"], "degree": 2}]},
            "fixed term with 'factors': unknown key 'degree'; known are 'factors', 'traits'",
        ),
        (ONE | {"fixed": [{"covariate": 3}]}, "the column of Covariate must be names, found 3"),
        (
            ONE | {"random": [{"identity": True}]},
            "a random term has one of 'factors' and 'effects', found 'identity'",
        ),
        (ONE | {"random": ["a"]}, "random term: expected a table, found 'a'"),
        (
            ONE | {"random": [{"factor": ["a"]}]},
            "random term: unknown key 'factor'; did you mean 'factors'?; known are 'effects', 'factors'",
        ),
        (
            ONE | {"random": [{"factors": ["a"], "effects": []}]},
            "random term with 'effects': unknown key 'factors'; known are 'effects', 'correlated'",
        ),
        (ONE | {"random": [{"effects": []}]}, "a random term has no effects; give at least one Effect"),
        (ONE | {"random": [{"effects": 3}]}, "effects of a random term: expected a list of tables, found 3"),
        (ONE | {"random": [{"effects": ["a"]}]}, "effect of a random term: expected a table, found 'a'"),
        (
            ONE | {"random": [{"effects": [{"group": "a"}]}]},
            "effect of a random term: unknown key 'group'; known are 'factors', 'identity'",
        ),
        (
            ONE | {"random": [{"effects": [{}]}]},
            "an effect of a random term has one of 'factors' and 'members', found nothing",
        ),
        (
            ONE | {"random": [{"effects": [{"factors": ["a"], "degree": 2}]}]},
            "effect with 'factors' and no 'covariate': unknown key 'degree'",
        ),
        (
            ONE | {"random": [{"effects": [{"members": ["a"], "identity": True, "covariate": "t"}]}]},
            "effect with 'members' and a 'covariate': unknown key 'identity'",
        ),
        (
            ONE | {"random": [{"effects": [{"factors": ["a"], "classes": [{"levels": ["p", "q"]}]}]}]},
            "an entry of classes has one of 'factor' and 'column', found 'levels'",
        ),
        (
            ONE | {"random": [{"effects": [{"factors": ["a"], "classes": ["p"]}]}]},
            "classes of an effect: expected a table, found 'p'",
        ),
        (
            ONE | {"fixed": [{"covariate": "a", "as_factors": ["a"]}]},
            "fixed term with 'covariate': unknown key 'as_factors'; known are 'covariate', 'basis'",
        ),
        (ONE | {"random": {"factors": ["a"]}}, "random: expected a list of tables, found {'factors': ['a']}"),
        (ONE | {"residual": {"weight": "w"}}, "residual: unknown key 'weight'; did you mean 'weights'?"),
    ],
)
def test_from_dict_refuses_what_is_no_model(plain: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        Model.from_dict(plain)


names = st.text(st.sampled_from("abcd1_. `:é牛"), min_size=1, max_size=3).filter(lambda name: bool(name.strip()))
name_lists = st.lists(names, min_size=1, max_size=3, unique=True).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
limits = st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1])
degrees = st.integers(1, 9)
knots = st.lists(numbers, max_size=3, unique=True).map(lambda some: tuple(sorted(some)))
curves = st.one_of(
    st.builds(Basis, st.just("legendre"), degrees),
    st.builds(Basis, st.just("bspline"), degrees, knots=knots),
    st.tuples(degrees, limits).map(lambda given: Basis("legendre", given[0], *given[1])),
    st.tuples(degrees, limits, st.lists(st.floats(0.01, 0.99), max_size=2, unique=True)).map(
        lambda given: Basis("bspline", given[0], 0.0, 1.0, tuple(sorted(given[2])))
    ),
)
bases = st.just(LINEAR) | st.builds(Basis, st.just("polynomial"), degrees) | curves
TRAITS = ("milk", "fat %", "protein")
some_traits = st.lists(st.sampled_from(TRAITS), max_size=2, unique=True).map(tuple)
covariates = st.builds(
    lambda columns, basis, traits: Covariate(columns[0], basis, columns[1:], traits),
    name_lists | st.sampled_from([("log(a)", "b"), ("I(a/b)",)]),
    bases,
    some_traits,
)
fixed_terms = st.one_of(
    st.builds(Fixed, name_lists, some_traits),
    st.builds(ByType, name_lists, some_traits),
    st.builds(lambda columns, traits: ByType(columns, traits, columns[1:]), name_lists, some_traits),
    covariates,
)
levels = st.one_of(
    st.builds(Levels, name_lists, st.booleans()),
    st.builds(lambda name, relationship: Levels((name,), relationship=relationship), names, names),
)
members = st.tuples(name_lists, st.lists(names | numbers, max_size=3)).map(
    lambda given: Members(given[0], given[1][: len(given[0])] if len(given[1]) >= len(given[0]) else ())
)
computed = st.sampled_from(["log(a)", "I(b^2)", "I(`a c`/d)"])
multiplied = st.lists(
    st.builds(Classes, names, st.just(()) | st.lists(names, min_size=2, max_size=3, unique=True).map(tuple)),
    max_size=2,
    unique_by=lambda one: one.factor,
).map(tuple)
undecided = st.lists(st.builds(Classes, names, by_type=st.just(True)), min_size=2, max_size=3, unique=True).map(tuple)
regressors = st.lists(
    st.just((None, LINEAR, ()))
    | st.tuples(names | computed, st.just(LINEAR) | curves, multiplied)
    | st.tuples(st.none(), st.just(LINEAR), undecided | multiplied),
    min_size=1,
    max_size=3,
    unique=True,
)


@st.composite
def random_terms(draw: st.DrawFn) -> Random:
    """Each trait has some of the groups, the first one among them, and some regressors for all of its groups."""
    first = draw(levels | members)
    others: list[LevelGroup] = [
        group for group in draw(st.lists(st.builds(Levels, name_lists) | members, max_size=2)) if group != first
    ]
    groups = [first, *dict.fromkeys(others)]
    columns = draw(regressors)
    affected: dict[tuple[LevelGroup, Any], list[str]] = {}
    for trait in draw(st.just(TRAITS) | some_traits) or TRAITS:
        number = draw(st.integers(1, len(groups)))
        width = draw(st.integers(1, len(columns)))
        for group in groups[:number]:
            for column in columns[:width]:
                affected.setdefault((group, column), []).append(trait)
    try:
        effects = [
            Effect(group, column, basis, tuple(traits), classes)
            for (group, (column, basis, classes)), traits in affected.items()
        ]
    except ModelError:
        assume(False)
    return Random(tuple(effects), draw(st.booleans()))


residuals = st.builds(
    Residual,
    st.none() | names | st.dictionaries(st.sampled_from(TRAITS), names, min_size=1).map(lambda d: tuple(d.items())),
    st.lists(names, max_size=2, unique=True).map(tuple),
)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Models of one or three traits; drafts that make none are thrown away."""
    fixed = draw(st.lists(fixed_terms, max_size=3))
    curved = [term for term in fixed if isinstance(term, Covariate) and term.basis.has_constant]
    first = [Fixed((), draw(some_traits))] if not curved else []
    random = draw(st.lists(random_terms(), max_size=2))
    try:
        return Model(TRAITS, (*first, *fixed), tuple(random), draw(residuals))
    except ModelError:
        assume(False)
        raise


def toml(value: object) -> str:
    """A value as TOML writes it; text as JSON does, which TOML reads."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(models())
def test_round_trips(model: Model) -> None:
    weights, classes = model.residual.weights, model.residual.classes
    options: Any = {"weights": dict(weights) if isinstance(weights, tuple) else weights, "residual_classes": classes}
    again = Model.from_formula(model.formulas, **options)
    assert again == model
    assert again.formulas == model.formulas
    assert again.keys == model.keys
    text = "\n".join(f"{key} = {toml(value)}" for key, value in model.to_dict().items())
    assert Model.from_dict(tomllib.loads(text)) == model
    assert len(repr(model).splitlines()) > len(TRAITS)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(models(), st.randoms())
def test_a_model_is_the_same_in_another_order_of_traits_of_its_terms(model: Model, shuffle: Any) -> None:
    """Splitting terms into one for each trait, in any order of the traits, changes nothing."""
    split = [
        dataclasses.replace(term, traits=(trait,))
        for term in model.fixed
        for trait in shuffle.sample(TRAITS, 3)
        if trait in (term.traits or TRAITS)
    ]
    assert Model(model.traits, tuple(split), model.random, model.residual) == model


def test_toml_of_a_model_is_its_section() -> None:
    formulas = [
        '`wéi"ght` ~ sex + (leg(t, 1, range=(0, 9.5)) | animal + dam)',
        "y2 ~ 1 + (leg(t, 1, range=(0, 9.5)) | animal)",
    ]
    model = Model.from_formula(formulas, weights={"y2": "n", 'wéi"ght': "m"}, residual_classes="farm")
    text = model.to_toml()
    assert text.startswith('[model]\ntraits = ["wéi\\"ght", "y2"]\n')
    assert Model.from_dict(tomllib.loads(text)["model"]) == model
