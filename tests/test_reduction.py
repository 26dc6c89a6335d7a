"""Elimination of blocks against dense Schur complements and inverses; the published reduced animal model."""

from __future__ import annotations

import csv
from typing import NamedTuple

import numba
import numpy as np
import pytest
from conftest import EXACT, REFS, expected
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import indicator, tabular_a
from scipy.sparse import csr_array

from breedblup.errors import NotPositiveDefinite
from breedblup.mme.reduction import ReducedEquations, analyse_reduction, eliminable
from breedblup.solvers.cholesky import analyse

SEEDS = st.integers(0, 2**32 - 1)


def reduce_equations(lhs: csr_array, rhs: np.ndarray, starts: np.ndarray, width: int) -> ReducedEquations:
    return analyse_reduction(lhs, starts, width).reduce(lhs, rhs)


class Problem(NamedTuple):
    """Equations whose blocks are coupled only with single equations; the blocks stand anywhere and come in any order."""

    lhs: csr_array
    rhs: NDArray[np.float64]
    starts: NDArray[np.int64]
    width: int

    @property
    def eliminated(self) -> NDArray[np.int64]:
        return (self.starts[:, None] + np.arange(self.width)).ravel()

    @property
    def kept(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(self.rhs.size), self.eliminated)


def draw_problem(seed: int, blocks: int, singles: int, width: int) -> Problem:
    rng = np.random.default_rng(seed)
    is_block = rng.permutation(np.repeat([True, False], [blocks, singles]))
    widths = np.where(is_block, width, 1)
    first = np.cumsum(widths) - widths
    starts, kept = first[is_block], first[~is_block]
    size = int(widths.sum())
    dense = np.diag(rng.uniform(0.5, 2.0, size))
    for start in starts:
        own = start + np.arange(width)
        for row in own:  # the rows of a block have different neighbours
            some = np.concatenate([own, rng.choice(kept, min(singles, rng.integers(0, 4)), replace=False)])
            part = np.where(
                np.isin(some, own) & (rng.random() < 0.3) & (some != row), 0.0, rng.standard_normal(some.size)
            )
            dense[np.ix_(some, some)] += np.outer(part, part)
    for _ in range(singles):
        some = rng.choice(kept, min(singles, 2), replace=False)
        part = rng.standard_normal(some.size)
        dense[np.ix_(some, some)] += np.outer(part, part)
    return Problem(csr_array(dense), rng.standard_normal(size), rng.permutation(starts), width)


def dense_schur(problem: Problem) -> NDArray[np.float64]:
    c, r, e = problem.lhs.toarray(), problem.kept, problem.eliminated
    return np.asarray(c[np.ix_(r, r)] - c[np.ix_(r, e)] @ np.linalg.solve(c[np.ix_(e, e)], c[np.ix_(e, r)]))


def dense_blocks(problem: Problem) -> NDArray[np.float64]:
    inverse = np.linalg.inv(problem.lhs.toarray())
    own = problem.starts[:, None] + np.arange(problem.width)
    return np.asarray(inverse[own[:, :, None], own[:, None, :]])


@given(SEEDS, st.integers(0, 8), st.integers(1, 8), st.integers(1, 4))
def test_against_dense(seed: int, blocks: int, singles: int, width: int) -> None:
    problem = draw_problem(seed, blocks, singles, width)
    reduced = reduce_equations(*problem)
    found = reduced.lhs.toarray()
    np.testing.assert_array_equal(reduced.kept, problem.kept)
    np.testing.assert_allclose(found, dense_schur(problem), atol=1e-10)
    np.testing.assert_array_equal(found, found.T)
    for start, end in zip(reduced.lhs.indptr[:-1], reduced.lhs.indptr[1:], strict=True):
        assert (np.diff(reduced.lhs.indices[start:end]) > 0).all()
    x = np.linalg.solve(problem.lhs.toarray(), problem.rhs)
    np.testing.assert_allclose(np.linalg.solve(found, reduced.rhs), x[reduced.kept], atol=1e-10)
    np.testing.assert_allclose(reduced.expand(x[reduced.kept]), x, atol=1e-10)
    inverse = analyse(reduced.lhs).factorise(reduced.lhs).inverse_on(reduced.lhs)
    diagonal = np.linalg.inv(problem.lhs.toarray()).diagonal()[problem.kept]
    np.testing.assert_allclose(inverse.diagonal(), diagonal, rtol=1e-9)
    blocks_found = reduced.inverse_blocks(inverse)
    np.testing.assert_allclose(blocks_found, dense_blocks(problem), atol=1e-10)
    np.testing.assert_array_equal(blocks_found, blocks_found.transpose(0, 2, 1))


