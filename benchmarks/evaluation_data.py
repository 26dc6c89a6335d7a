"""The data of the evaluation benchmarks, and what each timed run on them reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psutil
from measure import peak_bytes

from breedblup.simulation import PedigreeOptions, RecordOptions, simulate_pedigree, simulate_records

RECORDS = RecordOptions(heritability=0.3)
TINY = 1000


def write_frames(folder: Path, population: PedigreeOptions) -> None:
    """Simulate a population, and a tiny one to warm up with, and write both as Parquet, all ids as text."""
    for size, options in (("full", population), ("tiny", PedigreeOptions(animals=TINY))):
        pedigree = simulate_pedigree(options)
        records = simulate_records(pedigree, RECORDS).to_frame()
        pedigree.to_frame().select("animal", "sire", "dam").write_parquet(folder / f"pedigree_{size}.parquet")
        columns = "animal", pl.col("contemporary_group").cast(pl.String), "y"
        records.select(*columns).write_parquet(folder / f"records_{size}.parquet")


def read_frames(folder: Path, size: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pedigree and records, ``full`` or ``tiny``."""
    return pl.read_parquet(folder / f"pedigree_{size}.parquet"), pl.read_parquet(folder / f"records_{size}.parquet")


@dataclass(frozen=True)
class Stopwatch:
    """Seconds by stage and by round, CPU seconds, memory; made when kernels are warm and the data frames are loaded."""

    seconds: dict[str, float] = field(default_factory=dict)
    rounds: list[float] = field(default_factory=list)
    resident: int = field(default_factory=lambda: psutil.Process().memory_info().rss)
    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def round(self) -> None:
        """Note the end of a round of the iteration."""
        self.rounds.append(time.perf_counter())

    def report(self, **facts: Any) -> dict[str, Any]:
        """All that was measured, with some facts beside it; to be called when the result is there."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        between = [later - earlier for earlier, later in zip(self.rounds, self.rounds[1:], strict=False)]
        return {
            "seconds": self.seconds,
            "total": wall,
            "cpu": cpu,
            "rounds": len(self.rounds),
            "round_seconds": median(between) if between else None,
            "resident": self.resident,
            "peak": peak_bytes(),
            **facts,
        }
