"""The equations in CSR against W'R⁻¹W + G₀⁻¹ ⊗ K⁻¹ made of dense matrices. Runs as plain Python too: NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numba
import numpy as np
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dense_equations, positive_definite

from breedblup.design import DesignTerm
from breedblup.design.terms import Entry, Link
from breedblup.kernels import assembly
from breedblup.mme import EquationLayout, build_incidence
from breedblup.mme.incidence import build_slots
from breedblup.mme.pattern import Pattern, count_pattern
from breedblup.model import Coordinate
from breedblup.relationship import RelationshipInverse
from breedblup.variances import VarianceComponents

SEEDS = st.integers(0, 2**32 - 1)


class Records(NamedTuple):
    """What `build_incidence` reads of a design."""

    y: np.ndarray
    weights: np.ndarray | None
    residual_levels: pl.Series | None
    residual_codes: np.ndarray | None
    terms: tuple[DesignTerm, ...]

    @property
    def observed(self) -> np.ndarray:
        return ~np.isnan(self.y)


class Equations(NamedTuple):
    lhs: scipy.sparse.csr_array
    rhs: np.ndarray


class RandomModel:
    """Records of some traits, with weights and missing values, in terms of every shape."""

    def __init__(self, seed: int, n: int, traits: int, levels: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.n, self.traits = n, traits
        y = self.rng.standard_normal((n, traits))
        y[self.rng.random((n, traits)) < 0.3] = np.nan
        self.names = tuple(f"t{t}" for t in range(traits))
        free = self.rng.random() < 0.5
        terms = [
            self.term("constant", "fixed", 1, [[(t, t, -1, 1.0) for t in range(traits)]]),
            self.term("class", "fixed", 4, [[(t, t, -1, 1.0) for t in range(traits)]], missing=0.2),
            self.term("slope", "fixed", 3, [[(0, 0, 0, 1.0), (0, 1, 1, 1.0)]]),
            self.term("plain", "random", levels, [[(t, t, -1, 1.0) for t in range(traits)]], missing=0.3),
            self.term(
                "curve", "random", levels + 3,
                [[(t, c * traits + t, c - 1, 1.0) for t in range(traits) for c in (0, 1)]] * 2,
                missing=0.3, inverse=True, correlated=free,
            ),
            self.term("single", "random", 2 * levels, [[(0, 0, -1, 0.5)], [(0, 0, -1, 0.25)]], missing=0.1, inverse=True),
        ]  # fmt: skip
        weights = self.rng.uniform(0.5, 2.0, (n, traits)) if self.rng.random() < 0.5 else None
        self.design = Records(y, weights, None, None, tuple(terms))
        self.layout = EquationLayout.of(terms)
        g = {term.name: self.covariance(term) for term in terms if term.kind == "random"}
        self.residual = positive_definite(self.rng, traits)
        self.variances = VarianceComponents(g, residual=self.residual)
        self.covariances = [g.get(term.name, np.eye(len(term.coordinates))) for term in terms]
        fixed = self.layout.fixed_size
        self.dropped = np.unique(
            np.append(self.rng.integers(0, fixed, 2), self.rng.integers(fixed, self.layout.size, 2))
        )

    def term(
        self, name: str, kind: Any, levels: int, links: list[Any], *, missing: float = 0.0, inverse: bool = False,
        correlated: bool = True,
    ) -> DesignTerm:  # fmt: skip
        width = 1 + max(entry[1] for entries in links for entry in entries)
        traits = {entry[1]: entry[0] for entry in links[0]}
        coordinates = tuple(
            Coordinate(str(c // len(self.names)) if width > self.traits else "", self.names[traits.get(c, 0)])
            for c in range(width)
        )
        made = []
        for entries in links:
            codes = self.rng.integers(0, levels, self.n).astype(np.int32)
            codes[self.rng.random(self.n) < missing] = -1
            made.append(Link(codes, tuple(Entry(*entry) for entry in entries)))
        relationship = self.relationship(levels) if inverse else None
        return DesignTerm(
            name, kind, pl.Series([f"{name}{level}" for level in range(levels)]), coordinates, tuple(made),
            self.rng.standard_normal((self.n, 2)), relationship=relationship, correlated=correlated,
        )  # fmt: skip

    def relationship(self, levels: int) -> RelationshipInverse:
        """A singular K⁻¹ with some rows that are dense, as groups of unknown parents have; one row has nothing at all."""
        q = scipy.sparse.random_array((levels, levels), density=0.15, rng=self.rng).toarray()
        q[:, -1] = 1.0
        q[:, 0] = 0.0
        matrix = scipy.sparse.csr_array(q.T @ q)
        ids = pl.Series([str(level) for level in range(levels)])
        return RelationshipInverse(ids, Given(matrix), np.ones(levels), 0.0, ("given",))

    def covariance(self, term: DesignTerm) -> np.ndarray:
        full = positive_definite(self.rng, len(term.coordinates))
        effects = np.array([coordinate.effect for coordinate in term.coordinates])
        return full if term.correlated else full * (effects[:, None] == effects[None, :])

    def residual_of(self, i: int) -> np.ndarray:
        roots = np.ones(self.traits) if self.design.weights is None else np.sqrt(self.design.weights[i])
        return self.residual / np.outer(roots, roots)

    def equations(self) -> Equations:
        incidence = build_incidence(self.design, self.layout)
        pattern = count_pattern(incidence, self.layout, self.dropped).positions()
        return self.filled(pattern, np.full(pattern.nonzeros, np.nan))

    def filled(self, pattern: Pattern, values: np.ndarray, scale: float = 1.0) -> Equations:
        """For covariance matrices of all effects times ``scale``."""
        incidence, slots = build_incidence(self.design, self.layout), build_slots(self.layout)
        residual = incidence.residual_inverses(self.variances) / scale
        covariances = [np.linalg.inv(matrix) / scale for matrix in self.covariances]
        pattern.fill(incidence.rows, slots, residual, covariances, values)
        rhs = pattern.right_side(incidence.rows, slots, residual, self.design.y)
        return Equations(pattern.matrix(values), rhs)


class Given:
    """A K⁻¹ as it stands."""

    def __init__(self, matrix: scipy.sparse.csr_array) -> None:
        self.matrix = matrix

    def entries(self) -> scipy.sparse.csr_array:
        return self.matrix


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 60), st.integers(1, 3), st.integers(1, 9))
def test_equations_equal_those_of_dense_matrices(seed: int, n: int, traits: int, levels: int) -> None:
    made = RandomModel(seed, n, traits, levels)
    found = made.equations()
    lhs, rhs = dense_equations(made.design, made.layout, made.residual_of, made.covariances, made.dropped)
    np.testing.assert_allclose(found.lhs.toarray(), lhs, atol=1e-11)
    np.testing.assert_allclose(found.rhs, rhs, atol=1e-11)
    pointer, indices = found.lhs.indptr, found.lhs.indices
    for e in range(made.layout.size):
        row = indices[pointer[e] : pointer[e + 1]]
        assert (np.diff(row) > 0).all()
        assert e in row
        assert (row == e).all() or e not in made.dropped


def test_positions_are_those_that_any_values_could_have() -> None:
    made = next(model for seed in range(20) if not (model := RandomModel(seed, 20, 2, 12)).design.terms[4].correlated)
    lhs = made.equations().lhs
    ones = scipy.sparse.csr_array((np.ones(lhs.nnz), lhs.indices, lhs.indptr), shape=lhs.shape)
    assert abs(ones - ones.T).nnz == 0
    expected, _ = dense_equations(made.design, made.layout, made.residual_of, made.covariances, made.dropped)
    np.fill_diagonal(expected, 1.0)
    rows, columns = np.nonzero((expected == 0.0) & (ones.toarray() > 0.0))
    assert rows.size
    blocks = np.searchsorted(made.layout.blocks(), np.column_stack([rows, columns]), side="right")
    assert (blocks[:, 0] == blocks[:, 1]).all()  # nothing but the dense blocks of levels
    assert (rows >= made.layout.fixed_size).all()  # of random terms


@pytest.mark.parametrize("records", [33, 400])
def test_many_records_of_a_level_are_gathered_in_order(records: int) -> None:
    """A term of few levels gathers long lists, shorter and longer than the levels of the other."""
    made = RandomModel(5, records, 1, 8)
    lhs, _ = dense_equations(made.design, made.layout, made.residual_of, made.covariances, made.dropped)
    np.testing.assert_allclose(made.equations().lhs.toarray(), lhs, atol=1e-10)


def test_threads_do_not_change_a_bit() -> None:
    made, threads, runs = RandomModel(7, 300, 2, 40), numba.get_num_threads(), []
    try:
        for number in {1, min(2, threads), threads}:
            numba.set_num_threads(number)
            runs.append(made.equations())
    finally:
        numba.set_num_threads(threads)
    for other in runs[1:]:
        assert np.array_equal(runs[0].lhs.indices, other.lhs.indices)
        assert np.array_equal(runs[0].lhs.data, other.lhs.data)
        assert np.array_equal(runs[0].rhs, other.rhs)


def test_values_are_refreshed_on_the_same_positions() -> None:
    made = RandomModel(9, 120, 2, 7)
    counts = count_pattern(build_incidence(made.design, made.layout), made.layout, made.dropped)
    assert np.array_equal(counts.positions().indices, counts.positions().indices)
    pattern = counts.positions()
    values = np.empty(pattern.nonzeros)
    first = made.filled(pattern, values).lhs.data.copy()
    dropped = np.isin(np.arange(made.layout.size), made.dropped)
    free = np.repeat(~dropped, np.diff(pattern.pointer))
    np.testing.assert_allclose(made.filled(pattern, values, scale=2.0).lhs.data[free], first[free] / 2, rtol=1e-12)
    assert np.array_equal(made.filled(pattern, values).lhs.data, first)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(0, 100))
def test_keys_are_sorted(seed: int, number: int) -> None:
    keys = np.random.default_rng(seed).permutation(number + 5).astype(np.int32)
    expected = np.concatenate([np.sort(keys[:number]), keys[number:]])
    assembly.sort_keys(keys, number)
    assert np.array_equal(keys, expected)


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not plain_python", __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
