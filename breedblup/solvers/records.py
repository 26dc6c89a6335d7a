"""What a solution is asked for, and what is kept of it: every criterion of every round, and a state to go on from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError

Criterion = Literal["error", "relative_residual", "squared_relative_residual", "relative_change"]


_Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PcgOptions:
    """When to stop.

    Attributes
    ----------
    tolerance
        What the criterion has to come down to.
    criterion
        ``error``: the energy norm of the error, √(r'A⁻¹r), by its bound where one is given, else by its estimate;
        ``relative_residual``: √(r'r/b'b); ``squared_relative_residual``: r'r/b'b (BLUPF90);
        ``relative_change``: √(|x_k - x_k-1|²/|x_k|²) (MiX99's CD).
    maximum_rounds
        Rounds after which it stops unconverged.
    """

    tolerance: float = 1e-6
    criterion: Criterion = "error"
    maximum_rounds: int = 10_000

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise ModelError(f"tolerance is {self.tolerance}; it has to be positive")
        if self.criterion not in get_args(Criterion):
            raise ModelError(f"criterion is {self.criterion!r}; it is one of {', '.join(get_args(Criterion))}")
        if self.maximum_rounds < 1:
            raise ModelError(f"maximum_rounds is {self.maximum_rounds}; it has to be 1 or more")


@dataclass(frozen=True, slots=True)
class PcgRound:
    """Every criterion after one round.

    ``error_estimate`` is √(r'M⁻¹r/λ) with λ the smallest Ritz value so far. λ lies above the smallest eigenvalue of M⁻¹A,
    most so in early rounds: an estimate, never a bound. ``error_bound`` is None where it was not computed.
    """

    round: int
    relative_residual: float
    squared_relative_residual: float
    relative_change: float
    error_estimate: float | None
    error_bound: float | None


@dataclass(frozen=True, slots=True)
class PcgState:
    """All that the next round needs; handed to `solve_pcg` as ``start`` it goes on with the same bits."""

    x: _Vector
    r: _Vector
    p: _Vector
    rho: float
    alphas: tuple[float, ...]
    betas: tuple[float, ...]
    rounds: tuple[PcgRound, ...]
    smallest_residual: float = math.inf
    stalled: int = 0
    bound_at: float | None = None

    @property
    def round(self) -> int:
        """Rounds done."""
        return len(self.alphas)


@dataclass(frozen=True, slots=True)
class Solution:
    """x with how it was found; for PCG ``state`` goes on from there.

    ``duals`` are G⁻¹û of the genotyped animals where effects of markers were solved for, genotyped × effects of a level.
    """

    x: _Vector
    rounds: tuple[PcgRound, ...]
    converged: bool
    method: Literal["pcg", "cholesky"]
    criterion: str
    tolerance: float
    state: PcgState | None = field(default=None, repr=False)
    duals: _Vector | None = field(default=None, repr=False)
