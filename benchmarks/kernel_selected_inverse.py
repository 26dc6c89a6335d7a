"""The selected inverse against the factorisation: ``python benchmarks/kernel_selected_inverse.py 1e5 3`` prints JSON.

A⁻¹ on the pattern of the equations, of every kind of model, each in a process of its own. The inverse costs twice the operations
of the factorisation where all is dense.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from evaluation_data import RECORDS
from floor import Floors
from measure import peak_bytes, run_in_child
from model_data import MODELS
from scipy.sparse import csr_array

import breedblup as bb
from breedblup.analysis.preparation import prepare
from breedblup.simulation import PedigreeOptions, simulate_pedigree, simulate_records
from breedblup.solvers.cholesky import CholeskyFactor, analyse
from breedblup.solvers.selected_inverse import panels_of, sweep

AIM = 2.5
NAMES = ("animal", *MODELS)
TITLES = {"animal": "Animal model"} | {name: case.title for name, case in MODELS.items()}
WARM = 2000
SETTLE = 0.1
"""Seconds before each measurement: BLAS threads wait spinning for some 30 ms and slow whatever comes next."""


def equations(name: str, animals: int) -> csr_array:
    """Left-hand side of a model on a simulated population."""
    population = simulate_pedigree(PedigreeOptions(animals=animals))
    if name == "animal":
        model = bb.Model.from_formula("y ~ 0 + contemporary_group + (1 | animal)")
        variances = bb.VarianceComponents({"animal": RECORDS.heritability}, residual=1.0 - RECORDS.heritability)
        records = simulate_records(population, RECORDS).to_frame()
        records = records.select("animal", pl.col("contemporary_group").cast(pl.String), "y")
    else:
        case = MODELS[name]
        model, variances, records = case.model, case.variances, case.simulate(population)
    pedigree = bb.Pedigree.from_frame(population.to_frame().select("animal", "sire", "dam"))
    options = bb.EvaluateOptions(method="pcg", pev="none", reduce=False)
    prepared = prepare(model, records, variances, {"animal": bb.a_inverse(pedigree)}, options=options)
    return prepared.pattern.equations(variances).lhs


def median_of(function: Callable[[], object], repeats: int) -> float:
    """Median wall time, memory touched for the first time included, as in a run that does it once."""
    seconds = []
    for _ in range(repeats):
        time.sleep(SETTLE)
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_model(name: str, animals: int, repeats: int) -> dict[str, float]:
    """Seconds, operations and bytes of one model."""
    warm = equations(name, WARM)
    analyse(warm).factorise(warm).inverse_on(warm)
    lhs = equations(name, animals)
    symbolic = analyse(lhs)
    before = peak_bytes()
    factor = symbolic.factorise(lhs)
    factor.inverse_on(lhs)
    peak = peak_bytes()
    return {
        "equations": lhs.shape[0],
        "factor_nonzeros": symbolic.nonzeros,
        "flops": symbolic.flops,
        "peak": peak,
        "before": before,
        "planned": symbolic.bytes_with_inverse,
        "factorise": median_of(lambda: symbolic.factorise(lhs), repeats),
        "inverse": median_of(lambda: factor.inverse_on(lhs), repeats),
        **_parts(factor, repeats),
    }


def _parts(factor: CholeskyFactor, repeats: int) -> dict[str, float]:
    """Medians of what the inverse consists of but for its last step, the entries that are asked for."""
    nodes, counts = factor.symbolic.supernodes, factor.symbolic._supernode_counts
    seconds: dict[str, list[float]] = {"export": [], "panels": [], "sweep": []}
    for _ in range(repeats):
        time.sleep(SETTLE)
        at = [time.perf_counter()]
        lower = factor._factor.L()
        at.append(time.perf_counter())
        panels = panels_of(lower, nodes)
        at.append(time.perf_counter())
        del lower
        sweep(counts, nodes, panels)
        at.append(time.perf_counter())
        for key, start, end in zip(seconds, at, at[1:], strict=False):
            seconds[key].append(end - start)
    return {key: statistics.median(values) for key, values in seconds.items()}


def measure(animals: int, repeats: int) -> dict[str, float]:
    """Every model, each in a process of its own; keys are model and figure."""
    found: dict[str, float] = {"animals": animals}
    for name in NAMES:
        run: dict[str, Any] = run_in_child(Path(__file__), str(animals), str(repeats), name)
        found |= {f"{name}.{key}": value for key, value in run.items()}
    return found


def rows(runs: list[dict[str, float]], floors: Floors) -> str:
    """Markdown: one line for each model and size, then how time and memory grow."""
    lines = [
        f"Aim: the inverse at most {AIM} times the factorisation. Operations of the inverse are counted as twice those "
        "of the factorisation; share of gemm is that of the sweep. Memory is that of the whole process beyond the equations.",
        "",
        "| model | animals | equations | nnz(L) | factorise, s | export L, s | panels, s | sweep, s | inverse, s | ratio | "
        "sweep, Gflop/s | share of gemm | peak, MB | planned, MB | verdict |",
        "| --- |" + " ---: |" * 13 + " --- |",
    ]
    for name in NAMES:
        for run in sorted(runs, key=lambda one: one["animals"]):
            figures = {key.removeprefix(f"{name}."): value for key, value in run.items()}
            rate = 2.0 * figures["flops"] / figures["sweep"]
            ratio = figures["inverse"] / figures["factorise"]
            lines.append(
                f"| {TITLES[name]} | {run['animals']:,.0f} | {figures['equations']:,.0f} | {figures['factor_nonzeros']:,.0f} | "
                + " | ".join(f"{figures[key]:.3g}" for key in ("factorise", "export", "panels", "sweep", "inverse"))
                + f" | {ratio:.2f} | {rate / 1e9:.1f} | {rate / floors.gemm:.2f} | "
                f"{(figures['peak'] - figures['before']) / 1e6:,.0f} | {figures['planned'] / 1e6:,.0f} | "
                f"{'pass' if ratio <= AIM else 'miss'} |"
            )
    return "\n".join([*lines, "", *_growth(runs)])


def _growth(runs: list[dict[str, float]]) -> list[str]:
    """Exponents between the smallest size and the largest."""
    if len(runs) < 2:
        return []
    small, large = (chosen(runs, key=lambda one: one["animals"]) for chosen in (min, max))
    span = math.log(large["animals"] / small["animals"])
    lines = [
        "Exponents of growth. The dense block that ends the elimination grows with the animals, so that operations grow by more "
        "than their number; inverse and factorisation grow alike.",
        "",
        "| model | nnz(L) | operations | factorise | inverse | planned bytes |",
        "| --- |" + " ---: |" * 5,
    ]
    for name in NAMES:
        keys = [f"{name}.{key}" for key in ("factor_nonzeros", "flops", "factorise", "inverse", "planned")]
        exponents = (math.log(large[key] / small[key]) / span for key in keys)
        lines.append(f"| {TITLES[name]} | " + " | ".join(f"{exponent:.2f}" for exponent in exponents) + " |")
    return lines


if __name__ == "__main__":
    size, times = int(float(sys.argv[1])), int(sys.argv[2])
    print(json.dumps(measure_model(sys.argv[3], size, times) if len(sys.argv) > 3 else measure(size, times)))
