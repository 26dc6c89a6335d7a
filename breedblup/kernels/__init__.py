"""Compiled loops: arrays in, arrays filled; no objects, no checks, no messages.

One policy for all of them, `kernel` and `parallel_kernel`: lazily compiled, cached on disk, free of the GIL, IEEE arithmetic
(missing values are NaN). Callers check; arrays arrive contiguous, codes as int32, values as float64. Where the cache cannot
be written (a read-only installation without a home) they are compiled anew in every process, and the log says so.
``NUMBA_DISABLE_JIT=1`` runs them as plain Python. Each kernel has an obvious slow twin in ``tests/reference.py``.

Threads that wait sleep (``OMP_WAIT_POLICY=passive``, unless the user has set it): where another process has a core, a thread that
spins takes it from the one that is waited for, and each meeting cost 8 ms; a round of PCG at 10⁵ animals 48 ms instead of 1.2.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when OpenMP is loaded, with the first parallel kernel

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _cache_is_possible() -> bool:
    """Whether numba finds one of the places that it tries, in its order: its variable, beside the source, the user's."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return _writable(Path(named))
    if _writable(Path(__file__).parent / "__pycache__"):
        return True
    home = os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache" if os.environ.get("HOME") else None)
    return home is not None and _writable(Path(home))


CACHED = _cache_is_possible()
if not CACHED:
    logging.getLogger("breedblup").warning(
        "no folder for compiled kernels can be written: they are compiled anew in this process; set NUMBA_CACHE_DIR"
    )


def kernel(function: _Function) -> _Function:
    """Compile a serial kernel."""
    return cast(_Function, numba.njit(cache=CACHED, nogil=True)(function))


def parallel_kernel(function: _Function) -> _Function:
    """Compile a kernel whose ``prange`` loops run on all of numba's threads; same bits for the same number of threads."""
    return cast(_Function, numba.njit(cache=CACHED, nogil=True, parallel=True)(function))
