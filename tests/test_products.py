"""Products with one triangle in an order of its own, and that order, against dense algebra. Runs as plain Python too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import numba
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import parts_without_long_rows, positive_definite
from scipy.sparse import csr_array

import breedblup as bb
from breedblup.analysis.system import OrderedSystem
from breedblup.errors import NotPositiveDefinite
from breedblup.kernels import locality as kernels
from breedblup.solvers.locality import LONG, WINDOW, Locality, locality_order
from breedblup.solvers.operators import LowerOperator, fill_residual, lower_triangle
from breedblup.solvers.pcg import solve_pcg
from breedblup.solvers.preconditioners import FixedAndBlocks, block_diagonal
from breedblup.solvers.rank import dependent_columns
from breedblup.solvers.records import PcgOptions

SEEDS = st.integers(0, 2**32 - 1)


def symmetric(rng: np.random.Generator, n: int, density: float) -> np.ndarray:
    """A symmetric matrix with empty rows."""
    upper = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < density))
    dense = upper + upper.T
    empty = rng.integers(0, n, n // 4)
    dense[empty] = dense[:, empty] = 0.0
    return dense


def with_threads(number: int, matrix: csr_array, locality: Locality | None) -> LowerOperator:
    """An operator as it is made where so many threads are asked for."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))
    try:
        return LowerOperator(matrix, locality)
    finally:
        numba.set_num_threads(before)


@pytest.fixture
def threads() -> Iterator[int]:
    """As many threads as there are, two at most; what was set before is set again."""
    before = numba.get_num_threads()
    yield min(2, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(before)


# --- products ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 60), st.floats(0, 0.3), st.integers(1, 9), st.integers(1, 2), st.booleans())
def test_product_with_one_triangle(seed: int, n: int, density: float, width: int, number: int, long: bool) -> None:
    rng = np.random.default_rng(seed)
    dense = symmetric(rng, n, density)
    kind = np.int64 if long else np.int32
    matrix = csr_array(dense)
    matrix = csr_array((matrix.data, matrix.indices.astype(kind), matrix.indptr.astype(kind)), shape=(n, n))
    locality = locality_order(matrix, np.arange(int(rng.integers(0, n + 1)), n + 1))
    for order in (None, locality):
        operator = with_threads(number, matrix, order)
        place = operator.locality.order
        block = rng.standard_normal((n, width))
        out = np.full((n, width), np.nan)
        operator.multiply(block, out)
        np.testing.assert_allclose(out, dense[np.ix_(place, place)] @ block, rtol=0, atol=1e-12)
        for k in range(width):
            one, again = np.full(n, np.nan), np.full(n, np.nan)
            for result in (one, again):
                operator.multiply(np.ascontiguousarray(block[:, k]), result)
            np.testing.assert_allclose(one, out[:, k], rtol=0, atol=1e-12)
            np.testing.assert_array_equal(one, again)


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 30), st.integers(1, 5), st.integers(0, 5))
def test_product_over_any_parts(seed: int, n: int, parts: int, common: int) -> None:
    """Parts may be empty, and touch the common equations and their own band in any way."""
    rng = np.random.default_rng(seed)
    dense = symmetric(rng, n, 0.3)
    common = min(common, n)
    operator = LowerOperator(csr_array(dense), Locality(np.arange(n, dtype=np.int32), np.arange(n + 1), common))
    cuts = np.sort(rng.integers(0, n + 1, parts + 1))
    cuts[0], cuts[-1] = 0, n
    operator._use_parts(cuts)
    block = rng.standard_normal((n, 5))
    out, one = np.full((n, 5), np.nan), np.full(n, np.nan)
    operator.multiply(block, out)
    operator.multiply(np.ascontiguousarray(block[:, 1]), one)
    np.testing.assert_allclose(out, dense @ block, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one, dense @ block[:, 1], rtol=0, atol=1e-12)


def test_threads_do_not_change_the_bits_of_the_same_parts(threads: int) -> None:
    rng = np.random.default_rng(5)
    dense = symmetric(rng, 300, 0.05)
    operator = with_threads(threads, csr_array(dense), None)
    x, found = rng.standard_normal(300), []
    for number in (1, threads, 1, threads):
        numba.set_num_threads(number)
        found.append(np.empty(300))
        operator.multiply(x, found[-1])
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_the_triangle_has_its_diagonal_last() -> None:
    rng = np.random.default_rng(6)
    dense = symmetric(rng, 40, 0.2)
    dense[7] = dense[:, 7] = 0.0
    order = rng.permutation(40).astype(np.int32)
    lower = lower_triangle(csr_array(dense), order)
    np.testing.assert_array_equal(lower.toarray(), np.tril(dense[np.ix_(order, order)]))
    np.testing.assert_array_equal(lower.indices[lower.indptr[1:] - 1], np.arange(40))


