"""Preconditioned conjugate gradients, with every criterion of every round, resumable to the bit.

Hestenes & Stiefel (1952); the eigenvalues from its coefficients: Golub & Meurant (2010). Each round, with z = M⁻¹r and ρ = r'z,

    q = A p,   α = p'r/p'q,   x += α p,   r -= α q,   β = ρ_new/ρ,   p = z + β p.

Every 50 rounds, where r is too small to mean anything and before anything is called converged, r is replaced by b - A x. In
exact arithmetic p'r = ρ; as written the step is the best one along p whatever rounding or that replacement did to r, so the
error cannot grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.errors import NotPositiveDefinite, NumericalError
from breedblup.kernels.iteration import chunked_dot, chunked_dots, smallest_eigenvalue, take_step, turn
from breedblup.solvers.operators import CsrOperator, SymmetricOperator, fill_residual
from breedblup.solvers.preconditioners import Preconditioner
from breedblup.solvers.records import PcgOptions, PcgRound, PcgState, Solution

ONE_THREAD_UP_TO = 20_000
"""Equations. A round at 10⁴ takes 0.1 ms on one thread; on a busy machine each meeting of two threads can cost milliseconds."""

_CHUNK = 8192
_RECOMPUTED_EVERY = 50
_MEANINGLESS = float(np.finfo(np.float64).eps) ** 2

_Vector = NDArray[np.float64]


def solve_pcg(
    matrix: csr_array | SymmetricOperator,
    rhs: _Vector,
    preconditioner: Preconditioner,
    *,
    options: PcgOptions | None = None,
    start: _Vector | PcgState | None = None,
    error_bound: Callable[[_Vector, _Vector], float] | None = None,
    monitor: Callable[[PcgRound], None] | None = None,
) -> Solution:
    """Solve A x = b; one that does not converge is returned with ``converged`` False.

    Parameters
    ----------
    matrix
        A, symmetric positive definite: CSR with both triangles, or an operator.
    start
        First x, or the state of an earlier solution, whose rounds count.
    error_bound
        Upper bound of √(r'A⁻¹r) from x and its true residual; evaluated from about five tolerances on, and at the end.
    monitor
        Told of every round.

    Raises
    ------
    NumericalError
        If something is not finite.
    NotPositiveDefinite
        If p'Ap ≤ 0 or r'M⁻¹r ≤ 0.
    """
    options = options or PcgOptions()
    operator: SymmetricOperator = CsrOperator(matrix) if isinstance(matrix, csr_array) else matrix
    rhs = np.ascontiguousarray(rhs, dtype=np.float64)
    _check_sizes(matrix, rhs, start)
    iteration = _Iteration(operator, rhs, preconditioner, options, error_bound)
    if iteration.size_of_rhs == 0.0:
        nothing = PcgRound(0, 0.0, 0.0, 0.0, 0.0, None if error_bound is None else 0.0)
        return Solution(np.zeros_like(rhs), (nothing,), True, "pcg", options.criterion, options.tolerance)
    with _threads_for(rhs.size):
        iteration.begin(start)
        converged = iteration.residual == 0.0 or iteration.has_met()
        while not converged and iteration.stalled < 2 and len(iteration.alphas) < options.maximum_rounds:
            record, converged = iteration.advance()
            if monitor is not None:
                monitor(record)
    state = iteration.state()
    return Solution(state.x, state.rounds, converged, "pcg", options.criterion, options.tolerance, state)


@contextmanager
def _threads_for(size: int) -> Iterator[None]:
    """One thread where a round takes less than bringing threads together; the bits are the same."""
    before = numba.get_num_threads()
    numba.set_num_threads(1 if size <= ONE_THREAD_UP_TO else before)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _check_sizes(matrix: csr_array | SymmetricOperator, rhs: _Vector, start: _Vector | PcgState | None) -> None:
    """Refuse vectors that compiled loops would read beyond their end."""
    if rhs.ndim != 1 or (isinstance(matrix, csr_array) and matrix.shape != (rhs.size, rhs.size)):
        of = f" for a matrix of {matrix.shape}" if isinstance(matrix, csr_array) else ""
        raise ValueError(f"right-hand side of shape {rhs.shape}{of}")
    first = start.x if isinstance(start, PcgState) else start
    if first is not None and np.shape(first) != rhs.shape:
        raise ValueError(f"start of shape {np.shape(first)} for {rhs.size} equations")


class _Iteration:
    """The private workspace of one solution."""

    def __init__(
        self,
        operator: SymmetricOperator,
        rhs: _Vector,
        preconditioner: Preconditioner,
        options: PcgOptions,
        error_bound: Callable[[_Vector, _Vector], float] | None,
    ) -> None:
        self.operator, self.rhs, self.preconditioner = operator, rhs, preconditioner
        self.options, self.error_bound = options, error_bound
        self.chunks = -(-rhs.size // _CHUNK)
        self.sums = np.empty((self.chunks, 3))
        self.size_of_rhs = math.sqrt(self.dot(rhs, rhs))
        if not math.isfinite(self.size_of_rhs):
            raise NumericalError("round 0: the right-hand side is not finite")
        self.q, self.z = np.empty_like(rhs), np.empty_like(rhs)
        self.restarted = False
        self.bound_at = 5.0 * options.tolerance

    def dot(self, a: _Vector, b: _Vector) -> float:
        """a'b over fixed chunks."""
        parts = np.empty(self.chunks)
        chunked_dot(a, b, _CHUNK, parts)
        return float(parts.sum())

    def begin(self, start: _Vector | PcgState | None) -> None:
        """First residual and direction, or those of a state."""
        if isinstance(start, PcgState):
            self.x, self.r, self.p = start.x.copy(), start.r.copy(), start.p.copy()
            self.rho, self.smallest, self.stalled = start.rho, start.smallest_residual, start.stalled
            self.alphas, self.betas, self.rounds = list(start.alphas), list(start.betas), list(start.rounds)
            self.bound_at = self.bound_at if start.bound_at is None else start.bound_at
            self.residual = math.sqrt(self.dot(self.r, self.r))
            return
        self.x = np.zeros_like(self.rhs) if start is None else np.array(start, dtype=np.float64)
        self.r = self.rhs.copy()
        self.alphas, self.betas, self.rounds = [], [], []
        self.smallest, self.stalled = math.inf, 0
        self.residual = self.size_of_rhs if start is None else self.true_residual()
        self.rho = self.checked_rho()
        self.p = self.z.copy()

    def state(self) -> PcgState:
        """What is needed to go on, read-only."""
        for array in (self.x, self.r, self.p):
            array.setflags(write=False)
        return PcgState(
            self.x, self.r, self.p, self.rho, tuple(self.alphas), tuple(self.betas), tuple(self.rounds),
            self.smallest, self.stalled, self.bound_at,
        )  # fmt: skip

    def checked_rho(self) -> float:
        """Fill z = M⁻¹r and give r'z, refused where it is no norm."""
        rho = self.preconditioner.apply(self.r, self.z)
        k = len(self.alphas)
        if not math.isfinite(rho):
            raise NumericalError(f"round {k}: the preconditioned residual is not finite")
        if rho < 0.0 or (rho == 0.0 and self.residual > 0.0 and k == 0):
            raise NotPositiveDefinite(f"round {k}: the preconditioner is not positive definite")
        return rho

    def has_met(self) -> bool:
        """Whether the state that is gone on from meets the criterion already, at its true residual."""
        if not self.rounds or not self.meets(self.rounds[-1]):
            return False
        self.residual = self.true_residual()
        record, self.rho = self.measure(self.rounds[-1].relative_change)
        return self.meets(self.with_bound(record))

    def true_residual(self) -> float:
        """Replace r by b - A x and return its size; notice when r has lost touch with it and it no longer falls.

        In exact arithmetic r is b - A x. Where the two differ by half of the latter, directions start afresh from the true
        one. Where rounding is a hundredth of it and it no longer halves, twice in succession, no more accuracy can be had.
        """
        fill_residual(self.operator, self.rhs, self.x, self.q)
        gap = math.sqrt(self.dot(self.q - self.r, self.q - self.r))
        self.r[:] = self.q
        size = math.sqrt(self.dot(self.r, self.r))
        lost = bool(self.alphas) and gap > 0.5 * size
        self.restarted = self.restarted or lost
        rounding = bool(self.alphas) and gap > 0.01 * size
        self.stalled = self.stalled + 1 if rounding and size > 0.5 * self.smallest else 0
        self.smallest = min(self.smallest, size)
        return size

    def advance(self) -> tuple[PcgRound, bool]:
        """One round: step, criteria, next direction."""
        k = len(self.alphas) + 1
        self.restarted = False
        self.operator.multiply(self.p, self.q)
        dots = np.empty((self.chunks, 2))
        chunked_dots(self.p, self.q, self.r, _CHUNK, dots)
        curvature, slope = (float(total) for total in dots.sum(axis=0))
        if not math.isfinite(curvature):
            raise NumericalError(f"round {k}: the product with the matrix is not finite")
        if curvature <= 0.0:
            raise NotPositiveDefinite(f"round {k}: the matrix is not positive definite (p'Ap = {curvature:.3g})")
        alpha = slope / curvature
        take_step(alpha, self.p, self.q, self.x, self.r, _CHUNK, self.sums)
        change, size, left = (float(total) for total in self.sums.sum(axis=0))
        if not (math.isfinite(left) and math.isfinite(size)):
            raise NumericalError(f"round {k}: the residual is not finite")
        self.alphas.append(alpha)
        self.residual = math.sqrt(left)
        moved = math.sqrt(change / size) if size > 0 else math.inf
        if k % _RECOMPUTED_EVERY == 0 or self.residual < _MEANINGLESS * self.size_of_rhs:
            self.residual = self.true_residual()
        record, rho = self.measure(moved)
        converged = False
        if self.worth_checking(record) or rho == 0.0:
            self.residual = self.true_residual()
            record, rho = self.measure(moved)
            record = self.with_bound(record)
            converged = self.meets(record) or (self.residual == 0.0 and record.error_bound is None)
        ends = converged or self.stalled >= 2 or rho == 0.0 or k >= self.options.maximum_rounds
        if ends and record.error_bound is None:
            record = self.final(record)
            converged = converged or (self.options.criterion == "error" and self.meets(record))
        if rho == 0.0 and not converged:
            self.stalled = 2
        self.rounds.append(record)
        beta = 0.0 if self.restarted else rho / self.rho
        self.betas.append(beta)
        self.rho = rho
        turn(beta, self.z, self.p, _CHUNK, self.chunks)
        return record, converged

    def measure(self, moved: float) -> tuple[PcgRound, float]:
        """The criteria at the present residual, and the next ρ."""
        rho = self.checked_rho()
        relative = self.residual / self.size_of_rhs
        estimate = math.sqrt(rho / self.smallest_ritz_value())
        return PcgRound(len(self.alphas), relative, relative**2, moved, estimate, None), rho

    def smallest_ritz_value(self) -> float:
        """Smallest eigenvalue of the Lanczos matrix that α and β define."""
        alphas, betas = np.array(self.alphas), np.array(self.betas[: len(self.alphas) - 1])
        diagonal = 1.0 / alphas
        diagonal[1:] += betas / alphas[:-1]
        beside_squared = betas / alphas[:-1] ** 2
        smallest = float(smallest_eigenvalue(diagonal, beside_squared))
        # Rounding can take it to zero; the reciprocal of the estimate has to stay finite.
        return max(smallest, np.finfo(float).eps * float(diagonal.max()))

    def worth_checking(self, record: PcgRound) -> bool:
        """Whether the criterion may be met, once r is the true residual and the bound, if there is one, is known.

        The bound can lie below the estimate: it is tried from five tolerances on, and again when the estimate has fallen by
        as much as the last bound was too large.
        """
        if self.error_bound is None or self.options.criterion != "error":
            return self.meets(record)
        return record.error_estimate is not None and record.error_estimate <= self.bound_at

    def with_bound(self, record: PcgRound) -> PcgRound:
        """The record with its bound, where the criterion asks for one; r is the true residual."""
        if self.error_bound is None or self.options.criterion != "error":
            return record
        bound = float(self.error_bound(self.x, self.r))
        if not math.isfinite(bound):
            raise NumericalError(f"round {record.round}: the error bound is not finite")
        if bound > 0.0 and record.error_estimate is not None:
            self.bound_at = record.error_estimate * self.options.tolerance / bound
        return replace(record, error_bound=bound)

    def final(self, record: PcgRound) -> PcgRound:
        """The last record, with its bound at the true residual."""
        if self.error_bound is None:
            return record
        fill_residual(self.operator, self.rhs, self.x, self.q)
        bound = float(self.error_bound(self.x, self.q))
        if not math.isfinite(bound):
            raise NumericalError(f"round {record.round}: the error bound is not finite")
        return replace(record, error_bound=bound)

    def meets(self, record: PcgRound) -> bool:
        """Whether the criterion is met."""
        if self.options.criterion == "error":
            value = record.error_estimate if record.error_bound is None else record.error_bound
        else:
            value = getattr(record, self.options.criterion)
        return value is not None and value <= self.options.tolerance
