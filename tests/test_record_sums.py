"""Passes over the records against dense matrices of the same. Runs as plain Python too: NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numba
import numpy as np
import polars as pl
from conftest import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import central_differences, dense_roots, dense_rows, positive_definite, random_pedigree

import breedblup as bb
from breedblup.design import DesignTerm
from breedblup.design.terms import Entry, Link
from breedblup.mme import EquationLayout, build_incidence
from breedblup.mme.incidence import build_slots
from breedblup.mme.pattern import count_pattern
from breedblup.mme.record_sums import (
    apply_residual_inverse,
    collected,
    fitted_values,
    inverse_sums,
    leverages,
    moments,
)
from breedblup.model import Coordinate
from breedblup.variances import VarianceComponents

SEEDS = st.integers(0, 2**32 - 1)
MISSING = 0.3


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


class RandomCase:
    """Records of some traits, with weights and residual classes, in terms of every shape; values of C⁻¹ are anything.

    ``roots``: "triangles" where every random term has a square lower Λ with some columns of zeros, "ranks" where covariance
    matrices of lower rank, one of zeros among them, lay the equations out.
    """

    def __init__(self, seed: int, n: int, traits: int, levels: int, roots: str = "triangles") -> None:
        self.rng = np.random.default_rng(seed)
        self.n, self.traits = n, traits
        self.y = self.rng.standard_normal((n, traits))
        self.y[self.rng.random((n, traits)) < MISSING * (traits > 1)] = np.nan
        self.y[np.isnan(self.y).all(axis=1), 0] = 1.0
        each = [(t, t, -1, 1.0) for t in range(traits)]
        terms = [
            self.term("constant", "fixed", 1, [each]),
            self.term("class", "fixed", 4, [each], missing=MISSING),
            self.term("slope", "fixed", 2, [[(0, 0, 0, 1.0), (0, 1, 1, 1.0)]]),
            self.term("plain", "random", levels, [each], missing=MISSING),
            self.term(
                "curve", "random", levels + 3,
                [[(t, c * traits + t, c - 1, 1.0) for t in range(traits) for c in (0, 1, 2)]], related=True,
            ),
            self.term("maternal", "random", levels + 2, [[(0, 0, -1, 1.0)], [(0, 1, 0, 1.0)]], missing=0.1, related=True),
            self.term("mates", "random", 2 * levels, [each, [(t, t, 1, 0.5) for t in range(traits)]], missing=MISSING),
        ]  # fmt: skip
        weights = self.rng.uniform(0.5, 2.0, (n, traits)) if self.rng.random() < 0.5 else None
        classes = self.rng.integers(0, 2, n).astype(np.int32) if self.rng.random() < 0.5 else None
        names = None if classes is None else pl.Series(["a", "b"])
        self.design = Records(self.y, weights, names, classes, tuple(terms))
        self.weights = np.ones((n, traits)) if weights is None else weights
        self.residuals = [positive_definite(self.rng, traits) for _ in range(1 if classes is None else 2)]
        residual: Any = self.residuals[0] if classes is None else dict(zip("ab", self.residuals, strict=True))
        matrices = {term.name: self.singular(term, roots) for term in terms if term.kind == "random"}
        self.variances = VarianceComponents(matrices, residual=residual)
        self.names = list(matrices)
        self.plain = EquationLayout.of(terms)
        self.layout = self.factored() if roots == "triangles" else EquationLayout.of(terms, self.variances)
        self.incidence = build_incidence(self.design, self.layout)
        fixed = self.layout.fixed_size
        self.dropped_ones = np.unique([*self.rng.integers(0, fixed, 2), *self.rng.integers(fixed, self.layout.size, 2)])
        self.pattern = count_pattern(self.incidence, self.layout, self.dropped_ones).positions()
        self.values = self.any_inverse()

    def term(
        self, name: str, kind: Any, levels: int, links: list[Any], *, missing: float = 0.0, related: bool = False
    ) -> DesignTerm:
        width = 1 + max(entry[1] for entries in links for entry in entries)
        made = []
        for entries in links:
            codes = self.rng.integers(0, levels, self.n).astype(np.int32)
            codes[self.rng.random(self.n) < missing] = -1
            made.append(Link(codes, tuple(Entry(*entry) for entry in entries)))
        ids = [f"{name}{level}" for level in range(levels)]
        relationship = None
        if related:
            sire, dam = random_pedigree(self.rng, levels)
            names = np.array([*ids, ""])
            relationship = bb.a_inverse(bb.Pedigree.from_frame(pl.DataFrame(
                {"id": ids, "sire": names[sire], "dam": names[dam]}
            )))  # fmt: skip
            ids = relationship.ids.to_list()
        values = self.rng.standard_normal((self.n, 2))
        if all(entry[0] == 0 for entries in links for entry in entries):
            values[np.isnan(self.y[:, 0])] = np.nan
        coordinates = tuple(Coordinate(str(c), "y") for c in range(width))
        return DesignTerm(
            name, kind, pl.Series(ids), coordinates, tuple(made), values,
            relationship=relationship,
        )  # fmt: skip

    def singular(self, term: DesignTerm, roots: str) -> np.ndarray:
        order = len(term.coordinates)
        if roots == "ranks" and term.name == "plain":
            return np.zeros((order, order))
        rank = max(1, order - 1) if roots == "ranks" else order
        root = self.rng.standard_normal((order, rank))
        return root @ root.T

    def factored(self) -> EquationLayout:
        used = {term.name: self.used(term) for term in self.design.terms if term.kind == "random"}
        roots = {name: np.where(mask, self.rng.standard_normal(mask.shape), 0.0) for name, mask in used.items()}
        for root in roots.values():
            root[:, self.rng.random(len(root)) < 0.2] = 0.0
        return EquationLayout.factored(self.design.terms, roots, used)

    def used(self, term: DesignTerm) -> np.ndarray:
        order = len(term.coordinates)
        return np.eye(order, dtype=bool) if term.name == "mates" else np.tri(order, dtype=bool)

    def any_inverse(self) -> np.ndarray:
        """Symmetric values, those of the identity where an equation is dropped."""
        size = self.layout.size
        full = self.rng.standard_normal((size, size))
        full += full.T
        full[self.dropped_ones, self.dropped_ones] = 1.0
        rows = np.repeat(np.arange(size), np.diff(self.pattern.pointer))
        return np.ascontiguousarray(full[rows, self.pattern.indices])

    @property
    def dropped(self) -> np.ndarray:
        return np.isin(np.arange(self.layout.size), self.dropped_ones)

    @property
    def slots(self) -> Any:
        return build_slots(self.layout)

    @property
    def plain_slots(self) -> Any:
        return build_slots(self.plain)

    @property
    def where(self) -> tuple[np.ndarray, np.ndarray]:
        return self.pattern.pointer, self.pattern.indices

    @property
    def inverses(self) -> np.ndarray:
        return self.incidence.residual_inverses(self.variances)

    def dense_rows(self) -> np.ndarray:
        """W of v without the columns of dropped equations, n × traits × equations."""
        w = dense_rows(self.design, self.plain) @ dense_roots(self.layout)
        w[:, :, self.dropped_ones] = 0.0
        return w

    def dense_residual_inverse(self, i: int, *, weighted: bool = True) -> np.ndarray:
        """R⁻¹ of the traits of a record, 0 elsewhere."""
        codes = self.design.residual_codes
        has = np.flatnonzero(self.design.observed[i])
        root = np.sqrt(self.weights[i]) if weighted else np.ones(self.traits)
        matrix = self.residuals[0 if codes is None else codes[i]] / np.outer(root, root)
        found = np.zeros_like(matrix)
        found[np.ix_(has, has)] = np.linalg.inv(matrix[np.ix_(has, has)])
        return found

    def dense_inverse(self) -> np.ndarray:
        return np.asarray(self.pattern.matrix(self.values).toarray())

    def dense_lhs(self, inverses: np.ndarray) -> np.ndarray:
        """W'R⁻¹W + I ⊗ K⁻¹, with I for fixed terms, so that it is positive definite."""
        w = np.sqrt(self.weights)[:, :, None] * self.dense_rows()
        lhs = np.einsum("ite,its,isf->ef", w, inverses[self.incidence.rows.pattern], w)
        for k, term in enumerate(self.layout.terms):
            own = slice(self.layout.starts[k], self.layout.starts[k + 1])
            inverse = np.eye(len(term.levels)) if term.relationship is None else term.relationship.matrix.toarray()
            lhs[own, own] += np.kron(inverse, np.eye(self.layout.width(k)))
        lhs[self.dropped_ones], lhs[:, self.dropped_ones] = 0.0, 0.0
        lhs[self.dropped_ones, self.dropped_ones] = 1.0
        return lhs

    def logdet(self, inverses: np.ndarray) -> float:
        return float(np.linalg.slogdet(self.dense_lhs(inverses))[1])

    def reached_equation(self, name: str) -> int:
        """First equation of a level of a term that the first record with any reaches."""
        k = self.layout.index_of(name)
        codes = self.layout.terms[k].links[0].codes
        return int(self.layout.starts[k] + codes[codes >= 0][0] * self.layout.width(k))

    def by_levels(self, matrix: np.ndarray, k: int) -> np.ndarray:
        """The part of a matrix, equations of u × equations of v, that is of a term: levels × order × levels × width."""
        name, levels = self.plain.terms[k].name, len(self.plain.terms[k].levels)
        part = matrix[self.plain.slice_of(name), self.layout.slice_of(name)]
        return part.reshape(levels, self.plain.width(k), levels, self.layout.width(k))

    def sums(self) -> Any:
        return inverse_sums(
            self.incidence, self.layout, self.plain_slots, self.dropped, self.inverses, self.where, self.values
        )

    def moments(self, x: np.ndarray, k: int) -> np.ndarray:
        return moments(
            self.incidence, self.layout, self.plain_slots, self.dropped, self.inverses, self.where, self.values,
            x, k,
        )  # fmt: skip

    def leverages(self) -> np.ndarray:
        return leverages(self.incidence, self.layout, self.dropped, self.where, self.values)


