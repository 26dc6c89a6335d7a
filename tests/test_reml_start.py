"""Starting values: near the variances that made the records, inside the parameter space whatever the records are."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_reml_dense import ANIMAL, KINDS, REDUCED, Kind, dense_of, draw, prepared

import breedblup as bb
from breedblup.analysis.estimation import prepare_estimation
from breedblup.design import build_design
from breedblup.mme import EquationLayout, constrain
from breedblup.reml.moments import Moments, moments_of
from breedblup.reml.start import feasible, starting_values
from breedblup.variances import Bound, Diagonal, FixedValue, ParameterSpace, ReducedRank, Tie

Array = NDArray[np.float64]


def moments(name: str, seed: int = 7) -> tuple[Any, Moments]:
    """The problem of a kind of model, and its moments."""
    problem = prepared(KINDS[name], seed).problem
    return problem, moments_of(problem.design, problem.plain, problem.constraints, problem.space)


@pytest.mark.parametrize("name", ["animal", "several terms", "two traits", "two traits apart", "maternal", "random regression",
                                  "slopes", "residual classes", "dominance", "no random terms, two traits"])  # fmt: skip
def test_moments_by_definition(name: str) -> None:
    """e'Vᵢe and tr(MVᵢMVⱼ), both exactly in data as small as these."""
    problem, found = moments(name)
    dense = dense_of(problem)
    m = np.eye(dense.y.size) - dense.x @ np.linalg.pinv(dense.x)
    e = m @ dense.y
    np.testing.assert_allclose(found.forms, [e @ part @ e for part in dense.parts], rtol=1e-9, atol=1e-9)
    traces = np.array([[np.trace(m @ a @ m @ b) for b in dense.parts] for a in dense.parts])
    size = np.sqrt(traces.diagonal())
    np.testing.assert_allclose(found.traces / np.outer(size, size), traces / np.outer(size, size), atol=1e-9)
    observed = problem.design.observed
    for t in range(observed.shape[1]):
        mine = np.flatnonzero(np.concatenate([np.flatnonzero(row) for row in observed]) == t)
        assert found.variance[t] == pytest.approx(np.sum(e[mine] ** 2) / found.degrees[t], rel=1e-9)
        assert found.degrees[t] == mine.size - np.linalg.matrix_rank(dense.x[mine])


def test_weights_scale_the_values() -> None:
    problem, found = moments("weights")
    dense = dense_of(problem)
    root = np.sqrt(problem.design.weights[problem.design.observed])
    x, y = dense.x * root[:, None], dense.y * root
    e = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert found.variance[0] == pytest.approx(e @ e / (y.size - x.shape[1]), rel=1e-9)
    scaled = [root[:, None] * part * root for part in dense.parts]
    np.testing.assert_allclose(found.forms, [e @ part @ e for part in scaled], rtol=1e-9)
    shares = root**2 * dense.parts[0].diagonal()
    assert found.loads["animal"][0] == pytest.approx(shares.mean(), rel=1e-9)


def test_near_the_variances_that_made_the_records() -> None:
    """Two thousand animals: an animal variance of 4 and a residual one of 6 within a quarter, their sum within 8 %."""
    from_seed = np.random.default_rng(5)
    n = 2_000
    sire, dam = (
        np.array([from_seed.integers(max(0, i - 300), i) if i >= 60 else -1 for i in range(n)]) for _ in range(2)
    )
    ids = [f"a{i:04d}" for i in range(n)]
    named = [*ids, ""]
    pedigree = bb.Pedigree.from_frame(
        pl.DataFrame({"animal": ids, "sire": [named[s] for s in sire], "dam": [named[d] for d in dam]})
    )
    u = np.zeros(n)
    for i in range(n):
        known = sire[i] >= 0
        u[i] = (0.5 * (u[sire[i]] + u[dam[i]]) if known else 0.0) + 2 * from_seed.normal() * np.sqrt(
            0.5 if known else 1.0
        )
    records = pl.DataFrame({"animal": ids, "herd": [f"h{i % 20}" for i in range(n)],
                            "y": 50 + u + np.sqrt(6) * from_seed.standard_normal(n)})  # fmt: skip
    start = prepare_estimation(bb.Model.from_formula("y ~ herd + (1 | animal)"), records, {"animal": pedigree}).start
    np.testing.assert_allclose(start, [4.0, 6.0], rtol=0.25)
    assert start.sum() == pytest.approx(10.0, rel=0.08)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=4, deadline=None)
