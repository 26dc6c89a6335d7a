"""What this machine can do at best, measured in the run that is compared with it: ``python benchmarks/floor.py``.

A benchmark divides its own bytes or operations per second by the floor of the same kind. All on two threads (one where
there is but one), medians of repeats, arrays of 128 MiB: far beyond cache.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numba
import numpy as np
import psutil
import scipy
from measure import median_seconds
from numba import prange
from numpy.typing import NDArray
from scipy.linalg import blas
from threadpoolctl import threadpool_info, threadpool_limits

from breedblup.kernels import parallel_kernel

Vector = NDArray[np.float64]

THREADS = 2
ELEMENTS = 2**24
MATRIX = 2000
NEAR = 64
"""How far a near-sequential gather strays, in elements."""


@dataclass(frozen=True, slots=True)
class Floors:
    """Rates per second.

    Attributes
    ----------
    stream
        Bytes moved by the triad a = b + s·c in float64: two read, one written (the read for ownership is not counted).
    first_touch
        Bytes written to memory fresh from the operating system, page faults included.
    gather_random, gather_near
        Elements of y[i] = x[index[i]], float64 by int32; the index a random permutation, or i ± up to 64.
    gemm
        Operations of C = AB in float64, n = 2000 (2n³).
    syrk64, syrk32
        Operations of one triangle of C = AA', n = 2000, in float64 and float32 (n³).
    """

    stream: float
    first_touch: float
    gather_random: float
    gather_near: float
    gemm: float
    syrk64: float
    syrk32: float


UNITS = {
    "stream": (1e9, "GB/s"),
    "first_touch": (1e9, "GB/s"),
    "gather_random": (1e6, "million elements/s"),
    "gather_near": (1e6, "million elements/s"),
    "gemm": (1e9, "Gflop/s"),
    "syrk64": (1e9, "Gflop/s"),
    "syrk32": (1e9, "Gflop/s"),
}


@parallel_kernel
def triad(a: Vector, b: Vector, c: Vector, s: float) -> None:
    """a = b + s c."""
    for i in prange(a.size):
        a[i] = b[i] + s * c[i]


@parallel_kernel
def fill(a: Vector, value: float) -> None:
    """a = value."""
    for i in prange(a.size):
        a[i] = value


@parallel_kernel
def gather(y: Vector, x: Vector, index: NDArray[np.int32]) -> None:
    """y = x[index]."""
    for i in prange(y.size):
        y[i] = x[index[i]]


def measure_floors(repeats: int = 5) -> Floors:
    """Measure every floor; some ten seconds."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(THREADS, before))
    try:
        with threadpool_limits(THREADS, user_api="blas"):
            return Floors(
                stream=_stream(repeats),
                first_touch=_first_touch(repeats),
                gather_random=_gather(np.random.default_rng(1).permutation(ELEMENTS).astype(np.int32), repeats),
                gather_near=_gather(_near_sequential(), repeats),
                gemm=_gemm(repeats),
                syrk64=_syrk(np.float64, repeats),
                syrk32=_syrk(np.float32, repeats),
            )
    finally:
        numba.set_num_threads(before)


def _stream(repeats: int) -> float:
    a, b, c = (np.full(ELEMENTS, float(k)) for k in range(3))
    return 3 * a.nbytes / median_seconds(lambda: triad(a, b, c, 3.0), repeats)


def _first_touch(repeats: int) -> float:
    return 8 * ELEMENTS / median_seconds(lambda: fill(np.empty(ELEMENTS), 1.0), repeats)


def _near_sequential() -> NDArray[np.int32]:
    index = np.arange(ELEMENTS) + np.random.default_rng(2).integers(-NEAR, NEAR, ELEMENTS, endpoint=True)
    near: NDArray[np.int32] = np.clip(index, 0, ELEMENTS - 1).astype(np.int32)
    return near


def _gather(index: NDArray[np.int32], repeats: int) -> float:
    x, y = np.ones(index.size), np.zeros(index.size)
    return index.size / median_seconds(lambda: gather(y, x, index), repeats)


def _gemm(repeats: int) -> float:
    a = np.random.default_rng(3).random((MATRIX, MATRIX))
    return 2 * MATRIX**3 / median_seconds(lambda: a @ a, repeats)


def _syrk(dtype: type[np.float64] | type[np.float32], repeats: int) -> float:
    a = np.asfortranarray(np.random.default_rng(4).random((MATRIX, MATRIX)), dtype=dtype)
    syrk = blas.dsyrk if dtype is np.float64 else blas.ssyrk
    return MATRIX**3 / median_seconds(lambda: syrk(1.0, a), repeats)


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, and the versions that decide about speed."""
    pools = {f"{pool['internal_api']} {pool['version']} ({Path(pool['filepath']).name})" for pool in threadpool_info()}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "thread pools": "; ".join(sorted(pools)),
    }


def _processor() -> str:
    """Name of the processor as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_and_floors(floors: Floors) -> str:
    """Tables of the machine and of its floors, as every result has them."""
    machine = "\n".join(f"| {key} | {value} |" for key, value in describe_machine().items())
    return f"""| machine | |
| --- | --- |
{machine}

Floors, measured in the same run:

```
{floor_table(floors)}
```"""


def floor_table(floors: Floors) -> str:
    """One line per floor, in its unit."""
    lines = []
    for field in fields(floors):
        scale, unit = UNITS[field.name]
        lines.append(f"{field.name:<14} {getattr(floors, field.name) / scale:10.1f}  {unit}")
    return "\n".join(lines)


if __name__ == "__main__":
    measured = measure_floors()
    for key, value in describe_machine().items():
        print(f"{key:<14} {value}")
    print(floor_table(measured))
