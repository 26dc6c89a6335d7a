"""H⁻¹ of single-step evaluations: relationships of the pedigree where only that is known, of genotypes where these are.

    H⁻¹ = A⁻¹ + [0 0; 0 τG⁻¹ - ωA₂₂⁻¹]

with 2 the genotyped animals (Aguilar et al. 2010; Christensen & Lund 2010). Four forms: ``explicit`` forms the block, ``apy`` and
``components`` multiply by it, ``markers`` solves for marker effects instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, counted
from breedblup.genotypes import Genotypes
from breedblup.pedigree import Pedigree
from breedblup.relationship.apy import ApyInverse, core_positions
from breedblup.relationship.blending import PedigreeBlend
from breedblup.relationship.blocks import a22_products, with_logdet
from breedblup.relationship.component_form import component_inverse, component_of
from breedblup.relationship.definiteness import refuse_indefinite
from breedblup.relationship.explicit_form import dense_difference
from breedblup.relationship.genomic import GenomicOptions, genomic_matrix
from breedblup.relationship.genomic_matrix import GenomicMatrix, GenomicPart
from breedblup.relationship.inverse import GroupRows, RelationshipInverse
from breedblup.relationship.marker_form import marker_inverse
from breedblup.relationship.remainders import Difference, GenomicInverse, GenotypedRemainder, ProductDifference
from breedblup.relationship.single_step_groups import (
    GroupEquations,
    SingleStepGroupOperator,
    with_groups,
    without_groups,
)
from breedblup.relationship.single_step_input import (
    genotyped_rows,
    options_for,
    refuse_unfit,
    source_inverse,
)
from breedblup.relationship.single_step_operator import (
    SingleStepOperator,
    SingleStepProducts,
    StoredOperator,
    leading_block,
)
from breedblup.relationship.single_step_plan import SingleStepForm, plan_single_step
from breedblup.solvers.cholesky import analyse

GROUPS_SAID: dict[GroupEquations, str] = {
    "altered": "groups of unknown parents in the pedigree's part only (altered equations), as genotypes tell them apart already",
    "full": "groups of unknown parents in the pedigree's and the genomic part (full equations)",
}


@dataclass(frozen=True)
class _Choice:
    """What was asked for, and what was decided."""

    form: SingleStepForm
    core: NDArray[np.int32] | None
    tau: float
    omega: float
    memory: int | None
    reasons: tuple[str, ...]


def h_inverse(
    source: Pedigree | RelationshipInverse,
    genotypes: Genotypes,
    options: GenomicOptions | None = None,
    *,
    form: Literal["explicit", "apy", "components", "markers", "auto"] = "auto",
    core: Sequence[str] | pl.Series | None = None,
    tau: float = 1.0,
    omega: float = 1.0,
    group_equations: GroupEquations | None = None,
    memory: int | None = None,
) -> RelationshipInverse:
    """H⁻¹ of a pedigree of which some animals have genotypes (Aguilar et al. 2010; Christensen & Lund 2010).

    Parameters
    ----------
    source
        Pedigree (A⁻¹ with inbreeding; fixed groups where it has groups), or A⁻¹, with groups or metafounders too.
    genotypes
        Of animals of the pedigree, in any order.
    options
        How G is made. None: blended with 5 % of A₂₂ and tuned to it (`GenomicOptions`); with metafounders allele frequencies of ½
        and no tuning (Garcia-Baccino et al. 2017). With metafounders a tuning of None is ``none`` in any options.
    form
        ``explicit``, ``apy``, ``components`` (ssGTBLUP), ``markers`` (single-step SNP-BLUP), or ``auto``: see `plan_single_step`.
    core
        Ids of the core of APY.
    tau, omega
        Weights of G⁻¹ and A₂₂⁻¹. With ω of 1 or below it is exactly H for G_eff = (τG⁻¹ + (1 - ω)A₂₂⁻¹)⁻¹.
    group_equations
        With fixed or random groups: ``altered``, groups in the pedigree's part only, as genotypes tell them apart already; or
        ``full``. None: ``altered``.
    memory
        Bytes that may be used; None for 80 % of what is available.

    Returns
    -------
    RelationshipInverse
        Over all rows of A⁻¹. Where ``remainder`` is not None, H⁻¹ is known by products, and `as_stored` gives it entry by entry.

    Raises
    ------
    PedigreeError
        If genotyped animals are not in the pedigree, or two of them are one (identical twins).
    GenotypeError
        If genotypes or options do not give a G, or the core is not of genotyped animals.
    ModelError
        If what is asked for does not fit together.
    NotPositiveDefinite
        If G is singular, or τ and ω make H⁻¹ indefinite.
    ResourceError
        If the form, or with ``auto`` any form, would not fit.
    """
    related = source_inverse(source)
    refuse_unfit(related, form, core, tau, omega, group_equations)
    animals = without_groups(related) if related.plain_groups else related
    rows = genotyped_rows(animals, genotypes)
    a22 = a22_products(animals, genotypes.ids, memory=memory)
    matrix = genomic_matrix(genotypes, options_for(related, options), a22)
    choice = _chosen(related, matrix, form, core, (float(tau), float(omega)), memory)
    if choice.form == "markers":
        found = marker_inverse(related, matrix, rows, memory=memory)
        return replace(found, made=(*found.made, *choice.reasons))
    a22 = with_logdet(a22)
    if isinstance(matrix.blended, PedigreeBlend):
        matrix = replace(matrix, blended=PedigreeBlend(a22))
    difference = _difference(animals, matrix, a22, rows, choice)
    operator = SingleStepOperator(animals, rows, a22, difference, GenotypedRemainder.of(rows, difference))
    return _related(related, operator, choice, group_equations or "altered")


def as_stored(inverse: RelationshipInverse) -> RelationshipInverse:
    """The same K⁻¹ with every entry in CSR, as factors, PEV and REML need it.

    Raises
    ------
    ResourceError
        If it would not fit.
    ModelError
        If it is in the form of marker effects, which has no K⁻¹.
    """
    if not inverse.by_products:
        return inverse
    matrix = inverse.matrix
    logdet = _logdet_by_factor(inverse) if np.isnan(inverse.logdet) else inverse.logdet
    fixed = 0 if inverse.groups is None or inverse.groups.kind != "fixed" else len(inverse.groups.names)
    operator = StoredOperator(cast(SingleStepProducts, inverse.operator), matrix, fixed)
    return replace(inverse, operator=operator, remainder=None, logdet=logdet)


def _logdet_by_factor(inverse: RelationshipInverse) -> float:
    """log|K|, at given groups where they are fixed."""
    fixed = inverse.groups is not None and inverse.groups.kind == "fixed"
    regular = leading_block(inverse.matrix, inverse.animals) if fixed else inverse.matrix
    return -analyse(regular).factorise(regular).logdet()


def _chosen(
    related: RelationshipInverse,
    matrix: GenomicMatrix,
    form: str,
    core: Sequence[str] | pl.Series | None,
    weights: tuple[float, float],
    memory: int | None,
) -> _Choice:
    """The form asked for, or that of the plan."""
    places = None if core is None else core_positions(matrix.z.genotypes, core)
    for one in get_args(SingleStepForm):
        if one == form:
            return _Choice(one, places, *weights, memory, (f"form {one!r} as asked for",))
    plan = plan_single_step(
        len(matrix),
        matrix.z.centre.size,
        len(related),
        core=None if places is None else places.size,
        unable=_unable(related, matrix, weights),
        memory=memory,
    )
    return _Choice(plan.form, places, *weights, memory, plan.reasons)


def _unable(related: RelationshipInverse, matrix: GenomicMatrix, weights: tuple[float, float]) -> dict[str, str]:
    """Forms that this G, these weights or groups do not allow."""
    found = {}
    try:
        component_of(matrix)
    except ModelError as error:
        found = dict.fromkeys(("components", "markers"), str(error).partition(" ->")[0])
    if related.plain_groups:
        found["markers"] = "it takes no groups of unknown parents but metafounders"
    if weights != (1.0, 1.0):
        found["markers"] = "it has τ and ω of 1"
    return found


def _difference(
    animals: RelationshipInverse,
    matrix: GenomicMatrix,
    a22: RelationshipInverse,
    rows: NDArray[np.int32],
    choice: _Choice,
) -> Difference:
    """Δ in the form that was chosen."""
    if choice.form == "explicit":
        return dense_difference(matrix, a22, choice.tau, choice.omega, choice.memory)
    inverse: GenomicInverse
    if choice.core is not None:
        inverse = ApyInverse(matrix, choice.core, choice.memory)
    else:
        inverse = component_inverse(matrix, choice.memory)
    difference = ProductDifference(inverse, matrix, a22, choice.tau, choice.omega, animals, rows)
    refuse_indefinite(difference)
    return difference


def _related(
    source: RelationshipInverse, animals: SingleStepOperator, choice: _Choice, equations: GroupEquations
) -> RelationshipInverse:
    """H⁻¹ with all that is known of it."""
    difference, groups = animals.difference, source.groups
    matrix = difference.matrix
    said = (*source.made, *matrix.made, _statement(choice, len(matrix)), *choice.reasons)
    operator: SingleStepOperator | SingleStepGroupOperator = animals
    if groups is not None and source.plain_groups:
        operator = with_groups(source, animals, equations)
        groups = GroupRows(groups.names, groups.kind, operator)
        said = (*said, GROUPS_SAID[equations])
    return RelationshipInverse(
        ids=source.ids,
        operator=operator,
        known_diagonal=None,
        logdet=source.logdet - animals.a22.logdet + difference.logdet,
        made=said,
        pedigree=source.pedigree,
        parents=source.parents,
        inbreeding=source.inbreeding,
        groups=groups,
        remainder=operator.remainder,
        genomic=GenomicPart(matrix, animals.rows, choice.tau, choice.form),
    )


def _statement(choice: _Choice, genotyped: int) -> str:
    """H⁻¹ in words."""
    said = f"H⁻¹ = A⁻¹ + τG⁻¹ - ωA22⁻¹ among {counted(genotyped, 'genotyped animal')}, τ = {choice.tau:g}, ω = {choice.omega:g}"
    if choice.omega > 1.0:
        return f"{said}, positive definite as its eigenvalues show"
    if (choice.tau, choice.omega) == (1.0, 1.0):
        return said
    return f"{said}: exactly H of the genomic relationships (τG⁻¹ + (1 - ω)A22⁻¹)⁻¹"
