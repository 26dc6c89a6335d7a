"""Conjugate gradients and its preconditioners against dense algebra and the textbook algorithm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise

import numba
import numpy as np
import pytest
from conftest import expected
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import conjugate_gradients, positive_definite, smallest_ritz_value
from scipy.sparse import csr_array

from breedblup.errors import ModelError, NotPositiveDefinite, NumericalError
from breedblup.kernels.sparse import csr_product, csr_product_columns
from breedblup.solvers.operators import CsrOperator
from breedblup.solvers.pcg import ONE_THREAD_UP_TO, solve_pcg
from breedblup.solvers.preconditioners import FixedAndBlocks, block_diagonal, diagonal
from breedblup.solvers.rank import dependent_columns
from breedblup.solvers.records import PcgOptions, PcgRound, PcgState, Solution

SEEDS = st.integers(0, 2**32 - 1)
CRITERIA = ["error", "relative_residual", "squared_relative_residual", "relative_change"]


def with_condition(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    """A dense matrix with eigenvalues from 1 to ``condition``."""
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    dense = (q * np.exp(np.linspace(0, math.log(condition), n))) @ q.T
    return (dense + dense.T) / 2


def problem(seed: int, n: int, condition: float) -> tuple[np.ndarray, csr_array, np.ndarray]:
    rng = np.random.default_rng(seed)
    dense = with_condition(rng, n, condition)
    return dense, csr_array(dense), rng.standard_normal(n)


def chain(n: int) -> csr_array:
    """2 on the diagonal and -1 beside it: needs n rounds."""
    rows = np.arange(n)
    index = np.concatenate([rows, rows[1:], rows[:-1]])
    return csr_array(
        (
            np.concatenate([np.full(n, 2.0), np.full(2 * n - 2, -1.0)]),
            (index, np.concatenate([rows, rows[:-1], rows[1:]])),
        )
    )


def stopped_at(matrix: csr_array, rhs: np.ndarray, rounds: int, **options: object) -> Solution:
    return solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(1e-300, "relative_residual", rounds), **options)


def same_state(one: Solution, other: Solution) -> None:
    assert one.state is not None
    assert other.state is not None
    for field in fields(PcgState):
        if field.name != "rounds":
            np.testing.assert_array_equal(getattr(one.state, field.name), getattr(other.state, field.name))


# --- iterates and solutions -------------------------------------------------------------------------------------------


def test_mrode_round_by_round() -> None:
    case = expected("mrode_iterative")
    dense, rhs = np.array(case["inputs"]["lhs"]), np.array(case["inputs"]["rhs"])
    wanted = case["expected"]["pcg"]
    assert len(wanted) == 10
    textbook = conjugate_gradients(dense, rhs, np.diag(1.0 / np.diag(dense)), 10)
    for rounds, (iterate, other) in enumerate(zip(wanted, textbook, strict=True), start=1):
        found = stopped_at(csr_array(dense), rhs, rounds)
        assert (len(found.rounds), found.converged) == (rounds, False)
        np.testing.assert_allclose(found.x, iterate, rtol=0, atol=case["tolerance"]["abs"])
        np.testing.assert_allclose(found.x, other, rtol=0, atol=1e-11)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 40), st.sampled_from(CRITERIA))
def test_solution_is_that_of_a_direct_solver(seed: int, n: int, criterion: str) -> None:
    dense, matrix, rhs = problem(seed, n, 50.0)
    tolerance = 1e-22 if criterion == "squared_relative_residual" else 1e-11
    solution = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(tolerance, criterion))
    assert solution.converged
    assert (solution.method, solution.criterion, solution.tolerance) == ("pcg", criterion, tolerance)
    wanted = np.linalg.solve(dense, rhs)
    np.testing.assert_allclose(solution.x, wanted, rtol=0, atol=1e-8 * np.abs(wanted).max())


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 30), st.integers(1, 5))
def test_iterates_are_those_of_the_textbook(seed: int, n: int, rounds: int) -> None:
    dense, matrix, rhs = problem(seed, n, 30.0)
    rounds = min(rounds, n)
    cuts = np.unique(np.concatenate([[0, n], np.random.default_rng(seed).integers(0, n + 1, 4)]))
    inverse = np.zeros((n, n))
    for first, end in pairwise(cuts):
        inverse[first:end, first:end] = np.linalg.inv(dense[first:end, first:end])
    if cuts.size == 2:
        rounds = 1
    wanted = conjugate_gradients(dense, rhs, inverse, rounds)[-1]
    options = PcgOptions(1e-300, maximum_rounds=rounds)
    found = solve_pcg(matrix, rhs, block_diagonal(matrix, cuts), options=options)
    np.testing.assert_allclose(found.x, wanted, rtol=1e-8, atol=1e-9 * np.abs(wanted).max())


def test_operator_and_matrix_give_the_same_bits() -> None:
    _, matrix, rhs = problem(1, 30, 100.0)
    one = solve_pcg(matrix, rhs, diagonal(matrix))
    other = solve_pcg(CsrOperator(matrix), rhs, diagonal(matrix))
    assert one.rounds == other.rounds
    np.testing.assert_array_equal(one.x, other.x)


def test_one_equation() -> None:
    for criterion in CRITERIA:
        matrix = csr_array(np.array([[7.0]]))
        solution = solve_pcg(matrix, np.array([3.0]), diagonal(matrix), options=PcgOptions(1e-12, criterion))
        assert solution.converged
        np.testing.assert_allclose(solution.x, 3.0 / 7.0, rtol=1e-15)


def test_right_hand_side_of_zeros() -> None:
    matrix = chain(4)
    for start in (None, np.ones(4)):
        solution = solve_pcg(matrix, np.zeros(4), diagonal(matrix), start=start)
        assert (solution.x.tolist(), solution.converged) == ([0.0] * 4, True)
        assert [record.relative_residual for record in solution.rounds] == [0.0]


# --- criteria ---------------------------------------------------------------------------------------------------------


def test_every_criterion_is_what_its_name_says() -> None:
    dense, matrix, rhs = problem(2, 20, 1e3)
    inverse = np.diag(1.0 / np.diag(dense))
    solution = stopped_at(matrix, rhs, 8)
    before = np.zeros(20)
    for k, record in enumerate(solution.rounds, start=1):
        x = stopped_at(matrix, rhs, k).x
        r = rhs - dense @ x
        assert record.round == k
        relative = np.linalg.norm(r) / np.linalg.norm(rhs)
        np.testing.assert_allclose(record.relative_residual, relative, rtol=1e-9)
        np.testing.assert_allclose(record.squared_relative_residual, relative**2, rtol=1e-9)
        np.testing.assert_allclose(record.relative_change, np.linalg.norm(x - before) / np.linalg.norm(x), rtol=1e-9)
        estimate = math.sqrt(r @ inverse @ r / smallest_ritz_value(dense, rhs, inverse, k))
        np.testing.assert_allclose(record.error_estimate, estimate, rtol=1e-8)
        assert record.error_bound is None
        before = x


@pytest.mark.parametrize("criterion", CRITERIA)
def test_it_stops_at_the_first_round_that_meets_the_criterion(criterion: str) -> None:
    _, matrix, rhs = problem(3, 40, 30.0)
    name = "error_estimate" if criterion == "error" else criterion
    history = [getattr(record, name) for record in stopped_at(matrix, rhs, 40).rounds]
    for tolerance in (1e-1, 1e-3, 1e-5):
        first = next(k for k, value in enumerate(history, start=1) if value <= tolerance)
        solution = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(tolerance, criterion))
        assert (solution.converged, len(solution.rounds)) == (True, first)
        short = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(tolerance, criterion, first - 1))
        assert (short.converged, len(short.rounds)) == (False, first - 1)


def test_estimate_without_early_rounds_lies_near_the_error() -> None:
    dense, matrix, rhs = problem(4, 40, 1e3)
    wanted = np.linalg.solve(dense, rhs)
    solution = stopped_at(matrix, rhs, 30)
    error = wanted - solution.x
    true = math.sqrt(error @ dense @ error)
    assert true <= solution.rounds[-1].error_estimate <= 100 * true


def test_landing_on_zeros_is_no_small_change() -> None:
    # The first step from (1, 1) ends at (0, 0), where a relative change has no meaning.
    matrix = csr_array(np.diag([1.0, 3.0]))
    identity = diagonal(csr_array(np.eye(2)))
    options = PcgOptions(1e-6, "relative_change", 1)
    rhs, start = np.array([-1.0, 1.0]), np.ones(2)
    first = solve_pcg(matrix, rhs, identity, options=options, start=start)
    assert first.x.tolist() == [0.0, 0.0]
    assert (first.converged, first.rounds[0].relative_change) == (False, math.inf)
    solution = solve_pcg(matrix, rhs, identity, options=PcgOptions(1e-6, "relative_change"), start=start)
    np.testing.assert_allclose(solution.x, [-1.0, 1.0 / 3.0], rtol=1e-12)


def test_monitor_is_told_of_every_round() -> None:
    _, matrix, rhs = problem(5, 30, 100.0)
    told: list[PcgRound] = []
    solution = solve_pcg(matrix, rhs, diagonal(matrix), monitor=told.append)
    assert solution.converged
    assert tuple(told) == solution.rounds
    assert [record.round for record in told] == list(range(1, len(told) + 1))


# --- the bound --------------------------------------------------------------------------------------------------------


def test_converged_means_that_the_bound_meets_the_tolerance() -> None:
    dense, matrix, rhs = problem(6, 40, 1e3)
    inverse = np.linalg.inv(dense)
    wanted = inverse @ rhs
    told: list[float] = []

    def bound(x: np.ndarray, r: np.ndarray) -> float:
        np.testing.assert_allclose(r, rhs - dense @ x, rtol=0, atol=1e-12)
        told.append(3.0 * math.sqrt(r @ inverse @ r))
        return told[-1]

    for tolerance in (1e-1, 1e-4, 1e-7):
        told.clear()
        solution = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(tolerance), error_bound=bound)
        error = wanted - solution.x
        assert solution.converged
        assert solution.rounds[-1].error_bound == told[-1] <= tolerance
        assert 3.0 * math.sqrt(error @ dense @ error) <= tolerance * (1 + 1e-6)
        assert [value for value in told if value <= tolerance] == told[-1:]
        computed = [record.error_bound for record in solution.rounds if record.error_bound is not None]
        assert computed == told
        assert len(told) < len(solution.rounds)


def test_a_bound_that_is_never_met() -> None:
    _, matrix, rhs = problem(6, 40, 30.0)
    solution = solve_pcg(
        matrix, rhs, diagonal(matrix), options=PcgOptions(1e-3, maximum_rounds=35), error_bound=lambda x, r: 1.0
    )
    assert solution.rounds[-1].error_estimate <= 1e-3
    assert (solution.converged, len(solution.rounds), solution.rounds[-1].error_bound) == (False, 35, 1.0)


def test_the_last_round_has_the_bound_whatever_the_criterion() -> None:
    _, matrix, rhs = problem(6, 40, 1e3)
    calls: list[int] = []

    def bound(x: np.ndarray, r: np.ndarray) -> float:
        calls.append(1)
        return 0.25

    for criterion, rounds in (("relative_residual", 1000), ("relative_change", 1000), ("relative_residual", 3)):
        calls.clear()
        options = PcgOptions(1e-4, criterion, rounds)
        solution = solve_pcg(matrix, rhs, diagonal(matrix), options=options, error_bound=bound)
        assert solution.converged == (rounds == 1000)
        assert [record.error_bound for record in solution.rounds] == [None] * (len(solution.rounds) - 1) + [0.25]
        assert len(calls) == 1


def test_a_bound_found_at_the_last_round_counts() -> None:
    _, matrix, rhs = problem(6, 40, 1e3)
    solution = solve_pcg(
        matrix, rhs, diagonal(matrix), options=PcgOptions(1e-4, maximum_rounds=2), error_bound=lambda x, r: 1e-5
    )
    assert solution.rounds[-1].error_estimate > 1e-2
    assert (solution.converged, len(solution.rounds), solution.rounds[-1].error_bound) == (True, 2, 1e-5)


def test_a_bound_that_is_not_finite_is_refused() -> None:
    _, matrix, rhs = problem(6, 40, 1e3)
    for criterion in ("error", "relative_residual"):
        with pytest.raises(NumericalError, match=r"round \d+: the error bound is not finite"):
            solve_pcg(
                matrix, rhs, diagonal(matrix), options=PcgOptions(1e-3, criterion), error_bound=lambda x, r: math.nan
            )


# --- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2, 7, 49, 50, 51, 99, 100, 119])
def test_going_on_gives_the_bits_of_no_interruption(rounds: int) -> None:
    _, matrix, rhs = problem(7, 150, 1e6)
    whole = stopped_at(matrix, rhs, 120)
    part = stopped_at(matrix, rhs, rounds)
    assert part.state is not None
    assert (part.state.round, part.rounds) == (rounds, whole.rounds[:rounds])
    rest = stopped_at(matrix, rhs, 120, start=part.state)
    assert rest.rounds == whole.rounds
    same_state(rest, whole)
    again = stopped_at(matrix, rhs, rounds, start=part.state)
    same_state(again, part)


def test_going_on_with_a_bound_gives_the_same_bits() -> None:
    dense, matrix, rhs = problem(8, 60, 1e4)
    inverse = np.linalg.inv(dense)

    def run(rounds: int, start: PcgState | None = None) -> Solution:
        return solve_pcg(
            matrix, rhs, diagonal(matrix), options=PcgOptions(1e-4, maximum_rounds=rounds), start=start,
            error_bound=lambda x, r: 5.0 * math.sqrt(r @ inverse @ r),
        )  # fmt: skip

    whole = run(1000)
    assert whole.converged
    checked = [record.round for record in whole.rounds if record.error_bound is not None]
    for rounds in (1, checked[0] - 1, checked[0], checked[0] + 1):
        rest = run(1000, run(rounds).state)
        assert rest.converged
        same_state(rest, whole)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_going_on_from_what_has_converged_stays_there(criterion: str) -> None:
    _, matrix, rhs = problem(9, 30, 100.0)
    done = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(1e-4, criterion))
    for options in (PcgOptions(1e-4, criterion), PcgOptions(1e-3, criterion), PcgOptions(1e-4, criterion, 1)):
        again = solve_pcg(matrix, rhs, diagonal(matrix), options=options, start=done.state)
        assert (again.converged, again.rounds) == (True, done.rounds)
        np.testing.assert_array_equal(again.x, done.x)
    further = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(1e-8, criterion), start=done.state)
    assert further.converged
    assert len(further.rounds) > len(done.rounds)
    assert further.rounds[: len(done.rounds)] == done.rounds


def test_start_from_a_vector() -> None:
    dense, matrix, rhs = problem(10, 60, 1e4)
    wanted = np.linalg.solve(dense, rhs)
    options = PcgOptions(1e-8, "relative_residual")
    cold = solve_pcg(matrix, rhs, diagonal(matrix), options=options)
    near = wanted * (1 + 1e-6 * np.sin(np.arange(60.0)))
    kept = near.copy()
    warm = solve_pcg(matrix, rhs, diagonal(matrix), options=options, start=near)
    assert cold.converged
    assert warm.converged
    assert len(warm.rounds) < 0.8 * len(cold.rounds)
    np.testing.assert_array_equal(near, kept)
    assert near.flags.writeable
    np.testing.assert_allclose(warm.x, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    from_zeros = solve_pcg(matrix, rhs, diagonal(matrix), options=options, start=np.zeros(60))
    np.testing.assert_array_equal(from_zeros.x, cold.x)


def test_start_from_the_solution() -> None:
    matrix = chain(5)
    wanted = np.array([3.0, 1.0, -2.0, 4.0, 1.0])
    solution = solve_pcg(matrix, matrix @ wanted, diagonal(matrix), start=wanted)
    assert (solution.converged, solution.rounds, solution.x.tolist()) == (True, (), wanted.tolist())


def test_states_are_read_only() -> None:
    _, matrix, rhs = problem(9, 30, 100.0)
    state = stopped_at(matrix, rhs, 3).state
    assert state is not None
    for array in (state.x, state.r, state.p):
        assert not array.flags.writeable


# --- where no more accuracy can be had --------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("tolerance", [1e-30, 1e-300])
@pytest.mark.parametrize(("n", "condition"), [(2, 3.0), (5, 1.0 + 1e-9), (12, 1e2), (30, 1e5), (25, 1e9)])
def test_what_cannot_be_reached_is_not_called_converged(
    criterion: str, tolerance: float, n: int, condition: float
) -> None:
    dense, matrix, rhs = problem(11, n, condition)
    solution = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(tolerance, criterion, 5000))
    last = solution.rounds[-1]
    value = last.error_estimate if criterion == "error" else getattr(last, criterion)
    exact = last.relative_residual == 0.0
    assert solution.converged == (value <= tolerance or exact)
    if criterion in ("error", "relative_residual"):
        assert solution.converged == exact
    if condition > 10.0:
        assert not exact
    assert len(solution.rounds) < 1000
    backward = np.linalg.norm(rhs - dense @ solution.x) / (np.linalg.norm(dense) * np.linalg.norm(solution.x))
    assert backward < 1e-14


def test_a_residual_too_small_to_mean_anything_ends_it() -> None:
    # Left alone, the updated residual of a small system falls until p'Ap underflows, which reads as an indefinite matrix.
    for seed in range(200):
        rng = np.random.default_rng(seed)
        dense, matrix, rhs = problem(seed, int(rng.integers(1, 6)), 3.0)
        solution = solve_pcg(matrix, rhs, diagonal(matrix), options=PcgOptions(1e-300, "relative_residual"))
        assert len(solution.rounds) < 50
        np.testing.assert_allclose(dense @ solution.x, rhs, rtol=0, atol=1e-14 * np.abs(rhs).max())


def test_the_residual_is_computed_anew_every_fifty_rounds() -> None:
    _, matrix, rhs = problem(7, 150, 1e6)
    for rounds, products in ((49, 49), (50, 51), (99, 100), (100, 102)):
        counting = Broken(matrix, 1000, math.nan)
        solve_pcg(counting, rhs, diagonal(matrix), options=PcgOptions(1e-300, maximum_rounds=rounds))
        assert 1000 - counting.sound == products


def test_the_state_of_a_stalled_solution_stays_where_it_is() -> None:
    _, matrix, rhs = problem(11, 12, 1e2)
    options = PcgOptions(1e-30, "relative_residual")
    stalled = solve_pcg(matrix, rhs, diagonal(matrix), options=options)
    again = solve_pcg(matrix, rhs, diagonal(matrix), options=options, start=stalled.state)
    assert (again.converged, again.rounds) == (False, stalled.rounds)
    np.testing.assert_array_equal(again.x, stalled.x)


# --- refusals ---------------------------------------------------------------------------------------------------------


class Scaled:
    """A preconditioner that multiplies by a number."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def apply(self, r: np.ndarray, out: np.ndarray) -> float:
        with np.errstate(invalid="ignore"):
            out[:] = self.factor * r
            return float(r @ out)


