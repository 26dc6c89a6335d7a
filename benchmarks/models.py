"""Every kind of model by CHOLMOD and by PCG: ``python benchmarks/models.py``.

Two and four traits with missing records, direct and maternal effects, and a random regression of degree 2, all at known
variances. Each run is a process of its own that warms its kernels on 1 000 animals before the clock starts. Compares the
solutions of CHOLMOD and PCG, prints the tables and writes them to ``benchmarks/results/models.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from floor import Floors, machine_and_floors, measure_floors
from measure import Measured, csr_bytes, round_bytes, run_in_child, typical_run
from model_data import MODELS, write_frames
from own_model import OPTIONS, PEDIGREE

HERE = Path(__file__).parent
OWN = HERE / "own_model.py"
REQUIRED = 1e-6
"""Largest difference between CHOLMOD and PCG, in prior standard deviations."""
KINDS = {"cholesky": "CHOLMOD", "exact": "CHOLMOD, PEV", "pcg": "PCG", "reduced": "PCG, reduced"}
STAGES = {
    PEDIGREE: PEDIGREE,
    "design": "records: ids to codes",
    "equations": "pattern of the equations",
    "reduction": "elimination: pattern",
    "analysis": "ordering, counts",
    "values": "values of the equations",
    "elimination": "elimination: values",
    "factor": "factor",
    "solve": "solve",
    "selected inverse": "selected inverse",
    "tables": "tables",
}
"""What own_model calls them, and what the tables do."""


@dataclass(frozen=True)
class Comparison:
    """The run of median total of each kind of one model, and the largest differences from CHOLMOD (None: no factor)."""

    name: str
    runs: Mapping[str, Measured]
    differences: Mapping[str, float | None]


def compare(folder: Path, name: str, repeats: int) -> Comparison:
    """Run every kind in turn, so that a busy machine slows all of them."""
    turns: list[dict[str, Measured]] = []
    for _ in range(repeats):
        turns.append({kind: run_in_child(OWN, str(folder), name, kind) for kind in OPTIONS})
    runs = {kind: _typical([turn[kind] for turn in turns]) for kind in OPTIONS}
    return Comparison(name, runs, {kind: _difference(folder, name, kind) for kind in ("pcg", "reduced")})


def _typical(runs: Sequence[Measured]) -> Measured:
    """The run whose total is the median, whole; a refusal where there was one."""
    refused = [run for run in runs if "refused" in run]
    return refused[0] if refused else typical_run(runs)


def _difference(folder: Path, name: str, kind: str) -> float | None:
    """Largest, over all random effects, from the solution by CHOLMOD, in prior standard deviations."""
    direct, iterated = (folder / f"{name}-{which}.npy" for which in ("cholesky", kind))
    if not (direct.exists() and iterated.exists()):
        return None
    return float(np.abs(np.load(iterated) - np.load(direct)).max())


def model_section(result: Comparison, animals: int, floors: Floors) -> str:
    """What is fitted, stages and iteration of each kind, and the ratios to the floors."""
    case = MODELS[result.name]
    done = [run for run in result.runs.values() if "refused" not in run]
    rows = [*_size_rows(result), *_stage_rows(done, result), *_iteration_rows(result), *_floor_rows(result, floors)]
    head = ["", *KINDS.values()]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---", *("---:" for _ in KINDS)], *rows))
    formulas = "\n".join(case.formulas)
    refused = [f"{KINDS[kind]}: {run['refused']}." for kind, run in result.runs.items() if "refused" in run]
    return "\n\n".join(
        [
            f"## {case.title}",
            f"```\n{formulas}\n```",
            f"{animals:,} animals, {done[0]['records']:,} records: {case.about}." if done else f"{case.about}.",
            *refused,
            table,
        ]
    )


def _row(label: str, result: Comparison, cell: Callable[[Measured], str]) -> list[str]:
    """One cell for each kind; none where it was refused."""
    return [label, *("refused" if "refused" in result.runs[kind] else cell(result.runs[kind]) for kind in KINDS)]


def _number(value: float | None, scale: float = 1.0) -> str:
    return "" if value is None else f"{value / scale:.3g}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _size_rows(result: Comparison) -> list[list[str]]:
    return [
        _row("equations", result, lambda run: _whole(run["equations"])),
        _row("non-zeros of C", result, lambda run: _whole(run["nonzeros"])),
        _row("nnz(L)", result, lambda run: _whole(run["factor_nonzeros"])),
    ]


def _stage_rows(done: Sequence[Measured], result: Comparison) -> list[list[str]]:
    def seconds(stage: str) -> Callable[[Measured], str]:
        return lambda run: _number(run["seconds"].get(stage))

    present = [stage for stage in STAGES if any(stage in run["seconds"] for run in done)]
    return [_row(f"{STAGES[stage]}, s", result, seconds(stage)) for stage in present]


def _iteration_rows(result: Comparison) -> list[list[str]]:
    return [
        _row("**total, s**", result, lambda run: _number(run["total"])),
        _row("total, CPU s", result, lambda run: _number(run["cpu"])),
        _row("factor, Gflop/s", result, lambda run: _number(_factor_rate(run), 1e9)),
        _row("rounds", result, lambda run: _whole(run["rounds"] or None)),
        _row("a round, ms", result, lambda run: _number(run["round_seconds"], 1e-3)),
        _row("memory before the run, MB", result, lambda run: _number(run["resident"], 1e6)),
        _row("peak memory, MB", result, lambda run: _number(run["peak"], 1e6)),
        _row("bound of the error, prior SD", result, lambda run: _number(run["bound"])),
        ["largest difference from CHOLMOD, prior SD", *(_number(result.differences.get(kind)) for kind in KINDS)],
    ]


def _factor_rate(run: Measured) -> float | None:
    """Operations per second of the factorisation."""
    return None if run["factor_flops"] is None else run["factor_flops"] / run["seconds"]["factor"]


def _floor_rows(result: Comparison, floors: Floors) -> list[list[str]]:
    """Seconds over the least in which the bytes could be moved: of all equations assembled, of those iterated on."""

    def assembly(stage: str) -> Callable[[Measured], str]:
        return lambda run: _number(
            run["seconds"][stage] * floors.first_touch / csr_bytes(run["all_equations"], run["all_nonzeros"])
        )

    def a_round(run: Measured) -> str:
        if run["round_seconds"] is None:
            return ""
        return _number(run["round_seconds"] * floors.stream / round_bytes(run))

    return [
        _row("pattern ÷ first touch of its CSR", result, assembly("equations")),
        _row("values ÷ first touch of their CSR", result, assembly("values")),
        _row("a round ÷ stream of its bytes", result, a_round),
    ]


def summary(results: Sequence[Comparison]) -> str:
    """One line per model: whether PCG agrees with CHOLMOD as closely as is required."""
    lines = [
        f"| | equations | non-zeros of C | rounds | bound of PCG | PCG − CHOLMOD | reduced − CHOLMOD | at most {REQUIRED:g} |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for result in results:
        pcg = result.runs["pcg"]
        cells = ["refused"] * 4
        if "refused" not in pcg:
            sizes = (_whole(pcg[key]) for key in ("equations", "nonzeros", "rounds"))
            cells = [*sizes, _number(pcg["bound"])]
        found = list(result.differences.values())
        cells += ["no factor" if value is None else _number(value) for value in found]
        lines.append(f"| {MODELS[result.name].title} | {' | '.join(cells)} | {_verdict(found)} |")
    return (
        "## PCG and CHOLMOD agree\n\nDifferences and bound in prior standard deviations √(K_ii G₀_cc).\n\n"
        + "\n".join(lines)
    )


def _verdict(differences: Sequence[float | None]) -> str:
    known = [value for value in differences if value is not None]
    if len(known) < len(differences):
        return "not compared"
    return "pass" if max(known) <= REQUIRED else "**FAILS**"


def heading(animals: int, repeats: int, floors: Floors) -> str:
    """What is measured, the machine, and its floors in this run."""
    return f"""# Every kind of model, by CHOLMOD and by PCG

Written by `python benchmarks/models.py`; `benchmarks/README.md` says how to read it. {animals:,} animals of
`breedblup.simulation`, variances known, PCG at its default tolerance. Data frames with text ids in, data frames with EBVs
out; kernels were warmed on 1,000 animals and the frames loaded before the clock started. Figures are those of the run of
median total among {repeats}, each in a process of its own.

{machine_and_floors(floors)}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Every kind of model by CHOLMOD and by PCG.")
    parser.add_argument("--animals", default="1e5", help="number of animals")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), help="which models")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "models.md")
    options = parser.parse_args(arguments)
    animals = int(float(options.animals))
    floors = measure_floors()
    parts = [heading(animals, options.repeats, floors)]
    print(parts[0], flush=True)
    results = []
    with TemporaryDirectory() as name:
        write_frames(Path(name), animals)
        for model in options.models:
            results.append(compare(Path(name), model, options.repeats))
            parts.append(model_section(results[-1], animals, floors))
            print(f"\n{parts[-1]}", flush=True)
    parts.insert(1, summary(results))
    print(f"\n{parts[1]}", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
