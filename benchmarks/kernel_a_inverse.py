"""A⁻¹ in CSR, and products with A⁻¹ and A from the pedigree: ``python benchmarks/kernel_a_inverse.py 1e6 3``."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from floor import Floors
from measure import csr_bytes, hold_pages, peak_bytes
from numba import get_num_threads
from numpy.typing import NDArray

from breedblup.kernels import numerator_entries as by_entry
from breedblup.relationship.operator import PedigreeOperator, even_cuts, inverse_entries
from breedblup.simulation import PedigreeOptions, simulate_pedigree
from breedblup.solvers.operators import CsrOperator

WIDTHS = (1, 8)
TINY = 30_000
"""Animals of the pedigree that compiles the kernels: enough for all threads to be asked."""


def measure(animals: int, repeats: int) -> dict[str, float]:
    """Median seconds of each kernel, bytes that it has to move at least, and peak bytes of the process."""
    _run(TINY, 1)
    return _run(animals, repeats)


def _run(animals: int, repeats: int) -> dict[str, float]:
    simulated = simulate_pedigree(PedigreeOptions(animals=animals))
    sire, dam = simulated.sire, simulated.dam
    of = PedigreeOperator(sire, dam, 0.5 + 0.25 * ((sire < 0).astype(float) + (dam < 0)))  # F = 0: D without inbreeding
    links = int(np.count_nonzero(sire >= 0) + np.count_nonzero((dam >= 0) & (dam != sire)))
    run = {"animals": float(animals), "links": float(links), "work_bytes": float(28 * links + 8 * animals)}
    of.entries()
    run["peak_bytes"] = float(peak_bytes())
    run["fresh"] = _seconds(lambda: inverse_entries(of, get_num_threads()), repeats, 160 * animals)
    run |= _stages(of, repeats)
    twin = CsrOperator(of.entries())
    run["entries"] = float(twin.matrix.nnz)
    run["entries_bytes"] = float(csr_bytes(animals, twin.matrix.nnz))
    for width in WIDTHS:
        vectors = np.random.default_rng(1).standard_normal((animals, width))
        out = np.empty_like(vectors)
        run[f"inverse_{width}"] = _seconds(
            lambda vectors=vectors: of.multiply_inverse(vectors), repeats, 2 * out.nbytes
        )
        x, y = (vectors[:, 0], out[:, 0]) if width == 1 else (vectors, out)
        run[f"csr_{width}"] = _seconds(lambda x=x, y=y: twin.multiply(x, y), repeats)
        run[f"direct_{width}"] = _seconds(lambda vectors=vectors: of.multiply(vectors), repeats, 2 * out.nbytes)
        run[f"inverse_{width}_bytes"] = float(animals * (16 + 16 * width))
        run[f"direct_{width}_bytes"] = float(animals * (24 + 32 * width))
    return run


def _stages(of: PedigreeOperator, repeats: int) -> dict[str, float]:
    """Seconds of the stages of `inverse_entries` and of all of them, every array used again and again."""
    sire, dam, variance, rows, threads = of.sire, of.dam, of.variance, of.sire.size, get_num_threads()
    begins, mated, pointer = (np.zeros(rows + k, dtype=np.int32) for k in (2, 0, 1))
    windows = np.arange(threads + 1) * rows // threads
    longest = by_entry.offspring_counts(sire, dam, windows, begins)
    links = int(begins[-1])
    cuts, lists = even_cuts(begins[1:], threads), begins[:-1]
    records, mates, shares = np.zeros(2 * links, np.int64), np.zeros(links, np.int32), np.zeros(links)
    held: list[NDArray[np.generic]] = []

    def listing() -> None:
        by_entry.offspring_counts(sire, dam, windows, begins)
        by_entry.offspring_records(sire, dam, variance, cuts, begins, records)

    def merging() -> None:
        shared = even_cuts(lists, threads)
        by_entry.merge_mates(sire, dam, lists, records, longest, shared, mates, shares, mated, pointer[1:])
        np.cumsum(pointer, out=pointer)

    def filling() -> None:
        if not held:
            held.extend((np.zeros(pointer[-1], dtype=np.int32), np.zeros(pointer[-1])))
        shared = even_cuts(pointer, threads)
        by_entry.fill_rows(sire, dam, variance, lists, records, mates, shares, mated, shared, pointer, *held)

    found: dict[str, list[float]] = {"listing": [], "merging": [], "filling": []}
    for _ in range(repeats + 1):
        pointer[0] = 0
        for name, stage in (("listing", listing), ("merging", merging), ("filling", filling)):
            start = time.perf_counter()
            stage()
            found[name].append(time.perf_counter() - start)
    seconds = {name: median(times[1:]) for name, times in found.items()}
    return {**seconds, "warm": sum(seconds.values())}


def _seconds(function: Callable[[], object], repeats: int, touched: int = 0) -> float:
    """Median of several calls, each with ``touched`` bytes of memory at hand."""
    function()
    seconds = []
    for _ in range(repeats):
        hold_pages(touched)
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def rows(runs: Sequence[dict[str, float]], floors: Floors) -> str:
    """Markdown table: a line for each figure, a column for each size, the last one growth from the first size to the last."""
    lines: list[tuple[str, list[float]]] = [
        ("A⁻¹ as CSR, s", [run["fresh"] for run in runs]),
        ("… ÷ first touch of the result (aim 5)", _over(runs, "fresh", "entries_bytes", floors.first_touch)),
        ("… arrays reused, s", [run["warm"] for run in runs]),
        ("… ÷ first touch of the result", _over(runs, "warm", "entries_bytes", floors.first_touch)),
        ("… of it: lists of offspring, s", [run["listing"] for run in runs]),
        ("… of it: mates sorted and counted, s", [run["merging"] for run in runs]),
        ("… of it: rows filled, s", [run["filling"] for run in runs]),
    ]
    for width in WIDTHS:
        name = "A⁻¹v" if width == 1 else f"A⁻¹V, {width} vectors"
        lines += [
            (f"{name} from the pedigree, s", [run[f"inverse_{width}"] for run in runs]),
            ("… ÷ stream (aim 2.5)", _over(runs, f"inverse_{width}", f"inverse_{width}_bytes", floors.stream)),
            ("… ÷ random reads, two a known parent", [_over_reads(run, width, floors) for run in runs]),
            ("… ÷ CSR twin (aim 1)", [run[f"inverse_{width}"] / run[f"csr_{width}"] for run in runs]),
            (f"{name.replace('⁻¹', '')} from the pedigree, s", [run[f"direct_{width}"] for run in runs]),
            ("… ÷ stream", _over(runs, f"direct_{width}", f"direct_{width}_bytes", floors.stream)),
        ]
    lines += [
        ("bytes of A⁻¹ an animal", [run["entries_bytes"] / run["animals"] for run in runs]),
        ("bytes of its making beside it", [run["work_bytes"] / run["animals"] for run in runs]),
        ("peak of the process with A⁻¹ made, simulation included, MB", [run["peak_bytes"] / 1e6 for run in runs]),
    ]
    heads = " | ".join(f"{run['animals']:,.0f} animals" for run in runs)
    text = [f"| | {heads} | growth |", f"| --- |{' ---: |' * (len(runs) + 1)}"]
    for label, values in lines:
        grown = f"{_exponent(runs, values):.2f}" if label.endswith(", s") and len(runs) > 1 else ""
        text.append(f"| {label} | {' | '.join(f'{value:.3g}' for value in values)} | {grown} |")
    return "\n".join(text) + "\n"


def _over(runs: Sequence[dict[str, float]], seconds: str, moved: str, rate: float) -> list[float]:
    """Times of the floor."""
    return [run[seconds] * rate / run[moved] for run in runs]


def _over_reads(run: dict[str, float], width: int, floors: Floors) -> float:
    """Times of as many random reads as there are numbers read and added to at parents; those of one row stand together."""
    return run[f"inverse_{width}"] * floors.gather_random / (2 * run["links"])


def _exponent(runs: Sequence[dict[str, float]], values: Sequence[float]) -> float:
    """Of the growth with the number of animals."""
    return math.log(values[-1] / values[0]) / math.log(runs[-1]["animals"] / runs[0]["animals"])


if __name__ == "__main__":
    print(json.dumps(measure(int(float(sys.argv[1])), int(sys.argv[2]))))
