"""Models: what formulas mean, what is refused, and the round trips through formula and dictionary."""

from __future__ import annotations

import dataclasses
import pickle
import re
import tomllib
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from breedblup.errors import ModelError
from breedblup.model import Basis, ByType, Covariate, Fixed, Model, Random, Residual

INTERCEPT = Fixed(())
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
    "herd:leg(dim, 4)": (Covariate("dim", LEG4, ("herd",)),),
}


@pytest.mark.parametrize("right", FIXED)
def test_fixed_part_of_a_formula(right: str) -> None:
    assert Model.from_formula(f"milk ~ {right}") == Model(("milk",), FIXED[right])


@pytest.mark.parametrize(
    ("right", "random"),
    [
        ("(1 | animal)", (Random(("animal",)),)),
        ("(1 || animal)", (Random(("animal",)),)),
        ("(1 | animal) + (1 | ide(animal))", (Random(("animal",)), Random(("animal",), identity=True))),
        ("(1 | herd:year)", (Random(("herd", "year")),)),
        ("(1 | herd/year)", (Random(("herd",)), Random(("herd", "year")))),
    ],
)
def test_random_part_of_a_formula(right: str, random: tuple[Random, ...]) -> None:
    assert Model.from_formula(f"milk ~ {right}") == Model(("milk",), (INTERCEPT,), random)
    assert Model.from_formula(f"milk ~ 0 + {right}") == Model(("milk",), (), random)


def test_weights_are_given_beside_the_formula() -> None:
    model = Model.from_formula("milk ~ 1", weights="w")
    assert model.residual == Residual("w")
    assert model.columns == ("milk", "w")


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
        (Random(("animal",)), "animal", ("animal",)),
        (Random(("animal",), identity=True), "ide(animal)", ("animal",)),
        (Random(("herd", "year")), "herd:year", ("herd", "year")),
    ],
)
def test_names_and_columns(term: Fixed | Covariate | ByType | Random, name: str, columns: tuple[str, ...]) -> None:
    assert term.name == name
    assert term.columns == columns


def test_the_key_of_a_random_term_is_its_name() -> None:
    assert Random(("a", "b"), identity=True).key == Random(("a", "b"), identity=True).name == "ide(a:b)"


def test_columns_of_a_model_come_once() -> None:
    model = Model.from_formula("milk ~ herd*year + covariate(dim) + (1 | animal) + (1 | ide(animal))", weights="w")
    assert model.columns == ("milk", "herd", "year", "dim", "animal", "w")


@pytest.mark.parametrize(("kind", "size"), [("linear", 1), ("polynomial", 3), ("legendre", 4)])
def test_size_of_a_basis(kind: Any, size: int) -> None:
    assert Basis(kind, 1 if kind == "linear" else 3).size == size


def test_the_intercept_stands_first() -> None:
    assert Model(("y",), (Fixed(("a",)), INTERCEPT)).fixed == (INTERCEPT, Fixed(("a",)))


