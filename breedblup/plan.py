"""Which way to solve, decided from counts before any number is computed, with the bytes that it takes and the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import psutil
from numba import get_num_threads

from breedblup.errors import ResourceError, gib
from breedblup.solvers.cholesky import SymbolicFactor
from breedblup.solvers.operators import MOST_PARTS

Method = Literal["cholesky", "pcg"]

MEMORY_SHARE = 0.8
"""Share of the memory available at the start that a run may plan with, unless it is told a number of bytes."""

FLOPS_WORTH_IT = 2e10
"""A factorisation of fewer operations (about a second) is preferred to iterating even when no PEV is asked for."""

FLOPS_FOR_PEV = 1e13
"""Largest factorisation that is begun unasked for the sake of PEV: a quarter of an hour at the 13 Gflop/s of 10⁵ animals."""

CSR_ENTRY = 12
"""Bytes of an entry of the equations: its value and its column."""

EQUATIONS_ANALYSED = 5_000_000
"""Most equations that are ordered for a factor unasked: the ordering takes 12 s at 10⁶."""


@dataclass(frozen=True, slots=True)
class SolvePlan:
    """How a set of equations is going to be solved.

    Attributes
    ----------
    method
        ``cholesky`` (direct) or ``pcg`` (iteration on the stored equations).
    pev
        Whether prediction error variances are computed, exactly, from the selected inverse.
    factor_nonzeros, factor_flops
        Of the Cholesky factor; None where no ordering was made.
    bytes
        Memory by stage.
    reasons
        Why, one sentence each.
    """

    method: Method
    pev: bool
    equations: int
    nonzeros: int
    factor_nonzeros: int | None
    factor_flops: float | None
    bytes: Mapping[str, int]
    reasons: tuple[str, ...]


def memory_budget(given: int | None) -> int:
    """Bytes that may be planned with: those given, or a share of what is available now."""
    return given if given is not None else int(MEMORY_SHARE * psutil.virtual_memory().available)


def incidence_bytes(records: int, traits: int, links: int, columns: int, equations: int, inverse_entries: int) -> int:
    """Bytes of the coded records, their lists by level, and the entries of the inverse relationships."""
    coded = records * (links * (4 + 8) + traits * (8 + 8) + columns * 8 + 4)
    return coded + inverse_entries * (8 + 4) + 60 * equations


def refuse_unless_fits(what: str, needed: int, budget: int, advice: str) -> None:
    """Raise `ResourceError` where ``needed`` bytes are more than the budget."""
    if needed > budget:
        raise ResourceError(f"{what} would take {gib(needed)}, and {gib(budget)} may be used -> {advice}")


def may_analyse(method: str, pev: str, equations: int) -> bool:
    """Whether an ordering for a factor is worth making before the plan is chosen."""
    if method == "cholesky" or pev == "exact":
        return True
    return method == "auto" and equations <= EQUATIONS_ANALYSED


def triangle_bytes(equations: int, nonzeros: int) -> int:
    """Bytes of the triangle, in an order of its own, that PCG multiplies by, and of what each thread adds up beside."""
    beside = 8 * equations * (min(get_num_threads(), MOST_PARTS) - 1)
    return CSR_ENTRY * (nonzeros + equations) // 2 + 8 * equations + beside


def plan_reduced(plan: SolvePlan, equations: int, nonzeros: int, taken: int) -> SolvePlan:
    """The plan with PCG on fewer equations, which take so many bytes beside those that they are made of."""
    triangle = triangle_bytes(equations, nonzeros)
    stored = dict(plan.bytes) | {"vectors": 8 * 8 * equations, "triangle": triangle, "elimination": taken}
    reason = "animals without progeny eliminated: PCG has fewer equations, the answer is the same"
    return replace(plan, equations=equations, nonzeros=nonzeros, bytes=stored, reasons=(*plan.reasons, reason))


def choose_plan(
    equations: int, nonzeros: int, symbolic: SymbolicFactor | None, *, method: str, pev: str, budget: int
) -> SolvePlan:
    """Choose how to solve.

    Parameters
    ----------
    symbolic
        The analysed pattern, or None where `may_analyse` says that it is not worth it.
    method
        ``auto``, ``cholesky`` or ``pcg``.
    pev
        ``auto`` (where the factor can be had), ``exact`` or ``none``.
    budget
        Bytes that may be used.

    Raises
    ------
    ResourceError
        If what was asked for does not fit.
    """
    reasons = []
    stored = {"equations": CSR_ENTRY * nonzeros, "vectors": 8 * 8 * equations}
    if symbolic is None:
        why = "PCG asked for" if method == "pcg" else f"{equations:,} equations"
        reasons.append(f"no factor considered: {why}" + ("; pev = 'exact' adds PEV" if pev == "auto" else ""))
        stored["triangle"] = triangle_bytes(equations, nonzeros)
        return SolvePlan("pcg", False, equations, nonzeros, None, None, stored, tuple(reasons))
    free = budget - sum(stored.values())
    needed = symbolic.bytes_with_inverse if pev == "exact" else symbolic.bytes
    if method == "cholesky" or pev == "exact":
        advice = "solve by pcg without exact PEV, or give more memory"
        refuse_unless_fits(f"a factor of {symbolic.nonzeros:,} entries", needed, free, advice)
    with_pev = pev == "exact" or (
        pev == "auto" and method != "pcg" and symbolic.bytes_with_inverse <= free and symbolic.flops <= FLOPS_FOR_PEV
    )
    fits = symbolic.bytes <= free
    direct = method == "cholesky" or (method == "auto" and fits and (with_pev or symbolic.flops <= FLOPS_WORTH_IT))
    if not with_pev and pev == "auto" and method != "pcg":
        reasons.append(
            f"no PEV: it takes {symbolic.flops:.1e} operations and {gib(symbolic.bytes_with_inverse)}, "
            f"where {gib(free)} may be used; ask for 'exact' to insist"
        )
    stored_factor = symbolic.bytes_with_inverse if with_pev else symbolic.bytes
    if direct:
        reasons.append(f"Cholesky factor of {symbolic.nonzeros:,} entries, {gib(stored_factor)}, fits the memory")
    else:
        reasons.append("PCG asked for" if method == "pcg" else "PCG: cheaper than a factor where no PEV comes of it")
    if not direct:
        stored["triangle"] = triangle_bytes(equations, nonzeros)
    if direct or with_pev:
        stored["factor"] = stored_factor
    return SolvePlan(
        "cholesky" if direct else "pcg", with_pev, equations, nonzeros, symbolic.nonzeros, symbolic.flops, stored,
        tuple(reasons),
    )  # fmt: skip
