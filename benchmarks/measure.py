"""Time and memory, measured the same way by every benchmark."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median wall time of several calls, after one that is not counted (compilation, first touch)."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


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
