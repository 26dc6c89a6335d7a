"""Pedigree kernels against their slow twins. Runs as plain Python too: NUMBA_DISABLE_JIT=1."""

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

from breedblup.kernels import inbreeding, pedigree
from breedblup.relationship.operator import PedigreeOperator, inverse_entries

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)


def mendelian(sire: np.ndarray, dam: np.ndarray, used: np.ndarray) -> np.ndarray:
    variance = np.empty(sire.size)
    inbreeding.mendelian_variance(sire, dam, inbreeding.NO_CLASSES, used, variance)
    return variance


def a_inverse_dense(sire: np.ndarray, dam: np.ndarray, variance: np.ndarray, threads: int) -> np.ndarray:
    values, indices, pointer = inverse_entries(PedigreeOperator(sire, dam, variance), threads)
    return scipy.sparse.csr_array((values, indices, pointer), shape=(sire.size, sire.size)).toarray()


@settings(max_examples=50, deadline=None)
@given(SEEDS, SIZES, SPANS, st.integers(1, 3))
def test_inbreeding_and_a_inverse(seed: int, n: int, span: int, parts: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    a = tabular_a(sire.tolist(), dam.tolist())
    f = np.zeros(n)
    inbreeding.half_relationship_of_parents(sire, dam, inbreeding.NO_CLASSES, f, f, 0)
    np.testing.assert_allclose(1 + f, np.diag(a), atol=1e-13)
    variance = mendelian(sire, dam, f)
    a_inverse = a_inverse_dense(sire, dam, variance, parts)
    np.testing.assert_allclose(a_inverse @ a, np.eye(n), atol=1e-9)
    np.testing.assert_allclose(a_inverse, a_inverse.T, rtol=1e-13)
    vectors = np.random.default_rng(seed).standard_normal((n, 3))
    operator = PedigreeOperator(sire, dam, variance)
    np.testing.assert_allclose(operator.multiply(vectors), a @ vectors, atol=1e-11)
    np.testing.assert_allclose(operator.multiply_inverse(vectors), a_inverse @ vectors, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_ignoring_inbreeding(seed: int, n: int, span: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    k = a_ignoring_inbreeding(sire.tolist(), dam.tolist())
    zeros, half, diagonal = np.zeros(n), np.empty(n), np.empty(n)
    variance = mendelian(sire, dam, zeros)
    inbreeding.half_relationship_of_parents(sire, dam, inbreeding.NO_CLASSES, zeros, half, 0)
    inbreeding.relationship_diagonal(sire, dam, inbreeding.NO_CLASSES, variance, half, diagonal)
    np.testing.assert_allclose(diagonal, np.diag(k), atol=1e-12)
    np.testing.assert_allclose(a_inverse_dense(sire, dam, variance, 2) @ k, np.eye(n), atol=1e-9)


def test_sixty_generations_of_full_sibs() -> None:
    sire = np.repeat(np.arange(-2, 118, 2), 2).astype(np.int32)
    dam = sire + 1
    sire[:2] = dam[:2] = -1
    f = np.zeros(sire.size)
    inbreeding.half_relationship_of_parents(sire, dam, inbreeding.NO_CLASSES, f, f, 0)
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
