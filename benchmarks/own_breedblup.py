"""Records → EBVs by breedblup: one timed run, printed as JSON: ``python benchmarks/own_breedblup.py FOLDER KIND``.

KIND ``pcg`` iterates at the default tolerance, without PEV; ``reference`` the same to 10⁻⁹ genetic standard deviations;
``exact`` takes solutions and PEV from CHOLMOD. EBVs go to FOLDER/KIND.npy, in the order of the pedigree's rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from evaluation_data import RECORDS, Stopwatch, read_frames

import breedblup as bb

MODEL = bb.Model.from_formula("y ~ 0 + factor(contemporary_group) + (1 | animal)")
VARIANCES = bb.VarianceComponents({"animal": RECORDS.genetic_variance}, residual=RECORDS.residual_variance)
OPTIONS = {
    "pcg": bb.EvaluateOptions(method="pcg", pev="none"),
    "reference": bb.EvaluateOptions(method="pcg", pev="none", pcg=bb.PcgOptions(tolerance=1e-9)),
    "exact": bb.EvaluateOptions(method="cholesky", pev="exact"),
}
STAGES = {
    "design": "records: ids to codes",
    "equations": "equations",
    "values": "equations",
    "reduction": "elimination",
    "elimination": "elimination",
    "analysis": "ordering, counts",
    "factor": "factor",
    "solve": "solve",
    "selected inverse": "selected inverse",
}
"""What `Evaluation.seconds` calls them, and what the tables do."""


def run(pedigree: pl.DataFrame, records: pl.DataFrame, options: bb.EvaluateOptions) -> tuple[dict[str, Any], pl.Series]:
    """Frames to EBVs by the public stages: what was measured, and the EBVs."""
    watch = Stopwatch()

    def listen(stage: str, _: Mapping[str, Any]) -> None:
        if stage == "round":
            watch.round()

    with watch.stage("pedigree: ids to codes"):
        checked = bb.Pedigree.from_frame(pedigree)
    with watch.stage("inbreeding"):
        inbreeding = checked.inbreeding
    with watch.stage("A⁻¹"):
        inverse = bb.a_inverse(checked)
        inverse_nonzeros = inverse.matrix.nnz
    with watch.stage("tables"):
        result = bb.evaluate(MODEL, records, VARIANCES, {"animal": inverse}, options=options, monitor=listen)
        ebv = result.ebv
    for name, label in STAGES.items():
        taken = result.seconds.get(name, 0.0)
        watch.seconds[label] = watch.seconds.get(label, 0.0) + taken
        watch.seconds["tables"] -= taken
    measured = watch.report(
        records=result.counts["records_used"],
        all_equations=result.counts["equations"],
        all_nonzeros=result.counts["nonzeros"],
        equations=result.plan.equations,
        nonzeros=result.plan.nonzeros,
        inverse_nonzeros=inverse_nonzeros,
        mean_inbreeding=float(inbreeding.mean()),
        factor_nonzeros=result.plan.factor_nonzeros,
        factor_flops=result.plan.factor_flops,
        bound=result.solution.rounds[-1].error_bound,
    )
    return measured, ebv["ebv"]


def main() -> None:
    """Warm up on the tiny data, then run on the full."""
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    run(*read_frames(folder, "tiny"), OPTIONS[kind])
    measured, ebv = run(*read_frames(folder, "full"), OPTIONS[kind])
    np.save(folder / f"{kind}.npy", ebv.to_numpy())
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
