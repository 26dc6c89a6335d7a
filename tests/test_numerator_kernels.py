"""A⁻¹ in CSR, and products with A⁻¹ and A, against dense twins. Runs as plain Python too: NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import added_by_animals, random_pedigree, tabular_a, trace_to_parents

from breedblup.kernels import numerator
from breedblup.relationship.operator import ALONE, PedigreeOperator, inverse_entries, product_parts

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)
THREADS = st.integers(1, 4)
CLASSES = st.integers(0, 3)
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def in_classes(rng: np.random.Generator, sire: np.ndarray, dam: np.ndarray, classes: int) -> None:
    """Put unknown parents, and some known ones, into classes; a few stay unknown."""
    n = sire.size
    for parent in (sire, dam):
        drawn = rng.integers(0, max(classes, 1), n) + n
        chosen = ((parent < 0) & (rng.random(n) < 0.8)) | (rng.random(n) < 0.1)
        if classes:
            parent[chosen] = drawn[chosen]


def random_operator(seed: int, n: int, span: int, classes: int) -> PedigreeOperator:
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, n, span)
    in_classes(rng, sire, dam, classes)
    return PedigreeOperator(sire, dam, rng.uniform(0.2, 1.0, n), classes)


def true_operator(sire: np.ndarray, dam: np.ndarray) -> PedigreeOperator:
    f = np.diag(tabular_a(sire.tolist(), dam.tolist())) - 1.0
    known = [np.where(parent >= 0, f[parent], -1.0) for parent in (sire, dam)]
    return PedigreeOperator(sire, dam, 0.5 - 0.25 * (known[0] + known[1]))


def csr(of: PedigreeOperator, threads: int) -> scipy.sparse.csr_array:
    values, indices, pointer = inverse_entries(of, threads)
    for start, end in pairwise(pointer):
        assert (np.diff(indices[start:end]) > 0).all()
    return scipy.sparse.csr_array((values, indices, pointer), shape=(of.sire.size + of.classes,) * 2)


def product(of: PedigreeOperator, threads: int, vectors: np.ndarray) -> np.ndarray:
    parts, out = product_parts(of, threads), np.full_like(vectors, np.nan)
    beside = np.full((parts[2, -1], vectors.shape[1]), np.nan)
    numerator.multiply_a_inverse(of.sire, of.dam, of.variance, parts, vectors, out, beside)
    return out


@settings(max_examples=100, deadline=None)
@given(SEEDS, SIZES, SPANS, CLASSES, THREADS)
def test_entries_are_the_sum_over_animals(seed: int, n: int, span: int, classes: int, threads: int) -> None:
    of = random_operator(seed, n, span, classes)
    matrix = csr(of, threads)
    twin = added_by_animals(of.sire.tolist(), of.dam.tolist(), of.variance.tolist(), classes)
    np.testing.assert_allclose(matrix.toarray(), twin, **EXACT)
    assert (matrix.toarray() == matrix.toarray().T).all()
    pattern = (twin != 0) | np.eye(n + classes, dtype=bool)
    assert matrix.nnz >= np.count_nonzero(pattern)  # entries may cancel, none is missing
    alone = csr(of, 1)
    assert (matrix.indptr == alone.indptr).all()
    assert (matrix.indices == alone.indices).all()
    assert (matrix.data == alone.data).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES, SPANS, CLASSES, THREADS, st.integers(1, 9))
def test_products_are_those_of_the_entries(
    seed: int, n: int, span: int, classes: int, threads: int, width: int
) -> None:
    of = random_operator(seed, n, span, classes)
    vectors = np.random.default_rng(seed).standard_normal((n + classes, width))
    made = product(of, threads, vectors)
    np.testing.assert_allclose(made, csr(of, 1) @ vectors, **EXACT)
    np.testing.assert_allclose(of.multiply_inverse(vectors), made, **EXACT)
    np.testing.assert_array_equal(product(of, threads, vectors), made)


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES, SPANS, CLASSES, st.integers(1, 4))
def test_up_to_parents_and_down_to_offspring(seed: int, n: int, span: int, classes: int, width: int) -> None:
    of = random_operator(seed, n, span, classes)
    trace = trace_to_parents(of.sire.tolist(), of.dam.tolist(), classes)
    vectors = np.random.default_rng(seed).standard_normal((n + classes, width))
    up, down = vectors.copy(), vectors.copy()
    numerator.sum_to_parents(of.sire, of.dam, up)
    np.testing.assert_allclose(up, trace.T @ vectors, **EXACT)
    numerator.pass_to_offspring(of.sire, of.dam, of.variance, down)
    np.testing.assert_allclose(down, trace @ (np.append(of.variance, np.ones(classes))[:, None] * vectors), **EXACT)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SIZES, SPANS, THREADS)
def test_inverse_of_a(seed: int, n: int, span: int, threads: int) -> None:
    of = true_operator(*random_pedigree(np.random.default_rng(seed), n, span))
    a = tabular_a(of.sire.tolist(), of.dam.tolist())
    np.testing.assert_allclose(csr(of, threads) @ a, np.eye(n), atol=1e-9)
    vectors = np.random.default_rng(seed).standard_normal((n, 2))
    np.testing.assert_allclose(of.multiply(vectors), a @ vectors, atol=1e-11)
    np.testing.assert_allclose(product(of, threads, of.multiply(vectors)), vectors, atol=1e-9)


def full_sib_chain(generations: int) -> tuple[np.ndarray, np.ndarray]:
    sire = np.repeat(np.arange(-2, 2 * generations - 2, 2), 2).astype(np.int32)
    dam = sire + np.int32(1)
    sire[:2] = dam[:2] = -1
    return sire, dam


def selfing_line(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(-1, n - 1, dtype=np.int32), np.arange(-1, n - 1, dtype=np.int32)


def backcrosses(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A sire mated to his own daughter, to hers, and so on."""
    dam = np.arange(-1, n - 1, dtype=np.int32)
    return np.where(dam >= 0, 0, -1).astype(np.int32), dam


