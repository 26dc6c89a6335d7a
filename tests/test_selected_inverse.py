"""The selected inverse against dense inverses and its slow twin. Runs as plain Python too: NUMBA_DISABLE_JIT=1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import numba
import numpy as np
import pytest
import scipy.sparse
from conftest import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_pedigree, selected_inverse_by_entries, tabular_a
from scipy.sparse import csr_array

from breedblup.kernels.supernodes import Supernodes, lies_within, split_forest
from breedblup.solvers import cholesky, selected_inverse
from breedblup.solvers.cholesky import CholeskyFactor, analyse
from breedblup.solvers.selected_inverse import panels_of, sweep

SEEDS = st.integers(0, 2**32 - 1)
Rng = np.random.Generator


def definite(rng: Rng, is_linked: np.ndarray) -> np.ndarray:
    """Entries at random where the lower triangle links two equations; positive definite by its diagonal."""
    n = len(is_linked)
    lower = np.tril(rng.standard_normal((n, n)) * is_linked, -1)
    off = lower + lower.T
    return off + np.diag(np.abs(off).sum(axis=1) + rng.uniform(0.1, 2.0, n))


def chain(rng: Rng, n: int) -> np.ndarray:
    return definite(rng, np.eye(n, k=-1))


def arrow(rng: Rng, n: int) -> np.ndarray:
    """A chain, and what every equation is linked to."""
    linked = np.eye(n, k=-1)
    linked[n // 2 :: max(n // 2, 1)] = 1.0
    linked[:, 0] = 1.0
    return definite(rng, linked)


def dense_block(rng: Rng, n: int) -> np.ndarray:
    """Half of the equations linked to all of one another, each other to some of them."""
    linked = np.ones((n, n))
    linked[n // 2 :, n // 2 :] = 0.0
    linked[n // 2 :, : n // 2] = rng.random((n - n // 2, n // 2)) < 0.2
    return definite(rng, linked)


def unconnected(rng: Rng, n: int) -> np.ndarray:
    """Parts of any size, mixed."""
    part = rng.integers(0, max(n // 5, 1), n)
    return definite(rng, (part[:, None] == part) & (rng.random((n, n)) < 0.7))


def at_random(rng: Rng, n: int) -> np.ndarray:
    return definite(rng, rng.random((n, n)) < rng.choice([0.02, 0.1, 0.4, 1.0]))


def of_pedigree(rng: Rng, n: int) -> np.ndarray:
    """Animals of two traits, records on all, a few groups."""
    animals = -(-n // 2)
    sire, dam = random_pedigree(rng, animals, 10)
    inverse = np.linalg.inv(tabular_a(sire.tolist(), dam.tolist()))
    inverse[np.abs(inverse) < 1e-10] = 0.0
    group = np.eye(4)[rng.integers(0, 4, animals)]
    single = np.block([[5.0 * np.eye(4) + group.T @ group, group.T], [group, np.eye(animals) + inverse + inverse.T]])
    return np.kron(single, np.array([[2.0, 0.3], [0.3, 1.0]]))


KINDS: list[Callable[[Rng, int], np.ndarray]] = [chain, arrow, dense_block, unconnected, at_random, of_pedigree]


def factor_of(matrix: csr_array, mode: float = 0.0) -> CholeskyFactor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cholesky, "SUPERNODAL_FROM", mode)
        return analyse(matrix).factorise(matrix)


def swept(factor: CholeskyFactor) -> tuple[Supernodes, np.ndarray]:
    nodes = factor.symbolic.supernodes
    panels = panels_of(factor._factor.L(), nodes)
    sweep(factor.symbolic._supernode_counts, nodes, panels)
    return nodes, panels


@settings(max_examples=80)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 40), st.sampled_from([1, 4, 256]), st.sampled_from([1, 4, 128]))
def test_all_panels(seed: int, kind: Callable[[Rng, int], np.ndarray], n: int, small: int, wide: int) -> None:
    """Every entry of every panel, with supernodes taken as small, as tall and as wide ones."""
    rng = np.random.default_rng(seed)
    dense = kind(rng, n)
    inverse = np.linalg.inv(dense)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selected_inverse, "SMALL", small)
        patch.setattr(selected_inverse, "WIDE", wide)
        patch.setattr(selected_inverse, "CHUNK", int(rng.integers(1, 9)))
        factor = factor_of(csr_array(dense), rng.choice([0.0, np.inf]))
        nodes, panels = swept(factor)
    order = factor.symbolic.order
    for s in range(nodes.start.size - 1):
        own = np.arange(nodes.start[s], nodes.start[s + 1])
        rows = np.concatenate([own, nodes.rows[nodes.row_start[s] : nodes.row_start[s + 1]]])
        found = panels[nodes.panel[s] : nodes.panel[s + 1]].reshape(own.size, -1)
        wanted = inverse[np.ix_(order[own], order[rows])]
        np.testing.assert_allclose(np.triu(found), np.triu(wanted), rtol=EXACT, atol=EXACT * np.abs(inverse).max())


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 25))
def test_slow_twin(seed: int, kind: Callable[[Rng, int], np.ndarray], n: int) -> None:
    rng = np.random.default_rng(seed)
    dense = kind(rng, n)
    factor = factor_of(csr_array(dense))
    order = factor.symbolic.order
    twin = np.empty_like(dense)
    twin[np.ix_(order, order)] = selected_inverse_by_entries(dense[np.ix_(order, order)])
    found = factor.inverse_on(csr_array(dense)).toarray()
    np.testing.assert_allclose(found, np.where(dense != 0, twin, 0.0), rtol=EXACT, atol=EXACT * np.abs(twin).max())


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 40))
def test_any_pattern_within(seed: int, kind: Callable[[Rng, int], np.ndarray], n: int) -> None:
    """One triangle, single entries, columns in any order, wide indices."""
    rng = np.random.default_rng(seed)
    dense = kind(rng, n)
    factor, inverse = factor_of(csr_array(dense)), np.linalg.inv(dense)
    np.testing.assert_allclose(factor.inverse_diagonal(), np.diag(inverse), rtol=EXACT)
    for asked in (np.triu(dense, 1), np.tril(dense), dense * (rng.random(dense.shape) < 0.2)):
        pattern = csr_array(asked)
        for row in range(pattern.shape[0]):
            rng.shuffle(pattern.indices[pattern.indptr[row] : pattern.indptr[row + 1]])
        wide = csr_array(
            (pattern.data, pattern.indices.astype(np.int64), pattern.indptr.astype(np.int64)), shape=dense.shape
        )
        for one in (pattern, wide):
            found = factor.inverse_on(one)
            np.testing.assert_array_equal(found.indices, one.indices)
            found = found.toarray()
            wanted = np.where(asked != 0, inverse, 0.0)
            np.testing.assert_allclose(found, wanted, rtol=EXACT, atol=EXACT * np.abs(inverse).max())


def test_one_equation() -> None:
    factor = factor_of(csr_array(np.array([[4.0]])))
    assert factor.inverse_diagonal().tolist() == [0.25]
    assert factor.inverse_on(csr_array((1, 1))).nnz == 0


def moderate() -> csr_array:
    """A grid in three dimensions, each point linked to its neighbours: wide, tall and small supernodes."""
    line = scipy.sparse.diags_array([-1.0, 2.05, -1.0], offsets=[-1, 0, 1], shape=(20, 20))
    plane = scipy.sparse.kronsum(line, line)
    return csr_array(scipy.sparse.kronsum(plane, line))


def test_unit_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selected_inverse, "SMALL", 256)
    matrix = moderate()
    factor = factor_of(matrix)
    counts = factor.symbolic._supernode_counts
    height = counts.widths + counts.below
    assert ((counts.widths >= selected_inverse.WIDE) & (counts.below > 0)).any()
    assert ((counts.widths < selected_inverse.WIDE) & (height > selected_inverse.SMALL)).any()
    assert (height <= selected_inverse.SMALL).any()
    found = factor.inverse_on(matrix)
    chosen = np.random.default_rng(1).choice(matrix.shape[0], 200, replace=False)
    unit = np.zeros((matrix.shape[0], chosen.size))
    unit[chosen, np.arange(chosen.size)] = 1.0
    columns = factor.solve(unit)
    for k, row in enumerate(chosen):
        here = slice(matrix.indptr[row], matrix.indptr[row + 1])
        np.testing.assert_allclose(found.data[here], columns[matrix.indices[here], k], rtol=EXACT)
    np.testing.assert_array_equal(factor.inverse_diagonal(), found.diagonal())


def test_the_same_bits_again() -> None:
    factor = factor_of(moderate())
    np.testing.assert_array_equal(factor.inverse_diagonal(), factor.inverse_diagonal())


def test_bits_of_small_supernodes_do_not_depend_on_threads() -> None:
    factor = factor_of(csr_array(of_pedigree(np.random.default_rng(2), 200)))
    assert factor.symbolic.flops < selected_inverse.ONE_THREAD_UP_TO
    alone, before = factor.inverse_diagonal(), numba.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selected_inverse, "ONE_THREAD_UP_TO", 0.0)
        np.testing.assert_array_equal(factor.inverse_diagonal(), alone)
    assert numba.get_num_threads() == before


@pytest.mark.parametrize("mode", [0.0, np.inf])
def test_relaxed_supernodes_store_zeros_and_change_nothing(mode: float, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = of_pedigree(np.random.default_rng(4), 160)
    matrix, inverse = csr_array(dense), np.linalg.inv(dense)

    def every_column_alone(parent: np.ndarray, counts: np.ndarray, is_first: np.ndarray) -> None:
        is_first[:] = True

    def all_columns_together(parent: np.ndarray, counts: np.ndarray, is_first: np.ndarray) -> None:
        is_first[:] = False
        is_first[0] = True

    relaxed = factor_of(matrix, mode)
    monkeypatch.setattr(selected_inverse, "relaxed_supernodes", every_column_alone)
    alone = factor_of(matrix, mode)
    monkeypatch.setattr(selected_inverse, "relaxed_supernodes", all_columns_together)
    together = factor_of(matrix, mode)
    stored = [factor.symbolic._supernode_counts.stored for factor in (alone, relaxed, together)]
    assert stored[0] == alone.symbolic.nonzeros < stored[1] < stored[2] == dense.shape[0] ** 2
    for factor in (alone, relaxed, together):
        found = factor.inverse_on(matrix).toarray()
        np.testing.assert_allclose(found, np.where(dense != 0, inverse, 0.0), rtol=EXACT, atol=EXACT * inverse.max())


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 60), st.integers(1, 6))
def test_subtrees_stay_whole(seed: int, count: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    parent = np.array(
        [rng.integers(s + 1, count) if s + 1 < count and rng.random() < 0.9 else -1 for s in range(count)]
    )
    large = rng.random(count) < 0.1
    is_large, part = large.copy(), np.empty(count, np.int64)
    split_forest(parent, is_large, rng.uniform(0.1, 1.0, count), parts, part)
    assert is_large[large].all()
    for s in range(count):
        children = np.flatnonzero(parent == s)
        assert is_large[s] == (large[s] or is_large[children].any())
        assert (part[s] == -1) == is_large[s]
        assert is_large[s] or (0 <= part[s] < parts and (part[children] == part[s]).all())


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 15))
def test_lies_within(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.random((n, n)) < 0.5
    part = whole & (rng.random((n, n)) < 0.5)
    for other in (part, part | (rng.random((n, n)) < 0.05)):
        inner, outer = csr_array(other), csr_array(whole)
        found = lies_within((inner.indptr, inner.indices), (outer.indptr, outer.indices))
        assert found == (not (other & ~whole).any())


PEAK = """
import json, sys
import numpy as np
from scipy.sparse import csr_array
from breedblup.solvers import cholesky, selected_inverse