def test_lists_become_tuples_and_limits_floats() -> None:
    assert Fixed(["a", "b"]) == Fixed(("a", "b"))  # type: ignore[arg-type]
    model = Model(["y"], [INTERCEPT], [Random(["a"])])  # type: ignore[arg-type]
    assert model == Model(("y",), (INTERCEPT,), (Random(("a",)),))
    assert hash(model) == hash(Model(("y",), (INTERCEPT,), (Random(("a",)),)))
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
        (lambda: Basis("polynomial", 2, 0, 1), "only a Legendre basis has limits, found 0 and 1 (polynomial)"),
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
        (lambda: Random(()), "the factors of Random are empty; at least 1 must be named"),
        (lambda: Random(("a",), 1), "identity of Random is true or false, found 1"),
        (lambda: Residual(""), "the weights of Residual hold an empty name"),
        (lambda: Model((), (INTERCEPT,)), "the traits of a model are empty; at least 1 must be named"),
        (lambda: Model("y", (INTERCEPT,)), "the traits of a model must be a list of names, found 'y'"),
        (
            lambda: Model(("y", "z"), (INTERCEPT,)),
            "this version fits one trait, found 'y', 'z'; make a model of each",
        ),
        (lambda: Model(("y",), ()), "the model has no terms; fit at least the intercept, Fixed(())"),
        (
            lambda: Model(("y",), INTERCEPT),
            "the fixed terms must be a list of Fixed or Covariate or ByType, found Fixed(factors=())",
        ),
        (
            lambda: Model(("y",), (Random(("a",)),)),
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
            lambda: Model(("y",), (INTERCEPT, Covariate("t", Basis("legendre", 1)))),
            "leg(t, 1) has a constant of its own; leave the intercept Fixed(()) out",
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
        ((INTERCEPT,), (Random(("a",)), Random(("a",))), "a"),
        ((INTERCEPT,), (Random(("a", "b"), True), Random(("b", "a"), True)), "ide(b:a)"),
        ((Fixed(("a",)),), (Random(("a",)),), "a"),
        ((Fixed(("b", "a")),), (Random(("b:a",)),), "b:a"),
    ],
)
def test_names_are_unique_in_a_model(fixed: Any, random: Any, name: str) -> None:
    message = (
        f"two terms of the model are called {name!r}; leave one out, or give it a copy of the column under another"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        Model(("y",), fixed, random)


SCALAR = "this version fits scalar random terms, one effect a level; write (1 | factor), (1 | ide(factor)) or (1 | a:b)"


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("(wwt, pwt) ~ sex", "this version fits one trait, found 'wwt', 'pwt'; make a model of each"),
        ("y ~ (1 + t | f)", f"(1 + t | f): {SCALAR}"),
        ("y ~ (0 + t | f)", f"(0 + t | f): {SCALAR}"),
        ("y ~ (t || f)", f"(1 + t || f): {SCALAR}"),
        ("y ~ (leg(t, 2) | f)", f"(leg(t, 2) | f): {SCALAR}"),
        ("y ~ (1 | animal + dam)", f"(1 | animal + dam): {SCALAR}"),
        ("y ~ (1 | mm(a, b, weights=(1, 0.5)))", f"(1 | mm(a, b, weights=(1, 0.5))): {SCALAR}"),
        (
            "y ~ covariate(a):poly(b, 2)",
            "covariate(a):poly(b, 2): a term can hold one covariate; make their product a column of the records",
        ),
        (
            "y ~ factor(herd):age",
            "factor(herd):age: whether 'age' is a factor or a covariate must be said; write factor() or covariate()",
        ),
        ("y ~ a + factor(a)", "two terms of the model are called 'a'"),
    ],
)
def test_formulas_that_are_no_model_of_this_version(formula: str, message: str) -> None:
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
        "  random    animal          K given or identity",
        "            ide(animal)     identity",
        "  residual  R/w",
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
            {factors = ["sex"]},
            {covariate = "age", within = ["sex"]},
            {covariate = "dim", basis = "legendre", degree = 4, lower = 4.0, upper = 310.0},
        ]
        random = [{factors = ["animal"]}, {factors = ["animal"], identity = true}]
        residual = {weights = "w"}
    """
    plain = tomllib.loads(text)
    model = Model.from_dict(plain)
    assert model == Model.from_formula(
        "milk ~ herd:year + factor(sex) + sex:covariate(age) + leg(dim, 4, range=(4, 310)) "
        "+ (1 | animal) + (1 | ide(animal))",
        weights="w",
    )
    assert model.to_dict() == plain


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
            "fixed term with 'factors': unknown key 'degree'; known are 'factors'",
        ),
        (ONE | {"fixed": [{"covariate": 3}]}, "the column of Covariate must be names, found 3"),
        (ONE | {"random": [{"identity": True}]}, "random term: the key 'factors' is missing"),
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
bases = st.one_of(
    st.just(Basis("linear")),
    st.builds(Basis, st.just("polynomial"), st.integers(1, 9)),
    st.builds(Basis, st.just("legendre"), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), numbers, numbers)
    .filter(lambda given: given[1] < given[2])
    .map(lambda given: Basis("legendre", *given)),
)
covariates = st.builds(lambda columns, basis: Covariate(columns[0], basis, columns[1:]), name_lists, bases)
fixed_terms = st.one_of(st.builds(Fixed, name_lists), st.builds(ByType, name_lists), covariates)
drafts = st.tuples(
    st.booleans(),
    st.lists(fixed_terms, max_size=4),
    st.lists(st.builds(Random, name_lists, st.booleans()), max_size=3),
    st.none() | names,
)


@given(drafts)
def test_round_trips(draft: tuple[bool, list[Any], list[Random], str | None]) -> None:
    intercept, fixed, random, weights = draft
    legendre = any(isinstance(term, Covariate) and term.basis.kind == "legendre" for term in fixed)
    first = [INTERCEPT] if intercept and not legendre else []
    try:
        model = Model(("milk yield",), (*first, *fixed), tuple(random), Residual(weights))
    except ModelError:
        assume(False)
    assert Model.from_formula(model.formula, weights=weights) == model
    assert Model.from_formula(str(model), weights=weights).formula == model.formula
    assert Model.from_dict(model.to_dict()) == model