@given(st.integers(0, 60))
def test_inside_the_parameter_space(name: str, seed: int) -> None:
    begin = prepared(KINDS[name], seed)
    space, restrictions = begin.problem.space, begin.problem.space.restrictions
    for block in space.blocks:
        matrix = space.matrix(begin.start, block)
        size = np.sqrt(begin.problem.scales[block.key])
        held = isinstance(block.structure, FixedValue)
        assert np.linalg.eigvalsh(matrix / np.outer(size, size))[0] > (0.0 if held else 1e-7)
    phi = begin.start[restrictions.roots]
    assert (phi >= restrictions.lower).all()
    assert (phi <= restrictions.upper).all()
    np.testing.assert_allclose(restrictions.offset + restrictions.basis @ phi, begin.start, rtol=1e-12)


def test_without_random_terms_it_is_the_estimate() -> None:
    problem, found = moments("no random terms")
    begin = prepared(KINDS["no random terms"])
    np.testing.assert_allclose(begin.start, found.variance, rtol=1e-12)
    dense = dense_of(problem)
    assert abs(dense.gradient(begin.start)[0]) < 1e-9


def test_reduced_rank_starts_with_its_rank() -> None:
    begin = prepared(REDUCED)
    g = begin.problem.space.matrix(begin.start, begin.problem.space.blocks[0])
    values = np.linalg.eigvalsh(g)
    assert values[0] == pytest.approx(0.0, abs=1e-12 * values[1])
    assert (g.diagonal() > 0).all()


def test_the_same_records_have_the_same_start() -> None:
    np.testing.assert_array_equal(prepared(KINDS["maternal"]).start, prepared(KINDS["maternal"]).start)


def test_records_without_any_variance_have_a_start_all_the_same() -> None:
    """Such records are refused beforehand; the start itself never fails."""
    data = draw(3)
    model = bb.Model.from_formula("y1 ~ 1 + (1 | litter)")
    records = data.records.with_columns(y1=pl.lit(0.0))
    design = build_design(model, records, {})
    layout = EquationLayout.of(design.terms)
    space = ParameterSpace.of(model)
    found = moments_of(design, layout, constrain(design, layout), space)
    assert found.variance.tolist() == [0.0]
    start = starting_values(design, space, found)
    assert start["litter"] > 0
    assert start.residual > 0


# --- the user's start -------------------------------------------------------------------------------------------------


def with_start(kind: Kind, start: Any, **more: Any) -> Any:
    data = draw(7)
    formula = kind.formula if isinstance(kind.formula, str) else list(kind.formula)
    return prepare_estimation(
        bb.Model.from_formula(formula), data.records, {name: data.known[which] for name, which in kind.known},
        start=start, **more,
    )  # fmt: skip


TWO = Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL)
G, R = [[1.5, 0.4], [0.4, 1.1]], [[2.0, -0.3], [-0.3, 1.2]]


def test_a_start_is_taken_as_it_is() -> None:
    begin = with_start(TWO, bb.VarianceComponents({"animal": G}, residual=R))
    assert begin.start.tolist() == [1.5, 0.4, 1.1, 2.0, -0.3, 1.2]
    assert not any("start" in note for note in begin.notes)


