"""How variances are to be estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from breedblup.errors import ModelError
from breedblup.reml.problem import Likelihood

Method = Literal["ai", "em", "px-em"]
Information = Literal["average", "observed", "expected"]


@dataclass(frozen=True, slots=True)
class RemlOptions:
    """How to estimate; every choice that changes a number is named in the result.

    Attributes
    ----------
    likelihood
        ``reml`` or ``ml``.
    method
        ``ai`` (average information), ``em`` or ``px-em`` (with parameter expansion).
    information
        Matrix that standard errors come from: ``average``, ``observed`` or ``expected``.
    max_rounds
        None for 100 rounds of average information, 10,000 of EM.
    gain
        Converged is where a round gains no more than this in -2 log L by the quadratic model,
    change
        and changes no parameter by more than this, relative to the variances of its rows, or a hundredth of those to be expected.
    inbreeding, unknown_animals, missing_effects
        As in `EvaluateOptions`.
    memory_bytes
        Memory to plan with; None for 80 % of what is available.
    """

    likelihood: Likelihood = "reml"
    method: Method = "ai"
    information: Information = "average"
    max_rounds: int | None = None
    gain: float = 1e-8
    change: float = 1e-5
    inbreeding: bool | Literal["contemporaries"] = True
    unknown_animals: Literal["error", "founder"] = "error"
    missing_effects: Literal["error", "drop"] = "error"
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("likelihood", ("reml", "ml")),
            ("method", ("ai", "em", "px-em")),
            ("information", ("average", "observed", "expected")),
        ):
            if getattr(self, name) not in allowed:
                raise ModelError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(map(repr, allowed))}")
        if self.max_rounds is not None and not (isinstance(self.max_rounds, int) and self.max_rounds > 0):
            raise ModelError(f"max_rounds is {self.max_rounds!r}; it has to be a whole number above 0, or None")
        for name in ("gain", "change"):
            value = getattr(self, name)
            if isinstance(value, bool) or not (isinstance(value, int | float) and value > 0.0):
                raise ModelError(f"{name} is {value!r}; it has to be a number above 0")

    @property
    def rounds(self) -> int:
        """Most rounds."""
        if self.max_rounds is not None:
            return self.max_rounds
        return 100 if self.method == "ai" else 10_000