@pytest.mark.parametrize(
    "parents",
    [
        full_sib_chain(60),
        selfing_line(12),
        backcrosses(20),
        (np.full(7, -1, dtype=np.int32),) * 2,
        (np.full(1, -1, dtype=np.int32),) * 2,
    ],
    ids=["full-sib chain", "selfing", "backcrosses", "all unknown", "one animal"],
)
def test_named_pedigrees(parents: tuple[np.ndarray, np.ndarray]) -> None:
    sire, dam = parents
    of = true_operator(sire, dam)
    twin = added_by_animals(sire.tolist(), dam.tolist(), of.variance.tolist(), 0)
    for threads in (1, 2, 3):
        np.testing.assert_allclose(csr(of, threads).toarray(), twin, **EXACT)
        np.testing.assert_allclose(product(of, threads, np.eye(sire.size)), twin, **EXACT)


def test_long_lists() -> None:
    """Hundreds of mates, repeated ones and reciprocal crosses among them, and classes that hold most parents."""
    rng = np.random.default_rng(5)
    n = 1500
    for classes in (0, 2):
        sire, dam = (np.where(np.arange(n) < 400, -1, rng.integers(0, 400, n)) for _ in range(2))
        sire[700:1100] = rng.integers(0, 3, 400)
        dam[1100:] = rng.integers(0, 3, 400)
        of = PedigreeOperator(sire.astype(np.int32), dam.astype(np.int32), rng.uniform(0.2, 1.0, n), classes)
        in_classes(rng, of.sire, of.dam, classes)
        twin = added_by_animals(of.sire.tolist(), of.dam.tolist(), of.variance.tolist(), classes)
        for threads in (1, 3):
            np.testing.assert_allclose(csr(of, threads).toarray(), twin, **EXACT)


def test_same_bits_for_the_operator_on_one_and_more_threads() -> None:
    """Above `ALONE` animals the operator shares its products out; what it gives does not depend on the threads in use."""
    n = ALONE + 1000
    of = random_operator(8, n, 5000, 2)
    vectors = np.random.default_rng(8).standard_normal((n + 2, 3))
    np.testing.assert_allclose(of.multiply_inverse(vectors), of.entries() @ vectors, **EXACT)
    np.testing.assert_allclose(of.multiply_inverse(vectors[:, :1])[:, 0], of.entries() @ vectors[:, 0], **EXACT)


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    skipped = "not plain_python and not long_lists and not same_bits"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", skipped, __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
