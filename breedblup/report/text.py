"""What is going to be solved, as plain text for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from breedblup.analysis import Prepared
from breedblup.plan import gib

HEADER = ("term", "kind", "levels", "equations", "set to zero", "relationship")
NUMERIC = (False, False, True, True, True, False)


def describe_prepared(prepared: Prepared) -> list[str]:
    """Model, records, terms, equations, memory and method, a line each."""
    plan, counts = prepared.plan, prepared.design.counts
    factor = "not ordered" if plan.factor_nonzeros is None else f"{plan.factor_nonzeros:,}"
    flops = "" if plan.factor_flops is None else f" ({plan.factor_flops:.2g} operations)"
    parts = ", ".join(f"{what} {gib(count)}" for what, count in plan.bytes.items())
    facts = [
        ("model", prepared.model.formula),
        ("records", f"{counts.read:,} read, {counts.used:,} used, {counts.without_trait:,} without "
         f"{prepared.design.trait}, {counts.without_effect:,} without an effect"),
        ("equations", f"{plan.equations:,}"),
        ("non-zeros", f"{plan.nonzeros:,} of the equations"),
        ("", f"{factor} of the factor{flops}"),
        ("memory", f"{gib(sum(plan.bytes.values()))} ({parts})"),
        ("method", f"{plan.method}, {'with' if plan.pev else 'without'} exact PEV"),
        *(("because" if not k else "", reason) for k, reason in enumerate(plan.reasons)),
    ]  # fmt: skip
    notes = [note for note in prepared.notes if note not in plan.reasons]
    facts += [("note" if not k else "", note) for k, note in enumerate(notes)]
    return [*aligned([HEADER, *_terms(prepared)], NUMERIC), "", *aligned(facts, (False, False))]


def _terms(prepared: Prepared) -> list[tuple[str, ...]]:
    """A row for each term."""
    constrained = prepared.constraints.equations
    rows: list[tuple[str, ...]] = []
    for term in prepared.layout.terms:
        place = prepared.layout.slice_of(term.name)
        zero = int(np.count_nonzero((constrained >= place.start) & (constrained < place.stop)))
        related = (
            "" if term.kind == "fixed" else "independent" if term.relationship is None else term.relationship.made[0]
        )
        rows.append((term.name, term.kind, f"{len(term.levels):,}", f"{term.equations:,}", f"{zero:,}", related))
    return rows


def aligned(rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """Lines of a table, columns two blanks apart, also where letters are two cells wide; numbers stand to the right."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for cell, width, right in zip(row, widths, numeric, strict=True):
            blanks = " " * (width - cell_len(cell))
            cells.append(blanks + cell if right else cell + blanks)
        lines.append("  ".join(cells).rstrip())
    return lines
