"""A model of `model_data`: one timed run, printed as JSON: ``python benchmarks/own_model.py FOLDER MODEL KIND``.

KIND ``cholesky`` solves by CHOLMOD without PEV, ``exact`` with it, ``pcg`` iterates at the default tolerance, ``reduced``
the same without the animals that have no progeny. Random effects, each over its prior standard deviation √(K_ii G₀_cc),
go to FOLDER/MODEL-KIND.npy. Where the memory does not suffice, the JSON has the reason as ``refused``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from evaluation_data import Stopwatch
from model_data import MODELS, BenchmarkModel, read_frames
from numpy.typing import NDArray

import breedblup as bb

OPTIONS = {
    "cholesky": bb.EvaluateOptions(method="cholesky", pev="none"),
    "exact": bb.EvaluateOptions(method="cholesky", pev="exact"),
    "pcg": bb.EvaluateOptions(method="pcg", pev="none", reduce=False),
    "reduced": bb.EvaluateOptions(method="pcg", pev="none", reduce=True),
}
PEDIGREE = "pedigree, A⁻¹"
SETTLE = 0.1
"""Seconds after the warm-up: BLAS threads wait spinning for some 30 ms and slow whatever comes next."""


def run(
    case: BenchmarkModel, pedigree: pl.DataFrame, records: pl.DataFrame, options: bb.EvaluateOptions
) -> tuple[dict[str, Any], bb.Evaluation]:
    """Frames to solutions by the public stages: what was measured, and the result."""
    watch = Stopwatch()

    def listen(stage: str, _: Mapping[str, Any]) -> None:
        if stage == "round":
            watch.round()

    with watch.stage(PEDIGREE):
        inverse = bb.a_inverse(bb.Pedigree.from_frame(pedigree))
    result = bb.evaluate(case.model, records, case.variances, {"animal": inverse}, options=options, monitor=listen)
    watch.seconds.update(result.seconds)
    measured = watch.report(
        records=result.counts["records_used"],
        all_equations=result.counts["equations"],
        equations=result.plan.equations,
        all_nonzeros=result.counts["nonzeros"],
        nonzeros=result.plan.nonzeros,
        factor_nonzeros=result.plan.factor_nonzeros,
        factor_flops=result.plan.factor_flops,
        bound=result.solution.rounds[-1].error_bound,
    )
    return measured, result


def prior_deviates(result: bb.Evaluation) -> NDArray[np.float64]:
    """Every random effect over its prior standard deviation √(K_ii G₀_cc)."""
    parts = []
    for effects in result.effects.values():
        relationship = effects.term.relationship
        of_level = 1.0 if relationship is None else relationship.diagonal[:, None]
        parts.append(effects.solutions / np.sqrt(of_level * np.diag(effects.covariance)))
    return np.concatenate([part.ravel() for part in parts])


def measure(folder: Path, name: str, kind: str) -> dict[str, Any]:
    """Warm up on the tiny data, run on the full, and write the effects."""
    case, options = MODELS[name], OPTIONS[kind]
    try:
        run(case, *read_frames(folder, name, "tiny"), options)
        time.sleep(SETTLE)
        measured, result = run(case, *read_frames(folder, name, "full"), options)
    except bb.ResourceError as refusal:
        return {"refused": str(refusal)}
    np.save(folder / f"{name}-{kind}.npy", prior_deviates(result))
    return measured


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