def unheard() -> np.errstate:
    """Without compiled kernels NumPy would warn first."""
    return np.errstate(over="ignore", invalid="ignore")


class Broken:
    """A matrix whose n-th product is not finite."""

    def __init__(self, matrix: csr_array, sound: int, value: float) -> None:
        self.matrix, self.sound, self.value = matrix, sound, value

    def multiply(self, x: np.ndarray, out: np.ndarray) -> None:
        out[:] = self.matrix @ x
        if self.sound == 0:
            out[0] = self.value
        self.sound -= 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    matrix, rhs = chain(5), np.arange(5.0)
    with pytest.raises(NumericalError, match="round 0: the right-hand side is not finite"):
        solve_pcg(matrix, np.array([1.0, value, 0.0, 0.0, 0.0]), diagonal(matrix))
    with unheard(), pytest.raises(NumericalError, match="round 0: the preconditioned residual is not finite"):
        solve_pcg(matrix, rhs, Scaled(value))
    with unheard(), pytest.raises(NumericalError, match="round 0: the preconditioned residual is not finite"):
        solve_pcg(matrix, rhs, diagonal(matrix), start=np.full(5, value))
    with unheard(), pytest.raises(NumericalError, match="round 3: the product with the matrix is not finite"):
        solve_pcg(Broken(matrix, 2, value), rhs, diagonal(matrix))