CASES = (SEEDS, st.integers(0, 30), st.integers(1, 3), st.integers(1, 8), st.sampled_from(["triangles", "ranks"]))


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=EXACT, atol=EXACT * max(1.0, np.abs(expected).max(initial=0.0)))


@settings(max_examples=30, deadline=None)
@given(*CASES)
def test_fitted_values_and_what_is_collected(seed: int, n: int, traits: int, levels: int, roots: str) -> None:
    case = RandomCase(seed, n, traits, levels, roots)
    w, dropped = case.dense_rows(), case.dropped
    x, h = case.rng.standard_normal((case.layout.size, 3)), case.rng.standard_normal((3, n, traits))
    h[:, ~case.design.observed] = np.nan
    known = np.nan_to_num(h)
    fitted = fitted_values(case.incidence, case.slots, dropped, x)
    close(fitted, np.einsum("ite,ek->kit", w, x))
    assert np.array_equal(fitted_values(case.incidence, case.slots, dropped, x[:, 1]), fitted[1])
    weighted = apply_residual_inverse(case.incidence, case.inverses, h)
    for i in range(n):
        close(weighted[:, i], known[:, i] @ case.dense_residual_inverse(i))
    assert np.array_equal(apply_residual_inverse(case.incidence, case.inverses, h[2]), weighted[2])
    taken = collected(case.incidence, case.slots, dropped, h)
    close(taken, np.einsum("ite,kit->ek", w, known))
    assert np.array_equal(collected(case.incidence, case.slots, dropped, h[0]), taken[:, 0])
    plain = fitted_values(
        case.incidence, case.plain_slots, np.zeros(case.plain.size, dtype=bool), np.ones(case.plain.size)
    )
    close(plain, dense_rows(case.design, case.plain).sum(axis=2))