@given(SEEDS, st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.integers(0, 12))
def test_of_linked_candidates_the_first_is_taken(seed: int, blocks: int, singles: int, width: int, links: int) -> None:
    problem = draw_problem(seed, blocks, singles, width)
    rng = np.random.default_rng(seed)
    dense = problem.lhs.toarray()
    for _ in range(links):
        i, j = rng.choice(problem.eliminated, 2)
        dense[i, j] = dense[j, i] = dense[i, j] + 0.01
    taken: list[int] = []
    for first in problem.starts.tolist():
        coupled = [t for t in taken if dense[first : first + width, t : t + width].any()]
        taken += [] if coupled else [first]
    starts = eliminable(csr_array(dense), problem.starts, width)
    assert starts.tolist() == taken
    assert analyse_reduction(csr_array(dense), starts, width).starts.tolist() == taken


def test_other_values_on_the_same_pattern() -> None:
    problem = draw_problem(1, 6, 5, 2)
    reduction = analyse_reduction(problem.lhs, problem.starts, problem.width)
    first = reduction.reduce(problem.lhs, problem.rhs)
    heavier = csr_array(problem.lhs + csr_array(np.diag(np.arange(1.0, problem.rhs.size + 1))))
    second = reduction.reduce(heavier, 2 * problem.rhs)
    np.testing.assert_allclose(first.lhs.toarray(), dense_schur(problem), rtol=EXACT, atol=1e-12)
    np.testing.assert_allclose(second.lhs.toarray(), dense_schur(problem._replace(lhs=heavier)), rtol=EXACT, atol=1e-12)
    assert analyse(first.lhs).factorise(second.lhs).logdet() > 0
    x = np.linalg.solve(heavier.toarray(), 2 * problem.rhs)
    np.testing.assert_allclose(second.expand(x[second.kept]), x, rtol=EXACT, atol=1e-12)


def test_one_and_two_threads_give_the_same_bits() -> None:
    problem = draw_problem(2, 60, 25, 3)
    found, before = [], numba.get_num_threads()
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        reduced = reduce_equations(*problem)
        inverse = csr_array(np.linalg.inv(dense_schur(problem)))
        found.append((reduced.lhs.data, reduced.rhs, reduced.expand(reduced.rhs), reduced.inverse_blocks(inverse)))
    numba.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_nothing_to_eliminate() -> None:
    problem = draw_problem(3, 0, 6, 2)
    reduced = reduce_equations(*problem)
    np.testing.assert_array_equal(reduced.lhs.toarray(), problem.lhs.toarray())
    np.testing.assert_array_equal(reduced.rhs, problem.rhs)
    np.testing.assert_array_equal(reduced.expand(problem.rhs), problem.rhs)
    assert reduced.inverse_blocks(reduced.lhs).shape == (0, 2, 2)
    assert eliminable(problem.lhs, problem.starts, 2).size == 0


def test_everything_is_eliminated() -> None:
    problem = draw_problem(4, 5, 0, 3)
    assert eliminable(problem.lhs, problem.starts, 3).tolist() == problem.starts.tolist()
    reduced = reduce_equations(*problem)
    assert reduced.kept.size == 0
    assert reduced.lhs.shape == (0, 0)
    x = reduced.expand(np.empty(0))
    np.testing.assert_allclose(x, np.linalg.solve(problem.lhs.toarray(), problem.rhs), rtol=EXACT)
    np.testing.assert_allclose(reduced.inverse_blocks(reduced.lhs), dense_blocks(problem), rtol=EXACT, atol=1e-14)


def test_a_constrained_equation_stays_as_it_is() -> None:
    problem = draw_problem(5, 6, 5, 1)
    dense, alone = problem.lhs.toarray(), int(problem.kept[2])
    dense[alone, :] = dense[:, alone] = 0.0
    dense[alone, alone] = 1.0
    reduced = reduce_equations(csr_array(dense), problem.rhs, problem.starts, 1)
    assert reduced.lhs[[2]].toarray().tolist() == [[0.0, 0.0, 1.0, 0.0, 0.0]]
    assert reduced.lhs[[2]].nnz == 1


def test_bytes_are_those_of_the_arrays() -> None:
    problem = draw_problem(6, 400, 60, 2)
    reduction = analyse_reduction(problem.lhs, problem.starts, problem.width)
    planned = reduction.bytes
    reduced = reduction.reduce(problem.lhs, problem.rhs)
    assert reduction.nonzeros == reduced.lhs.nnz
    matrix = reduced.lhs.data.nbytes + reduced.lhs.indices.nbytes + reduced.rhs.nbytes
    way_back = reduced._roots.nbytes + reduced._coupling.nbytes + reduced._halves.nbytes
    found = [reduction.starts, reduction.kept, reduction._place, reduction._pointer, reduction._neighbours]
    held = matrix + way_back + sum(array.nbytes for array in found)
    scratch = 8 * reduction.kept.size * (2 + numba.get_num_threads())
    assert held < planned <= held + scratch