def test_a_residual_that_overflows_is_refused() -> None:
    # p'Ap is finite, but a step of that length along Ap is not.
    with unheard(), pytest.raises(NumericalError, match="round 1: the residual is not finite"):
        solve_pcg(Broken(chain(2), 0, 1e160), np.array([0.0, 1.0]), Scaled(1.0))


def test_what_is_not_positive_definite_is_refused() -> None:
    rhs = np.arange(1.0, 6.0)
    with pytest.raises(NotPositiveDefinite, match=r"round 1: the matrix is not positive definite \(p'Ap = -55\)"):
        solve_pcg(csr_array(-np.eye(5)), rhs, Scaled(1.0))
    indefinite = csr_array(np.diag([3.0, 2.0, 1.0, 4.0, -0.1]))
    with pytest.raises(NotPositiveDefinite, match=r"round [2-5]: the matrix is not positive definite \(p'Ap = -"):
        solve_pcg(indefinite, rhs[::-1], Scaled(1.0))
    with pytest.raises(NotPositiveDefinite, match=r"round 1: the matrix is not positive definite \(p'Ap = 0\)"):
        solve_pcg(csr_array((5, 5)), rhs, Scaled(1.0))
    for factor in (-1.0, 0.0):
        with pytest.raises(NotPositiveDefinite, match="round 0: the preconditioner is not positive definite"):
            solve_pcg(chain(5), rhs, Scaled(factor))


