"""Records → EBVs by stage, beside what a user would write with SciPy: ``python benchmarks/records_to_ebv.py``.

Single-trait animal model at known variances: contemporary group (fixed, about 20 records each) + animal, h² 0.3. Each
run is a process of its own that warms its kernels on 1 000 animals before the clock starts; the programs take turns,
so that a busy machine slows both. Prints the tables and writes them to ``benchmarks/results/records_to_ebv.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from evaluation_data import RECORDS, write_frames
from floor import Floors, machine_and_floors, measure_floors
from measure import Measured, csr_bytes, round_bytes, run_in_child, typical_run

from breedblup.simulation import PedigreeOptions

HERE = Path(__file__).parent
OWN, PEER = HERE / "own_breedblup.py", HERE / "peer_scipy.py"
SETTING_UP = ("pedigree: ids to codes", "inbreeding", "A⁻¹", "records: ids to codes", "equations")
MAIN_STAGES = (*SETTING_UP, "elimination", "solve", "tables")
EXACT_STAGES = (*SETTING_UP, "ordering, counts", "factor", "solve", "selected inverse", "tables")
FLOORED = ("A⁻¹ ÷ first touch of its CSR", "equations ÷ first touch of their CSR", "a round ÷ stream of its bytes")


@dataclass(frozen=True)
class Comparison:
    """The run of median total of each program at one size, and the largest errors of their EBVs in genetic SD."""

    animals: int
    own: Measured
    peer: Measured
    exact: Measured | None
    own_error: float
    peer_error: float


def compare(population: PedigreeOptions, repeats: int, *, exact: bool) -> Comparison:
    """Simulate, find the peer's tolerance, then run both in turn."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder, population)
        run_in_child(OWN, name, "reference")
        first = run_in_child(OWN, name, "pcg")
        target = _largest_error(folder, "pcg") * RECORDS.genetic_variance**0.5
        rtol = run_in_child(PEER, name, "calibrate", repr(target))
        own, peer = [first], []
        for turn in range(repeats):
            if turn:
                own.append(run_in_child(OWN, name, "pcg"))
            peer.append(run_in_child(PEER, name, repr(rtol)))
        factored = [run_in_child(OWN, name, "exact") for _ in range(repeats if exact else 0)]
        return Comparison(
            population.animals,
            typical_run(own),
            typical_run(peer),
            typical_run(factored) if factored else None,
            _largest_error(folder, "pcg"),
            _largest_error(folder, "scipy"),
        )


def _largest_error(folder: Path, program: str) -> float:
    """Against the solution converged to 10⁻⁹, in genetic standard deviations."""
    difference = np.load(folder / f"{program}.npy") - np.load(folder / "reference.npy")
    return float(np.abs(difference).max()) / RECORDS.genetic_variance**0.5


def comparison_table(result: Comparison, floors: Floors) -> str:
    """Stages, what the iteration took, and the ratios to the floors."""
    own, peer = result.own, result.peer
    rows = [(f"{stage}, s", own["seconds"][stage], peer["seconds"].get(stage, 0.0)) for stage in MAIN_STAGES]
    rows += [
        ("**total, s**", own["total"], peer["total"]),
        ("total, CPU s", own["cpu"], peer["cpu"]),
        ("rounds", own["rounds"], peer["rounds"]),
        ("a round, ms", 1e3 * own["round_seconds"], 1e3 * peer["round_seconds"]),
        ("largest error of an EBV, genetic SD", result.own_error, result.peer_error),
        ("memory before the run, MB", own["resident"] / 1e6, peer["resident"] / 1e6),
        ("peak memory, MB", own["peak"] / 1e6, peer["peak"] / 1e6),
    ]
    rows += zip(
        FLOORED, _over_floors(own, result.animals, floors), _over_floors(peer, result.animals, floors), strict=True
    )
    head = (
        f"## {result.animals:,} animals\n\n"
        f"{own['records']:,} records, {own['all_equations']:,} equations, {own['all_nonzeros']:,} non-zeros "
        f"(A⁻¹ {own['inverse_nonzeros']:,}), {own['equations']:,} and {own['nonzeros']:,} when animals without progeny are "
        f"eliminated; mean inbreeding {own['mean_inbreeding']:.4f}. Bound of the error that "
        f"breedblup gave: {own['bound']:.1e} genetic SD. SciPy's rtol: {peer['rtol']:.1e}.\n\n"
        "| | breedblup | SciPy | SciPy ÷ breedblup |\n| --- | ---: | ---: | ---: |\n"
    )
    ratios = [f"{a:.3g} | {b:.3g} | {b / a:.2f}" if b else f"{a:.3g} | |" for _, a, b in rows]
    return head + "\n".join(f"| {name} | {cells} |" for (name, *_), cells in zip(rows, ratios, strict=True))