def test_residual_is_rounded_once() -> None:
    dense = positive_definite(np.random.default_rng(7), 12)
    dense[dense < 0] = 0.0
    matrix = csr_array(dense)
    locality = locality_order(matrix, np.arange(2, 13))
    operator = LowerOperator(matrix, locality)
    rng = np.random.default_rng(8)
    x = 1e8 * (1.0 + rng.random(12))
    rhs = np.array(
        [float(sum(np.longdouble(a) * np.longdouble(b) for a, b in zip(row, x, strict=True))) for row in dense]
    )
    exact = np.array(
        [
            float(np.longdouble(rhs[i]) - sum(np.longdouble(a) * np.longdouble(b) for a, b in zip(row, x, strict=True)))
            for i, row in enumerate(dense)
        ]
    )
    out = np.full(12, np.nan)
    fill_residual(operator, locality.to_order(rhs), locality.to_order(x), out)
    np.testing.assert_allclose(locality.from_order(out), exact, rtol=1e-2, atol=1e-10)


# --- order ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 40), st.floats(0.01, 0.2), st.integers(1, 3), st.integers(0, 6))
def test_order_keeps_blocks_and_parts_together(
    seed: int, levels: int, density: float, width: int, leading: int
) -> None:
    rng = np.random.default_rng(seed)
    coupled = symmetric(rng, levels, density) != 0
    np.fill_diagonal(coupled, True)
    if levels > 3:
        coupled[3, :] = coupled[:, 3] = True
    n = leading + levels * width
    dense = np.eye(n)
    dense[leading:, leading:] = np.kron(coupled, np.ones((width, width)))
    dense[leading:, :leading] = np.repeat(rng.random((levels, leading)) < 0.2, width, axis=0)
    dense[:leading, leading:] = dense[leading:, :leading].T
    starts = np.arange(leading, n + 1, width)
    locality = locality_order(csr_array(dense), starts)
    order = locality.order
    assert np.sort(order).tolist() == list(range(n))
    assert order[:leading].tolist() == list(range(leading))
    np.testing.assert_array_equal(locality.starts, starts)
    blocks = order[leading:].reshape(-1, width)
    assert (np.diff(blocks, axis=1) == 1).all()
    assert ((blocks[:, 0] - leading) % width == 0).all()
    longest = LONG * np.count_nonzero(dense[leading:]) // (n - leading)
    long = {i for i in range(leading, n) if np.count_nonzero(dense[i]) > longest}
    assert locality.common == leading + len(long)
    rank = np.zeros(n, int)
    parts = parts_without_long_rows(dense, leading, longest)
    columns = [min(np.flatnonzero(dense[i])[0] for i in sorted(part)) for part in parts]
    for number, (_, k) in enumerate(sorted((min(column, leading), k) for k, column in enumerate(columns)), start=1):
        rank[sorted(parts[k])] = number
    # Before windows mixed them: by rank, in the order given.
    wanted = [b for _, b in sorted((rank[leading + b * width], b) for b in range(levels))]
    found = np.empty(levels, np.int32)
    part, ranks = np.empty(n, np.int32), np.empty(levels, np.int32)
    matrix = csr_array(dense)
    kernels.join_rows(matrix.indptr, matrix.indices, starts, longest, part)
    kernels.order_by_rank(ranks, kernels.rank_parts(matrix.indptr, matrix.indices, starts, longest, part, ranks), found)
    assert found.tolist() == wanted
    assert levels <= WINDOW
    lengths = np.minimum(np.count_nonzero(dense[leading:], axis=1)[::width], kernels.LONGEST_COUNTED)
    assert ((blocks[:, 0] - leading) // width).tolist() == sorted(wanted, key=lambda b: lengths[b])


def test_blocks_of_mixed_widths_move_as_wholes() -> None:
    rng = np.random.default_rng(9)
    widths = rng.integers(1, 4, 50)
    starts = 4 + np.concatenate([[0], np.cumsum(widths)])
    n = int(starts[-1])
    dense = positive_definite(rng, n)
    dense[np.abs(dense) < np.quantile(np.abs(dense), 0.95)] = 0.0
    dense += 10 * n * np.eye(n)
    matrix = csr_array(dense)
    locality = locality_order(matrix, starts)
    blocks = [locality.order[a:b].tolist() for a, b in pairwise(locality.starts)]
    given = [list(range(a, b)) for a, b in pairwise(starts)]
    assert sorted(blocks) == given
    assert blocks != given
    operator = LowerOperator(matrix, locality)
    r = rng.standard_normal(n - 4)
    wanted, found = np.empty(n - 4), np.empty(n - 4)
    block_diagonal(matrix, starts).apply(r, wanted)
    block_diagonal(operator.lower, locality.starts).apply(r[locality.order[4:] - 4], found)
    np.testing.assert_allclose(found, wanted[locality.order[4:] - 4], rtol=1e-13)


def test_nothing_but_leading_equations() -> None:
    locality = locality_order(csr_array(np.eye(3)), np.array([3]))
    assert (locality.order.tolist(), locality.starts.tolist(), locality.common) == ([0, 1, 2], [3], 3)


# --- solutions --------------------------------------------------------------------------------------------------------


def test_the_solution_is_that_of_the_order_given() -> None:
    rng = np.random.default_rng(10)
    dense = positive_definite(rng, 30) + 30 * np.eye(30)
    matrix, rhs = csr_array(dense), rng.standard_normal(30)
    leading = dependent_columns(csr_array(dense[:4, :4]), np.arange(4))
    locality = locality_order(matrix, np.arange(4, 31, 2))
    operator = LowerOperator(matrix, locality)
    preconditioner = FixedAndBlocks.of(operator.lower, locality.starts, leading)
    options = PcgOptions(1e-12, "relative_residual")
    solution = solve_pcg(operator, locality.to_order(rhs), preconditioner, options=options)
    assert solution.converged
    np.testing.assert_allclose(locality.from_order(solution.x), np.linalg.solve(dense, rhs), rtol=1e-9)


MODEL = bb.Model.from_formula("(m1, m2) ~ herd + (1 | animal) + (1 | ide(animal))")
VARIANCES = bb.VarianceComponents(
    {"animal": [[4.0, 1.0], [1.0, 3.0]], "ide(animal)": [[2.0, 0.5], [0.5, 1.0]]}, residual=[[9.0, 2.0], [2.0, 8.0]]
)


def population(rng: np.random.Generator, animals: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A pedigree whose sires have many offspring, and records of two traits in herds."""
    names = [f"a{i}" for i in range(animals)]
    sires = [names[int(rng.integers(0, 5))] if i > 20 else None for i in range(animals)]
    dams = [names[int(rng.integers(5, i))] if i > 20 else None for i in range(animals)]
    recorded = rng.integers(5, animals, 3 * animals)
    records = pl.DataFrame(
        {
            "animal": [names[i] for i in recorded],
            "herd": [f"h{h}" for h in rng.integers(0, 12, recorded.size)],
            "m1": rng.standard_normal(recorded.size),
            "m2": np.where(rng.random(recorded.size) < 0.3, np.nan, rng.standard_normal(recorded.size)),
        }
    ).with_columns(pl.col("m2").fill_nan(None))
    return pl.DataFrame({"id": names, "sire": sires, "dam": dams}), records


@pytest.mark.parametrize("reduce", [False, True])
def test_animals_in_another_order_get_the_same_answers(reduce: bool) -> None:
    rng = np.random.default_rng(11)
    pedigree, records = population(rng, 150)
    found = []
    for frame in (pedigree, pedigree.sample(fraction=1.0, shuffle=True, seed=1)):
        for method in ("pcg", "cholesky"):
            options = bb.EvaluateOptions(method=method, pev="none", reduce=reduce, pcg=bb.PcgOptions(1e-10))
            relationships = {"animal": bb.Pedigree.from_frame(frame)}
            result = bb.evaluate(MODEL, records, VARIANCES, relationships, options=options)
            found.append(result.ebv.sort("id", "trait")["ebv"].to_numpy())
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=1e-8)


def test_state_and_solution_come_back_as_laid_out() -> None:
    pedigree, records = population(np.random.default_rng(12), 60)
    relationships = {"animal": bb.Pedigree.from_frame(pedigree)}
    options = bb.EvaluateOptions(method="pcg", pev="none", pcg=bb.PcgOptions(1e-10))
    prepared = bb.prepare(MODEL, records, VARIANCES, relationships, options=options)
    system = bb.System.of(prepared.pattern.equations(VARIANCES), prepared.reduction)
    solution = bb.solve_system(system, prepared, None)
    assert solution.state is not None
    x = solution.state.x
    np.testing.assert_allclose(system.lhs @ x, system.rhs, rtol=0, atol=1e-7)
    np.testing.assert_allclose(solution.state.r, system.rhs - system.lhs @ x, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(system.expand(x), solution.x)
    assert np.any(system.in_locality_order().stored.locality.order != np.arange(x.size))


def test_a_block_that_is_not_positive_definite_is_named_as_laid_out() -> None:
    pedigree, records = population(np.random.default_rng(13), 60)
    relationships = {"animal": bb.Pedigree.from_frame(pedigree)}
    options = bb.EvaluateOptions(method="pcg", pev="none", reduce=False)
    prepared = bb.prepare(MODEL, records, VARIANCES, relationships, options=options)
    equations = prepared.pattern.equations(VARIANCES)
    system = bb.System.of(equations, None)
    equation = prepared.layout.slice_of("animal").start + 2 * 17
    lhs = csr_array((equations.lhs.data.copy(), equations.lhs.indices, equations.lhs.indptr), shape=equations.lhs.shape)
    lhs[equation, equation] = -1.0
    ordered = OrderedSystem(system, LowerOperator(lhs, system.in_locality_order().stored.locality))
    name = prepared.layout.terms[prepared.layout.index_of("animal")].levels[17]
    message = rf"equation {equation} \(animal '{name}', direct m1\) has a non-positive pivot in the block of its level"
    with pytest.raises(NotPositiveDefinite, match=message) as caught:
        ordered.preconditioner(system.factor_fixed())
    assert caught.value.equation == equation


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    selection = "product or triangle or residual or order_keeps or mixed_widths or leading"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        f"({selection}) and not plain_python",
    ]
    finished = subprocess.run([*command, __file__], env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
