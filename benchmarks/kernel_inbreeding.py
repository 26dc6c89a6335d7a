"""Inbreeding by families of sires beside Meuwissen & Luo (1992): ``python benchmarks/kernel_inbreeding.py 1e6 3 20``."""

from __future__ import annotations

import json
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numba
import numpy as np
import psutil
from floor import Floors
from numpy.typing import NDArray

from breedblup.kernels import kernel
from breedblup.kernels.inbreeding import NO_CLASSES, half_relationship_of_parents
from breedblup.simulation import PedigreeOptions, simulate_pedigree

Positions = NDArray[np.int32]
Vector = NDArray[np.float64]

YEARS = 20
TINY = 2000
THREADS = 2
PATIENCE = 180.0
"""Seconds beyond which the peer is not run: predicted from every hundredth of the animals."""
EACH = 100


@kernel
def meuwissen_luo(sire: Positions, dam: Positions, variance: Vector, first: int, step: int, f: Vector) -> None:
    """F of every ``step``-th animal from ``first`` on, each traced by itself (Meuwissen & Luo 1992).

    Ancestors are collected, sorted, and left youngest first, so that each is left once what it passes on is whole. Their linked
    list takes as long where animals have few ancestors, and four times as long where they have hundreds. Animals with
    the parents of the one before are not traced again. ``variance`` is D; all animals in turn fill it.
    """
    share = np.zeros(sire.size)
    mark = np.full(sire.size, -1, dtype=np.int32)
    listed = np.empty(sire.size, dtype=np.int32)
    for i in range(first, sire.size, step):
        s, d = sire[i], dam[i]
        if step == 1:
            variance[i] = 0.5 - 0.25 * ((f[s] if s >= 0 else -1.0) + (f[d] if d >= 0 else -1.0))
        f[i] = 0.0
        if s < 0 or d < 0:
            continue
        if step == 1 and sire[i - 1] == s and dam[i - 1] == d:
            f[i] = f[i - 1]
            continue
        listed[0] = i
        count, k = 1, 0
        while k < count:
            for parent in (sire[listed[k]], dam[listed[k]]):
                if parent >= 0 and mark[parent] != i:
                    mark[parent] = i
                    listed[count] = parent
                    count += 1
            k += 1
        listed[:count].sort()
        share[i] = 1.0
        total = -1.0
        for k in range(count - 1, -1, -1):
            j = listed[k]
            for parent in (sire[j], dam[j]):
                if parent >= 0:
                    share[parent] += 0.5 * share[j]
            total += share[j] * share[j] * variance[j]
            share[j] = 0.0
        f[i] = total


def own(sire: Positions, dam: Positions) -> Vector:
    """F by the package."""
    f = np.zeros(sire.size)
    half_relationship_of_parents(sire, dam, NO_CLASSES, f, f, 0)
    return f


def seconds_of(function: Callable[[], object], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    """Median time; that of the processor, unless told otherwise, for what runs on one thread."""
    seconds = []
    for _ in range(repeats):
        start = clock()
        function()
        seconds.append(clock() - start)
    return statistics.median(seconds)


def largest_growth(function: Callable[[], object]) -> int:
    """Bytes by which resident memory grows while a function runs, looked at every millisecond."""
    process = psutil.Process()
    before = process.memory_info().rss
    seen = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return int(max(seen) - before)


def measure(animals: int, repeats: int, years: int = YEARS) -> dict[str, float]:
    """Seconds and bytes of working memory, beside sire, dam and F, for a simulated population.

    ``seconds`` is wall time on two threads, ``seconds_one_thread`` and ``peer_seconds`` are processor time on one.

    The peer is timed in full where a sample of its animals says that it takes no longer than `PATIENCE`; otherwise its
    seconds are those predicted, and ``peer_predicted`` is 1.
    """
    for size in (TINY, animals):
        made = simulate_pedigree(PedigreeOptions(animals=size, years=years))
        sire, dam = np.array(made.sire), np.array(made.dam)
        if size == TINY:
            own(sire, dam)
            _peer_seconds(sire, dam, own(sire, dam))
    growth = largest_growth(lambda: own(sire, dam))
    seconds = {}
    before = numba.get_num_threads()
    for threads, clock in ((THREADS, time.perf_counter), (1, time.process_time)):
        numba.set_num_threads(min(threads, before))
        seconds[threads] = seconds_of(lambda: own(sire, dam), repeats, clock)
    numba.set_num_threads(before)
    f = own(sire, dam)
    peer, predicted = _peer_seconds(sire, dam, f)
    return {
        "animals": float(animals),
        "years": float(years),
        "sires": float(np.unique(sire[sire >= 0]).size),
        "offspring": float(np.count_nonzero((sire >= 0) & (dam >= 0))),
        "mean_inbreeding": float(f.mean()),
        "seconds": seconds[THREADS],
        "seconds_one_thread": seconds[1],
        "working_bytes": float(growth - f.nbytes),
        "peer_seconds": peer,
        "peer_predicted": float(predicted),
    }


def _peer_seconds(sire: Positions, dam: Positions, f: Vector) -> tuple[float, bool]:
    """Wall time of the peer, whose F have to be ours; the time that every hundredth animal predicts if that is too long."""
    known = np.append(f, -1.0)
    variance = 0.5 - 0.25 * (known[sire] + known[dam])
    found = f.copy()
    predicted = EACH * seconds_of(lambda: meuwissen_luo(sire, dam, variance, EACH // 2, EACH, found), 1)
    np.testing.assert_allclose(found, f, atol=1e-12)
    if predicted > PATIENCE:
        return predicted, True
    seconds = seconds_of(lambda: meuwissen_luo(sire, dam, variance, 0, 1, found), 1)
    np.testing.assert_allclose(found, f, atol=1e-12)
    return seconds, False


def rows(runs: Sequence[Mapping[str, Any]], floors: Floors) -> str:
    """Table over sizes and depths; exponents are those of growth from the smallest to the largest size of a depth."""
    lines = [
        "| animals | years | sires | seconds | one thread | Meuwissen & Luo | ÷ seconds | ÷ one thread "
        "| bytes an animal | ns an offspring | in random reads |",
        "| ---: " * 11 + "|",
    ]
    for run in runs:
        each = run["seconds"] / run["offspring"]
        mark = " (predicted)" if run["peer_predicted"] else ""
        lines.append(
            f"| {run['animals']:,.0f} | {run['years']:.0f} | {run['sires']:,.0f} | {run['seconds']:.3f} "
            f"| {run['seconds_one_thread']:.3f} | {run['peer_seconds']:.2f}{mark} "
            f"| {run['peer_seconds'] / run['seconds']:.1f} | {run['peer_seconds'] / run['seconds_one_thread']:.1f} "
            f"| {run['working_bytes'] / run['animals']:.0f} "
            f"| {1e9 * each:.0f} | {each * floors.gather_random:.0f} |"
        )
    for years in sorted({run["years"] for run in runs}):
        same = sorted((run for run in runs if run["years"] == years), key=lambda run: run["animals"])
        if len(same) > 1:
            few, many = same[0], same[-1]
            larger = math.log(many["animals"] / few["animals"])
            time_, memory = (math.log(many[key] / few[key]) / larger for key in ("seconds", "working_bytes"))
            lines.append(f"\n{years:.0f} years: time grows with animals to the power {time_:.2f}, memory {memory:.2f}.")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(measure(*(int(float(argument)) for argument in sys.argv[1:]))))
