"""Relationships that rest on genotypes: whether equations store them whole, and what marker effects are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from breedblup.analysis.options import EvaluateOptions
from breedblup.errors import ModelError, counted, gib
from breedblup.mme import EquationLayout
from breedblup.mme.marker_preconditioner import AT_ONCE, LEADING, OVERSAMPLING
from breedblup.model import Model
from breedblup.plan import FLOPS_FOR_PEV, memory_budget
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.blocks import A22Operator
from breedblup.relationship.marker_form import MarkerOperator
from breedblup.relationship.single_step import as_stored
from breedblup.relationship.single_step_operator import SingleStepOperator
from breedblup.solvers.records import Solution

STORED_ENTRY = 60
"""Bytes of an entry among genotyped animals: in K⁻¹ and in the equations, in the factor and its inverse."""

SHARE_FOR_BLOCK = 0.5
"""Share of the memory that such entries may take unasked."""


@runtime_checkable
class SingleStep(Protocol):
    """An operator over more animals than those with genotypes."""

    def genomic_duals(self, solutions: NDArray[np.float64]) -> NDArray[np.float64]:
        """G⁻¹û₂ of solutions of all rows."""
        ...


def stored_where_it_pays(
    model: Model, inverses: Mapping[str, RelationshipInverse], options: EvaluateOptions
) -> tuple[dict[str, RelationshipInverse], tuple[str, ...]]:
    """K⁻¹ by name, with all entries stored where a factor is asked for, or can be had with PEV; and notes.

    Raises
    ------
    ModelError
        If a factor is asked for and a relationship is in a form that is never stored.
    ResourceError
        If a factor is asked for and the entries would not fit.
    """
    stored, notes = {}, []
    for name, inverse in inverses.items():
        stored[name] = inverse
        if not inverse.by_products:
            continue
        assert inverse.genomic is not None
        asked = options.method == "cholesky" or options.pev == "exact"
        if asked and inverse.genomic.form == "markers":
            raise ModelError(
                f"relationships[{name!r}] is the single-step form 'markers', of which no factor is made, and method = 'cholesky' "
                "or pev = 'exact' needs one -> make it with form='explicit', or leave both out"
            )
        effects = max((len(model.coordinates(t.key)) for t in model.random if t.relationship_name == name), default=1)
        size = float(inverse.genomic.rows.size * effects)
        taken, flops = STORED_ENTRY * size**2, size**3 / 3
        free = options.method == "auto" and options.pev == "auto" and inverse.genomic.form == "explicit"
        if asked or (
            free and flops <= FLOPS_FOR_PEV and taken <= SHARE_FOR_BLOCK * memory_budget(options.memory_bytes)
        ):
            stored[name] = as_stored(inverse)
        elif free:
            genotyped, limit = (
                counted(inverse.genomic.rows.size, "genotyped animal"),
                memory_budget(options.memory_bytes),
            )
            notes.append(
                f"{name}: no factor and no PEV, {genotyped} in the equations would take {gib(taken)} of the {gib(limit)} that "
                f"may be used (unasked at most half), and {flops:.1e} operations; pev = 'exact' insists"
            )
    return stored, tuple(notes)


def refuse_elimination(inverses: Mapping[str, RelationshipInverse], options: EvaluateOptions) -> bool:
    """Whether a relationship is known by products only; refuse to eliminate animals then.

    Raises
    ------
    ModelError
        If that was asked for.
    """
    found = [name for name, inverse in inverses.items() if inverse.by_products]
    if found and options.reduce:
        raise ModelError(
            f"reduce is True, but relationships[{found[0]!r}] couples genotyped animals by products, which elimination does not "
            "know -> leave reduce out"
        )
    return bool(found)


def bytes_beside(layout: EquationLayout) -> int:
    """Memory beside the stored equations: a dense block; vectors and factors of marker effects, unknowns or preconditioner."""
    total = 0
    for k, term in enumerate(layout.terms):
        inverse, width = term.relationship, layout.width(k)
        if inverse is None or inverse.genomic is None or not inverse.by_products:
            continue
        if inverse.genomic.form == "explicit":
            total += 8 * inverse.genomic.rows.size**2
        components = components_of(inverse)
        if isinstance(inverse.operator, MarkerOperator):
            blocks = inverse.operator.blocks
        elif components is not None:
            blocks = cast(A22Operator, components.a22.operator)
        else:
            continue
        of_factors = 0 if blocks.factor is None else (width + 1) * blocks.factor.symbolic.bytes
        vectors = 8 * inverse.genomic.matrix.effects * (8 * width + 3 * (LEADING + OVERSAMPLING))
        total += of_factors + vectors + 8 * len(inverse) * (8 * width + AT_ONCE)
    return total


def components_of(inverse: RelationshipInverse | None) -> SingleStepOperator | None:
    """H of a term whose G⁻¹ is made of products with genotypes anyway: marker effects precondition it; None elsewhere."""
    if inverse is None or inverse.genomic is None or not inverse.by_products:
        return None
    plain = inverse.genomic.form == "components" and inverse.genomic.tau == 1.0
    return inverse.operator if plain and isinstance(inverse.operator, SingleStepOperator) else None


def duals_by_term(layout: EquationLayout, solution: Solution) -> dict[str, NDArray[np.float64]]:
    """G⁻¹û₂ of every random term whose relationship rests on genotypes: genotyped × effects of a level."""
    duals = {}
    for k, term in enumerate(layout.terms):
        inverse = term.relationship
        if inverse is None or inverse.genomic is None or not layout.width(k):
            continue
        if solution.duals is not None and inverse.genomic.form == "markers":
            found = solution.duals
        else:
            of_term = solution.x[layout.starts[k] : layout.starts[k + 1]].reshape(len(inverse), -1)
            by = inverse.operator.genomic_duals if isinstance(inverse.operator, SingleStep) else None
            found = inverse.multiply_inverse(np.ascontiguousarray(of_term)) if by is None else by(of_term)
        loading = layout.loadings[k]
        duals[term.name] = found if loading is None else found @ loading.T
        duals[term.name].flags.writeable = False
    return duals
