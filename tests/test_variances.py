"""Variance components: what is accepted, how it is read back, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any

import numpy as np
import pytest
from conftest import REFS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from breedblup.errors import ModelError
from breedblup.model import Model
from breedblup.variances import VarianceComponents

REPEATABILITY = VarianceComponents({"animal": 20.0, "ide(animal)": 12.0}, residual=28.0)
TWO_TRAITS = VarianceComponents({"animal": [[20.0, 4.0], [4.0, 40.0]]}, residual=[[40.0, 11.0], [11.0, 30.0]])


def test_numbers_are_read_back_as_floats_and_as_matrices() -> None:
    assert REPEATABILITY["animal"] == 20.0
    assert isinstance(REPEATABILITY["animal"], float)
    assert REPEATABILITY.residual == 28.0
    assert isinstance(REPEATABILITY.residual, float)
    assert REPEATABILITY.matrix("ide(animal)").tolist() == [[12.0]]
    assert REPEATABILITY.residual_matrix().tolist() == [[28.0]]


def test_matrices_are_read_back() -> None:
    assert np.array_equal(TWO_TRAITS["animal"], [[20, 4], [4, 40]])
    assert np.array_equal(TWO_TRAITS.residual, [[40, 11], [11, 30]])
    assert TWO_TRAITS.matrix("animal").dtype == np.float64


def test_keys() -> None:
    assert REPEATABILITY.keys() == ("animal", "ide(animal)")
    assert list(REPEATABILITY) == ["animal", "ide(animal)"]
    assert len(REPEATABILITY) == 2
    assert "animal" in REPEATABILITY
    assert "dam" not in REPEATABILITY
    assert VarianceComponents({}, residual=1).keys() == ()


@pytest.mark.parametrize("one", [20, 20.0, np.float32(20), np.array(20), [[20]], np.array([[20]])])
def test_ways_to_give_a_number(one: Any) -> None:
    assert VarianceComponents({"animal": one}, residual=one) == VarianceComponents({"animal": 20.0}, residual=20.0)


def test_values_are_never_changed() -> None:
    given_matrix = np.array([[20.0, 4.0], [4.0, 40.0]])
    variances = VarianceComponents({"animal": given_matrix}, residual=given_matrix)
    given_matrix[:] = 0.0
    assert variances.matrix("animal")[0, 0] == 20.0
    with pytest.raises(ValueError, match="read-only"):
        variances.matrix("animal")[0, 0] = 1.0
    with pytest.raises(AttributeError, match="'residual' cannot be set: variances are never changed, make new ones"):
        variances.residual = 1.0  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(variances))
    assert again == variances
    assert not again.residual_matrix().flags.writeable


def test_equality_is_by_value() -> None:
    assert VarianceComponents({"b": 1, "a": 2}, 3) == VarianceComponents({"a": 2.0, "b": 1.0}, 3.0)
    assert hash(VarianceComponents({"b": 1, "a": 2}, 3)) == hash(VarianceComponents({"a": 2, "b": 1}, 3))
    zeros = [VarianceComponents({}, [[1.0, zero], [zero, 1.0]]) for zero in (0.0, -0.0)]
    assert zeros[0] == zeros[1]
    assert hash(zeros[0]) == hash(zeros[1])
    base = VarianceComponents({"a": 1}, 3)
    for other in [VarianceComponents({"a": 2}, 3), VarianceComponents({"a": 1}, 4), VarianceComponents({"b": 1}, 3), 3]:
        assert base != other


def test_rounding_is_taken_out() -> None:
    off = 4.0 * (1 + 1e-15)
    matrix = VarianceComponents({"animal": [[20.0, 4.0], [off, 40.0]]}, 1).matrix("animal")
    assert matrix[0, 1] == matrix[1, 0] == pytest.approx(4.0, rel=1e-14)


@pytest.mark.parametrize("singular", [0.0, [[0, 0], [0, 5]], [[4, 6], [6, 9]], [[1e8, 0.1], [0.1, 1e-10]]])
def test_a_singular_genetic_matrix_is_a_value(singular: Any) -> None:
    assert np.array_equal(VarianceComponents({"animal": singular}, 1)["animal"], singular)


CLASSES = VarianceComponents({"animal": 20.0}, residual={"H1": 28.0, "H2": 35})


def test_residual_classes_are_read_back() -> None:
    assert CLASSES.residual == {"H1": 28.0, "H2": 35.0}
    assert CLASSES.residual_classes == ("H1", "H2")
    assert CLASSES.residual_matrix("H2").tolist() == [[35.0]]
    matrices = VarianceComponents({}, residual={"a": [[2, 1], [1, 2]], "b": [[3, 0], [0, 4]]})
    assert matrices.residual_matrix("b").tolist() == [[3.0, 0.0], [0.0, 4.0]]
    assert np.array_equal(matrices.residual["a"], [[2, 1], [1, 2]])  # type: ignore[index, call-overload]
    assert REPEATABILITY.residual_classes == ()
    again = pickle.loads(pickle.dumps(CLASSES))
    assert again == CLASSES
    assert hash(again) == hash(CLASSES)
    assert not again.residual_matrix("H1").flags.writeable


def test_equality_with_residual_classes() -> None:
    swapped = VarianceComponents({"animal": 20.0}, residual={"H2": 35.0, "H1": 28.0})
    assert swapped == CLASSES
    assert hash(swapped) == hash(CLASSES)
    for residual in (28.0, {"H1": 28.0}, {"H1": 28.0, "H3": 35.0}, {"H1": 35.0, "H2": 28.0}):
        assert VarianceComponents({"animal": 20.0}, residual=residual) != CLASSES
    assert VarianceComponents({}, residual={"x": 1.0}) != VarianceComponents({}, residual=1.0)


def test_a_residual_class_must_be_named_and_known() -> None:
    with pytest.raises(ModelError, match="the residual has the classes 'H1', 'H2'; name one of them"):
        CLASSES.residual_matrix()
    message = "no residual variance is given for the class 'H10'; did you mean 'H1'?; given are 'H1', 'H2'"
    with pytest.raises(ModelError, match=re.escape(message)):
        CLASSES.residual_matrix("H10")
    with pytest.raises(ModelError, match="no residual variance is given for the class 'H1'; given are none"):
        REPEATABILITY.residual_matrix("H1")


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        ({}, "the residual variances of classes are empty; give one for each class"),
        ({3: 1.0}, "the classes of the residual are named by text, found 3"),
        ({" ": 1.0}, "the classes of the residual are named by text, found ' '"),
        ({"a": "1"}, "the variance of the residual class 'a' must be a number or a square matrix, found '1'"),
        ({"a": 0}, "the variance of the residual class 'a' is 0; it must be positive"),
        ({"a": 1, "b": -1}, "variance of the residual class 'b' is -1; a variance cannot be negative"),
        ({"a": [[4, 6], [6, 9]]}, "the matrix of the residual class 'a' is not positive definite: its smallest"),
        (
            {"a": 1, "b": [[1, 0], [0, 1]]},
            "the matrix of the residual class 'a' is 1 x 1, that of 'b' is 2 x 2; each class needs a row for each trait",
        ),
    ],
)
def test_residual_classes_that_are_refused(residual: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        VarianceComponents({}, residual=residual)


NOT_A_NUMBER = "the variance of 'animal' must be a number or a square matrix, found "
REFUSED: list[tuple[Any, str]] = [
    (-20, "variance of 'animal' is -20; a variance cannot be negative"),
    ([[1, 0], [0, -2]], "variance of 'animal' (row 2 of its matrix) is -2; a variance cannot be negative"),
    (float("nan"), "the variance of 'animal' is not finite: nan"),
    ([[1, float("inf")], [0, 1]], "the variance of 'animal' is not finite: [[1.0, inf], [0.0, 1.0]]"),
    (
        [[20, 4], [5, 40]],
        "the matrix of 'animal' is not symmetric: row 1, column 2 is 4, row 2, column 1 is 5",
    ),
    (
        [[20, 40], [40, 40]],
        "the matrix of 'animal' is not positive semi-definite: its smallest eigenvalue is -11.2311 "
        "(-0.4142 on the scale of correlations)",
    ),
    ([[0, 1], [1, 4]], "the matrix of 'animal' is not positive semi-definite: its smallest eigenvalue is -0.236068"),
    ("20", NOT_A_NUMBER + "'20'"),
    (None, NOT_A_NUMBER + "None"),
    (True, NOT_A_NUMBER + "True"),
    ([[1, 2], [3]], NOT_A_NUMBER + "[[1, 2], [3]]"),
    ([1, 2], NOT_A_NUMBER + "an array of shape 2"),
    ([[1, 2]], NOT_A_NUMBER + "an array of shape 1 x 2"),
    (np.ones((0, 0)), NOT_A_NUMBER + "an array of shape 0 x 0"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_what_is_no_covariance_matrix_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}"):
        VarianceComponents({"animal": value}, residual=1.0)
    with pytest.raises(ModelError, match=f"^{re.escape(message.replace(repr('animal'), 'the residual'))}"):
        VarianceComponents({}, residual=value)


def test_small_traits_are_judged_on_their_own_scale() -> None:
    matrix = np.diag([1e8, 1e-8, 1e-8])
    matrix[1, 2] = matrix[2, 1] = 2e-8
    with pytest.raises(ModelError, match=r"is not positive semi-definite: .* \(-1 on the scale of correlations\)"):
        VarianceComponents({"animal": matrix}, 1)


def test_a_residual_without_variance_is_refused() -> None:
    with pytest.raises(ModelError, match="the variance of the residual is 0; it must be positive"):
        VarianceComponents({"animal": 1.0}, residual=0)
    message = (
        "the matrix of the residual is not positive definite: its smallest eigenvalue is .*; every trait needs resid"
    )
    for singular in ([[4, 6], [6, 9]], [[0, 0], [0, 1]]):
        with pytest.raises(ModelError, match=message):
            VarianceComponents({"animal": 1.0}, residual=singular)


def test_keys_are_names_in_a_table() -> None:
    with pytest.raises(ModelError, match="variances must be a table of a number or matrix per random term, found 20"):
        VarianceComponents(20.0, residual=1.0)  # type: ignore[arg-type]
    for key in (" ", 3):
        with pytest.raises(ModelError, match=f"the key of a variance is the name of a random term, found {key!r}"):
            VarianceComponents({key: 1.0}, residual=1.0)  # type: ignore[dict-item]


def test_an_unknown_key() -> None:
    message = "no variance is given for 'anmal'; did you mean 'animal'?; given are 'animal', 'ide(animal)'"
    with pytest.raises(ModelError, match=re.escape(message)):
        REPEATABILITY["anmal"]
    with pytest.raises(ModelError, match="no variance is given for 'animal'; given are none"):
        VarianceComponents({}, residual=1).matrix("animal")


def test_check_accepts_the_variances_of_the_model_in_any_order() -> None:
    model = Model.from_formula("milk ~ 1 + (1 | ide(animal)) + (1 | animal)")
    REPEATABILITY.check(model)


@pytest.mark.parametrize(
    ("variances", "message"),
    [
        ({"anmal": 1}, "the model has no random term 'anmal'; did you mean 'animal'? (it has 'animal', 'herd')"),
        ({"animal": 1}, "no variance is given for the random term 'herd'; add it to the variances"),
        (
            {"animal": [[1, 0], [0, 1]], "herd": 1},
            "the matrix of 'animal' is 2 x 2; the model needs 1 x 1, one number: direct milk",
        ),
    ],
)
def test_check_refuses_the_variances_of_another_model(variances: dict[str, Any], message: str) -> None:
    model = Model.from_formula("milk ~ 1 + (1 | animal) + (1 | herd)")
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        VarianceComponents(variances, residual=1).check(model)


def test_check_refuses_a_residual_of_another_order_and_a_term_too_many() -> None:
    model = Model.from_formula("milk ~ 1")
    with pytest.raises(
        ModelError, match="the matrix of the residual is 2 x 2; the model needs 1 x 1, one number: milk"
    ):
        VarianceComponents({}, residual=[[1, 0], [0, 1]]).check(model)
    with pytest.raises(ModelError, match=r"the model has no random term 'animal' \(it has none\)"):
        VarianceComponents({"animal": 1}, residual=1).check(model)


MATERNAL = Model.from_formula("(wwt, pwt) ~ sex + (1 | animal + dam)")
CURVE = Model.from_formula("(a, b) ~ 1 + (1 + t || animal)")
R2 = [[40, 11], [11, 30]]
BLOCKS = np.kron([[2, 0], [0, 3]], [[2, 1], [1, 2]])


def test_check_accepts_matrices() -> None:
    VarianceComponents({"animal + dam": np.eye(4) + 1}, residual=R2).check(MATERNAL)
    VarianceComponents({"animal": BLOCKS}, residual=R2).check(CURVE)
    VarianceComponents({"animal": np.zeros((4, 4))}, residual=R2).check(CURVE)
    model = Model.from_formula("y ~ (1 | f) + (0 + t | f)", residual_classes=["herd", "sex"])
    VarianceComponents({"0 + t | f": 1.0, "1 | f": 2.0}, residual={"a:b": 1.0}).check(model)
    one_less = Model.from_formula(["wwt ~ (1 | animal + dam)", "pwt ~ (1 | animal)"])
    VarianceComponents({"animal + dam": np.eye(3)}, residual=R2).check(one_less)


@pytest.mark.parametrize(
    ("model", "components", "residual", "message"),
    [
        (
            MATERNAL,
            {"animal + dam": np.eye(2)},
            R2,
            "the matrix of 'animal + dam' is 2 x 2; the model needs 4 x 4, in this order: direct wwt, direct pwt, "
            "maternal wwt, maternal pwt",
        ),
        (
            MATERNAL,
            {"animal": np.eye(4)},
            R2,
            "the model has no random term 'animal'; did you mean 'animal + dam'? (it has 'animal + dam')",
        ),
        (
            MATERNAL,
            {"animal + dam": np.eye(4)},
            1.0,
            "the matrix of the residual is 1 x 1; the model needs 2 x 2, in this order: wwt, pwt",
        ),
        (
            CURVE,
            {"animal": np.eye(4) + np.kron([[0, 1], [1, 0]], [[0.5, 0], [0, 0]])},
            R2,
            "the effects of 'animal' are uncorrelated (||), but the covariance of 'intercept a' and 't a' (row 3, column "
            "1) is 0.5; make it 0, or write | in the model",
        ),
        (
            CURVE,
            {"animal": BLOCKS},
            {"H1": R2},
            "residual variances are given for the classes 'H1'; the model has no residual classes: name the factor, or "
            "give one residual variance",
        ),
        (
            Model.from_formula("y ~ 1", residual_classes=["herd", "sex"]),
            {},
            1.0,
            "the model has a residual variance for each class of 'herd:sex'; give one for each: residual={class: variance}",
        ),
        (
            Model.from_formula("(y, z) ~ 1", residual_classes="herd"),
            {},
            {"H1": 1.0},
            "the matrix of the residual class 'H1' is 1 x 1; the model needs 2 x 2, in this order: y, z",
        ),
    ],
)
def test_check_refuses_matrices_that_do_not_fit(model: Model, components: Any, residual: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        VarianceComponents(components, residual=residual).check(model)


def test_the_root_of_a_positive_definite_matrix_is_its_cholesky_factor() -> None:
    assert TWO_TRAITS.root("animal").tolist() == np.linalg.cholesky([[20.0, 4.0], [4.0, 40.0]]).tolist()
    assert REPEATABILITY.root("animal").tolist() == [[np.sqrt(20.0)]]
    assert not TWO_TRAITS.root("animal").flags.writeable
    with pytest.raises(ModelError, match="no variance is given for 'dam'"):
        REPEATABILITY.root("dam")


@pytest.mark.parametrize(
    ("matrix", "rank"),
    [
        (0.0, 0),
        (np.zeros((3, 3)), 0),
        ([[0, 0], [0, 5]], 1),
        ([[4, 6], [6, 9]], 1),
        ([[4, -6], [-6, 9]], 1),
        ([[4, 0, 6], [0, 0, 0], [6, 0, 9]], 1),
        ([[4, 0, 1], [0, 0, 0], [1, 0, 9]], 2),
        ([[1e8, 1e-4], [1e-4, 1e-8]], 2),
        ([[1e8, 1.0], [1.0, 1e-8]], 1),
        ([[1, 1 - 1e-9], [1 - 1e-9, 1]], 2),
        ([[1, 1 - 1e-12], [1 - 1e-12, 1]], 1),
        (np.kron([[1, 1], [1, 1]], [[2, 1], [1, 2]]), 2),
    ],
)
def test_the_root_of_a_singular_matrix_has_as_many_columns_as_its_rank(matrix: Any, rank: int) -> None:
    wanted = np.atleast_2d(np.asarray(matrix, dtype=float))
    root = VarianceComponents({"u": matrix}, residual=1).root("u")
    assert root.shape == (len(wanted), rank)
    scale = np.sqrt(np.outer(wanted.diagonal(), wanted.diagonal()))
    assert (np.abs(root @ root.T - wanted) <= 1e-11 * scale).all()
    assert not root[wanted.diagonal() == 0].any()


@given(
    hnp.arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(-3, 3).map(float)),
    st.lists(st.integers(-6, 6), min_size=5, max_size=5),
)
def test_roots_give_matrices_of_any_rank_back_in_any_units(half: Any, powers: list[int]) -> None:
    scaled = half * 10.0 ** np.array(powers[: len(half)])[:, None]
    matrix = scaled @ scaled.T
    root = VarianceComponents({"u": matrix}, residual=1).root("u")
    assert root.shape == (len(half), np.linalg.matrix_rank(half))
    scale = np.sqrt(np.outer(matrix.diagonal(), matrix.diagonal()))
    assert (np.abs(root @ root.T - matrix) <= 1e-12 * scale).all()


def test_to_dict() -> None:
    assert REPEATABILITY.to_dict() == {"random": {"animal": 20.0, "ide(animal)": 12.0}, "residual": 28.0}
    assert TWO_TRAITS.to_dict()["random"] == {"animal": [[20.0, 4.0], [4.0, 40.0]]}
    assert CLASSES.to_dict()["residual"] == {"H1": 28.0, "H2": 35.0}


@given(
    st.dictionaries(st.text("ab:()", min_size=1), hnp.arrays(float, (2, 3), elements=st.floats(-1e3, 1e3)), max_size=3),
    st.floats(1e-3, 1e3) | st.dictionaries(st.text("ab:()", min_size=1), st.floats(1e-3, 1e3), min_size=1),
)
def test_dictionaries_give_the_same_variances_back(factors: dict[str, Any], residual: Any) -> None:
    variances = VarianceComponents({key: half @ half.T for key, half in factors.items()}, residual)
    assert VarianceComponents.from_dict(json.loads(json.dumps(variances.to_dict()))) == variances


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"random": {}, "residal": 1},
            "variances: unknown key 'residal'; did you mean 'residual'?; known are 'random'",
        ),
        ({"random": {}}, "variances: the key 'residual' is missing"),
        ({"residual": 1}, "variances: the key 'random' is missing"),
    ],
)
def test_from_dict_refuses_other_keys(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        VarianceComponents.from_dict(plain)


def test_repr_of_numbers_shows_shares() -> None:
    assert repr(REPEATABILITY).splitlines() == [
        "VarianceComponents",
        "                   variance  proportion",
        "  animal                 20      0.3333",
        "  ide(animal)            12      0.2000",
        "  residual               28      0.4667",
    ]


def test_repr_of_matrices_shows_them() -> None:
    assert repr(TWO_TRAITS).splitlines() == [
        "VarianceComponents",
        "  animal",
        "    20   4",
        "     4  40",
        "  residual",
        "    40  11",
        "    11  30",
    ]


def test_repr_of_classes() -> None:
    assert repr(CLASSES).splitlines() == [
        "VarianceComponents",
        "                   variance",
        "  animal                 20",
        "  residual H1            28",
        "  residual H2            35",
    ]
    matrices = VarianceComponents({"u": 1.0}, residual={"a": [[2, 1], [1, 2]]})
    assert repr(matrices).splitlines()[2:] == ["    1", "  residual a", "    2  1", "    1  2"]


def test_pathological_files_are_refused() -> None:
    folder = REFS / "pathological"
    negative = json.loads((folder / "variance_negative.json").read_text())
    with pytest.raises(ModelError, match="variance of 'animal' is -20"):
        VarianceComponents({"animal": negative["animal"]}, residual=negative["residual"])
    indefinite = json.loads((folder / "g0_not_positive_definite.json").read_text())
    with pytest.raises(ModelError, match=r"the matrix of 'animal' .* smallest eigenvalue is -11\.2311"):
        VarianceComponents({"animal": indefinite["animal"]}, residual=indefinite["residual"])