def test_vectors_of_another_size_are_refused() -> None:
    matrix = chain(5)
    for rhs in (np.ones(4), np.ones(6)):
        with pytest.raises(ValueError, match=rf"right-hand side of shape \({rhs.size},\) for a matrix of \(5, 5\)"):
            solve_pcg(matrix, rhs, diagonal(matrix))
    with pytest.raises(ValueError, match=r"right-hand side of shape \(5, 1\)$"):
        solve_pcg(CsrOperator(matrix), np.ones((5, 1)), diagonal(matrix))
    other = stopped_at(chain(4), np.ones(4), 2).state
    for start in (np.ones(4), other):
        with pytest.raises(ValueError, match=r"start of shape \(4,\) for 5 equations"):
            solve_pcg(matrix, np.ones(5), diagonal(matrix), start=start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "tolerance is 0.0; it has to be positive"),
        ({"tolerance": math.inf}, "tolerance is inf; it has to be positive"),
        (
            {"criterion": "eps"},
            "criterion is 'eps'; it is one of error, relative_residual, squared_relative_residual, relative_change",
        ),
        ({"maximum_rounds": 0}, "maximum_rounds is 0; it has to be 1 or more"),
    ],
)
def test_options_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PcgOptions(**options)


# --- products ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 600), st.floats(0, 0.2), st.integers(1, 4), st.booleans())
def test_products(seed: int, n: int, density: float, width: int, long: bool) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < density))
    dense = upper + upper.T
    dense[rng.integers(0, n, n // 3)] = 0.0
    matrix = csr_array(dense)
    kind = np.int64 if long else np.int32
    matrix = csr_array((matrix.data, matrix.indices.astype(kind), matrix.indptr.astype(kind)), shape=(n, n))
    operator = CsrOperator(matrix)
    block = rng.standard_normal((n, width))
    out = np.full((n, width), np.nan)
    operator.multiply(block, out)
    np.testing.assert_allclose(out, dense @ block, rtol=0, atol=1e-12)
    for k in range(width):
        one = np.full(n, np.nan)
        operator.multiply(np.ascontiguousarray(block[:, k]), one)
        np.testing.assert_array_equal(one, out[:, k])


def test_products_over_any_chunks() -> None:
    rng = np.random.default_rng(1)
    dense = positive_definite(rng, 7)
    matrix, block = csr_array(dense), rng.standard_normal((7, 3))
    for chunks in ([0, 7], [0, 0, 3, 3, 7], list(range(8))):
        bounds = np.array(chunks, np.int64)
        out, one = np.empty((7, 3)), np.empty(7)
        csr_product_columns(matrix.indptr, matrix.indices, matrix.data, bounds, block, out)
        csr_product(matrix.indptr, matrix.indices, matrix.data, bounds, np.ascontiguousarray(block[:, 1]), one)
        np.testing.assert_allclose(out, dense @ block, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(one, out[:, 1])


@pytest.fixture
def threads() -> Iterator[int]:
    """As many threads as there are, two at most; what was set before is set again."""
    before = numba.get_num_threads()
    yield min(2, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(before)


def test_threads_do_not_change_the_bits(threads: int) -> None:
    rng = np.random.default_rng(2)
    n = ONE_THREAD_UP_TO + 1
    matrix = chain(n)
    matrix.setdiag(2.5)
    rhs = rng.standard_normal(n)
    starts = np.concatenate([np.arange(0, n, 3), [n]])
    found = []
    for number in (1, threads):
        numba.set_num_threads(number)
        found.append(
            solve_pcg(matrix, rhs, block_diagonal(matrix, starts), options=PcgOptions(1e-300, maximum_rounds=8))
        )
    assert found[0].rounds == found[1].rounds
    same_state(*found)


# --- preconditioners --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(0, 5))
def test_blocks_of_mixed_widths(seed: int, widths: list[int], skipped: int) -> None:
    rng = np.random.default_rng(seed)
    starts = skipped + np.concatenate([[0], np.cumsum(widths)])
    n = int(starts[-1])
    dense = positive_definite(rng, n)
    preconditioner = block_diagonal(csr_array(dense), starts)
    inverse = np.zeros((n, n))
    for first, end in pairwise(starts):
        inverse[first:end, first:end] = np.linalg.inv(dense[first:end, first:end])
    r, out = rng.standard_normal(n - skipped), np.full(n - skipped, np.nan)
    product = preconditioner.apply(r, out)
    np.testing.assert_allclose(out, inverse[skipped:, skipped:] @ r, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(product, r @ out, rtol=1e-9)


def test_diagonal_preconditioner() -> None:
    dense = positive_definite(np.random.default_rng(3), 6)
    r, out = np.arange(6.0), np.empty(6)
    product = diagonal(csr_array(dense)).apply(r, out)
    np.testing.assert_allclose(out, r / np.diag(dense), rtol=1e-14)
    np.testing.assert_allclose(product, r @ out, rtol=1e-14)


def equations(rng: np.random.Generator, records: int, random: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixed model equations at a residual variance of 4, their X'X (of deficient rank) and a right-hand side."""
    x = np.column_stack(
        [np.ones(records), np.eye(3)[rng.integers(0, 3, records)], np.eye(2)[rng.integers(0, 2, records)]]
    )
    z = np.eye(random)[rng.integers(0, random, records)]
    w = np.column_stack([x, z])
    lhs = w.T @ w / 4.0
    lhs[6:, 6:] += positive_definite(rng, random)
    return lhs, x.T @ x, w.T @ rng.standard_normal(records) / 4.0


def test_fixed_effects_and_blocks() -> None:
    rng = np.random.default_rng(4)
    lhs, cross, rhs = equations(rng, 60, 20)
    leading = dependent_columns(csr_array(cross / 4.0), np.array([1, 2, 3, 4, 5, 0]))
    assert leading.dependent.tolist() == [True, False, False, False, False, True]
    starts = np.array([0, 1, 4, 6, 7, 12, 20, 26])
    preconditioner = FixedAndBlocks.of(csr_array(lhs), starts, leading)
    inverse = np.zeros((26, 26))
    kept = np.flatnonzero(~leading.dependent)
    inverse[np.ix_(kept, kept)] = np.linalg.inv(lhs[np.ix_(kept, kept)])
    for first, end in ((6, 7), (7, 12), (12, 20), (20, 26)):
        inverse[first:end, first:end] = np.linalg.inv(lhs[first:end, first:end])
    r, out = rng.standard_normal(26), np.full(26, np.nan)
    product = preconditioner.apply(r, out)
    np.testing.assert_allclose(out, inverse @ r, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(product, r @ out, rtol=1e-9)
    assert out[[0, 5]].tolist() == [0.0, 0.0]

    options = PcgOptions(1e-12, "relative_residual")
    solution = solve_pcg(csr_array(lhs), rhs, preconditioner, options=options)
    assert solution.converged
    assert solution.x[[0, 5]].tolist() == [0.0, 0.0]
    active = np.flatnonzero(~np.isin(np.arange(26), [0, 5]))
    np.testing.assert_allclose(solution.x[active], np.linalg.solve(lhs[np.ix_(active, active)], rhs[active]), rtol=1e-8)


def test_fixed_effects_alone() -> None:
    cross = equations(np.random.default_rng(5), 40, 4)[1]
    leading = dependent_columns(csr_array(cross / 4.0), np.array([1, 2, 3, 4, 5, 0]))
    preconditioner = FixedAndBlocks.of(csr_array(cross), np.array([0, 6]), leading)
    rhs = cross @ np.arange(6.0)
    solution = solve_pcg(csr_array(cross), rhs, preconditioner, options=PcgOptions(1e-12, "relative_residual"))
    assert (solution.converged, len(solution.rounds)) == (True, 1)
    np.testing.assert_allclose(cross @ solution.x, rhs, rtol=1e-10)


def test_preconditioners_that_cannot_be() -> None:
    dense = np.diag([2.0, 1.0, 1.0, 3.0, -1.0])
    dense[1, 2] = dense[2, 1] = 1.0
    matrix = csr_array(dense)
    for starts in ([], [0, 2], [0, 2, 2, 5], [0, 3, 2, 5], [-1, 5], [0, 6]):
        with pytest.raises(ValueError, match="block boundaries have to ascend and end at 5"):
            block_diagonal(matrix, np.array(starts))
    for starts, equation in (([0, 1, 3, 5], 2), ([0, 1, 2, 3, 5], 4), ([3, 5], 4)):
        message = f"equation {equation} has a non-positive pivot in its diagonal block"
        with pytest.raises(NotPositiveDefinite, match=message) as caught:
            block_diagonal(matrix, np.array(starts))
        assert caught.value.equation == equation
    with pytest.raises(NotPositiveDefinite, match="equation 4 has a non-positive pivot in its diagonal block"):
        diagonal(matrix)
    leading = dependent_columns(csr_array(np.eye(2)), np.arange(2))
    with pytest.raises(ValueError, match="a block spans equation 2, where the leading equations end"):
        FixedAndBlocks.of(matrix, np.array([0, 1, 3, 5]), leading)


def test_boundaries_of_the_caller_stay_writeable() -> None:
    starts = np.array([0, 2, 3])
    preconditioner = block_diagonal(csr_array(np.diag([1.0, 2.0, 4.0])), starts)
    starts[:] = 0
    out = np.empty(3)
    preconditioner.apply(np.ones(3), out)
    np.testing.assert_allclose(out, [1.0, 0.5, 0.25], rtol=1e-14)
    assert not preconditioner.starts.flags.writeable