def _over_floors(run: Measured, animals: int, floors: Floors) -> tuple[float, ...]:
    """The ratios that `FLOORED` names."""
    inverse = csr_bytes(animals, run["inverse_nonzeros"])
    equations = csr_bytes(run["all_equations"], run["all_nonzeros"])
    return (
        run["seconds"]["A⁻¹"] * floors.first_touch / inverse,
        run["seconds"]["equations"] * floors.first_touch / equations,
        run["round_seconds"] * floors.stream / round_bytes(run),
    )


def exact_table(results: Sequence[Comparison], floors: Floors) -> str:
    """One column per size: EBVs with exact PEV, solved by CHOLMOD."""
    runs = [(result.animals, result.exact) for result in results if result.exact is not None]
    rows: list[list[str]] = [
        [f"{stage}, s", *(f"{run['seconds'][stage]:.3g}" for _, run in runs)] for stage in EXACT_STAGES
    ]
    rows += [
        ["**total, s**", *(f"{run['total']:.3g}" for _, run in runs)],
        ["total, CPU s", *(f"{run['cpu']:.3g}" for _, run in runs)],
        ["nnz(L)", *(f"{run['factor_nonzeros']:,}" for _, run in runs)],
        ["factor, Gflop/s", *(f"{_factor_rate(run) / 1e9:.3g}" for _, run in runs)],
        ["factor, share of gemm", *(f"{_factor_rate(run) / floors.gemm:.3f}" for _, run in runs)],
        ["peak memory, MB", *(f"{run['peak'] / 1e6:.3g}" for _, run in runs)],
    ]
    head = ["EBVs and exact PEV by CHOLMOD", *(f"{animals:,} animals" for animals, _ in runs)]
    lines = [head, ["---", *("---:" for _ in runs)], *rows]
    return "## With exact PEV\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _factor_rate(run: Measured) -> float:
    """Operations per second of the factorisation."""
    return float(run["factor_flops"] / run["seconds"]["factor"])


def heading(repeats: int, years: int, floors: Floors) -> str:
    """What is compared, the machine, and its floors in this run."""
    return f"""# Records → EBVs

Written by `python benchmarks/records_to_ebv.py`; `benchmarks/README.md` says how to read it. y = contemporary group
(fixed) + animal, h² 0.3, known variances; the population of `breedblup.simulation` over {years} years. Data frames with
text ids in, data frame with EBVs out. Kernels were warmed on 1,000 animals and the frames loaded before the clock
started. Figures are those of the run of median total among {repeats}, each in a process of its own. SciPy ran to the
rtol, found beforehand, at which its EBVs have the largest error that breedblup's have at its default tolerance.

{machine_and_floors(floors)}"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Records to EBVs by stage, beside SciPy.")
    parser.add_argument("--animals", nargs="+", default=["1e4", "1e5", "1e6"], help="numbers of animals")
    parser.add_argument("--exact", nargs="*", default=["1e4", "1e5"], help="those of them also done with exact PEV")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each program")
    parser.add_argument("--years", type=int, default=PedigreeOptions().years, help="cohorts of the population")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "records_to_ebv.md")
    options = parser.parse_args()
    with_pev = {int(float(size)) for size in options.exact}
    floors = measure_floors()
    parts = [heading(options.repeats, options.years, floors)]
    print(parts[0], flush=True)
    results = []
    for animals in (int(float(size)) for size in options.animals):
        population = PedigreeOptions(animals=animals, years=options.years)
        results.append(compare(population, options.repeats, exact=animals in with_pev))
        parts.append(comparison_table(results[-1], floors))
        print(f"\n{parts[-1]}", flush=True)
    if any(result.exact for result in results):
        parts.append(exact_table(results, floors))
        print(f"\n{parts[-1]}", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
