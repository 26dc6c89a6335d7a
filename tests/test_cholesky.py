"""The sparse factor against dense algebra: counts, solutions, log-determinants and the inverse on a pattern."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import eliminated_counts, first_bad_pivot, random_pedigree, tabular_a
from scipy.sparse import csr_array

from breedblup.errors import NotPositiveDefinite, NumericalError, ResourceError
from breedblup.kernels.factor import postorder
from breedblup.solvers import cholesky
from breedblup.solvers.cholesky import CholeskyFactor, analyse

MODES = {"simplicial": np.inf, "supernodal": 0.0}
SEEDS = st.integers(0, 2**32 - 1)


@contextmanager
def forced(mode: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cholesky, "SUPERNODAL_FROM", MODES[mode])
        yield


def dominant(rng: np.random.Generator, n: int, density: float) -> np.ndarray:
    """Symmetric, entries at random, positive definite by its diagonal."""
    upper = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < density), 1)
    off = upper + upper.T
    return off + np.diag(np.abs(off).sum(axis=1) + rng.uniform(0.1, 2.0, n))


def in_blocks(rng: np.random.Generator, widths: list[int], density: float) -> np.ndarray:
    """Parts that nothing connects, their equations mixed."""
    whole = np.zeros((sum(widths),) * 2)
    at = 0
    for width in widths:
        whole[at : at + width, at : at + width] = dominant(rng, width, density)
        at += width
    mixed = rng.permutation(at)
    return whole[np.ix_(mixed, mixed)]


def animal_model(rng: np.random.Generator, animals: int, groups: int, span: int) -> np.ndarray:
    """Mixed model equations of a pedigree with records and groups."""
    sire, dam = random_pedigree(rng, animals, span)
    a_inverse = np.linalg.inv(tabular_a(sire.tolist(), dam.tolist()))
    a_inverse[np.abs(a_inverse) < 1e-10] = 0.0
    x = np.eye(groups)[rng.integers(0, groups, animals)]
    x[:groups] = np.eye(groups)
    return np.block([[x.T @ x, x.T], [x, np.eye(animals) + 2.0 * (a_inverse + a_inverse.T) / 2]])


def agrees(found: np.ndarray | float, wanted: np.ndarray | float) -> None:
    np.testing.assert_allclose(found, wanted, rtol=EXACT, atol=EXACT * np.abs(wanted).max(initial=1e-300))


def check_factor(factor: CholeskyFactor, dense: np.ndarray, rng: np.random.Generator) -> None:
    """Everything that a factor gives, against NumPy."""
    n = dense.shape[0]
    inverse = np.linalg.inv(dense)
    one, several = rng.standard_normal(n), rng.standard_normal((n, 3))
    agrees(factor.solve(one), np.linalg.solve(dense, one))
    agrees(factor.solve(several), np.linalg.solve(dense, several))
    agrees(factor.logdet(), np.linalg.slogdet(dense)[1])
    agrees(factor.inverse_diagonal(), np.diag(inverse))
    matrix = csr_array(dense)
    on_all = factor.inverse_on(matrix)
    np.testing.assert_array_equal(on_all.indices, matrix.indices)
    np.testing.assert_array_equal(on_all.indptr, matrix.indptr)
    agrees(on_all.toarray(), np.where(dense != 0, inverse, 0.0))
    some = csr_array((dense != 0) & (rng.random((n, n)) < 0.4))
    agrees(factor.inverse_on(some).toarray(), np.where(some.toarray(), inverse, 0.0))


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 60), st.floats(0, 1), st.sampled_from(sorted(MODES)))
def test_random_matrices(seed: int, n: int, density: float, mode: str) -> None:
    rng = np.random.default_rng(seed)
    dense = dominant(rng, n, density * rng.choice([0.1, 1.0]))
    with forced(mode):
        symbolic = analyse(csr_array(dense))
    assert symbolic.mode == mode
    np.testing.assert_array_equal(np.sort(symbolic.order), np.arange(n))
    np.testing.assert_array_equal(symbolic.counts, eliminated_counts(dense, symbolic.order))
    check_factor(symbolic.factorise(csr_array(dense)), dense, rng)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 15), min_size=2, max_size=6), st.floats(0.1, 1), st.sampled_from(sorted(MODES)))
def test_disconnected_parts(seed: int, widths: list[int], density: float, mode: str) -> None:
    rng = np.random.default_rng(seed)
    dense = in_blocks(rng, widths, density)
    with forced(mode):
        symbolic = analyse(csr_array(dense))
    np.testing.assert_array_equal(symbolic.counts, eliminated_counts(dense, symbolic.order))
    check_factor(symbolic.factorise(csr_array(dense)), dense, rng)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 60), st.integers(1, 5), st.integers(2, 60), st.sampled_from(sorted(MODES)))
def test_animal_models(seed: int, animals: int, groups: int, span: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    dense = animal_model(rng, animals, min(groups, animals), span)
    with forced(mode):
        symbolic = analyse(csr_array(dense))
    np.testing.assert_array_equal(symbolic.counts, eliminated_counts(dense, symbolic.order))
    check_factor(symbolic.factorise(csr_array(dense)), dense, rng)


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize(
    "dense",
    [
        np.array([[0.25]]),
        np.diag([3.0, 1e-9, 1e9, 7.0]),
        dominant(np.random.default_rng(1), 300, 1.0),
        animal_model(np.random.default_rng(2), 300, 40, 25),
    ],
    ids=["one", "diagonal", "dense", "animal model"],
)
def test_chosen_matrices(dense: np.ndarray, mode: str) -> None:
    with forced(mode):
        symbolic = analyse(csr_array(dense))
    check_factor(symbolic.factorise(csr_array(dense)), dense, np.random.default_rng(3))


def test_mode_follows_operations_per_entry() -> None:
    chain = csr_array(np.diag(np.full(50, 3.0)) + np.diag(np.ones(49), 1) + np.diag(np.ones(49), -1))
    thin = analyse(chain)
    assert (thin.mode, thin.nonzeros, thin.flops) == ("simplicial", 99, 49 * 4.0 + 1.0)
    full = analyse(csr_array(np.full((600, 600), 1.0) + 600 * np.eye(600)))
    assert (full.mode, full.nonzeros) == ("supernodal", 600 * 601 // 2)
    assert full.flops == sum(count**2 for count in range(1, 601))
    assert full.flops / full.nonzeros > cholesky.SUPERNODAL_FROM > thin.flops / thin.nonzeros


def test_bytes_hold_the_factor() -> None:
    for dense in (dominant(np.random.default_rng(5), 200, 1.0), animal_model(np.random.default_rng(6), 200, 20, 30)):
        symbolic = analyse(csr_array(dense))
        exported = symbolic.factorise(csr_array(dense))._factor.L()
        assert symbolic.bytes >= exported.data.nbytes + exported.indices.nbytes * (symbolic.mode == "simplicial")
        assert symbolic.bytes_with_inverse >= symbolic.bytes


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 80))
def test_order_is_a_postorder(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    symbolic = analyse(csr_array(dominant(rng, n, rng.choice([0.02, 0.1, 0.5]))))
    parent, descendants = symbolic.parent, np.ones(n, np.int64)
    for j in range(n):
        if parent[j] >= 0:
            assert parent[j] > j
            descendants[parent[j]] += descendants[j]
    for j in range(n):
        below = [i for i in range(n) if i == j or is_under(parent, i, j)]
        assert below == list(range(j - descendants[j] + 1, j + 1))


def is_under(parent: np.ndarray, i: int, j: int) -> bool:
    while i != -1 and i != j:
        i = parent[i]
    return i == j


def test_postorder_of_a_tree_that_is_in_none() -> None:
    parent = np.array([3, 4, 3, 5, 5, -1, -1], np.int64)
    post = np.empty(7, np.int64)
    postorder(parent, post)
    assert post.tolist() == [0, 2, 3, 1, 4, 5, 6]


@pytest.mark.parametrize("mode", sorted(MODES))
def test_refactorise_gives_the_bits_of_a_fresh_factor(mode: str) -> None:
    rng = np.random.default_rng(7)
    dense = animal_model(rng, 60, 4, 20)
    first = csr_array(dense)
    other = csr_array((first.data * 1.5, first.indices.copy(), first.indptr.copy()), shape=first.shape)
    other.setdiag(first.diagonal() * 3.0)
    rhs = rng.standard_normal(dense.shape[0])
    with forced(mode):
        factor = analyse(first).factorise(first)
        fresh = analyse(other).factorise(other)
    before = factor.solve(rhs)
    again = factor.refactorise(other)
    np.testing.assert_array_equal(again.solve(rhs), fresh.solve(rhs))
    np.testing.assert_array_equal(again.inverse_diagonal(), fresh.inverse_diagonal())
    np.testing.assert_array_equal(again.inverse_on(other).data, fresh.inverse_on(other).data)
    assert again.logdet() == fresh.logdet() != factor.logdet()
    np.testing.assert_array_equal(factor.solve(rhs), before)
    check_factor(again, other.toarray(), rng)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 40), st.sampled_from(sorted(MODES)))
def test_permuting_equations_permutes_answers(seed: int, n: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    dense = dominant(rng, n, 0.2)
    mixed = rng.permutation(n)
    turned = csr_array(dense[np.ix_(mixed, mixed)])
    rhs = rng.standard_normal(n)
    with forced(mode):
        factor, other = analyse(csr_array(dense)).factorise(csr_array(dense)), analyse(turned).factorise(turned)
    agrees(other.solve(rhs[mixed]), factor.solve(rhs)[mixed])
    agrees(other.logdet(), factor.logdet())
    agrees(other.inverse_diagonal(), factor.inverse_diagonal()[mixed])


@pytest.mark.parametrize("mode", sorted(MODES))
def test_long_indices(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    dense = dominant(rng, 60, 0.1)
    matrix = csr_array(dense)
    long = csr_array((matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)), shape=matrix.shape)
    assert long.indices.dtype == np.int64
    with forced(mode):
        narrow = analyse(long)
        # Beyond what int32 counts: once for the matrix, once for its factor alone.
        monkeypatch.setattr(cholesky, "_INT32", matrix.nnz - 1)
        wide = analyse(long)
        monkeypatch.setattr(cholesky, "_INT32", matrix.nnz)
        assert narrow.nonzeros > matrix.nnz
        factor_only = analyse(matrix)
    assert (narrow._wide, wide._wide, factor_only._wide) == (False, True, True)
    assert narrow.bytes < wide.bytes == factor_only.bytes
    for symbolic, values in ((narrow, long), (wide, long), (factor_only, matrix)):
        np.testing.assert_array_equal(symbolic.counts, narrow.counts)
        check_factor(symbolic.factorise(values), dense, rng)


def test_right_hand_sides_of_any_layout() -> None:
    rng = np.random.default_rng(9)
    dense = dominant(rng, 20, 0.3)
    factor = analyse(csr_array(dense)).factorise(csr_array(dense))
    block = rng.standard_normal((40, 6))
    wanted = np.linalg.solve(dense, block[::2, ::3])
    for rhs in (block[::2, ::3], np.asfortranarray(block[::2, ::3]), np.ascontiguousarray(block[::2, ::3])):
        rhs.setflags(write=False)
        found = factor.solve(rhs)
        agrees(found, wanted)
        assert found.flags.c_contiguous
    agrees(factor.solve(np.arange(20)), np.linalg.solve(dense, np.arange(20.0)))
    assert factor.solve(np.empty((20, 0))).shape == (20, 0)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 30), st.sampled_from(sorted(MODES)))
def test_the_first_bad_pivot_is_named(seed: int, n: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    dense = dominant(rng, n, 0.2)
    spoilt = rng.choice(n, rng.integers(1, 1 + n), replace=False)
    dense[spoilt, spoilt] *= rng.uniform(-1, 1, spoilt.size)
    matrix = csr_array(dense)
    with forced(mode):
        symbolic = analyse(matrix)
    wanted = first_bad_pivot(dense, symbolic.order)
    if wanted is None:
        check_factor(symbolic.factorise(matrix), dense, rng)
        return
    with pytest.raises(NotPositiveDefinite, match=f"equation {wanted} has a non-positive pivot") as caught:
        symbolic.factorise(matrix)
    assert caught.value.equation == wanted


@pytest.mark.parametrize("mode", sorted(MODES))
def test_singular_matrices_are_refused(mode: str) -> None:
    x = np.eye(3)[np.arange(30) % 3]
    for dense in (
        np.zeros((2, 2)),
        np.ones((2, 2)),
        np.column_stack([np.ones(30), x]).T @ np.column_stack([np.ones(30), x]) * 0.1,
    ):
        matrix = csr_array(dense)
        with forced(mode):
            symbolic = analyse(matrix)
        with pytest.raises(NotPositiveDefinite, match=r"equation \d has a non-positive pivot"):
            symbolic.factorise(matrix)


def test_refusals() -> None:
    dense = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
    matrix = csr_array(dense)
    symbolic = analyse(matrix)
    factor = symbolic.factorise(matrix)
    for value in (np.nan, np.inf):
        with pytest.raises(NumericalError, match="the matrix to be factorised holds values that are not finite"):
            factor.refactorise(csr_array((matrix.data * value, matrix.indices, matrix.indptr), shape=(3, 3)))
    moved = dense.copy()
    moved[0, 2] = moved[2, 0] = 1.0
    shifted = np.array([[4.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 0.0, 2.0]])
    for other in (moved, shifted, dense[:2, :2]):
        with pytest.raises(ValueError, match="the matrix has another pattern than the one that was analysed"):
            symbolic.factorise(csr_array(other))
    for pattern in (moved, shifted, dense[:2, :2]):
        with pytest.raises(ValueError, match="the pattern asked for does not lie within that of the factorised matrix"):
            factor.inverse_on(csr_array(pattern))
    for shape in ((2,), (4,), (2, 3), (3, 1, 1)):
        with pytest.raises(ValueError, match=rf"right-hand side of shape \({shape[0]},.*\) for 3 equations"):
            factor.solve(np.ones(shape))
    for shape in ((0, 0), (2, 3)):
        with pytest.raises(ValueError, match=rf"a matrix of shape \({shape[0]}, {shape[1]}\) has no Cholesky factor"):
            analyse(csr_array(shape))


IN_CYCLES = """
import gc
import numpy as np
from scipy.sparse import csr_array
from breedblup.errors import NotPositiveDefinite
from breedblup.solvers import cholesky

