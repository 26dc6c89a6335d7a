"""Variance components by AI-REML: animal models, lme4's examples, larger models, growth: ``python benchmarks/reml.py``.

Each fit is a process of its own that fits small data of the same model before the clock starts. lme4 and statsmodels run beside
it, installed where they are missing (`reml_peers.py`). Prints the tables and writes them to ``benchmarks/results/reml.md``, the
plot of growth beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from floor import Floors, machine_and_floors, measure_floors
from measure import Measured, run_in_child, typical_run
from reml_agreement import Pair, pairs
from reml_data import EXAMPLES, RemlCase, animal_case, few_sires, group_case, larger_models, random_mating, write_case
from reml_growth import SERIES, growth_section, plot_growth
from reml_peers import Peers
from reml_tables import agreement_table, estimates_table, fit_table, parameter_table, peer_table, refusals
from reml_verdict import PUBLISHED, aims, aims_table, elsewhere_table

HERE = Path(__file__).parent
OWN = HERE / "own_reml.py"

FEW_SIRES, RANDOM_MATING = (20_000, 60_000, 100_000), (20_000, 60_000)
MATINGS = {"few": few_sires, "random": random_mating}
GROUPS = (1_000, 5_000)
SLOPE_ROWS, LARGER_ANIMALS = 100_000, 10_000
LONG = 60.0
"""A fit of more seconds is not repeated."""
PARTS = ("animals", "examples", "models", "groups", "growth")


@dataclass
class Found:
    """What has been measured."""

    animals: dict[tuple[str, int], Measured] = field(default_factory=dict)
    examples: list[tuple[RemlCase, Measured, Measured, Measured | None]] = field(default_factory=list)
    agreement: dict[str, list[Pair]] = field(default_factory=dict)
    models: dict[str, tuple[RemlCase, Measured]] = field(default_factory=dict)
    groups: dict[int, Measured] = field(default_factory=dict)

    @property
    def beside_lme4(self) -> dict[str, tuple[Measured, Measured]]:
        """Ours and lme4's, by data."""
        return {case.title: (own, lme4) for case, own, lme4, _ in self.examples}


@dataclass(frozen=True)
class Bench:
    """Where runs happen and how often.

    Attributes
    ----------
    scale
        What sizes are multiplied by, to try the script.
    most_flops
        Operations of a factorisation from which nothing is fitted and only the plan told.
    """

    folder: Path
    repeats: int
    scale: float
    most_flops: float
    peers: Peers
    found: Found = field(default_factory=Found)

    def size(self, size: int) -> int:
        """A number of animals or records."""
        return round(size * self.scale)

    def fit(self, name: str, case: RemlCase) -> Measured:
        """Write the data and give the run of median total."""
        write_case(self.folder, name, case)
        plan = run_in_child(OWN, str(self.folder), name, "plan") if case.size else {}
        if plan.get("factor_flops", 0.0) > self.most_flops:
            return dict(plan)
        runs = [run_in_child(OWN, str(self.folder), name)]
        while len(runs) < self.repeats and runs[0].get("total", LONG) < LONG:
            runs.append(run_in_child(OWN, str(self.folder), name))
        return typical_run(runs) if "total" in runs[0] else {**plan, **runs[0]}

    def beside(self, name: str, case: RemlCase) -> tuple[Measured, Measured, Measured | None]:
        """Ours, lme4's, statsmodels', one after the other; agreement is noted."""
        own = self.fit(name, case)
        lme4 = self.peers.run_lme4(self.folder, name, case)
        other = self.peers.run_statsmodels(self.folder, name, case)
        if "total" in own and "total" in lme4:
            records = pl.read_parquet(self.folder / f"{name}_full.parquet")
            self.found.agreement[case.title] = pairs(own, lme4, records)
        self.found.examples.append((case, own, lme4, other))
        return own, lme4, other


def animals_section(bench: Bench) -> str:
    """`y ~ sex + (1 | animal)` with few sires and with random mating."""
    for mating, sizes in (("few", FEW_SIRES), ("random", RANDOM_MATING)):
        for size in map(bench.size, sizes):
            bench.found.animals[mating, size] = bench.fit(f"{mating}_{size}", animal_case(MATINGS[mating], size))
    columns = [(animal_case(MATINGS[key[0]], key[1]).title, run) for key, run in bench.found.animals.items()]
    published = {animal_case(MATINGS[mating], size).title: seconds for (mating, size), seconds in PUBLISHED.items()}
    return _joined(
        "## Animal models\n\n```\ny ~ sex + (1 | animal)\n```",
        "One record of each animal, h² 0.3; 2 % of the males of a cohort are kept as sires, or every male and female as parent.",
        *refusals(columns),
        fit_table(columns, published),
    )


