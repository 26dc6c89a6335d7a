"""The choice between ways to solve, from counts alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from breedblup.errors import ResourceError, gib
from breedblup.plan import EQUATIONS_ANALYSED, SolvePlan, choose_plan, may_analyse


def plan(
    method: str = "auto", pev: str = "auto", *, flops: float = 1e9, size: int = 10**6, budget: int = 10**9
) -> SolvePlan:
    symbolic: Any = SimpleNamespace(nonzeros=1000, flops=flops, bytes=size, bytes_with_inverse=2 * size)
    return choose_plan(100, 500, symbolic, method=method, pev=pev, budget=budget)


@pytest.mark.parametrize(
    ("arguments", "method", "pev", "reason"),
    [
        ({}, "cholesky", True, "Cholesky factor of 1,000 entries, 1.91 MiB, fits the memory"),
        ({"pev": "none"}, "cholesky", False, "Cholesky factor"),
        ({"pev": "none", "flops": 1e12}, "pcg", False, "PCG: cheaper than a factor where no PEV comes of it"),
        ({"flops": 1e12}, "cholesky", True, "Cholesky factor"),
        ({"flops": 1e14}, "pcg", False, "no PEV: it takes 1.0e+14 operations and 1.91 MiB"),
        ({"size": 6 * 10**8, "flops": 1e12}, "pcg", False, "no PEV: it takes 1.0e+12 operations and 1.12 GiB"),
        ({"size": 6 * 10**8}, "cholesky", False, "no PEV"),
        ({"size": 10**10}, "pcg", False, "where 0.93 GiB may be used; ask for 'exact' to insist"),
        ({"method": "pcg"}, "pcg", False, "PCG asked for"),
        ({"method": "pcg", "pev": "exact"}, "pcg", True, "PCG asked for"),
        ({"method": "cholesky", "pev": "none", "flops": 1e15}, "cholesky", False, "Cholesky factor"),
    ],
)
def test_choice(arguments: dict[str, Any], method: str, pev: bool, reason: str) -> None:
    chosen = plan(**arguments)
    assert (chosen.method, chosen.pev) == (method, pev)
    assert any(reason in said for said in chosen.reasons), chosen.reasons
    wanted = 0 if method == "pcg" and not pev else (2 if pev else 1) * arguments.get("size", 10**6)
    assert chosen.bytes.get("factor", 0) == wanted


def test_what_was_asked_for_and_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ResourceError, match=r"a factor of 1,000 entries would take 9.31 GiB, and 0.93 GiB may be used -> solve by"
    ):
        plan("cholesky", size=10**10)
    with pytest.raises(ResourceError, match="a factor of 1,000 entries would take 1.12 GiB"):
        plan(pev="exact", size=6 * 10**8)


def test_without_an_ordering() -> None:
    chosen = choose_plan(100, 500, None, method="auto", pev="auto", budget=10**9)
    assert (chosen.method, chosen.pev, chosen.factor_nonzeros) == ("pcg", False, None)
    assert chosen.reasons == ("no factor considered: 100 equations; pev = 'exact' adds PEV",)
    asked = choose_plan(100, 500, None, method="pcg", pev="none", budget=10**9)
    assert asked.reasons == ("no factor considered: PCG asked for",)


def test_when_to_order() -> None:
    assert may_analyse("auto", "none", 100)
    assert not may_analyse("auto", "auto", EQUATIONS_ANALYSED + 1)
    assert may_analyse("auto", "exact", EQUATIONS_ANALYSED + 1)
    assert not may_analyse("pcg", "auto", 100)


def test_bytes_for_people() -> None:
    assert [gib(n) for n in (500, 200_000, 5 * 2**20, 3 * 2**30)] == ["0.5 KiB", "0.19 MiB", "5.00 MiB", "3.00 GiB"]
