"""What is going to be solved, as plain text for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from breedblup.analysis import Prepared
from breedblup.analysis.sections import aligned
from breedblup.design import Design
from breedblup.errors import counted, gib
from breedblup.model import Model
from breedblup.relationship import RelationshipInverse
from breedblup.variances import VarianceComponents

HEADER = ("term", "kind", "levels", "equations", "set to zero", "relationship")
NUMERIC = (False, False, True, True, True, False)


def describe_prepared(prepared: Prepared, genotypes: Sequence[str] = ()) -> list[str]:
    """Terms as a table; model, records, equations, memory and method, a line each; the variances.

    ``genotypes`` is what there is to say of them: who takes part, and what their relationships need.
    """
    plan = prepared.plan
    factor = "not ordered" if plan.factor_nonzeros is None else f"{plan.factor_nonzeros:,}"
    flops = "" if plan.factor_flops is None else f" ({plan.factor_flops:.2g} operations)"
    eliminated = "" if prepared.reduction is None else f" of {prepared.layout.size:,}, the others eliminated"
    parts = ", ".join(f"{what} {gib(count)}" for what, count in plan.bytes.items())
    facts = [
        *(("" if k else "model", formula) for k, formula in enumerate(prepared.model.formulas)),
        *_records(prepared.design),
        *_weights(prepared.model),
        *_effects(prepared),
        *(("" if k else "genotypes", line) for k, line in enumerate(genotypes)),
        ("equations", f"{plan.equations:,}{eliminated}"),
        ("non-zeros", f"{plan.nonzeros:,} of the equations"),
        ("", f"{factor} of the factor{flops}"),
        ("memory", f"{gib(sum(plan.bytes.values()))} ({parts})"),
        ("method", f"{plan.method}, {'with' if plan.pev else 'without'} exact PEV"),
        *(("" if k else "because", reason) for k, reason in enumerate(plan.reasons)),
    ]  # fmt: skip
    notes = [note for note in prepared.notes if note not in plan.reasons and note not in genotypes]
    facts += [("" if k else "note", note) for k, note in enumerate(notes)]
    blocks = (
        aligned([HEADER, *_terms(prepared)], NUMERIC),
        aligned(facts, (False, False)),
        _variances(prepared),
        _sums(prepared),
    )
    return [line for k, block in enumerate(blocks) for line in (["", *block] if k else block)]


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


def _weights(model: Model) -> list[tuple[str, str]]:
    """Columns that hold the weights of each trait."""
    weighted = [(trait, model.residual.weight_of(trait)) for trait in model.traits]
    parts = [f"{column} of {trait}" for trait, column in weighted if column is not None]
    return [("weights", f"{', '.join(parts)}; residual variance divided by the weight")] if parts else []


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
        related = "" if term.kind == "fixed" else _related(term.relationship)
        rows.append((term.name, term.kind, f"{len(term.levels):,}", f"{layout.equations(k):,}", f"{zero:,}", related))
    return rows


def _related(relationship: RelationshipInverse | None) -> str:
    """Where K⁻¹ comes from."""
    if relationship is None:
        return "independent"
    first, part = relationship.made[0], relationship.genomic
    if part is None or len(part.matrix) == len(relationship):
        return first
    return f"H, {part.form}: {first.partition(';')[0]} and {part.matrix.z.genotypes.source}"


def _variances(prepared: Prepared) -> list[str]:
    """Covariance matrix of each random term and of the residual, or of each of its classes, with the names of its rows."""
    variances, design = prepared.variances, prepared.design
    matrices = [(term.name, variances.matrix(term.name), list(map(str, term.coordinates))) for term in design.random]
    for level in variances.residual_classes or (None,):
        name = "residual" if level is None else f"residual {level}"
        matrices.append((name, variances.residual_matrix(level), list(design.traits)))
    width = max(len(matrix) for _, matrix, _ in matrices)
    rows = [("variances", "row", *[""] * width)]
    for name, matrix, labels in matrices:
        for k, (label, values) in enumerate(zip(labels, matrix.tolist(), strict=True)):
            cells = [f"{value:.7g}" for value in values]
            rows.append(("" if k else name, label, *cells, *[""] * (width - len(cells))))
    return aligned(rows, (False, False, *[True] * width))


def _sums(prepared: Prepared) -> list[str]:
    """The variance of a record of each trait by the variances given, and that of the values of the records in use."""
    rows = [("trait", "sum of variances", "variance of the records")]
    for t, trait in enumerate(prepared.design.traits):
        values = prepared.design.y[prepared.design.observed[:, t], t]
        found = f"{values.var(ddof=1):.7g}" if values.size > 1 else ""
        rows.append((trait, f"{_expected_variance(prepared.design, prepared.variances, t):.7g}", found))
    return aligned(rows, (False, True, True))


def _expected_variance(design: Design, variances: VarianceComponents, trait: int) -> float:
    """Mean over the records of a trait of the variance that their effects and residual have by the variances given.

    Effects of several levels are taken as unrelated and every level as not inbred (K = I): x'G₀x of each, x what multiplies
    the coordinates in the record. For an effect without a covariate that is its variance.
    """
    observed = design.observed[:, trait]
    total = _residual_sum(design, variances, trait)
    for term in design.random:
        matrix = variances.matrix(term.name)
        for link in term.links:
            used = np.flatnonzero(observed & (link.codes >= 0))
            entries = [entry for entry in link.entries if entry.trait == trait]
            factors = [
                np.full(used.size, entry.scale)
                if term.values is None or entry.column < 0
                else entry.scale * term.values[used, entry.column]
                for entry in entries
            ]
            total += sum(
                float(matrix[a.coordinate, b.coordinate]) * float(x @ y)
                for a, x in zip(entries, factors, strict=True)
                for b, y in zip(entries, factors, strict=True)
            )
    return total / int(np.count_nonzero(observed))


def _residual_sum(design: Design, variances: VarianceComponents, trait: int) -> float:
    """Sum of the residual variances of the records of a trait: each that of its class, divided by its weight."""
    observed = design.observed[:, trait]
    inverse = np.ones(len(observed)) if design.weights is None else 1.0 / design.weights[:, trait]
    if design.residual_levels is None or design.residual_codes is None:
        return float(variances.residual_matrix()[trait, trait]) * float(inverse[observed].sum())
    of_level = [variances.residual_matrix(level)[trait, trait] for level in design.residual_levels]
    return float(np.asarray(of_level)[design.residual_codes[observed]] @ inverse[observed])