def fail(values):
    matrix = csr_array(values)
    symbolic = cholesky.analyse(matrix)
    factor = symbolic.factorise(csr_array(np.array([[2.0, 1.0], [1.0, 2.0]])))
    try:
        symbolic.factorise(matrix)
    except NotPositiveDefinite as error:
        kept = error
    return factor.solve(np.ones(2))

for cholesky.SUPERNODAL_FROM in (np.inf, 0.0):
    for repeat in range(20):
        assert np.allclose(fail(np.array([[1.0, 2.0], [2.0, 1.0]])), 1 / 3)
        gc.collect()
print("sound")
"""


def test_factors_in_reference_cycles_are_freed_soundly() -> None:
    ended = subprocess.run([sys.executable, "-c", IN_CYCLES], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "sound"), ended.stderr


def test_factors_are_freed() -> None:
    matrix = csr_array(np.eye(3))
    held = []

    class Probe:
        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    with pytest.MonkeyPatch.context() as patch:
        analyze = cholesky.cholmod.analyze

        def probed(*arguments: object, **options: object) -> Probe:
            probe = Probe(analyze(*arguments, **options))
            held.append(weakref.ref(probe))
            return probe

        patch.setattr(cholesky.cholmod, "analyze", probed)
        symbolic = analyse(matrix)
    assert held[-1]() is not None
    del symbolic
    assert [reference() for reference in held] == [None]


def test_no_memory_for_the_factor() -> None:
    matrix = csr_array(dominant(np.random.default_rng(10), 30, 1.0))
    symbolic = analyse(matrix)

    class Starved:
        def cholesky(self, matrix: object) -> None:
            raise cholesky.cholmod.CholmodOutOfMemoryError("no memory")

    object.__setattr__(symbolic, "_analysis", Starved())
    with pytest.raises(ResourceError, match="no memory for a factor of 465 entries -> solve by pcg"):
        symbolic.factorise(matrix)


def test_a_second_ordering_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = csr_array(dominant(np.random.default_rng(11), 30, 0.2))
    analyze = cholesky.cholmod.analyze

    def other_order(matrix: object, mode: str, **options: object) -> object:
        return analyze(
            matrix, mode=mode, **{**options, "ordering_method": "natural" if mode == "supernodal" else "amd"}
        )

    monkeypatch.setattr(cholesky.cholmod, "analyze", other_order)
    with (
        forced("supernodal"),
        pytest.raises(NumericalError, match="the second ordering of a pattern differs from the first"),
    ):
        analyse(matrix)


def test_arrays_are_read_only() -> None:
    symbolic = analyse(csr_array(dominant(np.random.default_rng(12), 5, 0.5)))
    for array in (symbolic.order, symbolic.counts, symbolic.parent):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