@pytest.mark.parametrize("matrix", [[[0.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], np.zeros((2, 2))])
def test_a_start_on_the_boundary_is_raised(matrix: Any) -> None:
    begin = with_start(TWO, bb.VarianceComponents({"animal": matrix}, residual=R))
    g = begin.problem.space.matrix(begin.start, begin.problem.space.blocks[0])
    assert np.linalg.eigvalsh(g)[0] > 1e-3
    assert begin.start[3:].tolist() == [2.0, -0.3, 1.2]
    assert (
        "start of animal: on the boundary (a variance of 0, or a singular matrix), raised to begin inside"
        in begin.notes
    )


def test_a_start_of_full_rank_is_brought_to_the_rank_asked_for() -> None:
    asked = {"animal": ReducedRank(1)}
    begin = with_start(TWO, bb.VarianceComponents({"animal": G}, residual=R), structures=asked)
    g = begin.problem.space.matrix(begin.start, begin.problem.space.blocks[0])
    assert np.linalg.det(g) == pytest.approx(0.0, abs=1e-12)
    assert g.diagonal() == pytest.approx([1.5, 1.1])
    assert "start of animal: brought to rank 1" in begin.notes
    rank_1 = np.outer([1.2, -0.7], [1.2, -0.7])
    begin = with_start(TWO, bb.VarianceComponents({"animal": rank_1}, residual=R), structures=asked)
    np.testing.assert_allclose(begin.start[:3], [1.44, -0.84, 0.49], rtol=1e-12)
    assert not any("start" in note for note in begin.notes)


@pytest.mark.parametrize("rank", [1, 2])
def test_rows_without_correlations_take_part_in_a_reduced_rank(rank: int) -> None:
    """The largest eigenvectors of a diagonal matrix have nothing of the other rows."""
    kind = Kind("(y1, y2) ~ herd + (1 + x | animal)", ANIMAL)
    start = bb.VarianceComponents({"animal": np.diag([4.0, 3.0, 2.0, 1.0])}, residual=R)
    begin = with_start(kind, start, structures={"animal": ReducedRank(rank)})
    g = begin.problem.space.matrix(begin.start, begin.problem.space.blocks[0])
    np.testing.assert_allclose(g.diagonal(), [4.0, 3.0, 2.0, 1.0], rtol=1e-9)
    values = np.linalg.eigvalsh(g)
    assert (values[-rank:] > 1e-6).all()
    np.testing.assert_allclose(values[:-rank], 0.0, atol=1e-9)


def test_a_start_is_moved_to_where_bounds_and_ties_hold() -> None:
    start = bb.VarianceComponents({"animal": G}, residual=R)
    begin = with_start(TWO, start, bounds=[Bound("animal[1,1]", upper=1.0)])
    assert begin.start[0] == 1.0
    assert "start: moved to where bounds, ties and fixed values hold" in begin.notes
    begin = with_start(TWO, start, ties=[Tie("animal[2,2]", "animal[1,1]", 2.0)])
    assert begin.start[:3].tolist() == [1.5, 0.4, 3.0]
    begin = with_start(TWO, start, structures={"animal": FixedValue([[3.0, 0.0], [0.0, 2.0]])})
    assert begin.start[:3].tolist() == [3.0, 0.0, 2.0]


def test_variances_make_room_for_covariances_that_are_asked_for() -> None:
    begin = with_start(TWO, None, bounds=[Bound("animal[2,1]", lower=40.0)])
    g = begin.problem.space.matrix(begin.start, begin.problem.space.blocks[0])
    assert g[1, 0] >= 40.0
    assert np.linalg.eigvalsh(g)[0] > 0


def test_no_covariance_matrix_is_left() -> None:
    bounds = [Bound("animal[1,1]", upper=1.0), Bound("animal[2,2]", upper=1.0), Bound("animal[2,1]", lower=2.0)]
    with pytest.raises(bb.ModelError, match=r"bounds, ties and fixed values leave no covariance matrix to start from for 'animal' "
                                            r"-> widen the bounds"):  # fmt: skip
        with_start(TWO, None, bounds=bounds)


def test_starts_that_are_not_those_of_the_model() -> None:
    with pytest.raises(bb.ModelError, match="start is a dict; make it with VarianceComponents"):
        with_start(TWO, {"animal": G})
    with pytest.raises(bb.ModelError, match="no variance is given for the random term 'animal'"):
        with_start(TWO, bb.VarianceComponents({}, residual=R))
    with pytest.raises(bb.ModelError, match="the matrix of 'animal' is 1 x 1; the model needs 2 x 2"):
        with_start(TWO, bb.VarianceComponents({"animal": 1.0}, residual=R))
    with pytest.raises(bb.ModelError, match="covariance .* is zero in the structure of 'animal'"):
        with_start(TWO, bb.VarianceComponents({"animal": G}, residual=R), structures={"animal": Diagonal()})


def test_feasible_leaves_what_is_feasible() -> None:
    space = prepared(KINDS["two traits"]).problem.space
    theta = np.array([1.5, 0.4, 1.1, 2.0, -0.3, 1.2])
    np.testing.assert_array_equal(feasible(space, theta), theta)