@settings(max_examples=30, deadline=None)
@given(*CASES)
def test_sums_over_the_inverse(seed: int, n: int, traits: int, levels: int, roots: str) -> None:
    case = RandomCase(seed, n, traits, levels, roots)
    inverse, found, each = case.dense_inverse(), case.sums(), case.leverages()
    rooted = np.sqrt(case.weights)[:, :, None]
    w, z = rooted * case.dense_rows(), rooted * dense_rows(case.design, case.plain)
    leverage = np.zeros_like(found.leverage)
    loadings = [np.zeros((case.plain.width(k), case.layout.width(k))) for k in range(len(case.plain.terms))]
    for i in range(n):
        product = w[i] @ inverse @ w[i].T
        close(each[i], product)
        leverage[case.incidence.rows.pattern[i]] += product
        at_equations = z[i].T @ case.dense_residual_inverse(i, weighted=False) @ w[i] @ inverse
        for k in range(len(loadings)):
            loadings[k] += np.einsum("lalb->ab", case.by_levels(at_equations, k))
    close(found.leverage, leverage)
    for k, term in enumerate(case.plain.terms):
        if term.kind == "fixed":
            assert found.loadings[k] is None
        else:
            close(found.loadings[k], loadings[k])


@settings(max_examples=20, deadline=None)
@given(*CASES)
def test_second_moments(seed: int, n: int, traits: int, levels: int, roots: str) -> None:
    case = RandomCase(seed, n, traits, levels, roots)
    x = case.rng.standard_normal(case.layout.size)
    free = ~case.dropped
    second = (case.dense_inverse() + np.outer(x, x)) * np.outer(free, free)
    z = np.sqrt(case.weights)[:, :, None] * dense_rows(case.design, case.plain)
    for k, term in enumerate(case.plain.terms):
        if term.kind == "fixed":
            continue
        order, width = case.plain.width(k), case.layout.width(k)
        own, own_v = case.plain.slice_of(term.name), case.layout.slice_of(term.name)
        of_v = second[own_v, own_v].reshape(len(term.levels), width, len(term.levels), width)
        expected = np.zeros((order, width, order, width))
        for i in range(n):
            of_z = z[i, :, own].T @ case.dense_residual_inverse(i, weighted=False) @ z[i, :, own]
            of_z = of_z.reshape(len(term.levels), order, len(term.levels), order)
            expected += np.einsum("lamc,lbmd->abcd", of_z, of_v)
        close(case.moments(x, k), expected)


