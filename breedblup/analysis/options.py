"""How an evaluation is to be made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from breedblup.errors import ModelError
from breedblup.evaluation import AccuracyScale
from breedblup.solvers.records import PcgOptions


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How to evaluate; every choice that changes a number is named in the result.

    Attributes
    ----------
    method
        ``auto`` (see `breedblup.plan`), ``cholesky`` or ``pcg``.
    pev
        ``auto`` (where the factor can be had), ``exact`` or ``none``.
    inbreeding
        Whether A⁻¹ takes inbreeding into account; ``contemporaries``: with unknown parents as inbred as the animals of the
        year are (`inbreeding_of_contemporaries`).
    accuracy
        Scale of the accuracy: ``r``, ``r2`` or ``bif``.
    unknown_animals
        Records of animals that a pedigree does not have: ``error``, or add them as unrelated ``founder``.
    missing_effects
        Records whose trait is known but a class, covariate or weight is missing: ``error`` or ``drop``.
    reduce
        Reduced animal model: whether animals without progeny are eliminated, exactly, before solving. None: for PCG, where
        fewer non-zeros come of it.
    memory_bytes
        Memory to plan with; None for 80 % of what is available.
    pcg
        Criterion, tolerance and rounds of the iteration.
    """

    method: Literal["auto", "cholesky", "pcg"] = "auto"
    pev: Literal["auto", "exact", "none"] = "auto"
    inbreeding: bool | Literal["contemporaries"] = True
    accuracy: AccuracyScale = "r"
    unknown_animals: Literal["error", "founder"] = "error"
    missing_effects: Literal["error", "drop"] = "error"
    reduce: bool | None = None
    memory_bytes: int | None = None
    pcg: PcgOptions = field(default_factory=PcgOptions)

    def __post_init__(self) -> None:
        for name, allowed in (
            ("method", ("auto", "cholesky", "pcg")),
            ("pev", ("auto", "exact", "none")),
            ("accuracy", ("r", "r2", "bif")),
            ("unknown_animals", ("error", "founder")),
            ("missing_effects", ("error", "drop")),
        ):
            if getattr(self, name) not in allowed:
                raise ModelError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(map(repr, allowed))}")
        if not (isinstance(self.inbreeding, bool) or self.inbreeding == "contemporaries"):
            raise ModelError(f"inbreeding is {self.inbreeding!r}; it can be True, False or 'contemporaries'")
        if not (self.reduce is None or isinstance(self.reduce, bool)):
            raise ModelError(f"reduce is {self.reduce!r}; it can be True, False or None")
        if self.memory_bytes is not None and not (isinstance(self.memory_bytes, int) and self.memory_bytes > 0):
            raise ModelError(f"memory_bytes is {self.memory_bytes!r}; it has to be a whole number above 0, or None")
