"""Relationships on demand and added animals: seconds of each question, ``python benchmarks/kernel_relatives.py 1e6 3``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from floor import Floors
from measure import csr_bytes, peak_bytes

from breedblup.pedigree import Pedigree
from breedblup.relationship import a_inverse
from breedblup.relationship.added import extend_inverse
from breedblup.relationship.ancestry import ancestry_of
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.matings import mating_inbreeding
from breedblup.relationship.on_demand import a22, closest_relatives, mean_relationships
from breedblup.relationship.partial_inbreeding import partial_inbreeding_coefficients
from breedblup.simulation import PedigreeOptions, simulate_pedigree

NAMED = 1000
SIRES, DAMS = 50, 100
YEARS = 8
ADDED = 100
COLUMN_BYTES = 56
"""An animal, of A times a vector: parents and vector read and the vector written on the way up and down, D on the way down."""

QUESTIONS = {
    "column": "largest relationships of an animal (one product A v, and the choice)",
    "a22": f"A₂₂ of {NAMED:,} young animals",
    "a22_inverse": f"A₂₂⁻¹ of {NAMED:,} young animals: blocks and factor",
    "a22_product": "A₂₂⁻¹v",
    "matings": f"F of {SIRES * DAMS:,} planned matings, {SIRES} sires with {DAMS} dams each",
    "means": f"mean relationships within and between {YEARS} years of birth",
    "partial": "F of the most inbred animal by founders",
    "extended": "1 % of animals added: checked, F",
    "extended_inverse": "1 % of animals added: D, log|A|, A⁻¹ in CSR",
    "full": "all read anew: checked, F",
    "full_inverse": "all read anew: D, log|A|, A⁻¹ in CSR",
}


def measure(animals: int, repeats: int) -> dict[str, float]:
    """Median seconds of each question by its name in `QUESTIONS`, sizes, and peak bytes of the process."""
    _ask(2000, 1)
    return _ask(animals, repeats)


def _ask(animals: int, repeats: int) -> dict[str, float]:
    simulated = simulate_pedigree(PedigreeOptions(animals=animals))
    frame = simulated.to_frame().select("animal", "sire", "dam")
    before = animals - max(1, animals // ADDED)
    old, pedigree = (Pedigree.from_frame(frame.head(size)) for size in (before, animals))
    inbreeding, made = pedigree.inbreeding, (old.inbreeding, a_inverse(old))
    made[1].matrix  # noqa: B018  built, so that it is extended
    years = simulated.birth_year
    rng = np.random.default_rng(4)
    young = np.flatnonzero(years == years.max())
    named = pedigree.ids.gather(rng.permutation(young)[: min(NAMED, young.size)])
    by_inverse = a22_inverse(pedigree, named)
    vector = rng.standard_normal(len(named))
    recent = np.flatnonzero(years > years.max() - YEARS)
    groups = pl.DataFrame({"id": pedigree.ids.gather(recent), "group": years[recent].astype(str)})
    questions: dict[str, Callable[[], Any]] = {
        "column": lambda: closest_relatives(pedigree, named[0]),
        "a22": lambda: a22(pedigree, named),
        "a22_inverse": lambda: a22_inverse(pedigree, named),
        "a22_product": lambda: by_inverse.multiply_inverse(vector),
        "matings": lambda: mating_inbreeding(pedigree, matings),
        "means": lambda: mean_relationships(pedigree, groups),
        "partial": lambda: partial_inbreeding_coefficients(pedigree, pedigree.ids.gather([int(inbreeding.argmax())])),
        "extended": lambda: old.extended(frame.tail(animals - before)).inbreeding,
        "extended_inverse": lambda: extend_inverse(made[1], extended).matrix,
        "full": lambda: Pedigree.from_frame(frame).inbreeding,
        "full_inverse": lambda: a_inverse(pedigree).matrix,
    }
    extended = old.extended(frame.tail(animals - before))
    pairs = [rng.permutation(young)[: SIRES * DAMS] for _ in range(2)]
    matings = pl.DataFrame(
        {
            "sire": pedigree.ids.gather(np.resize(pairs[0][:SIRES], SIRES * DAMS)),
            "dam": pedigree.ids.gather(np.resize(pairs[1], SIRES * DAMS)),
        }
    )
    sizes = {
        "animals": float(animals),
        "ancestors": float(ancestry_of(pedigree, pedigree.positions_of(named)).rows.size),
        "entries": float(extend_inverse(made[1], extended).matrix.nnz),
        "column_bytes": float(COLUMN_BYTES * animals),
    }
    seconds = {name: _median_seconds(question, repeats) for name, question in questions.items()}
    return {**sizes, **seconds, "peak_bytes": float(peak_bytes())}


def _median_seconds(question: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def rows(runs: Sequence[dict[str, float]], floors: Floors) -> str:
    """Markdown table: a line for each question, a column for each size; two of them beside their floors."""
    heads = [f"{run['animals']:,.0f} animals" for run in runs]
    lines = [f"| seconds | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(runs)}"]
    for name, text in QUESTIONS.items():
        lines.append(f"| {text} | {' | '.join(f'{run[name]:.3g}' for run in runs)} |")
    ratios = {
        "A v and the choice, over the stream of its bytes": [
            run["column"] * floors.stream / run["column_bytes"] for run in runs
        ],
        "A⁻¹ extended, over the first touch of the result": [
            run["extended_inverse"] * floors.first_touch / csr_bytes(int(run["animals"]), int(run["entries"]))
            for run in runs
        ],
        "A⁻¹ extended, over A⁻¹ anew": [run["extended_inverse"] / run["full_inverse"] for run in runs],
        f"ancestors of the {NAMED:,} animals": [run["ancestors"] for run in runs],
        "peak memory, MB": [run["peak_bytes"] / 1e6 for run in runs],
    }
    for text, values in ratios.items():
        lines.append(
            f"| {text} | {' | '.join(f'{value:,.3g}' if value < 1000 else f'{value:,.0f}' for value in values)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(json.dumps(measure(int(float(sys.argv[1])), int(sys.argv[2]))))
