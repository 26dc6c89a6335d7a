"""Single-step evaluation in each of its forms: ``python benchmarks/genomic.py [--large]``.

10⁵ animals with 5,000 genotyped at 50,000 markers, and with 20,000 genotyped at 5,000 markers; with ``--large`` also 10⁶
animals with 50,000 genotyped at 50,000 markers by marker effects. Each run is a process of its own. Prints the tables and
writes them to ``benchmarks/results/genomic.md``. Products with packed genotypes and G itself are measured by
`genomic_products`, accuracies by `genomic_accuracy`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from floor import machine_and_floors, measure_floors
from genomic_data import CASES, genomic_data
from measure import Measured, run_in_child

HERE = Path(__file__).parent
OWN = HERE / "own_genomic.py"
RESULT = HERE / "results" / "genomic.md"
KINDS = {
    "pedigree": "pedigree alone, PCG",
    "explicit": "explicit, PCG",
    "factor": "explicit, CHOLMOD with PEV",
    "apy": "APY, core of 98 %, PCG",
    "components": "components (ssGTBLUP), PCG",
    "markers": "marker effects (ssSNP-BLUP), PCG",
}
REFERENCES = ("explicit", "components")
"""What differences are from: the first that was run."""

LIMIT = 4 * 2**30
"""Peak memory beside the packed genotypes that the large case may take."""


def measured_case(name: str, kinds: Sequence[str]) -> tuple[dict[str, Measured], dict[str, float]]:
    """Runs by kind, and the largest differences of breeding values from those of the reference."""
    genomic_data(CASES[name])  # made here, not in a run
    runs, differences = {}, {}
    with TemporaryDirectory() as folder:
        for kind in kinds:
            runs[kind] = run_in_child(OWN, name, kind, f"{folder}/{kind}.npy")
            print(name, kind, runs[kind], flush=True)
        solved = {kind: np.load(f"{folder}/{kind}.npy") for kind, run in runs.items() if "refused" not in run}
    reference = next((kind for kind in REFERENCES if kind in solved), None)
    if reference is not None:
        for kind, values in solved.items():
            differences[kind] = float(np.abs(values - solved[reference]).max())
    return runs, differences


def table(name: str, runs: Mapping[str, Measured], differences: Mapping[str, float]) -> str:
    """Rows by form."""
    case = CASES[name]
    lines = [
        f"## {case.animals:,} animals, {case.genotyped:,} genotyped at {case.markers:,} markers",
        "",
        "| form | rounds | H⁻¹, s | solve, s | total, s | peak, GB | less packed genotypes, GB | largest difference, σ |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, run in runs.items():
        if "refused" in run:
            lines.append(f"| {KINDS[kind]} | refused: {run['refused']} | | | | | | |")
            continue
        difference = "" if kind == "pedigree" or kind not in differences else f"{differences[kind]:.1e}"
        rounds = str(run["rounds"] or "direct")
        seconds = " | ".join(f"{run[part]:.1f}" for part in ("inverse", "solve", "total"))
        memory = f"{run['peak'] / 1e9:.2f} | {(run['peak'] - run['packed']) / 1e9:.2f}"
        lines.append(f"| {KINDS[kind]} | {rounds} | {seconds} | {memory} | {difference} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Single-step evaluation in each of its forms.")
    parser.add_argument("--large", action="store_true", help="the case of 10⁶ animals too")
    large = parser.parse_args().large
    parts = [table("medium", *measured_case("medium", list(KINDS)))]
    parts.append(table("many", *measured_case("many", ["pedigree", "apy", "components", "markers"])))
    if large:
        runs, differences = measured_case("large", ["pedigree", "markers"])
        beside = runs["markers"]["peak"] - runs["markers"]["packed"]
        verdict = f"Peak memory beside the packed genotypes: {beside / 2**30:.2f} GiB, at most {LIMIT / 2**30:g}: "
        parts.append(table("large", runs, differences) + f"\n\n{verdict}{'pass' if beside <= LIMIT else 'fail'}.")
    head = (
        "# Single-step evaluation by each form\n\n"
        "Written by `python benchmarks/genomic.py --large`; `benchmarks/README.md` says how to read it. One run each, in a\n"
        "process of its own that warmed its kernels on 2,000 animals; H⁻¹ is the time until it can be multiplied, the total\n"
        "goes from the pedigree to tables. PCG ends when the bound of the error is 10⁻⁶ genetic standard deviations (σ).\n"
        "Differences are from the explicit form by PCG, or from components where it was not run; APY is an approximation.\n\n"
        f"{machine_and_floors(measure_floors())}\n\n"
    )
    text = head + "\n\n".join(parts) + "\n"
    print(text)
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
