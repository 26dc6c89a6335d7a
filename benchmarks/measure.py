"""Time and memory, measured the same way by every benchmark."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Measured = Mapping[str, Any]
"""What one run reports."""

VECTOR_PASSES = 13
"""Vectors that a round of PCG moves where it fuses all it can: p, q | p, q, x, r, M and x, r | r, M, p and p."""


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median wall time of several calls, after one that is not counted (compilation, first touch)."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def hold_pages(size: int) -> None:
    """Touch and free ``size`` bytes, so that what is timed next finds pages that the system holds.

    A virtual machine fetches pages that nobody touched for seconds from its host: 0.9 GB/s was seen where pages at hand are
    cleared at 20. Which of the two a program meets depends on what ran before it; floors are measured with pages at hand.
    """
    np.ones(size // 8)


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    ``ru_maxrss`` of a child starts from its parent's size (Linux keeps it across exec), so VmHWM comes first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_in_child(script: str | Path, *arguments: str) -> Any:
    """Run a script in a fresh Python, whose peak memory is its own; give the JSON in its last line of output."""
    command = [sys.executable, str(script), *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    return json.loads(output.splitlines()[-1])


def typical_run(runs: Sequence[Measured]) -> Measured:
    """The run whose total is the median, whole, so that its stages add up."""
    middle: float = statistics.median_low(run["total"] for run in runs)
    return next(run for run in runs if run["total"] == middle)


def csr_bytes(rows: int, nonzeros: int) -> int:
    """Of values, columns and pointer."""
    return 12 * nonzeros + 4 * (rows + 1)


def round_bytes(run: Measured) -> int:
    """What a round of PCG has to move: the equations and its vectors."""
    return csr_bytes(run["equations"], run["nonzeros"]) + VECTOR_PASSES * 8 * run["equations"]
