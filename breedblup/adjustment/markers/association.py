"""Tests of association of every marker, from one evaluation: single-step GWAS with exact errors.

With the prediction error (co)variances C²² among the genotyped animals, var(û₂) = Gσ² - C²², so that for w = G⁻¹û₂ and ĝ = SZ'w

    var(ĝ) = S Z'W Z S,   W = G⁻¹(Gσ² - C²²)G⁻¹,   p = 2Φ(-|ĝ|/√var(ĝ))

(Gualdrón Duarte et al. 2014; Aguilar et al. 2019). In GBLUP this is the test of the marker as a fixed effect beside a random one
that holds all markers, at the same variances (Chen, Steibel & Tempelman 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import log_ndtr

from breedblup.adjustment.markers.effects import (
    MarkerEffects,
    column_names,
    genomic_term,
    marker_effects,
    refuse_other_than_g,
)
from breedblup.adjustment.markers.reliability import reliability_factor
from breedblup.analysis import Monitor, Prepared, evaluate_by_factor, prepare
from breedblup.analysis.options import EvaluateOptions
from breedblup.analysis.preparation import check_kinds
from breedblup.errors import ResourceError, counted, gib
from breedblup.evaluation import Evaluation
from breedblup.genotypes import CentredGenotypes
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.plan import memory_budget
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.genomic_matrix import GenomicPart
from breedblup.solvers.cholesky import CholeskyFactor
from breedblup.variances import VarianceComponents

_Array = NDArray[np.float64]

MATRICES = 7
"""Matrices of the size of G that are held together, beside one for each trait or effect."""

MARKERS_AT_ONCE = 512
"""Columns of Z that are expanded together."""

SOLVED_BYTES = 2**27
"""Of right-hand sides that are solved together."""

NO_INFORMATION = 1e-10
"""Share of its prior variance below which var(ĝ) is the rounding of a zero."""

FACTOR_BYTES = 2**28
"""Of the factor for reliabilities, unless asked for otherwise."""


@dataclass(frozen=True, eq=False)
class MarkerInference:
    """Effects of markers with their errors.

    Attributes
    ----------
    effects
        With a factor for reliabilities, where it was not left out.
    se
        √var(ĝ) of each effect (m × c); NaN where the data say nothing of it.
    evaluation
        That they come from.
    """

    effects: MarkerEffects
    se: _Array
    evaluation: Evaluation

    def __post_init__(self) -> None:
        self.se.flags.writeable = False

    @property
    def z(self) -> _Array:
        """ĝ/se (m × c), standard normal where a marker, and what is linked with it, has no effect."""
        return np.asarray(self.effects.estimates / self.se)

    @property
    def minus_log10_p(self) -> _Array:
        """-log₁₀ p (m × c), to any size: p itself is 0 from |z| = 38 on."""
        return np.asarray(-(np.log(2.0) + log_ndtr(-np.abs(self.z))) / np.log(10.0))

    @property
    def table(self) -> pl.DataFrame:
        """The table of the effects with ``se``, ``z``, ``p_value`` and ``minus_log10_p``; null where there is no error."""
        logs = self.minus_log10_p
        columns = {"se": self.se, "z": self.z, "p_value": 10.0**-logs, "minus_log10_p": logs}
        values = [pl.Series(name, column.T.ravel()).fill_nan(None) for name, column in columns.items()]
        return self.effects.table.with_columns(values)

    def __repr__(self) -> str:
        """The effects, and the smallest p-value of each trait or effect."""
        lines = [repr(self.effects)]
        for k, name in enumerate(column_names(self.effects.coordinates)):
            logs = np.nan_to_num(self.minus_log10_p[:, k], nan=-1.0)
            if logs.max(initial=-1.0) >= 0.0:
                best = int(logs.argmax())
                lines.append(
                    f"  smallest p   {name}: {self.effects.markers['marker'][best]}, -log10 p {logs[best]:.2f}"
                )
        return "\n".join(lines)


def marker_inference(
    model: Model,
    records: Any,
    variances: VarianceComponents,
    relationships: Mapping[str, Pedigree | RelationshipInverse],
    *,
    term: str | None = None,
    factor_bytes: int = FACTOR_BYTES,
    options: EvaluateOptions = EvaluateOptions(),
    monitor: Monitor | None = None,
) -> MarkerInference:
    """Effects of markers, their exact standard errors and p-values, and what reliabilities of predictions need.

    Parameters
    ----------
    model, records, variances, relationships, options, monitor
        As `evaluate` takes them; it is solved by a factor, whatever the options say.
    term
        Key of the random term that rests on genotypes; None where there is one only.
    factor_bytes
        Most bytes of the factor for reliabilities that is kept with the effects. Where all of it would take more, the leading
        vectors are kept, and reliabilities are lower bounds; 0 leaves it out.

    Raises
    ------
    ModelError
        If no term rests on genotypes, or K among the genotyped animals is not G itself (APY, τ or ω other than 1, groups of
        unknown parents).
    ResourceError
        If a factor of the equations, or dense matrices of the genotyped animals, cannot be had: p-values are exact or not at
        all.
    InputError, NumericalError
        As `evaluate`.
    """
    prepared = prepare_inference(
        model, records, variances, relationships, terms=(term,), options=options, monitor=monitor
    )
    evaluation, factor = evaluate_by_factor(prepared, monitor=monitor)
    assert factor is not None
    return infer_markers(prepared, evaluation, factor, term=term, factor_bytes=factor_bytes)


def prepare_inference(
    model: Model,
    records: Any,
    variances: VarianceComponents,
    relationships: Mapping[str, Pedigree | RelationshipInverse],
    *,
    terms: Sequence[str | None] = (None,),
    options: EvaluateOptions = EvaluateOptions(),
    monitor: Monitor | None = None,
) -> Prepared:
    """Everything up to the solution by a factor of all equations, from which markers of some terms can be tested.

    Raises
    ------
    ModelError, ResourceError, InputError
        As `marker_inference` does.
    """
    check_kinds(model, relationships, options, EvaluateOptions)
    _refuse_markers_form(relationships)
    try:
        exact = replace(options, method="cholesky", reduce=False)
        prepared = prepare(model, records, variances, relationships, options=exact, monitor=monitor)
    except ResourceError as failure:
        raise ResourceError(f"exact p-values of markers need a factor of all equations: {failure}") from None
    for term in terms:
        found, part = genomic_term(prepared.design.random, term)
        refuse_other_than_g(found, part, "p-values of markers rest on var(û) = Gσ² - PEV", "explicit with τ = ω = 1")
        _refuse_beyond_memory(part, len(found.coordinates), options)
    return prepared


def infer_markers(
    prepared: Prepared,
    evaluation: Evaluation,
    factor: CholeskyFactor,
    *,
    term: str | None = None,
    factor_bytes: int = FACTOR_BYTES,
) -> MarkerInference:
    """Effects of markers with their errors, from an evaluation that was prepared by `prepare_inference` and its factor."""
    found_term, part = genomic_term(prepared.design.random, term)
    effects = marker_effects(evaluation, found_term.name)
    found = _duals_variances(prepared, factor, effects, part)
    errors = np.column_stack([np.sqrt(_variances(part.matrix.z, one)) for one in found])
    prior = part.matrix.z.scale[:, None] * np.sqrt(effects.variances)
    known = errors > np.sqrt(NO_INFORMATION) * prior
    said = f"errors from the exact PEV of {counted(len(part.matrix), 'genotyped animal')}"
    kept = reliability_factor(part.matrix, found, factor_bytes)
    effects = replace(effects, factor=kept, made=(*effects.made, said))
    return MarkerInference(effects, np.where(known, errors, np.nan), evaluation)


def _refuse_markers_form(relationships: Mapping[str, Pedigree | RelationshipInverse]) -> None:
    """`ResourceError` where equations hold effects of markers, of which no factor is made."""
    for name, one in relationships.items():
        if isinstance(one, RelationshipInverse) and one.genomic is not None and one.genomic.form == "markers":
            raise ResourceError(
                f"exact p-values of markers need a factor of all equations, and relationships[{name!r}] is the single-step form "
                "'markers', of which none is made -> make it with form='explicit', where the genotyped animals are not too many"
            )


def _refuse_beyond_memory(part: GenomicPart, width: int, options: EvaluateOptions) -> None:
    needed, budget = 8 * (MATRICES + width) * len(part.matrix) ** 2, memory_budget(options.memory_bytes)
    if needed > budget:
        raise ResourceError(
            f"exact p-values of markers need dense matrices of {len(part.matrix):,} genotyped animals, {gib(needed)}, and "
            f"{gib(budget)} may be used -> give more memory, or fewer genotyped animals"
        )


def _duals_variances(
    prepared: Prepared, factor: CholeskyFactor, effects: MarkerEffects, part: GenomicPart
) -> list[_Array]:
    """W of each trait or effect, n × n."""
    k = prepared.layout.index_of(effects.term)
    matrix = part.matrix.dense()
    cholesky = scipy.linalg.cho_factor(matrix, lower=True)
    found = []
    for c, variance in enumerate(effects.variances):
        of_breeding_values = variance * matrix - _error_block(prepared, factor, k, part.rows, c)
        half = scipy.linalg.cho_solve(cholesky, of_breeding_values)
        whole = scipy.linalg.cho_solve(cholesky, half.T)
        found.append(0.5 * (whole + whole.T))
    return found


def _error_block(prepared: Prepared, factor: CholeskyFactor, k: int, rows: NDArray[np.int32], c: int) -> _Array:
    """C²²: prediction error (co)variances of effect c of some levels of the k-th term, by solving for their unit columns."""
    layout = prepared.layout
    width, loading = layout.width(k), layout.loadings[k]
    weights = np.eye(width)[c] if loading is None else loading[c]
    equations = layout.starts[k] + width * rows.astype(np.int64)[:, None] + np.arange(width)
    found = np.empty((rows.size, rows.size))
    step = max(1, SOLVED_BYTES // (8 * layout.size))
    for first in range(0, rows.size, step):
        some = equations[first : first + step]
        sides = np.zeros((layout.size, len(some)))
        sides[some, np.arange(len(some))[:, None]] = weights
        found[:, first : first + step] = np.einsum("nwr,w->nr", factor.solve(sides)[equations], weights)
    return found


def _variances(z: CentredGenotypes, of_dual: _Array) -> _Array:
    """Diagonal of S Z'WZ S, by blocks of markers."""
    found = np.empty(z.scale.size)
    for first in range(0, found.size, MARKERS_AT_ONCE):
        last = min(first + MARKERS_AT_ONCE, found.size)
        block = z.dense(first, last)
        found[first:last] = np.einsum("nb,nb->b", block, of_dual @ block)
    return np.asarray(np.maximum(found, 0.0) * z.scale**2)
