"""A round of PCG against the stream of its bytes: ``python benchmarks/kernel_pcg.py 1e6 3``.

Two orders of one population: animals by birth, as simulated, and in random order (parents first where they have to be).
Each with all equations, and with those left when animals without progeny are eliminated, as PCG solves them by default.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from evaluation_data import RECORDS, TINY
from floor import Floors
from measure import VECTOR_PASSES, csr_bytes, median_seconds, peak_bytes

import breedblup as bb
from breedblup.analysis.system import System
from breedblup.simulation import PedigreeOptions, simulate_pedigree, simulate_records
from breedblup.solvers.locality import locality_order
from breedblup.solvers.operators import CsrOperator, LowerOperator, SymmetricOperator
from breedblup.solvers.pcg import solve_pcg
from breedblup.solvers.preconditioners import FixedAndBlocks

MODEL = bb.Model.from_formula("y ~ 0 + factor(contemporary_group) + (1 | animal)")
VARIANCES = bb.VarianceComponents({"animal": RECORDS.genetic_variance}, residual=RECORDS.residual_variance)
OPTIONS = bb.EvaluateOptions(method="pcg", pev="none")
COLUMNS = 8
ROUNDS = 25
PRODUCTS = 9
ORDERS = {"birth": "animals by birth", "random": "animals in random order"}
SOLVED = {"all": "all equations", "kept": "animals without progeny eliminated"}


def measure(animals: int, repeats: int) -> dict[str, float]:
    """Median seconds and counts by order and what is solved, and peak bytes of the process."""
    _measure_orders(TINY, 1)
    return _measure_orders(animals, repeats) | {"animals": float(animals), "peak": float(peak_bytes())}


def _measure_orders(animals: int, repeats: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for order in ORDERS:
        system = _system(animals, shuffled=order == "random")
        for solved, one in (("all", System(system.equations, None)), ("kept", system)):
            measured = _measure_system(one, repeats)
            found |= {f"{order} {solved} {name}": value for name, value in measured.items()}
        del system, one
    return found


def _system(animals: int, *, shuffled: bool) -> System:
    """Equations of the animal model, and those left after the elimination that PCG is planned with."""
    simulated = simulate_pedigree(PedigreeOptions(animals=animals))
    records = simulate_records(simulated, RECORDS).to_frame().select("animal", "contemporary_group", "y")
    frame = simulated.to_frame().select("animal", "sire", "dam")
    if shuffled:
        frame = frame.sample(fraction=1.0, shuffle=True, seed=3)
        records = records.sample(fraction=1.0, shuffle=True, seed=4)
    records = records.with_columns(pl.col("contemporary_group").cast(pl.String))
    pedigree = bb.Pedigree.from_frame(frame)
    prepared = bb.prepare(MODEL, records, VARIANCES, {"animal": bb.a_inverse(pedigree)}, options=OPTIONS)
    return System.of(prepared.pattern.equations(prepared.variances), prepared.reduction)


def _measure_system(system: System, repeats: int) -> dict[str, float]:
    """Products and rounds with both triangles as laid out, one triangle as laid out, and one in the order of locality."""
    lhs, fixed, blocks = system.lhs, system.factor_fixed(), system.blocks()
    cut = blocks[np.searchsorted(blocks, system.equations.layout.fixed_size) :]
    found = {"equations": float(lhs.shape[0]), "nonzeros": float(lhs.nnz)}
    found["order"] = _seconds(lambda: locality_order(lhs, cut), repeats)
    locality = locality_order(lhs, cut)
    found["triangle"] = _seconds(lambda: LowerOperator(lhs, locality), repeats)
    whole = CsrOperator(lhs)
    found |= _products("whole", whole, lhs.shape[0])
    found["whole round"] = _round_seconds(whole, system.rhs, FixedAndBlocks.of(lhs, blocks, fixed), repeats)
    found |= _products("given", LowerOperator(lhs), lhs.shape[0])
    ordered = system.in_locality_order()
    found |= _products("local", ordered.operator, lhs.shape[0])
    found["local round"] = _round_seconds(ordered.operator, ordered.rhs, ordered.preconditioner(fixed), repeats)
    return found


def _seconds(function: Callable[[], object], repeats: int) -> float:
    """Median wall time of calls in a row, kernels warm."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return median(taken)


