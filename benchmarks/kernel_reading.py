"""A pedigree with text ids, read and coded, against polars reading it: ``python benchmarks/kernel_reading.py 1e6 3``.

A CSV file of id, sire, dam, sex and birth date, in the order of birth and in random order. Each order is measured in a process of
its own, in which polars and breedblup take turns; the first reading by breedblup is not timed and shows the memory.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import psutil
from floor import Floors
from measure import peak_bytes, run_in_child

import breedblup as bb
from breedblup.io.cells import plain_cells
from breedblup.kernels.pedigree import rearrange
from breedblup.pedigree import checks
from breedblup.pedigree.coding import code_columns
from breedblup.simulation import PedigreeOptions, simulate_pedigree
from breedblup.simulation.pedigrees import text_ids

COLUMNS = ("id", "sire", "dam", "sex", "birth_date")
ORDERS = {"birth": "by birth", "random": "random"}
TINY = 1000
DAYS = 365
NAMED_STAGES = {
    "cells": "read and cut into cells",
    "coding": "the same and coded, in two threads",
    "checks": "checks",
    "order": "order",
    "gather": "gather",
}


def measure(animals: int, repeats: int) -> dict[str, float]:
    """Medians of seconds, bytes and seconds by stage, by order of the rows."""
    found = {"animals": float(animals)}
    with TemporaryDirectory() as folder:
        write_files(Path(folder), animals)
        for order in ORDERS:
            arguments = (str(Path(folder) / f"{order}.csv"), str(Path(folder) / "tiny.csv"), str(repeats))
            found |= {f"{order} {name}": value for name, value in run_in_child(__file__, *arguments).items()}
    return found | {"peak": max(found[f"{order} peak"] for order in ORDERS)}


def write_files(folder: Path, animals: int) -> None:
    """The population in both orders, and a tiny one to warm up with."""
    random = np.random.default_rng(3)
    for size, names in ((TINY, ("tiny",)), (animals, tuple(ORDERS))):
        population = simulate_pedigree(PedigreeOptions(animals=size))
        days = (population.birth_year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
        ids = (np.arange(size, dtype=np.int32), population.sire, population.dam)
        table = pl.DataFrame(
            {
                **{name: text_ids(rows, 10**9, "DE") for name, rows in zip(COLUMNS, ids, strict=False)},
                "sex": pl.Series(population.sex).replace_strict({1: "M", 2: "F"}, return_dtype=pl.String),
                "birth_date": pl.Series(days + random.integers(DAYS, size=size)),
            }
        )
        for name in names:
            (table[random.permutation(size)] if name == "random" else table).write_csv(folder / f"{name}.csv")


def measure_file(path: Path, tiny: Path, repeats: int) -> dict[str, float]:
    """Seconds of polars, of breedblup and of its stages, and its bytes: to be called once in a process."""
    bb.read_pedigree(tiny)
    resident = psutil.Process().memory_info().rss
    pedigree = bb.read_pedigree(path)
    found = {
        "grown": float(peak_bytes() - resident),
        "ids": float(pedigree.ids.estimated_size()),
        "file": float(path.stat().st_size),
    }
    seconds: dict[str, list[float]] = {}
    works = {
        "polars": lambda: read_with_polars(path),
        "breedblup": lambda: bb.read_pedigree(path),
        **stages(path, pedigree),
    }
    for _ in range(repeats):
        for name, work in works.items():
            seconds.setdefault(name, []).append(_seconds(work))
    return found | {name: median(times) for name, times in seconds.items()} | {"peak": float(peak_bytes())}


def read_with_polars(path: Path) -> pl.DataFrame:
    """What is compared with: the same columns as text, unchecked."""
    return pl.read_csv(path, columns=list(COLUMNS), infer_schema=False)


def stages(path: Path, pedigree: bb.Pedigree) -> dict[str, Callable[[], object]]:
    """The work of each stage by itself."""
    order = pedigree.user_order
    rows = np.empty_like(order)
    rows[order] = np.arange(order.size, dtype=np.int32)
    beyond = np.append(rows, np.int32(-1))  # the last for an unknown parent, -1
    parents = (beyond[pedigree.sire[order]], beyond[pedigree.dam[order]])
    sex, birth = (None if pedigree.sex is None else pedigree.sex[order]), pedigree.birth
    ids, born = pedigree.ids.gather(order), None if birth is None else birth.gather(order)
    new_parents = (np.empty_like(order), np.empty_like(order))

    def all_cells() -> None:
        for _ in plain_cells(path).blocks(COLUMNS):
            pass

    def gather() -> None:
        rearrange(*parents, rows, order, *new_parents)
        ids.gather(rows)

    return {
        "cells": all_cells,
        "coding": lambda: code_columns(plain_cells(path), COLUMNS[:3], COLUMNS[3:], ("0", "NA", ".")),
        "checks": lambda: checks.screen(parents, sex, born),
        "order": lambda: checks.loops_and_order(ids, parents, str),
        "gather": gather,
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rows(runs: Sequence[Mapping[str, Any]], floors: Floors) -> str:
    """Markdown: seconds and bytes by number of animals and order of the rows, stages, growth."""
    lines = [
        "| animals | rows | polars, s | read, check, code, s | ratio | bytes an animal beside its id | stream of the file, s |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        for order, named in ORDERS.items():
            own, polars = run[f"{order} breedblup"], run[f"{order} polars"]
            bytes_each = (run[f"{order} grown"] - run[f"{order} ids"]) / run["animals"]
            lines.append(
                f"| {run['animals']:,.0f} | {named} | {polars:.3f} | {own:.3f} | {own / polars:.2f} | {bytes_each:.0f} | "
                f"{run[f'{order} file'] / floors.stream:.4f} |"
            )
    lines += ["", f"| animals | rows | {' | '.join(f'{name}, s' for name in NAMED_STAGES.values())} |"]
    lines.append(f"| ---: | --- | {' | '.join('---:' for _ in NAMED_STAGES)} |")
    for run in runs:
        for order, named in ORDERS.items():
            spent = " | ".join(f"{run[f'{order} {name}']:.3f}" for name in NAMED_STAGES)
            lines.append(f"| {run['animals']:,.0f} | {named} | {spent} |")
    lines += [
        "",
        "Order and gather are needed only where a parent stands behind its offspring: not by birth.",
        *_growth(runs),
    ]
    return "\n".join(lines)


def _growth(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Exponents of seconds and bytes from the smallest to the largest run."""
    first, last = min(runs, key=lambda run: run["animals"]), max(runs, key=lambda run: run["animals"])
    if first["animals"] == last["animals"]:
        return []
    span = math.log(last["animals"] / first["animals"])
    parts = [
        f"{named} {math.log(last[f'{order} breedblup'] / first[f'{order} breedblup']) / span:.2f} (time), "
        f"{math.log(last[f'{order} grown'] / first[f'{order} grown']) / span:.2f} (memory)"
        for order, named in ORDERS.items()
    ]
    return [f"Growth from {first['animals']:,.0f} animals: {'; '.join(parts)}."]


if __name__ == "__main__":
    if Path(sys.argv[1]).suffix == ".csv":
        print(json.dumps(measure_file(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        print(json.dumps(measure(int(float(sys.argv[1])), int(sys.argv[2]))))
