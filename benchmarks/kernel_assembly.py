"""Assembly of the equations from a built A⁻¹ and coded records: ``python benchmarks/kernel_assembly.py 1e6 3 [MODEL]``.

MODEL is ``animal`` (contemporary group and animal) unless a name of `model_data` is given. Prints one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from floor import Floors
from measure import csr_bytes, hold_pages, peak_bytes
from model_data import MODELS

import breedblup as bb
from breedblup.design import DesignTerm, build_design
from breedblup.design.terms import Entry, Link
from breedblup.frames import as_table
from breedblup.mme import EquationLayout, build_incidence
from breedblup.mme.covariances import inverse_covariance
from breedblup.mme.incidence import Incidence, build_slots
from breedblup.mme.pattern import count_pattern
from breedblup.model import Coordinate
from breedblup.simulation import PedigreeOptions, RecordOptions, simulate_pedigree, simulate_records

TINY = 1000
STAGES = ("counts", "positions", "values", "rhs", "values again")
LINE = "| {label} | {cells} |"


class _Records:
    """What `build_incidence` reads of a design of one trait without missing values."""

    weights = residual_levels = residual_codes = None

    def __init__(self, y: Any, terms: tuple[DesignTerm, ...]) -> None:
        self.y, self.terms, self.observed = y, terms, np.ones(y.shape, dtype=np.bool_)


def equations_of(animals: int, model: str) -> tuple[Incidence, EquationLayout, bb.VarianceComponents]:
    """Coded records, and the layout of their equations, with K⁻¹ built."""
    simulated = simulate_pedigree(PedigreeOptions(animals=animals))
    inverse = bb.a_inverse(bb.Pedigree.from_frame(simulated.to_frame().select("animal", "sire", "dam")))
    inverse.matrix  # noqa: B018
    if model != "animal":
        case = MODELS[model]
        design = build_design(case.model, as_table(case.simulate(simulated), "records"), {"animal": inverse})
        layout = EquationLayout.of(design.terms, case.variances)
        return build_incidence(design, layout), layout, case.variances
    records = simulate_records(simulated, RecordOptions(heritability=0.3))
    group, coordinates = records.contemporary_group.astype(np.int32), (Coordinate("", "y"),)
    entries = (Entry(0, 0, -1),)
    terms = (
        DesignTerm("group", "fixed", pl.Series(np.arange(group.max() + 1)), coordinates, (Link(group, entries),)),
        DesignTerm(
            "animal", "random", inverse.ids, coordinates, (Link(records.animal.astype(np.int32), entries),),
            relationship=inverse,
        ),
    )  # fmt: skip
    layout = EquationLayout.of(terms)
    incidence = build_incidence(_Records(np.asarray(records.y, dtype=np.float64)[:, None], terms), layout)  # type: ignore[arg-type]
    return incidence, layout, bb.VarianceComponents({"animal": 30.0}, residual=70.0)


def assemble(incidence: Incidence, layout: EquationLayout, variances: bb.VarianceComponents) -> dict[str, float]:
    """Seconds of each stage, in memory fresh from the system but for ``values again``, and the entries."""
    marks = [time.perf_counter()]
    counts = count_pattern(incidence, layout, np.zeros(1, dtype=np.int64))
    marks.append(time.perf_counter())
    pattern = counts.positions()
    marks.append(time.perf_counter())
    slots, residual = build_slots(layout), incidence.residual_inverses(variances)
    covariances = [inverse_covariance(layout, k, variances) for k in range(len(layout.terms))]
    begun = time.perf_counter()
    hold_pages(16 * pattern.nonzeros)
    marks[:] = [mark + time.perf_counter() - begun for mark in marks]  # not on the clock
    values = np.empty(pattern.nonzeros)
    pattern.fill(incidence.rows, slots, residual, covariances, values)
    marks.append(time.perf_counter())
    pattern.right_side(incidence.rows, slots, residual, incidence.y)
    marks.append(time.perf_counter())
    pattern.fill(incidence.rows, slots, residual, covariances, values)
    marks.append(time.perf_counter())
    seconds = dict(zip(STAGES, np.diff(marks).tolist(), strict=True))
    return seconds | {"nonzeros": float(pattern.nonzeros), "equations": float(layout.size)}


def measure(animals: int, repeats: int, model: str = "animal") -> dict[str, float]:
    """Medians of the seconds of each stage; bytes of the CSR, which have to be written; peak memory before and after."""
    assemble(*equations_of(TINY, model))
    prepared = equations_of(animals, model)
    before = peak_bytes()
    runs = [assemble(*prepared) for _ in range(repeats)]
    peak = peak_bytes()
    for k in range(repeats):
        hold_pages(2 * csr_bytes(int(runs[0]["equations"]), int(runs[0]["nonzeros"])))
        runs[k] = assemble(*prepared)
    found = {stage: median(run[stage] for run in runs) for stage in STAGES}
    size = csr_bytes(int(runs[0]["equations"]), int(runs[0]["nonzeros"]))
    return found | {
        "animals": float(animals),
        "equations": runs[0]["equations"],
        "nonzeros": runs[0]["nonzeros"],
        "seconds": sum(found[stage] for stage in STAGES[:4]),
        "bytes": float(size),
        "peak_before": float(before),
        "peak": float(peak),
    }


def rows(runs: list[dict[str, float]], floors: Floors) -> str:
    """Markdown table, a column for each run; growth is the exponent between one run and the next."""

    def touches(run: dict[str, float], stage: str) -> float:
        return run[stage] * floors.first_touch / run["bytes"]

    def growth(key: str) -> list[str]:
        pairs = pairwise(runs)
        return ["", *(f"{np.log(b[key] / a[key]) / np.log(b['animals'] / a['animals']):.2f}" for a, b in pairs)]

    table = [
        ("non-zeros", [f"{run['nonzeros']:,.0f}" for run in runs]),
        *((f"{stage}, s", [f"{run[stage]:.3g}" for run in runs]) for stage in STAGES),
        ("**counts to rhs ÷ first touch of the CSR**", [f"{touches(run, 'seconds'):.1f}" for run in runs]),
        ("values again (warm) ÷ first touch", [f"{touches(run, 'values again'):.1f}" for run in runs]),
        ("peak memory over the CSR, bytes an animal", [_above(run) for run in runs]),
        ("growth of seconds, exponent", growth("seconds")),
        ("growth of peak memory, exponent", growth("peak")),
    ]
    head = [
        "| | " + " | ".join(f"{run['animals']:,.0f} animals" for run in runs) + " |",
        "| --- |" + " ---: |" * len(runs),
    ]
    return "\n".join(head + [LINE.format(label=label, cells=" | ".join(cells)) for label, cells in table])


def _above(run: dict[str, float]) -> str:
    """What assembly took beside its result."""
    return f"{max(run['peak'] - run['peak_before'] - run['bytes'], 0.0) / run['animals']:.0f}"


if __name__ == "__main__":
    print(json.dumps(measure(int(float(sys.argv[1])), int(sys.argv[2]), *sys.argv[3:4])))
