"""Pedigree and assembly kernels against their slow twins. Runs as plain Python too: NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import a_ignoring_inbreeding, random_pedigree, tabular_a

from breedblup.kernels import assembly, pedigree

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)


def mendelian(sire: np.ndarray, dam: np.ndarray, used: np.ndarray) -> np.ndarray:
    variance = np.empty(sire.size)
    pedigree.mendelian_variance(sire, dam, used, variance)
    return variance


def a_inverse_dense(sire: np.ndarray, dam: np.ndarray, variance: np.ndarray, parts: int) -> np.ndarray:
    n = sire.size
    lists = []
    for parent in (sire, dam):
        pointer, offspring = np.empty(n + 1, dtype=np.int32), np.empty(n, dtype=np.int32)
        pedigree.offspring_of(parent, pointer, offspring)
        lists += [pointer, offspring]
    bounds = np.linspace(0, n, parts + 1).astype(np.int64)
    counts = np.empty(n, dtype=np.int64)
    pedigree.a_inverse_counts(sire, dam, variance, tuple(lists), bounds, counts)
    pointer = np.concatenate([[0], np.cumsum(counts)])
    indices, values = np.empty(pointer[-1], dtype=np.int32), np.empty(pointer[-1])
    pedigree.a_inverse_entries(sire, dam, variance, tuple(lists), bounds, pointer, indices, values)
    for j in range(n):
        assert (np.diff(indices[pointer[j] : pointer[j + 1]]) > 0).all()
    return scipy.sparse.csr_array((values, indices, pointer), shape=(n, n)).toarray()


@settings(max_examples=50, deadline=None)
@given(SEEDS, SIZES, SPANS, st.integers(1, 3))
def test_inbreeding_and_a_inverse(seed: int, n: int, span: int, parts: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    a = tabular_a(sire.tolist(), dam.tolist())
    f = np.zeros(n)
    pedigree.half_relationship_of_parents(sire, dam, f, f)
    np.testing.assert_allclose(1 + f, np.diag(a), atol=1e-13)
    variance = mendelian(sire, dam, f)
    a_inverse = a_inverse_dense(sire, dam, variance, parts)
    np.testing.assert_allclose(a_inverse @ a, np.eye(n), atol=1e-9)
    np.testing.assert_allclose(a_inverse, a_inverse.T, rtol=1e-13)
    vectors = np.random.default_rng(seed).standard_normal((n, 3))
    product = vectors.copy()
    pedigree.multiply_a(sire, dam, variance, product)
    np.testing.assert_allclose(product, a @ vectors, atol=1e-11)
    back = np.empty_like(vectors)
    pedigree.multiply_a_inverse(sire, dam, variance, vectors, back)
    np.testing.assert_allclose(back, a_inverse @ vectors, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_ignoring_inbreeding(seed: int, n: int, span: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    k = a_ignoring_inbreeding(sire.tolist(), dam.tolist())
    zeros, half, diagonal = np.zeros(n), np.empty(n), np.empty(n)
    variance = mendelian(sire, dam, zeros)
    pedigree.half_relationship_of_parents(sire, dam, zeros, half)
    pedigree.relationship_diagonal(sire, dam, variance, half, diagonal)
    np.testing.assert_allclose(diagonal, np.diag(k), atol=1e-12)
    np.testing.assert_allclose(a_inverse_dense(sire, dam, variance, 2) @ k, np.eye(n), atol=1e-9)


def test_sixty_generations_of_full_sibs() -> None:
    sire = np.repeat(np.arange(-2, 118, 2), 2).astype(np.int32)
    dam = sire + 1
    sire[:2] = dam[:2] = -1
    f = np.zeros(sire.size)
    pedigree.half_relationship_of_parents(sire, dam, f, f)
    by_hand = [0.0, 0.0, 0.25]  # F_t = ¼ (1 + 2 F_{t-1} + F_{t-2}) (Wright 1921)
    for _ in range(57):
        by_hand.append(0.25 * (1 + 2 * by_hand[-1] + by_hand[-2]))
    np.testing.assert_allclose(f[::2], by_hand, atol=1e-14)


def test_order_cuts_every_loop_once() -> None:
    sire = np.array([1, 0, 2, -1, 5, 6, 4], dtype=np.int32)
    dam = np.full(7, -1, dtype=np.int32)
    order, loops, ends, cut = np.empty(7, np.int32), np.empty(7, np.int32), np.zeros(10, np.int64), np.zeros(7, np.int8)
    assert pedigree.parents_first(sire, dam, order, loops, ends, cut) == 3
    assert ends[:3].tolist() == [2, 3, 6]
    assert [sorted(loops[a:b].tolist()) for a, b in ((0, 2), (2, 3), (3, 6))] == [[0, 1], [2], [4, 5, 6]]
    assert np.count_nonzero(cut) == 3
    assert sorted(order.tolist()) == list(range(7))


def dense_incidence(columns: np.ndarray, slots: np.ndarray, covariates: np.ndarray, size: int) -> np.ndarray:
    w = np.zeros((columns.shape[0], size))
    for i, k in np.ndindex(columns.shape):
        if columns[i, k] >= 0:
            w[i, columns[i, k]] += 1.0 if slots[k] < 0 else covariates[i, slots[k]]
    return w


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 60), st.integers(1, 4), st.integers(0, 6), st.integers(1, 8), st.integers(1, 3))
def test_assembly(seed: int, n: int, width: int, fixed: int, levels: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    size = fixed + levels
    columns = rng.integers(-1, size, (n, width)).astype(np.int32)
    slots = np.array([k % 2 - 1 for k in range(width)], dtype=np.int32)
    covariates, weights = rng.standard_normal((n, 1)), rng.random(n)
    w = dense_incidence(columns, slots, covariates, size)
    inverse_matrix = scipy.sparse.csr_array(
        scipy.sparse.random_array((levels, levels), density=0.4, rng=rng) + scipy.sparse.eye_array(levels)
    )
    inverse_matrix.sort_indices()
    inverse = (fixed, inverse_matrix.indptr.astype(np.int64), (inverse_matrix.indices + fixed).astype(np.int32))
    pointer = np.empty(size + 1, dtype=np.int64)
    entries = np.empty(np.count_nonzero(columns >= 0), dtype=np.int64)
    assembly.records_of_equations(columns, pointer, entries)
    bounds = np.linspace(0, size, parts + 1).astype(np.int64)
    counts = np.empty(size, dtype=np.int64)
    assembly.lhs_counts(columns, pointer, entries, inverse, bounds, counts)
    lhs_pointer = np.concatenate([[0], np.cumsum(counts)])
    indices, part = np.empty(lhs_pointer[-1], dtype=np.int32), np.empty(lhs_pointer[-1])
    place = np.empty(inverse_matrix.nnz, dtype=np.int64)
    lhs = (lhs_pointer, indices, part)
    assembly.lhs_entries(columns, slots, covariates, weights, pointer, entries, inverse, bounds, lhs, place)
    for e in range(size):
        assert (np.diff(indices[lhs_pointer[e] : lhs_pointer[e + 1]]) > 0).all()
    values = np.empty_like(part)
    term_bounds = np.array([0, inverse_matrix.nnz])
    assembly.combine(part, 0.5, inverse_matrix.data, place, np.array([3.0]), term_bounds, values)
    found = scipy.sparse.csr_array((values, indices, lhs_pointer), shape=(size, size)).toarray()
    expected = 0.5 * w.T @ np.diag(weights) @ w
    expected[fixed:, fixed:] += 3.0 * inverse_matrix.toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    y, rhs = rng.standard_normal(n), np.zeros(size)
    assembly.rhs_sums(columns, slots, covariates, y, rhs)
    np.testing.assert_allclose(rhs, w.T @ y, atol=1e-12)


@pytest.mark.parametrize("rows", [40, 200])
def test_long_rows_are_sorted_too(rows: int) -> None:
    sire = np.full(rows, 0, dtype=np.int32)
    sire[:2] = -1
    dam = np.random.default_rng(3).integers(1, 2, rows).astype(np.int32)
    dam[:2] = -1
    a_inverse = a_inverse_dense(sire, dam, mendelian(sire, dam, np.zeros(rows)), 2)
    np.testing.assert_allclose(a_inverse @ tabular_a(sire.tolist(), dam.tolist()), np.eye(rows), atol=1e-10)


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not plain_python", __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
