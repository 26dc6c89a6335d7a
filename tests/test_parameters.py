"""The parameter space: names, vectors and matrices, what stays free where, and every refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breedblup.errors import ModelError
from breedblup.model import Model
from breedblup.variances import (
    Bound,
    Diagonal,
    FixedValue,
    ParameterSpace,
    ReducedRank,
    Tie,
    Unstructured,
    VarianceComponents,
)

ONE = Model.from_formula("y ~ x + (1 | animal) + (1 | ide(animal))")
TWO = Model.from_formula("(a, b) ~ x + (1 | animal)")
SLOPES = Model.from_formula("(a, b) ~ x + (1 + t || g)")
CLASSES = Model.from_formula("(a, b) ~ x + (1 | animal)", residual_classes="herd")


def random_covariance(order: int, rng: np.random.Generator, rank: int | None = None) -> np.ndarray:
    half = rng.normal(size=(order, rank or order))
    return half @ half.T


def random_theta(space: ParameterSpace, rng: np.random.Generator) -> np.ndarray:
    """Each matrix positive definite: the Schur product with its mask of parts is too."""
    theta = np.empty(space.size)
    for block in space.blocks:
        theta[block.slice] = (random_covariance(block.order, rng) * block.mask)[block.elements]
    return theta


# names and vectors


def test_names_of_scalars_and_matrices() -> None:
    assert ParameterSpace.of(ONE).names == ("animal", "ide(animal)", "residual")
    assert ParameterSpace.of(TWO).names == (
        "animal[1,1]", "animal[2,1]", "animal[2,2]", "residual[1,1]", "residual[2,1]", "residual[2,2]"
    )  # fmt: skip


def test_names_of_residual_classes() -> None:
    space = ParameterSpace.of(CLASSES, ["H1", "H2"])
    assert space.names[3:] == (
        "residual H1[1,1]", "residual H1[2,1]", "residual H1[2,2]",
        "residual H2[1,1]", "residual H2[2,1]", "residual H2[2,2]",
    )  # fmt: skip
    assert space.parameters[4] == ("residual", "H1", 1, 0, "residual H1[2,1]")
    assert [block.name for block in space.blocks] == ["animal", "residual H1", "residual H2"]


def test_uncorrelated_effects_keep_covariances_between_traits() -> None:
    space = ParameterSpace.of(SLOPES)
    assert space.names[:6] == ("g[1,1]", "g[2,1]", "g[2,2]", "g[3,3]", "g[4,3]", "g[4,4]")
    assert space.blocks[0].labels == ("intercept a", "intercept b", "t a", "t b")


def test_structures_leave_their_elements() -> None:
    assert ParameterSpace.of(TWO, structures={"animal": Diagonal(), "residual": Diagonal()}).names == (
        "animal[1,1]", "animal[2,2]", "residual[1,1]", "residual[2,2]"
    )  # fmt: skip
    assert ParameterSpace.of(TWO, structures={"animal": ReducedRank(1)}).size == 6
    assert ParameterSpace.of(TWO, structures={"animal": FixedValue(np.eye(2))}).size == 6
    assert ParameterSpace.of(TWO, structures={"animal": Unstructured()}).names == ParameterSpace.of(TWO).names


def test_one_residual_class_has_a_structure_of_its_own() -> None:
    space = ParameterSpace.of(CLASSES, ["H1", "H2"], {"residual": Diagonal(), "residual H2": Unstructured()})
    assert space.names[3:] == (
        "residual H1[1,1]", "residual H1[2,2]", "residual H2[1,1]", "residual H2[2,1]", "residual H2[2,2]"
    )  # fmt: skip


def test_traits_that_no_record_has_together_have_no_residual_covariance() -> None:
    apart = np.array([[False, True], [True, False]])
    assert "residual[2,1]" not in ParameterSpace.of(TWO, never_together=apart).names
    names = ParameterSpace.of(CLASSES, ["H1", "H2"], never_together={"H2": apart}).names
    assert "residual H1[2,1]" in names
    assert "residual H2[2,1]" not in names


@pytest.mark.parametrize(
    ("model", "classes"),
    [(ONE, ()), (TWO, ()), (SLOPES, ()), (CLASSES, ("H1", "H2"))],
    ids=["one", "two", "slopes", "classes"],
)
def test_variances_are_packed_and_unpacked(model: Model, classes: tuple[str, ...]) -> None:
    space = ParameterSpace.of(model, classes)
    theta = random_theta(space, np.random.default_rng(3))
    variances = space.unpack(theta)
    variances.check(model)
    assert np.array_equal(space.pack(variances), theta)
    assert space.index_of(space.names[-1]) == space.size - 1


def test_matrices_are_those_of_the_variances() -> None:
    space = ParameterSpace.of(SLOPES)
    theta = random_theta(space, np.random.default_rng(4))
    variances = space.unpack(theta)
    assert np.array_equal(space.matrix(theta, space.blocks[0]), variances.matrix("g"))
    assert np.array_equal(space.matrix(theta, space.blocks[1]), variances.residual_matrix())


@given(st.integers(0, 10_000))
def test_a_gradient_is_that_of_its_matrices(seed: int) -> None:
    """df = tr(Γ dG) for each direction of θ."""
    rng = np.random.default_rng(seed)
    space = ParameterSpace.of(SLOPES)
    gammas = [(g + g.T) / 2 for g in (rng.normal(size=(block.order,) * 2) for block in space.blocks)]
    step = rng.normal(size=space.size)
    direct = sum(np.trace(gamma @ space.matrix(step, block)) for gamma, block in zip(gammas, space.blocks, strict=True))
    assert space.from_matrices(gammas) @ step == pytest.approx(direct, rel=1e-12)


def test_a_covariance_outside_the_structure_is_refused() -> None:
    space = ParameterSpace.of(TWO, structures={"animal": Diagonal()})
    variances = VarianceComponents({"animal": [[2.0, 0.5], [0.5, 2.0]]}, np.eye(2))
    with pytest.raises(
        ModelError,
        match=r"the variance of 'animal' has a covariance of 'direct a' and 'direct b' \(row 2, column 1: 0.5\)",
    ):
        space.pack(variances)


# what is free


def rank_of(space: ParameterSpace, theta: np.ndarray) -> int:
    basis = space.free_basis(theta)
    return int(np.linalg.matrix_rank(basis)) if basis.size else 0


def test_inside_everything_is_free() -> None:
    space = ParameterSpace.of(SLOPES)
    theta = random_theta(space, np.random.default_rng(5))
    assert rank_of(space, theta) == space.size
    assert set(space.status(theta)) == {"free"}
    assert space.singular(theta) == ()


def test_a_variance_of_zero_has_no_direction() -> None:
    space = ParameterSpace.of(ONE)
    theta = np.array([2.0, 0.0, 3.0])
    assert space.status(theta) == ("free", "boundary", "free")
    assert np.array_equal(space.free_basis(theta)[1], [0, 0])
    assert rank_of(space, theta) == 2
    assert space.singular(theta) == ("the variance of 'ide(animal)' is zero",)


def test_a_zero_variance_within_a_matrix_takes_its_covariances_along() -> None:
    space = ParameterSpace.of(TWO)
    theta = np.array([2.0, 0.0, 0.0, 1.0, 0.2, 1.0])
    assert space.status(theta) == ("free", "boundary", "boundary", "free", "free", "free")
    assert not space.free_basis(theta)[1:3].any()
    assert rank_of(space, theta) == 4
    assert space.singular(theta) == ("the matrix of 'animal' has rank 1 of 2: the variance of 'direct b' is zero",)
    theta[0] = 0.0
    assert space.singular(theta) == ("all variances of 'animal' are zero",)


@given(st.integers(0, 10_000), st.integers(2, 5), st.data())
def test_at_a_singular_matrix_the_tangent_space_of_its_rank_is_free(seed: int, order: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, order - 1))
    rng = np.random.default_rng(seed)
    model = Model.from_formula(f"({', '.join('abcde'[:order])}) ~ x + (1 | animal)")
    space = ParameterSpace.of(model)
    half = rng.normal(size=(order, rank)) * 10.0 ** rng.uniform(-2, 2, (order, 1))
    theta = random_theta(space, rng)
    block = space.blocks[0]
    theta[block.slice] = (half @ half.T)[block.elements]
    basis = space.free_basis(theta)[block.slice]
    assert (
        np.linalg.matrix_rank(basis / np.linalg.norm(basis, axis=1, keepdims=True))
        == order * rank - rank * (rank - 1) // 2
    )
    change = rng.normal(size=half.shape) * np.abs(half)
    tangent = (change @ half.T + half @ change.T)[block.elements]
    size = np.sqrt(np.outer((half**2).sum(1), (half**2).sum(1)))[block.elements]
    left = tangent - basis @ np.linalg.lstsq(basis / size[:, None], tangent / size, rcond=None)[0]
    assert np.abs(left / size).max() < 1e-6
    assert f"has rank {rank} of {order}" in space.singular(theta)[0]


def test_a_correlation_of_one_is_named_and_its_elements_are_free() -> None:
    space = ParameterSpace.of(TWO)
    theta = np.array([4.0, -6.0, 9.0, 1.0, 0.2, 1.0])
    assert space.status(theta) == ("free",) * 6
    assert rank_of(space, theta) == 5
    sentence = "the matrix of 'animal' has rank 1 of 2: the correlation of 'direct a' and 'direct b' is -1"
    assert space.singular(theta) == (sentence,)
    along = space.free_basis(theta)[:3]
    assert np.allclose(np.array([9.0, 12.0, 4.0]) @ along, 0.0)  # the derivative of the determinant


def test_a_rank_that_was_asked_for_is_no_news() -> None:
    space = ParameterSpace.of(TWO, structures={"animal": ReducedRank(1)})
    theta = np.array([4.0, 6.0, 9.0, 1.0, 0.2, 1.0])
    assert space.singular(theta) == ()
    assert rank_of(space, theta) == 5


def test_ties_fixed_values_and_bounds_hold() -> None:
    space = ParameterSpace.of(
        TWO,
        structures={"residual": FixedValue([[3.0, 1.0], [1.0, 2.0]])},
        bounds=[Bound("animal[2,1]", lower=0.0)],
        ties=[Tie("animal[2,2]", "animal[1,1]", 2.0)],
    )
    theta = np.array([5.0, 0.0, 10.0, 3.0, 1.0, 2.0])
    assert space.status(theta) == ("free", "bound", "tied", "fixed", "fixed", "fixed")
    basis = space.free_basis(theta)
    assert basis.shape == (6, 1)
    assert np.allclose(basis[:, 0] / basis[0, 0], [1, 0, 2, 0, 0, 0])
    theta[1] = 1.0
    assert space.status(theta)[1] == "free"
    assert rank_of(space, theta) == 2


def test_ties_follow_each_other() -> None:
    space = ParameterSpace.of(
        ONE,
        ties=[Tie("residual", "ide(animal)", 3.0), Tie("ide(animal)", "animal", 0.5)],
        bounds=[Bound("residual", 1.5, 6.0)],
    )
    restrictions = space.restrictions
    assert restrictions.basis.tolist() == [[1.0], [0.5], [1.5]]
    assert (restrictions.lower[0], restrictions.upper[0]) == (1.0, 4.0)
    assert space.status(np.array([4.0, 2.0, 6.0])) == ("bound", "tied", "tied")


def test_equal_limits_fix_an_element_and_what_is_tied_to_it() -> None:
    space = ParameterSpace.of(ONE, bounds=[Bound("ide(animal)", 2.0, 2.0)], ties=[Tie("residual", "ide(animal)", 3.0)])
    assert space.status(np.array([1.0, 2.0, 6.0])) == ("free", "fixed", "fixed")
    assert space.restrictions.offset.tolist() == [0.0, 2.0, 6.0]


def test_a_negative_tie_turns_limits_round() -> None:
    space = ParameterSpace.of(
        TWO, ties=[Tie("residual[2,1]", "animal[2,1]", -2.0)], bounds=[Bound("residual[2,1]", lower=-1.0, upper=4.0)]
    )
    j = list(space.restrictions.roots).index(1)
    assert (space.restrictions.lower[j], space.restrictions.upper[j]) == (-2.0, 0.5)


# refusals

REFUSED: list[tuple[str, Any]] = [
    ("the rank of ReducedRank is a whole number from 1, found 0", lambda: ReducedRank(0)),
    ("the rank of ReducedRank is a whole number from 1, found 1.5", lambda: ReducedRank(1.5)),  # type: ignore[arg-type]
    ("the matrix of FixedValue is not positive semi-definite", lambda: FixedValue([[1, 2], [2, 1]])),
    ("variance of FixedValue is -1; a variance cannot be negative", lambda: FixedValue(-1)),
    ("a Bound takes the name of a parameter, as 'animal' or 'animal\\[2,1\\]', found 3", lambda: Bound(3, 1)),  # type: ignore[arg-type]
    ("the bound of 'animal' has neither a lower nor an upper limit; give one", lambda: Bound("animal")),
    ("the limits of 'animal' are finite numbers, found inf", lambda: Bound("animal", upper=float("inf"))),
    ("the lower limit of 'animal' \\(2\\) is above the upper one \\(1\\); swap them", lambda: Bound("animal", 2, 1)),
    ("a Tie takes the name of a parameter, as 'animal' or 'animal\\[2,1\\]', found ''", lambda: Tie("animal", "")),
    ("the factor that ties 'a' to 'b' must be a finite number other than 0, found 0.0", lambda: Tie("a", "b", 0.0)),
    ("'a' is tied to itself; name another parameter, or leave the tie out", lambda: Tie("a", "a", 2.0)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "make"), REFUSED, ids=[message[:40] for message, _ in REFUSED])
def test_structures_bounds_and_ties_that_mean_nothing(message: str, make: Any) -> None:
    with pytest.raises(ModelError, match=message):
        make()


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (TWO, {"structures": {"animl": Diagonal()}}, "structures: there is no 'animl'; did you mean 'animal'\\?; the model has 'animal', 'residual'"),
        (TWO, {"structures": [Diagonal()]}, "structures are a table, as \\{'animal': Diagonal\\(\\)\\}, found \\[Diagonal\\(\\)\\]"),
        (TWO, {"structures": {"animal": "diagonal"}}, "the structure of 'animal' must be Unstructured\\(\\), Diagonal\\(\\), ReducedRank\\(rank\\) or FixedValue\\(matrix\\), found 'diagonal'"),
        (TWO, {"structures": {"animal": ReducedRank(2)}}, "the rank of 'animal' must be below 2, the order of its matrix, found 2; Unstructured\\(\\) has the full rank"),
        (TWO, {"structures": {"residual": ReducedRank(1)}}, "'residual' cannot have reduced rank: every trait needs residual variance of its own"),
        (SLOPES, {"structures": {"g": ReducedRank(1)}}, "the effects of 'g' are uncorrelated \\(\\|\\|\\), which leaves its matrix no common factors"),
        (TWO, {"structures": {"animal": FixedValue(2.0)}}, "the FixedValue of 'animal' is 1 x 1; the model needs 2 x 2: direct a, direct b"),
        (TWO, {"structures": {"residual": FixedValue(np.ones((2, 2)))}}, "the matrix of the FixedValue of 'residual' is not positive definite"),
        (SLOPES, {"structures": {"g": FixedValue(np.eye(4) + 0.1)}}, "the FixedValue of 'g' has a covariance of 'intercept a' and 't a' \\(row 3, column 1: 0.1\\), which is zero in the structure of 'g'"),
        (TWO, {"bounds": [Bound("animal[1,3]", 1)]}, "bounds: there is no parameter 'animal\\[1,3\\]'; did you mean 'animal\\[1,1\\]'\\?; there are 'animal\\[1,1\\]'"),
        (TWO, {"ties": [Tie("animal[1,1]", "resid[1,1]")]}, "ties: there is no parameter 'resid\\[1,1\\]'; did you mean 'residual\\[1,1\\]'\\?"),
        (TWO, {"bounds": ["animal"]}, "bounds are a list of Bound\\(parameter, lower, upper\\), found 'animal'"),
        (TWO, {"ties": [("animal", "b")]}, "ties are a list of Tie\\(parameter, to, factor\\), found \\('animal', 'b'\\)"),
        (ONE, {"bounds": [Bound("animal", upper=0)]}, "the upper limit of the variance 'animal' is 0; it must be positive \\(a variance of zero is FixedValue\\(0\\)"),
        (ONE, {"bounds": [Bound("animal", lower=2), Bound("animal", upper=1)]}, "the bounds of 'animal' contradict each other: no value is allowed; widen one of them"),
        (ONE, {"bounds": [Bound("animal", lower=2), Bound("residual", upper=1)], "ties": [Tie("residual", "animal")]}, "the bounds of 'animal', 'residual' contradict each other"),
        (ONE, {"structures": {"animal": FixedValue(2)}, "bounds": [Bound("animal", upper=3)]}, "'animal' cannot have a bound: the matrix of 'animal' has a FixedValue; leave the bound out"),
        (ONE, {"structures": {"animal": FixedValue(2)}, "bounds": [Bound("residual", upper=1)], "ties": [Tie("residual", "animal")]}, "'residual' is tied to 'animal', whose FixedValue 2 its bound excludes; leave one of the two out"),
        (ONE, {"structures": {"animal": FixedValue(2)}, "ties": [Tie("animal", "residual")]}, "'animal' cannot be tied: the matrix of 'animal' has a FixedValue; leave the tie out"),
        (TWO, {"structures": {"animal": ReducedRank(1)}, "ties": [Tie("residual[1,1]", "animal[1,1]")]}, "nothing can be tied to 'animal\\[1,1\\]': the matrix of 'animal' has reduced rank, which leaves its elements not free"),
        (ONE, {"ties": [Tie("animal", "residual"), Tie("animal", "ide(animal)")]}, "'animal' is tied twice, to 'residual' and 'ide\\(animal\\)'; keep one tie"),
        (ONE, {"ties": [Tie("animal", "residual"), Tie("residual", "ide(animal)"), Tie("ide(animal)", "residual")]}, "the ties go round in a circle: 'residual' to 'ide\\(animal\\)' to 'residual'; leave one of them out"),
        (ONE, {"ties": [Tie("animal", "residual", -1)]}, "the ties make 'residual' a negative multiple of 'animal'; both are variances, give a positive factor"),
        (ONE, {"structures": {"animal": FixedValue(0)}, "ties": [Tie("residual", "animal")]}, "ties fix the variance 'residual' at 0; it must be positive"),
        (TWO, {"bounds": [Bound("animal[1,1]", 1, 1), Bound("animal[2,1]", 2, 2), Bound("animal[2,2]", 1, 1)]}, "the matrix of 'animal', which bounds and ties fix, is not positive semi-definite"),
        (CLASSES, {}, "the model has a residual variance for each class of 'herd'; no class is given"),
        (ONE, {"residual_classes": ["H1"]}, "the residual classes 'H1' are given, but the model has one residual variance"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model(model: Model, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ParameterSpace.of(model, **given)


def test_elements_above_the_diagonal_are_those_below() -> None:
    space = ParameterSpace.of(
        TWO, bounds=[Bound("animal[1,2]", 1.0, 1.5)], ties=[Tie("residual[1,2]", "animal[1, 2]", 2.0)]
    )  # fmt: skip
    at = space.index_of("animal[2,1]")
    assert space.index_of("animal[1,2]") == at
    assert (space.restrictions.lower[list(space.restrictions.roots).index(at)]) == 1.0
    assert space.restrictions.basis[space.index_of("residual[2,1]")].sum() == 2.0
    with pytest.raises(ModelError, match="'animal\\[2,1\\]' is tied to itself; name another parameter"):
        ParameterSpace.of(TWO, ties=[Tie("animal[2,1]", "animal[1,2]")])
    with pytest.raises(
        ModelError, match="'animal\\[1,2\\]' cannot have a bound: the matrix of 'animal' has a FixedValue"
    ):
        ParameterSpace.of(TWO, structures={"animal": FixedValue(np.eye(2))}, bounds=[Bound("animal[1,2]", 0.0)])


def test_an_unknown_parameter_is_named_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="variances: there is no parameter 'animl'; did you mean 'animal'\\?"):
        ParameterSpace.of(ONE).index_of("animl")
