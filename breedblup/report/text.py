"""What is going to be solved, as plain text for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len

from breedblup.analysis import Prepared
from breedblup.design import Design
from breedblup.errors import counted
from breedblup.plan import gib

HEADER = ("term", "kind", "levels", "equations", "set to zero", "relationship")
NUMERIC = (False, False, True, True, True, False)


def describe_prepared(prepared: Prepared) -> list[str]:
    """Model, records, terms, equations, memory and method, a line each."""
    plan = prepared.plan
    factor = "not ordered" if plan.factor_nonzeros is None else f"{plan.factor_nonzeros:,}"
    flops = "" if plan.factor_flops is None else f" ({plan.factor_flops:.2g} operations)"
    eliminated = "" if prepared.reduction is None else f" of {prepared.layout.size:,}, the others eliminated"
    parts = ", ".join(f"{what} {gib(count)}" for what, count in plan.bytes.items())
    facts = [
        *(("" if k else "model", formula) for k, formula in enumerate(prepared.model.formulas)),
        *_records(prepared.design),
        *_effects(prepared),
        ("equations", f"{plan.equations:,}{eliminated}"),
        ("non-zeros", f"{plan.nonzeros:,} of the equations"),
        ("", f"{factor} of the factor{flops}"),
        ("memory", f"{gib(sum(plan.bytes.values()))} ({parts})"),
        ("method", f"{plan.method}, {'with' if plan.pev else 'without'} exact PEV"),
        *(("" if k else "because", reason) for k, reason in enumerate(plan.reasons)),
    ]  # fmt: skip
    notes = [note for note in prepared.notes if note not in plan.reasons]
    facts += [("" if k else "note", note) for k, note in enumerate(notes)]
    return [*aligned([HEADER, *_terms(prepared)], NUMERIC), "", *aligned(facts, (False, False))]


def _records(design: Design) -> list[tuple[str, str]]:
    """What became of the records; of several traits also the values of each, and how many patterns of them there are."""
    counts, traits, observed = design.counts, design.traits, design.observed
    without = traits[0] if len(traits) == 1 else "any trait"
    facts = [
        ("records", f"{counts.read:,} read, {counts.used:,} used, {counts.without_trait:,} without {without}, "
         f"{counts.without_effect:,} without an effect"),
    ]  # fmt: skip
    if len(traits) > 1:
        values = zip(traits, observed.sum(axis=0).tolist(), strict=True)
        patterns = np.unique(np.packbits(observed, axis=1), axis=0).shape[0]
        facts.append(("values", ", ".join(f"{trait} {number:,}" for trait, number in values)))
        facts.append(("", f"{counted(patterns, 'pattern')} of traits with a value"))
    return facts


def _effects(prepared: Prepared) -> list[tuple[str, str]]:
    """Rows of the covariance matrix of each random term that has more than one."""
    several = [term for term in prepared.design.random if len(term.coordinates) > 1]
    lines = [f"{term.name}: {', '.join(map(str, term.coordinates))}" for term in several]
    return [("" if k else "effects", line) for k, line in enumerate(lines)]


def _terms(prepared: Prepared) -> list[tuple[str, ...]]:
    """A row for each term."""
    constrained = prepared.constraints.equations
    rows: list[tuple[str, ...]] = []
    layout = prepared.layout
    for k, term in enumerate(layout.terms):
        start, end = layout.starts[k], layout.starts[k + 1]
        zero = int(np.count_nonzero((constrained >= start) & (constrained < end)))
        related = (
            "" if term.kind == "fixed" else "independent" if term.relationship is None else term.relationship.made[0]
        )
        rows.append((term.name, term.kind, f"{len(term.levels):,}", f"{layout.equations(k):,}", f"{zero:,}", related))
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
