"""Dependent columns of a sparse semi-definite matrix, against dense elimination and NumPy's rank."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ldl_with_dropped
from scipy.sparse import csr_array, hstack

from breedblup.errors import NumericalError, ResourceError
from breedblup.solvers.rank import RankFactor, dependent_columns, elimination_order

SEEDS = st.integers(0, 2**32 - 1)


def random_design(rng: np.random.Generator, records: int) -> tuple[np.ndarray, list[int]]:
    """Factors, a nested one, repeated and summed columns, a column of zeros and covariates; sizes of the terms."""
    terms = []
    for _ in range(rng.integers(1, 4)):
        levels = int(rng.integers(1, 8))
        terms.append(np.eye(levels)[rng.integers(0, levels, records)])
    fine = int(rng.integers(1, 6))
    fine_of = rng.integers(0, 2 * fine, records)
    terms += [np.eye(2 * fine)[fine_of], np.eye(fine)[fine_of // 2]]
    whole = np.column_stack(terms)
    terms.append(whole[:, [int(rng.integers(0, whole.shape[1]))]])
    terms.append(np.zeros((records, 1)))
    terms.append(rng.integers(-2, 3, (records, 2)).astype(float))
    terms.append(whole @ rng.integers(-1, 2, (whole.shape[1], 2)))
    order = rng.permutation(len(terms))
    return np.column_stack([terms[t] for t in order]), [terms[t].shape[1] for t in order]


def check_kept_block(factor: RankFactor, dense: np.ndarray, rng: np.random.Generator) -> None:
    """Solution and log-determinant of the columns that were kept, zeros elsewhere."""
    kept = ~factor.dependent
    block = dense[np.ix_(kept, kept)]
    rhs = rng.standard_normal(kept.size)
    solution = factor.solve(rhs)
    wanted = np.linalg.solve(block, rhs[kept])
    condition = np.linalg.cond(block) if kept.any() else 1.0
    tolerance = EXACT * max(1.0, condition / 1e5)
    np.testing.assert_allclose(
        solution[kept], wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max(initial=1e-300)
    )
    assert not solution[~kept].any()
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(block)[1], rtol=tolerance, atol=tolerance)


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(1, 40), st.booleans())
def test_random_designs(seed: int, records: int, by_size: bool) -> None:
    rng = np.random.default_rng(seed)
    x, sizes = random_design(rng, records)
    dense = x.T @ (rng.integers(1, 4, records)[:, None] * x)
    order = elimination_order(sizes) if by_size else rng.permutation(x.shape[1])
    factor = dependent_columns(csr_array(dense), order)
    dropped, pivots = ldl_with_dropped(dense, order, factor.tolerance)
    assert np.flatnonzero(factor.dependent).tolist() == dropped
    assert factor.rank == np.linalg.matrix_rank(x) == np.linalg.matrix_rank(x[:, ~factor.dependent])
    np.testing.assert_allclose(factor._pivots, pivots[order], rtol=1e-9, atol=1e-9)
    check_kept_block(factor, dense, rng)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 30), st.floats(0, 1))
def test_full_rank(seed: int, n: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * n, n)) * (rng.random((2 * n, n)) < density)
    dense = x.T @ x + np.eye(n)
    factor = dependent_columns(csr_array(dense), rng.permutation(n))
    assert not factor.dependent.any()
    assert n <= factor.nonzeros <= n * (n + 1) // 2
    check_kept_block(factor, dense, rng)


def test_elimination_order() -> None:
    assert elimination_order([1, 3, 2, 3]).tolist() == [1, 2, 3, 6, 7, 8, 4, 5, 0]
    assert elimination_order([2, 0, 1]).tolist() == [0, 1, 2]
    assert elimination_order([]).tolist() == []


def test_the_column_of_the_smaller_or_later_term_is_dropped() -> None:
    herd, sex = np.eye(3)[[0, 1, 2, 0, 1, 2]], np.eye(2)[[0, 0, 0, 1, 1, 1]]
    ones = np.ones((6, 1))
    x = np.column_stack([ones, sex, herd])
    factor = dependent_columns(csr_array(x.T @ x), elimination_order([1, 2, 3]))
    assert factor.dependent.tolist() == [True, False, True, False, False, False]
    other_sex = sex[:, ::-1] @ np.array([[2.0, 1.0], [1.0, 1.0]])
    x = np.column_stack([other_sex, sex])
    factor = dependent_columns(csr_array(x.T @ x), elimination_order([2, 2]))
    assert factor.dependent.tolist() == [False, False, True, True]


def test_a_factor_within_another() -> None:
    herd = np.array([0, 0, 1, 1, 2, 2, 2, 0])
    year = np.array([0, 1, 0, 1, 0, 1, 0, 0])
    x = np.column_stack([np.eye(3)[herd], np.eye(6)[2 * herd + year]])
    factor = dependent_columns(csr_array(x.T @ x), elimination_order([3, 6]))
    assert factor.dependent.tolist() == [True] * 3 + [False] * 6


def test_values_never_change_what_is_dropped() -> None:
    rng = np.random.default_rng(1)
    x, sizes = random_design(rng, 30)
    order = elimination_order(sizes)
    scale = 2.0 ** rng.integers(-20, 20, x.shape[1])
    plain = dependent_columns(csr_array(x.T @ x), order)
    scaled = dependent_columns(csr_array(scale[:, None] * (x.T @ x) * scale), order)
    assert 0 < plain.rank < x.shape[1]
    np.testing.assert_array_equal(scaled.dependent, plain.dependent)


def test_tolerance_is_relative_to_the_diagonal() -> None:
    # Pivots 7 and 7e-6.
    matrix = csr_array(7.0 * np.array([[1.0, 1.0], [1.0, 1.0 + 1e-6]]))
    order = np.arange(2)
    assert dependent_columns(matrix, order).rank == 2
    assert dependent_columns(matrix, order, tolerance=0.9e-6).rank == 2
    loose = dependent_columns(matrix, order, tolerance=1.1e-6)
    assert loose.dependent.tolist() == [False, True]
    assert loose.tolerance == 1.1e-6


def test_no_columns_and_only_zeros() -> None:
    none = dependent_columns(csr_array((0, 0)), np.empty(0, np.int64))
    assert (none.rank, none.nonzeros, none.logdet()) == (0, 0, 0.0)
    assert none.solve(np.empty(0)).shape == (0,)
    zeros = dependent_columns(csr_array((3, 3)), np.arange(3))
    assert zeros.dependent.all()
    assert (zeros.rank, zeros.nonzeros, zeros.logdet()) == (0, 0, 0.0)
    assert zeros.solve(np.ones(3)).tolist() == [0.0, 0.0, 0.0]


def test_many_levels_stay_sparse() -> None:
    rng = np.random.default_rng(2)
    records, levels, small = 300_000, 100_000, 20
    rows = np.arange(records)
    herd = np.concatenate([np.arange(levels), rng.integers(0, levels, records - levels)])
    parts = [np.zeros(records, np.int64), rng.integers(0, small, records), herd]
    sizes = [1, small, levels]
    x = hstack(
        [
            csr_array((np.ones(records), (rows, part)), shape=(records, size))
            for part, size in zip(parts, sizes, strict=True)
        ],
        format="csr",
    )
    cross = csr_array(x.T @ x)
    cross.sort_indices()
    factor = dependent_columns(cross, elimination_order(sizes))
    # The large term is diagonal: nothing fills but the block of the small ones.
    beside = int((cross.indptr[-1] - cross.indptr[1 + small]) - levels)
    assert factor.nonzeros <= levels + beside + (1 + small) * (2 + small) // 2
    assert np.flatnonzero(factor.dependent).tolist() == [0, small]
    solution = factor.solve(x.T @ np.ones(records))
    np.testing.assert_allclose(x @ solution, 1.0, rtol=EXACT)


@pytest.mark.parametrize("small", [2, 10])
def test_sums_over_many_levels_do_not_lose_what_the_tolerance_needs(small: int) -> None:
    # Three records a level: every third is rounded in the same direction.
    levels, records = 20_000, 60_000
    rows = np.arange(records)
    columns = np.concatenate([np.random.default_rng(3).integers(0, small, records), small + rows // 3])
    x = csr_array((np.ones(2 * records), (np.concatenate([rows, rows]), columns)), shape=(records, small + levels))
    cross = csr_array(x.T @ x)
    cross.sort_indices()
    factor = dependent_columns(cross, elimination_order([small, levels]), tolerance=1e-14)
    assert np.flatnonzero(factor.dependent).tolist() == [small - 1]


def test_limit() -> None:
    matrix = csr_array(np.full((40, 40), 1.0) + np.eye(40))
    message = (
        r"among 40 would have 820 entries \(0\.00 GiB\), more than 819 -> "
        "fit the largest but one of the fixed factors as random, or give a larger limit"
    )
    with pytest.raises(ResourceError, match=message):
        dependent_columns(matrix, np.arange(40), limit=819)
    assert dependent_columns(matrix, np.arange(40), limit=820).nonzeros == 820


def test_refusals() -> None:
    matrix = csr_array(np.eye(3))
    for order in ([0, 1], [0, 1, 1], [1, 2, 3], [[0, 1, 2]]):
        with pytest.raises(ValueError, match="order is no permutation of 3 columns"):
            dependent_columns(matrix, np.array(order))
    for value in (np.nan, np.inf):
        with pytest.raises(NumericalError, match="the matrix whose rank is asked for holds values that are not finite"):
            dependent_columns(matrix * value, np.arange(3))
    factor = dependent_columns(matrix, np.arange(3))
    for shape in ((2,), (4,), (3, 1)):
        with pytest.raises(ValueError, match=rf"right-hand side of shape \({shape[0]},.*\) for 3 equations"):
            factor.solve(np.ones(shape))


def test_arrays_of_the_caller_stay_writeable_and_those_of_the_factor_are_not() -> None:
    order = np.arange(3)
    factor = dependent_columns(csr_array(np.diag([1.0, 2.0, 4.0])), order)
    order[:] = 0
    np.testing.assert_allclose(factor.solve(np.ones(3)), [1.0, 0.5, 0.25])
    for array in (factor.dependent, factor._pivots, factor._order, *factor._lower):
        assert not array.flags.writeable


def test_chosen_terms_come_last() -> None:
    assert elimination_order([1, 3, 2, 3], [1, 0]).tolist() == [6, 7, 8, 4, 5, 1, 2, 3, 0]


def test_relative_pivots() -> None:
    x = np.array([[1.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 3.0, 4.0]])
    factor = dependent_columns(csr_array(x.T @ x), np.arange(3))
    np.testing.assert_allclose(factor.relative_pivots, [1.0, 2.0 / 14.0, 0.0], rtol=1e-12)
