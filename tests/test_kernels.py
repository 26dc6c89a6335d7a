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
from reference import a_ignoring_inbreeding, positive_definite, random_pedigree, tabular_a

from breedblup.kernels import assembly, inbreeding, numerator, pedigree

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)


def mendelian(sire: np.ndarray, dam: np.ndarray, used: np.ndarray) -> np.ndarray:
    variance = np.empty(sire.size)
    inbreeding.mendelian_variance(sire, dam, used, variance)
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
    numerator.a_inverse_counts(sire, dam, variance, tuple(lists), bounds, counts)
    pointer = np.concatenate([[0], np.cumsum(counts)])
    indices, values = np.empty(pointer[-1], dtype=np.int32), np.empty(pointer[-1])
    numerator.a_inverse_entries(sire, dam, variance, tuple(lists), bounds, pointer, indices, values)
    for j in range(n):
        assert (np.diff(indices[pointer[j] : pointer[j + 1]]) > 0).all()
    return scipy.sparse.csr_array((values, indices, pointer), shape=(n, n)).toarray()


@settings(max_examples=50, deadline=None)
@given(SEEDS, SIZES, SPANS, st.integers(1, 3))
def test_inbreeding_and_a_inverse(seed: int, n: int, span: int, parts: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    a = tabular_a(sire.tolist(), dam.tolist())
    f = np.zeros(n)
    inbreeding.half_relationship_of_parents(sire, dam, f, f)
    np.testing.assert_allclose(1 + f, np.diag(a), atol=1e-13)
    variance = mendelian(sire, dam, f)
    a_inverse = a_inverse_dense(sire, dam, variance, parts)
    np.testing.assert_allclose(a_inverse @ a, np.eye(n), atol=1e-9)
    np.testing.assert_allclose(a_inverse, a_inverse.T, rtol=1e-13)
    vectors = np.random.default_rng(seed).standard_normal((n, 3))
    product = vectors.copy()
    numerator.multiply_a(sire, dam, variance, product)
    np.testing.assert_allclose(product, a @ vectors, atol=1e-11)
    back = np.empty_like(vectors)
    numerator.multiply_a_inverse(sire, dam, variance, vectors, back)
    np.testing.assert_allclose(back, a_inverse @ vectors, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_ignoring_inbreeding(seed: int, n: int, span: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    k = a_ignoring_inbreeding(sire.tolist(), dam.tolist())
    zeros, half, diagonal = np.zeros(n), np.empty(n), np.empty(n)
    variance = mendelian(sire, dam, zeros)
    inbreeding.half_relationship_of_parents(sire, dam, zeros, half)
    inbreeding.relationship_diagonal(sire, dam, variance, half, diagonal)
    np.testing.assert_allclose(diagonal, np.diag(k), atol=1e-12)
    np.testing.assert_allclose(a_inverse_dense(sire, dam, variance, 2) @ k, np.eye(n), atol=1e-9)


def test_sixty_generations_of_full_sibs() -> None:
    sire = np.repeat(np.arange(-2, 118, 2), 2).astype(np.int32)
    dam = sire + 1
    sire[:2] = dam[:2] = -1
    f = np.zeros(sire.size)
    inbreeding.half_relationship_of_parents(sire, dam, f, f)
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


class RandomEquations:
    """Records of some traits in two terms, a fixed one and one with K⁻¹, some of them reached by two links."""

    def __init__(self, seed: int, n: int, traits: int, levels: int) -> None:
        rng = np.random.default_rng(seed)
        self.widths, self.levels = (traits, 2 * traits), (3, levels)
        self.size = 3 * traits + 2 * traits * levels
        codes = np.column_stack([rng.integers(-1, 3, n), *(rng.integers(-1, levels, n) for _ in range(2))])
        patterns = rng.random((4, traits)) < 0.7
        self.rows = assembly.Rows(
            codes.astype(np.int32), rng.standard_normal((n, 2)), rng.uniform(0.5, 2, (n, traits)),
            rng.integers(0, 4, n).astype(np.int32), patterns,
        )  # fmt: skip
        first = 3 * traits
        listed = [(t, 0, t, traits, -1, 1.0) for t in range(traits)]
        listed += [
            (t, link, first + c * traits + t, 2 * traits, c - 1, 0.5 * link)
            for t in range(traits)
            for link in (1, 2)
            for c in (0, 1)
        ]
        listed.sort()
        trait, link, start, width, column, scale = (np.array(part) for part in zip(*listed, strict=True))
        self.slots = assembly.Slots(
            np.searchsorted(trait, np.arange(traits + 1)), trait.astype(np.int32), link.astype(np.int32),
            start.astype(np.int64), width.astype(np.int64), column.astype(np.int32), scale.astype(np.float64),
        )  # fmt: skip
        inverse = scipy.sparse.csr_array(
            scipy.sparse.random_array((levels, levels), density=0.4, rng=rng) + scipy.sparse.eye_array(levels)
        )
        inverse.sort_indices()
        self.inverse = inverse
        nothing = scipy.sparse.csr_array((3, 3))
        every = np.arange(2 * traits)
        mask = every[:, None] // traits == every[None, :] // traits if seed % 2 else np.ones((2 * traits,) * 2, bool)
        self.mask = mask
        self.terms = [
            self.term(0, traits, np.array([0]), 3, nothing, np.zeros((traits, traits), bool)),
            self.term(first, 2 * traits, np.array([1, 2]), levels, inverse, mask),
        ]
        self.dropped = np.zeros(self.size, bool)
        self.dropped[rng.integers(0, first, 1)] = True
        roots = [positive_definite(rng, traits) for _ in range(4)]
        self.residual = np.array([np.where(np.outer(o, o), r, 0.0) for o, r in zip(patterns, roots, strict=True)])
        self.covariance = positive_definite(rng, 2 * traits) * mask
        self.y = rng.standard_normal((n, traits))

    def term(
        self, first: int, width: int, links: np.ndarray, levels: int, inverse: scipy.sparse.csr_array, mask: np.ndarray
    ) -> assembly.TermRows:
        codes = self.rows.codes
        pointer = np.empty(levels + 1, dtype=np.int64)
        entries = np.empty(np.count_nonzero(codes[:, links] >= 0), dtype=np.int64)
        assembly.records_of_levels(codes, links, pointer, entries)
        at = [
            [q for q in range(self.slots.link.size) if self.slots.link[q] == link and self.slots.first[q] == first + c]
            for link in range(codes.shape[1])
            for c in range(width)
        ]
        ends = np.concatenate([[0], np.cumsum([len(one) for one in at])])
        flat = np.array([q for one in at for q in one], dtype=np.int32)
        return assembly.TermRows(
            first, width, pointer, entries, ends, flat, inverse.indptr.astype(np.int64),
            inverse.indices.astype(np.int32), inverse.data, mask,
        )  # fmt: skip

    def dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Left and right side, a record and a pair of traits at a time."""
        lhs, rhs = np.zeros((self.size, self.size)), np.zeros(self.size)
        n, traits = self.y.shape
        for i in range(n):
            w = np.zeros((traits, self.size))
            for q in range(self.slots.link.size):
                code = self.rows.codes[i, self.slots.link[q]]
                if code >= 0:
                    column = self.slots.column[q]
                    value = self.slots.scale[q] * (1.0 if column < 0 else self.rows.values[i, column])
                    w[self.slots.trait[q], self.slots.first[q] + code * self.slots.width[q]] += value
            roots = np.diag(self.rows.roots[i])
            weight = roots @ self.residual[self.rows.pattern[i]] @ roots
            lhs += w.T @ weight @ w
            rhs += w.T @ weight @ self.y[i]
        start = self.terms[1].first
        lhs[start:, start:] += np.kron(self.inverse.toarray(), self.covariance)
        lhs[self.dropped] = 0.0
        lhs[:, self.dropped] = 0.0
        lhs[self.dropped, self.dropped] = 1.0
        rhs[self.dropped] = 0.0
        return lhs, rhs


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 40), st.integers(1, 3), st.integers(1, 8), st.integers(1, 3))
def test_assembly(seed: int, n: int, traits: int, levels: int, parts: int) -> None:
    made = RandomEquations(seed, n, traits, levels)
    cuts = [np.linspace(0, number, parts + 1).astype(np.int64) for number in made.levels]
    counts, none, nowhere = np.empty(made.size, dtype=np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32)
    for term, cut in zip(made.terms, cuts, strict=True):
        assembly.lhs_columns(term, made.rows, made.slots, made.dropped, cut, counts, none, nowhere)
    pointer = np.concatenate([[0], np.cumsum(counts)])
    indices, values = np.full(pointer[-1], -1, dtype=np.int32), np.full(pointer[-1], np.nan)
    covariances = (np.zeros((made.widths[0],) * 2), made.covariance)
    for term, cut, covariance in zip(made.terms, cuts, covariances, strict=True):
        again = np.empty_like(counts)
        assembly.lhs_columns(term, made.rows, made.slots, made.dropped, cut, again, pointer, indices)
        lhs = (pointer, indices, values)
        assembly.lhs_values(term, made.rows, made.slots, made.residual, covariance, made.dropped, cut, lhs)
    for e in range(made.size):
        assert (np.diff(indices[pointer[e] : pointer[e + 1]]) > 0).all()
    found = scipy.sparse.csr_array((values, indices, pointer), shape=(made.size, made.size)).toarray()
    rhs = np.zeros(made.size)
    assembly.rhs_sums(made.rows, made.slots, made.residual, made.y, made.dropped, rhs)
    expected, expected_rhs = made.dense()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(rhs, expected_rhs, atol=1e-12)
    first, width = made.terms[1].first, made.terms[1].width
    for level in range(levels):  # blocks of a level are whole, whatever is zero in them
        own = np.arange(first + level * width, first + (level + 1) * width)
        for e in own:
            assert np.isin(own, indices[pointer[e] : pointer[e + 1]]).all()


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
