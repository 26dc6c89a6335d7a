"""What others publish or was measured elsewhere, and whether the aims of `reml.py` are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from measure import Measured
from reml_tables import markdown, number, ratio_to_factor, whole

MATING = {"few": "2 % of the males are sires", "random": "random mating"}

PUBLISHED = {
    ("few", 20_000): 0.12,
    ("few", 60_000): 0.46,
    ("few", 100_000): 1.0,
    ("random", 20_000): 3.3,
    ("random", 60_000): 52.0,
}
"""Seconds of OpenBLUP (Rust), AI-REML of 5 rounds on an Apple M5 Pro, by mating and number of animals."""

ELSEWHERE = {
    "gaston (dense, AI)": 0.051,
    "EMMREML": 0.17,
    "qgg": 0.30,
    "rrBLUP": 0.46,
    "LMMsolver (another model)": 0.56,
    "regress": 0.81,
    "sommer (direct)": 1.0,
    "MCMCglmm (3,000 rounds)": 2.8,
    "GCTA": 3.1,
    "lme4qtl": 8.0,
    "pedigreemm": 8.4,
    "sommer (Henderson)": 47.6,
}
"""CPU seconds on 1,000 animals with 582 records, on another machine of two cores."""
ELSEWHERE_RECORDS = 582

MOST_FACTORISATIONS = 4.0
MOST_SECONDS = 10.0
INSTEVAL_SECONDS = 1.0
BIG = 10_000
"""Records from which lme4 has to be slower."""
TIMES_R = 20.0


class Aim(NamedTuple):
    """One aim and what was found; ``met`` None where it could not be measured."""

    what: str
    found: str
    met: bool | None


def aims(
    animals: Mapping[tuple[str, int], Measured],
    others: Mapping[str, Measured],
    beside_lme4: Mapping[str, tuple[Measured, Measured]],
    groups: Mapping[int, Measured],
) -> list[Aim]:
    """Every aim of the issue that a number decides.

    Parameters
    ----------
    animals
        By mating (``few``, ``random``) and number of animals.
    others
        Further models, by name.
    beside_lme4
        Ours and lme4's, by data.
    groups
        By number of animals, like the data on which R packages were measured.
    """
    found = []
    titled = {f"{size:,} animals, {MATING[mating]}": run for (mating, size), run in animals.items()}
    for name, run in {**titled, **others}.items():
        if "total" in run:
            told = f"a round costs at most {MOST_FACTORISATIONS:g} numeric factorisations of its matrix: {name}"
            ratio = ratio_to_factor(run)
            found.append(Aim(told, number(ratio), ratio <= MOST_FACTORISATIONS))
    found.append(_at_most(f"100,000 animals, {MATING['few']}", animals.get(("few", 100_000), {}), MOST_SECONDS))
    found.append(_at_most("InstEval", beside_lme4.get("InstEval", ({}, {}))[0], INSTEVAL_SECONDS))
    for name, (own, peer) in beside_lme4.items():
        if own.get("records", 0) > BIG:
            found.append(_faster(name, own, peer))
    found += [_beside_r(size, run) for size, run in groups.items() if size >= BIG // 2]
    return found


def _at_most(name: str, run: Measured, seconds: float) -> Aim:
    what = f"{name}: at most {seconds:g} s"
    return Aim(what, f"{number(run['total'])} s", run["total"] <= seconds) if "total" in run else Aim(what, "", None)


def _faster(name: str, own: Measured, peer: Measured) -> Aim:
    what = f"{name}: faster than lme4"
    if "total" not in own or "total" not in peer:
        return Aim(what, "", None)
    ratio = peer["total"] / own["total"]
    return Aim(what, f"{number(ratio)} times", ratio > 1.0)


def extrapolated(name: str, records: int) -> float:
    """CPU seconds of a dense program: the cube of the records."""
    return ELSEWHERE[name] * (records / ELSEWHERE_RECORDS) ** 3


def _beside_r(size: int, run: Measured) -> Aim:
    """The fastest R package, a dense one, brought to the number of records by n³."""
    what = (
        f"{size:,} animals: {TIMES_R:g} times faster than an R package (gaston, measured elsewhere, brought up by n³)"
    )
    if "total" not in run:
        return Aim(what, "", None)
    ratio = extrapolated(next(iter(ELSEWHERE)), run["records"]) / run["cpu"]
    return Aim(what, f"{number(ratio)} times", ratio >= TIMES_R)


def aims_table(found: Sequence[Aim]) -> str:
    """One line per aim."""
    verdict = {True: "met", False: "**MISSED**", None: "not measured"}
    return markdown(["aim", "found", ""], [[aim.what, aim.found, verdict[aim.met]] for aim in found])


def elsewhere_table(groups: Mapping[int, Measured]) -> str:
    """Ours on data like those of the R packages, and what these took elsewhere."""
    own = next(iter(groups.values()))
    rows = [
        [
            f"breedblup, {size:,} animals",
            whole(run.get("records")),
            number(run.get("cpu")),
            number(run.get("total")),
            "",
        ]
        for size, run in groups.items()
    ]
    for name, seconds in ELSEWHERE.items():
        ratio = number(seconds / own["cpu"]) if "cpu" in own else ""
        rows.append([f"{name}, 1,000 animals", whole(ELSEWHERE_RECORDS), number(seconds), "", ratio])
    return markdown(["", "records", "CPU s", "wall, s", f"÷ breedblup at {next(iter(groups)):,}"], rows)