class TestRefusals:
    def test_blocks_beyond_the_equations(self) -> None:
        problem = draw_problem(7, 3, 4, 2)
        for starts, width in (([-1], 2), ([problem.rhs.size - 1], 2), ([0], 0)):
            with pytest.raises(ValueError, match=f"blocks of {width} equations do not lie within 10 equations"):
                analyse_reduction(problem.lhs, np.array(starts), width)
            with pytest.raises(ValueError, match=f"blocks of {width} equations do not lie within 10 equations"):
                eliminable(problem.lhs, np.array(starts), width)

    def test_blocks_that_overlap(self) -> None:
        problem = draw_problem(7, 3, 4, 2)
        with pytest.raises(ValueError, match="blocks to be eliminated overlap"):
            analyse_reduction(problem.lhs, np.array([2, 3]), 2)

    def test_blocks_that_are_coupled(self) -> None:
        dense = np.eye(6) + 0.1 * np.eye(6, k=1) + 0.1 * np.eye(6, k=-1)
        with pytest.raises(
            ValueError, match="the block at equation 2 is coupled with another to be eliminated -> ask `eliminable`"
        ):
            analyse_reduction(csr_array(dense), np.array([0, 2, 3]), 1)

    def test_another_pattern_or_right_hand_side(self) -> None:
        problem = draw_problem(7, 3, 4, 2)
        reduction = analyse_reduction(problem.lhs, problem.starts, 2)
        with pytest.raises(ValueError, match="the equations have another pattern than the one that was analysed"):
            reduction.reduce(csr_array(np.eye(10)), problem.rhs)
        with pytest.raises(ValueError, match=r"right-hand side of shape \(3,\) for 10 equations"):
            reduction.reduce(problem.lhs, np.ones(3))

    def test_solutions_and_inverses_of_another_size(self) -> None:
        reduced = reduce_equations(*draw_problem(7, 3, 4, 2))
        with pytest.raises(ValueError, match=r"solutions of shape \(10,\) for 4 kept equations"):
            reduced.expand(np.ones(10))
        with pytest.raises(ValueError, match=r"an inverse of shape \(10, 10\) for 4 kept equations"):
            reduced.inverse_blocks(csr_array(np.eye(10)))

    def test_an_inverse_that_lacks_entries(self) -> None:
        dense = np.eye(4) + 0.1 * np.outer([0, 1, 1, 1], [0, 1, 1, 1])
        reduced = reduce_equations(csr_array(dense), np.ones(4), np.array([0, 2]), 1)
        with pytest.raises(
            ValueError, match="the inverse lacks entries that the block at equation 2 needs -> take all of S"
        ):
            reduced.inverse_blocks(csr_array(np.eye(2)))

    def test_a_block_that_is_not_positive_definite(self) -> None:
        dense = np.diag([1.0, 2.0, 3.0, 1.0, 1.0])
        dense[2, 3] = dense[3, 2] = 2.0
        with pytest.raises(
            NotPositiveDefinite, match="equation 3 has a non-positive pivot in the block to be eliminated"
        ) as raised:
            reduce_equations(csr_array(dense), np.ones(5), np.array([0, 2]), 2)
        assert raised.value.equation == 3


def test_published_reduced_animal_model() -> None:
    """Mrode (2014), example 3.3: calves 7 and 8 leave, and come back."""
    case = expected("mrode_ram")
    with (REFS / "mrode_ram" / "pedigree.csv").open(encoding="utf-8") as lines:
        pedigree = list(csv.DictReader(lines))
    with (REFS / "mrode_ram" / "data.csv").open(encoding="utf-8") as lines:
        records = list(csv.DictReader(lines))
    parents = [[int(row[who] or 0) - 1 for row in pedigree] for who in ("sire", "dam")]
    x, sexes = indicator([-("male", "female").index(row["sex"]) for row in records])
    assert sexes == [-1, 0]  # female, male
    z = np.eye(8)[[int(row["animal"]) - 1 for row in records]]
    w = np.hstack([x, z])
    c = w.T @ w / case["variances"]["residual"]
    a_inverse = np.linalg.inv(tabular_a(*parents))
    c[2:, 2:] += np.where(np.abs(a_inverse) > 1e-12, a_inverse, 0.0) / case["variances"]["animal"]
    lhs, rhs = csr_array(c), w.T @ np.array([float(row["wwg"]) for row in records]) / case["variances"]["residual"]
    without_progeny = np.setdiff1d(np.arange(8), parents) + 2
    starts = eliminable(lhs, without_progeny, 1)
    assert starts.tolist() == [8, 9]
    reduced = reduce_equations(lhs, rhs, starts, 1)
    np.testing.assert_allclose(reduced.rhs[2:], case["expected"]["WtRinvy"], rtol=EXACT, atol=1e-14)
    ram = np.array(case["expected"]["W"])
    own = ram.T @ np.diag(case["expected"]["rinv"]) @ ram + np.linalg.inv(tabular_a(*(p[:6] for p in parents))) / 20
    np.testing.assert_allclose(reduced.lhs.toarray()[2:, 2:], own, rtol=EXACT, atol=1e-14)
    solutions = reduced.expand(np.linalg.solve(reduced.lhs.toarray(), reduced.rhs))
    animals = [entry["value"] for entry in case["expected"]["random"]]
    male, female = (entry["value"] for entry in case["expected"]["fixed"])
    np.testing.assert_allclose(solutions, [female, male, *animals], atol=case["tolerance"]["abs"])