def examples_section(bench: Bench) -> str:
    """lme4's own examples, and random slopes, by all three programs."""
    missing = bench.peers.export(bench.folder, list(EXAMPLES))
    slopes = larger_models(bench.size(SLOPE_ROWS), LARGER_ANIMALS)["slopes"]
    for name, case in {**({} if missing else EXAMPLES), "slopes": slopes}.items():
        bench.beside(name, case)
    runs = {case.title: (own, other) for case, own, _, other in bench.found.examples}
    formulas = "\n".join(f"{case.title}: {case.formulas[0]}" for case, *_ in bench.found.examples)
    versions = sorted(
        {f"{name} {run['version'][0]}" for _, _, *two in bench.found.examples for name, run in _named(two)}
    )
    return _joined(
        f"## lme4's examples, and random slopes\n\n```\n{formulas}\n```",
        *([f"lme4's own data: failed: {missing}"] if missing else []),
        f"{', '.join(versions) or 'No other program'}.",
        peer_table(bench.found.examples),
        "Differences from lme4, relative to √(v_i v_j) for a (co)variance (the residual variance where that is 0), "
        "to the larger of estimate and standard error for a fixed effect, which is ours in the coding of lme4.",
        agreement_table(bench.found.agreement, runs),
        estimates_table(bench.found.agreement),
    )


def _named(peers: Sequence[Measured | None]) -> list[tuple[str, Measured]]:
    """Runs that ended, with the name of the program."""
    return [(name, run) for name, run in zip(("lme4", "statsmodels"), peers, strict=True) if run and "version" in run]


def models_section(bench: Bench) -> str:
    """Slopes again by part, three traits, a random regression."""
    cases = larger_models(bench.size(SLOPE_ROWS), bench.size(LARGER_ANIMALS))
    for name, case in cases.items():
        bench.found.models[name] = case, bench.fit(name, case)
    columns = [(case.title, run) for case, run in bench.found.models.values()]
    told = []
    for case, run in bench.found.models.values():
        formulas = "\n".join(case.formulas)
        told += [f"### {case.title}\n\n```\n{formulas}\n```", f"{case.about}."]
        told += [parameter_table(run)] if "total" in run else []
    return _joined("## Larger models", *refusals(columns), fit_table(columns), *told)


def groups_section(bench: Bench) -> str:
    """Beside R packages that cannot be run here."""
    for size in map(bench.size, GROUPS):
        bench.found.groups[size] = bench.fit(f"groups_{size}", group_case(size))
    return _joined(
        "## Beside the R packages for animal models",
        "Contemporary groups of 20 (fixed), 58 % of the animals recorded, h² 0.4. The R packages do not install in one step; "
        "their CPU seconds were measured elsewhere, on another machine of two cores, on 1,000 simulated animals with 582 "
        "records: neither the same run nor the same data.",
        elsewhere_table(bench.found.groups),
    )


def growth(bench: Bench, picture: Path) -> str:
    """Three models at growing sizes, one run each; what outgrows the machine ends its series."""
    done: dict[str, dict[int, Measured]] = {}
    for name, series in SERIES.items():
        for size in map(bench.size, series.sizes):
            run = bench.fit(f"growth_{name}_{size}", series.case(size))
            if "total" not in run:
                break
            done.setdefault(name, {})[size] = run
    plot_growth(done, picture)
    return growth_section(done, picture.name)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def verdict(found: Found) -> str:
    """The aims, first of all."""
    models: Mapping[str, Measured] = {case.title: run for case, run in found.models.values()}
    return f"## Aims\n\n{aims_table(aims(found.animals, models, found.beside_lme4, found.groups))}"


def heading(repeats: int, floors: Floors) -> str:
    """What is measured, the machine, and its floors in this run."""
    return f"""# Variance components by AI-REML

Written by `python benchmarks/reml.py`; `benchmarks/README.md` says how to read it. Data frames with text ids in, estimates
with standard errors and solutions out, starting values found from the data; kernels were warmed on small data of the same
model and the frames loaded before the clock started. Figures are those of the run of median total among {repeats}, each in a
process of its own (one where a fit takes more than {LONG:g} s); a fit of less than a second is repeated within its process.

{machine_and_floors(floors)}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Variance components by AI-REML, beside lme4 and statsmodels.")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="which sections")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each fit")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes")
    parser.add_argument(
        "--most-flops", type=float, default=1e12, help="largest factorisation that is fitted, else planned"
    )
    parser.add_argument("--patience", type=float, default=300.0, help="seconds after which a fit by a peer is given up")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "reml.md")
    options = parser.parse_args(arguments)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    floors = measure_floors()
    parts = [heading(options.repeats, floors)]
    print(parts[0], flush=True)
    with TemporaryDirectory() as data, TemporaryDirectory() as libraries:
        needed = "examples" in options.parts
        peers = Peers.installed(Path(libraries), options.patience) if needed else Peers.none()
        bench = Bench(Path(data), options.repeats, options.scale, options.most_flops, peers)
        sections: Mapping[str, Callable[[Bench], str]] = {
            "animals": animals_section,
            "examples": examples_section,
            "models": models_section,
            "groups": groups_section,
            "growth": lambda bench: growth(bench, options.output.with_name(f"{options.output.stem}_growth.svg")),
        }
        for part in options.parts:
            parts.append(sections[part](bench))
            print(f"\n{parts[-1]}", flush=True)
        parts.insert(1, verdict(bench.found))
    print(f"\n{parts[1]}", flush=True)
    options.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