def test_derivatives_of_the_determinant() -> None:
    """Twice the sums by term are those of log|C| by Λ, the sums by pattern those by R⁻¹ (central differences)."""
    case = RandomCase(3, 40, 2, 6)
    inverses, roots = case.inverses, dict(zip(case.names, case.layout.loadings[-len(case.names) :], strict=True))
    full = np.linalg.inv(case.dense_lhs(inverses))
    rows = np.repeat(np.arange(case.layout.size), np.diff(case.pattern.pointer))
    case.values = np.ascontiguousarray(full[rows, case.pattern.indices])
    found, layout = case.sums(), case.layout
    for name, root in roots.items():
        loading = found.loadings[layout.index_of(name)]
        for cell in np.argwhere(case.used(layout.terms[layout.index_of(name)])):

            def by_root(value: np.ndarray, name: str = name, root: np.ndarray = root, cell: Any = tuple(cell)) -> float:
                moved = root.copy()
                moved[cell] = value[0]
                case.layout = layout.with_roots(roots | {name: moved})
                return case.logdet(inverses)

            slope = central_differences(by_root, root[tuple(cell)].reshape(1), [1e-3])
            np.testing.assert_allclose(2.0 * loading[tuple(cell)], slope[0], rtol=1e-7, atol=1e-7)
    case.layout = layout
    for p, observed in enumerate(case.incidence.rows.observed):
        has = np.flatnonzero(observed)

        def by_residual(values: np.ndarray, p: int = p, has: np.ndarray = has) -> float:
            changed = inverses.copy()
            changed[p, has, has] = values
            return case.logdet(changed)

        slopes = central_differences(by_residual, inverses[p, has, has], np.full(has.size, 1e-3))
        np.testing.assert_allclose(found.leverage[p, has, has], slopes, rtol=1e-7, atol=1e-7)


def test_threads_do_not_change_a_bit() -> None:
    case, threads, runs = RandomCase(7, 300, 2, 40), numba.get_num_threads(), []
    x, h = case.rng.standard_normal(case.layout.size), case.rng.standard_normal((3, 300, 2))
    try:
        for number in sorted({1, min(2, threads), threads}):
            numba.set_num_threads(number)
            sums = case.sums()
            runs.append([
                sums.leverage, *(loading for loading in sums.loadings if loading is not None), case.leverages(),
                case.moments(x, 4), fitted_values(case.incidence, case.slots, case.dropped, x),
                collected(case.incidence, case.slots, case.dropped, h),
                apply_residual_inverse(case.incidence, case.inverses, h),
            ])  # fmt: skip
    finally:
        numba.set_num_threads(threads)
    for other in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_equations_that_are_dropped_but_keep_their_places() -> None:
    """Groups of unknown parents are set to zero after assembly: entries of their rows may be anything here."""
    case = RandomCase(11, 25, 2, 5)
    dropped = case.reached_equation("plain")
    case.dropped_ones = np.append(case.dropped_ones, dropped)
    found = case.sums().leverage
    w = np.sqrt(case.weights)[:, :, None] * case.dense_rows()
    expected = np.zeros_like(found)
    for i in range(case.n):
        expected[case.incidence.rows.pattern[i]] += w[i] @ case.dense_inverse() @ w[i].T
    close(found, expected)


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not plain_python", __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
