"""The tables of `reml.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from measure import Measured
from reml_agreement import Pair, largest, variance_difference
from reml_data import RemlCase

PARTS = ("assembly", "factorisation", "selected inverse", "solves", "traces", "step")
"""What a round consists of, in the order of the tables; others that a fit tells of follow."""

STAGES = {
    "relationships": "relationships of the records' ids",
    "design": "records: ids to codes",
    "start": "starting values",
    "equations": "pattern, ordering, counts",
    "information": "standard errors",
}
"""What `estimate_variances` calls them, and what the tables do."""

Columns = Sequence[tuple[str, Measured]]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """A table whose first columns are text."""
    lines = [head, ["---"] * texts + ["---:"] * (len(head) - texts), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """Three digits."""
    return "" if value is None else f"{value:.3g}"


def whole(value: float | None) -> str:
    """With thousands."""
    return "" if value is None else f"{value:,.0f}"


def a_round(run: Measured) -> float:
    """Seconds of the mean round."""
    return float(sum(run["parts"].values()))


def ratio_to_factor(run: Measured) -> float:
    """A round over one numeric factorisation of its matrix."""
    return a_round(run) / float(run["factorisation"])


def fit_table(columns: Columns, published: Mapping[str, float] | None = None) -> str:
    """One column per model: sizes, seconds, a round by its parts."""
    told = {part for _, run in columns for part in run.get("parts", {})}
    parts = [part for part in PARTS if part in told] + sorted(told - set(PARTS))
    stages = list(dict.fromkeys(stage for _, run in columns for stage in run.get("seconds", {})))

    def row(label: str, cell: Callable[[Measured], str], *, planned: bool = False) -> list[str]:
        return [label, *(cell(run) if planned or "total" in run else _absence(run) for _, run in columns)]

    rows = [
        row("records", lambda run: whole(run.get("records")), planned=True),
        row("equations", lambda run: whole(run.get("equations")), planned=True),
        row("variances and covariances", lambda run: whole(run["parameter_count"]), planned=True),
        row("entries of L", lambda run: whole(run.get("factor_nonzeros")), planned=True),
        row("factor and its inverse, MB", lambda run: number(run.get("factor_bytes", 0) / 1e6), planned=True),
        row("operations of a factorisation, 10⁹", lambda run: number(run.get("factor_flops", 0) / 1e9), planned=True),
        row("rounds", lambda run: whole(run["rounds"])),
        row("**total, s**", lambda run: number(run["total"])),
        *(row(f"{STAGES.get(name, name)}, s", _at("seconds", name)) for name in stages),
        row("total, CPU s", lambda run: number(run["cpu"])),
        *(row(f"a round: {part}, ms", _at("parts", part, 1e3)) for part in parts),
        row("**a round, ms**", lambda run: number(1e3 * a_round(run))),
        row("one numeric factorisation, ms", lambda run: number(1e3 * run["factorisation"])),
        row("**a round ÷ one factorisation**", lambda run: number(ratio_to_factor(run))),
        row("memory before the run, MB", lambda run: whole(run["resident"] / 1e6)),
        row("peak memory, MB", lambda run: whole(run["peak"] / 1e6)),
    ]
    if published is not None:
        rows.append(
            ["OpenBLUP (Rust), published, on an Apple M5 Pro, s", *(number(published.get(name)) for name, _ in columns)]
        )
    return markdown(["", *(name for name, _ in columns)], rows)


def _at(kind: str, name: str, scale: float = 1.0) -> Callable[[Measured], str]:
    """The cell of one stage, or one part of a round."""
    return lambda run: number(scale * run[kind].get(name, 0.0))


def _absence(run: Measured) -> str:
    """Why a figure is missing."""
    return "refused" if "refused" in run else "not fitted"


def refusals(columns: Columns) -> list[str]:
    """What was refused, and why."""
    return [f"{name}: {run['refused']}." for name, run in columns if "refused" in run]


def peer_table(results: Sequence[tuple[RemlCase, Measured, Measured, Measured | None]]) -> str:
    """One line per data set: seconds and memory of the three programs."""
    head = [
        "data", "records", "breedblup, s", "lme4, s", "lme4 ÷ breedblup", "statsmodels, s", "statsmodels ÷ breedblup",
        "rounds", "MB", "lme4, MB", "statsmodels, MB",
    ]  # fmt: skip
    rows = []
    for case, own, *others in results:
        cells = [case.title, whole(own.get("records")), _seconds(own)]
        for peer in others:
            cells += [_seconds(peer), _ratio(own, peer)]
        cells += [whole(own.get("rounds")), *(_megabytes(run) for run in (own, *others))]
        rows.append(cells)
    return markdown(head, rows)


def _seconds(run: Measured | None) -> str:
    if run is None:
        return ""
    return number(run["total"]) if "total" in run else f"failed: {run.get('failed') or run.get('refused')}"


def _ratio(own: Measured, peer: Measured | None) -> str:
    return number(peer["total"] / own["total"]) if peer and "total" in peer and "total" in own else ""


def _megabytes(run: Measured | None) -> str:
    return whole(run["peak"] / 1e6) if run and run.get("peak") else ""


def agreement_table(found: Mapping[str, list[Pair]], results: Mapping[str, tuple[Measured, Measured | None]]) -> str:
    """One line per data set: REML criteria, and the largest relative differences from lme4."""
    head = [
        "data",
        "REML criterion",
        "lme4's",
        "ours − lme4's",
        "variances",
        "fixed effects",
        "standard errors",
        "statsmodels' variances",
    ]
    rows = []
    for name, pairs in found.items():
        criterion, (own, other) = pairs[0], results[name]
        rows.append(
            [
                name,
                f"{criterion.own:.5f}",
                f"{criterion.peer:.5f}",
                f"{criterion.own - criterion.peer:.1e}",
                *(f"{largest(pairs, kind):.1e}" for kind in ("variance", "fixed", "error")),
                f"{variance_difference(own, other):.1e}" if other and "total" in other else "",
            ]
        )
    return markdown(head, rows)


def estimates_table(found: Mapping[str, list[Pair]]) -> str:
    """Every figure by both programs, standard errors of fixed effects in brackets."""
    rows = []
    for name, pairs in found.items():
        errors = {pair.name: pair for pair in pairs if pair.kind == "error"}
        for pair in pairs:
            if pair.kind == "error":
                continue
            error = errors.get(pair.name)
            cells = [f"{pair.own:.7g}", f"{pair.peer:.7g}"]
            if error is not None:
                cells = [f"{cells[0]} ({error.own:.5g})", f"{cells[1]} ({error.peer:.5g})"]
            rows.append([name, pair.name, *cells, f"{max(pair.difference, error.difference if error else 0.0):.1e}"])
    return markdown(["data", "", "breedblup", "lme4", "relative difference"], rows, texts=2)


def parameter_table(run: Measured) -> str:
    """Estimates with their standard errors."""
    rows = [[name, number(value), number(error)] for name, value, error in run["parameters"]]
    return markdown(["", "estimate", "standard error"], rows)
