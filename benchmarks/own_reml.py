"""One timed fit of `reml.py`, printed as JSON: ``python benchmarks/own_reml.py FOLDER CASE [plan]``.

The case is fitted to its small data first, then to the full; a fit of less than a second several times, of which the run of
median time is told. With ``plan`` nothing is fitted: the JSON has what the factor would take.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_data import Stopwatch
from measure import median_seconds, typical_run
from own_model import PEDIGREE, SETTLE
from reml_data import Frames, read_case
from reml_fixed import fixed_effects

import breedblup as bb
from breedblup.reml.problem import RemlProblem

SHORT, FITS = 1.0, 5
"""A fit of fewer seconds is repeated so often."""

UNLIMITED = bb.RemlOptions(memory_bytes=2**62)


def relationships_of(frames: Frames) -> dict[str, bb.RelationshipInverse] | None:
    """A⁻¹ where there is a pedigree."""
    return None if frames.pedigree is None else {"animal": bb.a_inverse(bb.Pedigree.from_frame(frames.pedigree))}


def run(model: bb.Model, frames: Frames) -> tuple[dict[str, Any], bb.RemlFit]:
    """Frames to estimates: what was measured, and the fit."""
    watch = Stopwatch()
    with watch.stage(PEDIGREE):
        relationships = relationships_of(frames)
    fit = bb.estimate_variances(model, frames.records, relationships)
    watch.seconds.update(fit.seconds)
    return watch.report(rounds=len(fit.history), parts=_a_round(fit), **_sizes(fit.problem, frames)), fit


def _a_round(fit: bb.RemlFit) -> dict[str, float]:
    """Seconds by part, over the mean of all rounds: each has one point, and the first has two, the last none."""
    parts = {part for entry in fit.history for part in entry.seconds}
    return {part: sum(entry.seconds.get(part, 0.0) for entry in fit.history) / len(fit.history) for part in parts}


def answers(fit: bb.RemlFit) -> dict[str, Any]:
    """Estimates: variances by key, fixed effects, criterion, parameters with standard errors."""
    estimates = fit.estimates
    return {
        "criterion": fit.reml_criterion,
        "variances": {key: fit.variances.matrix(key).tolist() for key in fit.variances},
        "residual": fit.variances.residual_matrix().tolist(),
        "parameters": [
            [name, float(value), None if np.isnan(error) else float(error)]
            for name, value, error in zip(
                estimates.space.names, estimates.theta, estimates.standard_errors, strict=True
            )
        ],
        "fixed": fixed_effects(fit),
    }


def factorisation_seconds(fit: bb.RemlFit) -> float:
    """Median time of a numeric factorisation of the matrix that the rounds factorise."""
    pattern = fit.problem.pattern
    matrix = pattern.pattern.matrix(pattern.values)
    return median_seconds(lambda: fit.problem.symbolic.factorise(matrix), 3)


def measure(folder: Path, name: str) -> dict[str, Any]:
    """Warm up on the small data, run on the full."""
    told, tiny = read_case(folder, name, "tiny")
    model = model_of(told["formulas"])
    with suppress(bb.NotConverged):
        run(model, tiny)
    time.sleep(SETTLE)
    _, full = read_case(folder, name, "full")
    try:
        measured, fit = run(model, full)
    except (bb.ResourceError, bb.NotConverged) as refusal:
        return {"refused": str(refusal)}
    runs = [measured]
    if measured["total"] < SHORT:
        runs += [run(model, full)[0] for _ in range(FITS - 1)]
    return {**typical_run(runs), **answers(fit), "factorisation": factorisation_seconds(fit)}


def planned(folder: Path, name: str) -> dict[str, Any]:
    """What the factor takes, from the pattern alone."""
    told, full = read_case(folder, name, "full")
    prepared = bb.prepare_estimation(
        model_of(told["formulas"]), full.records, relationships_of(full), options=UNLIMITED
    )
    return _sizes(prepared.problem, full)


def _sizes(problem: RemlProblem, frames: Frames) -> dict[str, Any]:
    symbolic = problem.symbolic
    return {
        "records": frames.records.height,
        "equations": problem.layout.size,
        "parameter_count": problem.space.size,
        "factor_nonzeros": symbolic.nonzeros,
        "factor_flops": symbolic.flops,
        "factor_bytes": symbolic.bytes_with_inverse,
        "mode": symbolic.mode,
    }


def model_of(formulas: list[str]) -> bb.Model:
    """One formula, or one for each trait."""
    return bb.Model.from_formula(formulas[0] if len(formulas) == 1 else formulas)


if __name__ == "__main__":
    done = planned if sys.argv[3:] == ["plan"] else measure
    print(json.dumps(done(Path(sys.argv[1]), sys.argv[2])))