def _products(name: str, operator: SymmetricOperator, size: int) -> dict[str, float]:
    """Seconds of a product with one vector, and with several."""
    x = np.random.default_rng(5).standard_normal((size, COLUMNS))
    one, out, several = x[:, 0].copy(), np.empty(size), np.empty_like(x)
    return {
        f"{name} product": median_seconds(lambda: operator.multiply(one, out), PRODUCTS),
        f"{name} products": median_seconds(lambda: operator.multiply(x, several), 3),
    }


def _round_seconds(operator: SymmetricOperator, rhs: np.ndarray, preconditioner: FixedAndBlocks, repeats: int) -> float:
    """Median seconds of a round, as PCG runs it."""
    between: list[float] = []
    for _ in range(repeats):
        ends: list[float] = []
        options = bb.PcgOptions(1e-300, "relative_residual", ROUNDS)
        solve_pcg(operator, rhs, preconditioner, options=options, monitor=lambda _: ends.append(time.perf_counter()))  # noqa: B023
        between += np.diff(ends).tolist()
    return median(between)


def rows(runs: Sequence[Mapping[str, Any]], floors: Floors) -> str:
    """Markdown: a table for each order of the animals and each way to solve, sizes as columns."""
    return "\n\n".join(_table(order, solved, runs, floors) for order in ORDERS for solved in SOLVED)


def _table(order: str, solved: str, runs: Sequence[Mapping[str, Any]], floors: Floors) -> str:
    lines = [
        f"**{ORDERS[order]}, {SOLVED[solved]}**\n",
        "| | " + " | ".join(f"{int(run['animals']):,} animals" for run in runs) + " |",
        "| --- |" + " ---: |" * len(runs),
    ]
    of = [{key.split(" ", 2)[2]: run[key] for key in run if key.startswith(f"{order} {solved} ")} for run in runs]
    cells = [_cells(one, floors) for one in of]
    lines += ["| " + " | ".join([name, *(one[name] for one in cells)]) + " |" for name in cells[0]]
    return "\n".join(lines)


def _cells(run: Mapping[str, float], floors: Floors) -> dict[str, str]:
    """What is shown of one run, by its heading."""
    n, nonzeros = int(run["equations"]), int(run["nonzeros"])
    both, one = csr_bytes(n, nonzeros), csr_bytes(n, (nonzeros + n) // 2)
    cells = {"equations": f"{n:,}", "non-zeros": f"{nonzeros:,}"}
    names = (
        ("both triangles", "whole", both),
        ("one triangle", "given", one),
        ("one triangle, locality", "local", one),
    )
    for words, name, stored in names:
        for many, label in ((1, "product"), (COLUMNS, "products")):
            seconds, floor = run[f"{name} {label}"], (stored + 16 * many * n) / floors.stream
            columns = "" if many == 1 else f", {many} vectors"
            cells[f"product{columns}: {words}, ms (÷ stream of its bytes)"] = (
                f"{1e3 * seconds:.3g} ({seconds / floor:.2f})"
            )
    for words, name, stored in (names[0], names[2]):
        seconds, floor = run[f"{name} round"], (stored + VECTOR_PASSES * 8 * n) / floors.stream
        cells[f"a round: {words}, ms (÷ stream of its bytes)"] = f"{1e3 * seconds:.3g} ({seconds / floor:.2f})"
    floor = (both + VECTOR_PASSES * 8 * n) / floors.stream
    cells["**a round, one triangle ÷ stream of both triangles and vectors**"] = f"{run['local round'] / floor:.2f}"
    made, saved = run["order"] + run["triangle"], run["whole round"] - run["local round"]
    cells["order of locality, s"] = f"{run['order']:.3g}"
    cells["triangle in that order, s"] = f"{run['triangle']:.3g}"
    cells["rounds after which both have paid"] = f"{made / saved:.0f}" if saved > 0 else "never"
    return cells


if __name__ == "__main__":
    print(json.dumps(measure(int(float(sys.argv[1])), int(sys.argv[2]))))
