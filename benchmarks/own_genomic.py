"""A single-step evaluation of a case of `genomic_data`, as JSON: ``python benchmarks/own_genomic.py CASE KIND FILE``.

KIND is ``pedigree`` (no genotypes), a form of H⁻¹ solved by PCG (``explicit``, ``apy``, ``components``, ``markers``), or
``factor``: explicit by CHOLMOD with PEV. Breeding values, over the additive standard deviation, go to FILE. Where the memory
does not suffice, the JSON has the reason as ``refused``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from genomic_data import CASES, RECORDS, GenomicCase, GenomicData, genomic_data
from measure import peak_bytes
from numpy.typing import NDArray

import breedblup as bb

ADDITIVE = RECORDS.heritability * RECORDS.phenotypic_variance
RESIDUAL = RECORDS.phenotypic_variance - ADDITIVE
CORE_SHARE = 0.98
"""Of the variance of G that the core of APY explains by its number of eigenvalues."""
PCG = bb.EvaluateOptions(method="pcg", pev="none")
WHOLE = bb.EvaluateOptions(method="pcg", pev="none", reduce=False)
FACTOR = bb.EvaluateOptions(method="cholesky", pev="exact")


def relationship(data: GenomicData, pedigree: bb.Pedigree, kind: str) -> bb.RelationshipInverse:
    """A⁻¹, or H⁻¹ in a form."""
    if kind == "pedigree":
        return bb.a_inverse(pedigree)
    if kind == "apy":
        matrix = bb.genomic_matrix(data.genotypes, bb.GenomicOptions(blend=0.0, tuning="none"), None)
        core = bb.core_by_eigenvalues(matrix, CORE_SHARE, seed=1)
        return bb.h_inverse(pedigree, data.genotypes, form="apy", core=core)
    return bb.h_inverse(pedigree, data.genotypes, form="explicit" if kind == "factor" else kind)  # type: ignore[arg-type]


def run(data: GenomicData, kind: str) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Seconds, rounds and peak memory of one evaluation, and its breeding values."""
    model = bb.Model.from_formula("y ~ contemporary_group + (1 | animal)")
    variances = bb.VarianceComponents({"animal": ADDITIVE}, residual=RESIDUAL)
    pedigree = bb.read_pedigree(data.pedigree)
    start = time.perf_counter()
    inverse = relationship(data, pedigree, kind)
    made = time.perf_counter() - start
    options = FACTOR if kind == "factor" else WHOLE if kind == "pedigree" else PCG
    result = bb.evaluate(model, data.records, variances, {"animal": inverse}, options=options)
    solution = result.solution
    measured = {
        "inverse": made,
        "solve": result.seconds.get("solve", 0.0) + result.seconds.get("factor", 0.0),
        "total": time.perf_counter() - start,
        "rounds": len(solution.rounds) if solution.method == "pcg" else 0,
        "bound": solution.rounds[-1].error_bound,
        "peak": peak_bytes(),
        "packed": int(data.genotypes.packed.nbytes),
        "equations": result.counts["equations"],
        "made": inverse.made[-3:],
    }
    return measured, result.effects["animal"].solutions[:, 0] / np.sqrt(ADDITIVE)


def measure(case: GenomicCase, kind: str, file: str) -> dict[str, Any]:
    """Warm up on the tiny case, run on the one asked for, and write the breeding values."""
    try:
        run(genomic_data(CASES["tiny"]), kind)
        measured, values = run(genomic_data(case), kind)
    except bb.ResourceError as refusal:
        return {"refused": str(refusal)}
    np.save(file, values)
    return measured


if __name__ == "__main__":
    print(json.dumps(measure(CASES[sys.argv[1]], sys.argv[2], sys.argv[3])))