def memory(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024

def equations(animals, groups):
    rng = np.random.default_rng(1)
    group = rng.integers(0, groups, (animals, 4))
    rows = np.repeat(np.arange(animals), 4) + groups
    linked = csr_array((rng.random(rows.size), (rows, group.ravel())), shape=(animals + groups,) * 2)
    linked = csr_array(linked + linked.T)
    linked.setdiag(10.0 * animals)
    linked.sort_indices()
    return linked

# Supernodes of every kind, so that nothing is compiled or loaded while memory is measured: a compiler keeps 36 MB.
warm = equations(2000, 300)
for cholesky.SUPERNODAL_FROM in (0.0, np.inf):
    for selected_inverse.SMALL, selected_inverse.WIDE in ((0, 1), (0, 10**9), (1000, 128)):
        cholesky.analyse(warm).factorise(warm).inverse_on(warm)
matrix = equations(20000, 3000)
cholesky.SUPERNODAL_FROM = float(sys.argv[1])
symbolic = cholesky.analyse(matrix)
before = memory("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
symbolic.factorise(matrix).inverse_on(matrix)
print(json.dumps([symbolic.mode, memory("VmHWM") - before, symbolic.bytes_with_inverse]))
"""


@pytest.mark.parametrize(("mode", "least"), [("supernodal", 0.6), ("simplicial", 0.6)])
def test_bytes_are_those_measured(mode: str, least: float) -> None:
    argument = {"supernodal": "0", "simplicial": "inf"}[mode]
    ended = subprocess.run([sys.executable, "-c", PEAK, argument], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found, peak, planned = json.loads(ended.stdout)
    assert found == mode
    assert peak <= planned
    assert peak >= least * planned


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too, but for what takes long there."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    left_out = "not plain_python and not unit_vectors and not same_bits and not bytes_are"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", left_out, __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
