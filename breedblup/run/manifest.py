"""The record of a run, `run.json`: what was read, what was asked for, what came of it, on what machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from breedblup.errors import InputError, name_some

_PACKAGES = ("breedblup", "numpy", "scipy", "numba", "scikit-sparse", "polars", "pydantic")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A file by its content."""

    path: str
    bytes: int
    sha256: str


class StageMeter:
    """Seconds of each stage of a run, and the peak memory of the process up to its end; a stage ends the last one."""

    def __init__(self) -> None:
        self._ended: list[dict[str, Any]] = []
        self._running: tuple[str, float] | None = None

    def begin(self, name: str) -> None:
        """End the stage that is running, and begin another."""
        self.end()
        self._running = (name, time.perf_counter())

    def end(self) -> None:
        """End the stage that is running."""
        if self._running is not None:
            name, start = self._running
            seconds = round(time.perf_counter() - start, 6)
            self._ended.append({"stage": name, "seconds": seconds, "peak_memory_bytes_so_far": peak_memory()})
            self._running = None

    def stages(self) -> tuple[dict[str, Any], ...]:
        """Every stage that has ended."""
        return tuple(self._ended)


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def fingerprint(path: Path) -> Fingerprint:
    """Size and checksum of a file; one that is missing is refused by whoever reads it, and is empty here."""
    if not path.is_file():
        return Fingerprint(str(path.absolute()), 0, "")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Fingerprint(str(path.absolute()), path.stat().st_size, digest)


def fingerprints(files: Mapping[str, Path]) -> dict[str, Fingerprint]:
    """Fingerprint of each file by its role; a file of several roles is read once."""
    marks = {path: fingerprint(path) for path in dict.fromkeys(files.values())}
    return {role: marks[path] for role, path in files.items()}


def refuse_changed(before: Mapping[str, Fingerprint], after: Mapping[str, Fingerprint]) -> None:
    """Refuse results whose inputs are no longer those that the run began with."""
    changed = [Path(mark.path).name for role, mark in before.items() if after[role] != mark]
    if changed:
        raise InputError(
            f"{name_some(changed)}: changed while the evaluation ran; nothing is published; run it again when the "
            "inputs are complete"
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
    }


def _processor() -> str:
    """Name of the processor as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_manifest(path: Path, content: Mapping[str, Any]) -> None:
    """Write the record as JSON; numbers that are not finite become null."""
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")  # paths of another locale


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if value is None or isinstance(value, str | int):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)
