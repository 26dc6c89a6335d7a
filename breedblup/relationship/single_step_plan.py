"""Which form of H⁻¹ a single-step evaluation takes, from sizes and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import psutil

from breedblup.errors import ResourceError, counted, gib
from breedblup.relationship.ancestry import MEMORY_SHARE
from breedblup.relationship.apy import ROWS
from breedblup.relationship.component_form import component_bytes
from breedblup.relationship.explicit_form import explicit_bytes

SingleStepForm: TypeAlias = Literal["explicit", "apy", "components", "markers"]

EXPLICIT_UP_TO = 10_000
"""Genotyped animals up to which Δ is formed without being asked for; for 5,000 at 50,000 markers that took 10 s."""

VECTORS = 40
"""Numbers for each genotyped animal that the form of marker effects holds."""

VECTORS_OF_MARKERS = 700
"""Numbers for each marker: vectors of the iteration, and those that its preconditioner is found with."""

PEDIGREE_BYTES = 300
"""Of A⁻¹ and a factor of A¹¹, an animal."""


@dataclass(frozen=True)
class SingleStepPlan:
    """The form that was chosen, and what each would take.

    Attributes
    ----------
    genotyped, markers, animals
        Sizes.
    limit
        Bytes that may be used.
    bytes
        Most bytes of each form, A⁻¹ among them, the packed genotypes not; of ``apy`` where a core is given.
    form
        ``explicit``, ``apy``, ``components`` or ``markers``.
    reasons
        Why, one statement an entry.
    """

    genotyped: int
    markers: int
    animals: int
    limit: int
    bytes: Mapping[str, int]
    form: SingleStepForm
    reasons: tuple[str, ...]


def plan_single_step(
    genotyped: int,
    markers: int,
    animals: int,
    *,
    core: int | None = None,
    unable: Mapping[str, str] | None = None,
    memory: int | None = None,
) -> SingleStepPlan:
    """Choose a form: APY where a core is given, else explicit up to 10,000 genotyped, else marker effects.

    Components, and then explicit, stand in where marker effects cannot be had. Whatever does not fit is passed over.

    Parameters
    ----------
    genotyped, markers, animals
        Animals with genotypes, markers, and rows of A⁻¹.
    core
        Size of the core of APY.
    unable
        Forms that cannot be taken whatever their size, with the reason.
    memory
        Bytes that may be used; None for 80 % of what is available.

    Raises
    ------
    ResourceError
        If no form can be had; what each would take is named.
    """
    limit = int(MEMORY_SHARE * psutil.virtual_memory().available) if memory is None else memory
    needed = _bytes_by_form(genotyped, markers, animals, core)
    against = dict(unable or {})
    for one, size in needed.items():
        if size > limit and one not in against:
            against[one] = f"takes {gib(size)}, {gib(limit)} may be used"
    if core is None:
        against.setdefault("apy", "no core is given")
    small: tuple[SingleStepForm, ...] = ("explicit",) if genotyped <= EXPLICIT_UP_TO else ()
    order: tuple[SingleStepForm, ...] = ("apy", *small, "markers", "components", "explicit")
    form = next((candidate for candidate in order if candidate not in against), None)
    if form is None:
        refused = "; ".join(f"{one}: {against[one]}" for one in ("explicit", "apy", "components", "markers"))
        raise ResourceError(
            f"no form of H⁻¹ can be had for {genotyped:,} genotyped animals and {markers:,} markers ({refused}) -> give a core "
            "for APY, more memory, or fewer genotypes"
        )
    passed = tuple(f"not form {one!r}: {against[one]}" for one in order[: order.index(form)] if one != "apy" or core)
    sizes = f"{counted(genotyped, 'genotyped animal')}, {counted(markers, 'marker')}, {gib(needed[form])}"
    reasons = (f"form {form!r} by the plan: {sizes}", *passed)
    return SingleStepPlan(genotyped, markers, animals, limit, MappingProxyType(needed), form, reasons)


def _bytes_by_form(genotyped: int, markers: int, animals: int, core: int | None) -> dict[str, int]:
    """Most bytes of each form."""
    beside = PEDIGREE_BYTES * animals
    needed = {
        "explicit": beside + explicit_bytes(genotyped),
        "components": beside + component_bytes(genotyped, markers + 1),
        "markers": beside + 8 * (VECTORS * genotyped + VECTORS_OF_MARKERS * markers),
    }
    return needed if core is None else needed | {"apy": beside + 8 * core * (genotyped + 2 * ROWS)}
