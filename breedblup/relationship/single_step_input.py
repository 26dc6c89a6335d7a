"""What `h_inverse` is given: checked, and completed where something was left open."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, PedigreeError, counted, name_some, nearest
from breedblup.genotypes import Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.pedigree import Pedigree
from breedblup.relationship.genomic import GenomicOptions
from breedblup.relationship.groups import group_inverse
from breedblup.relationship.inverse import RelationshipInverse, refuse_other_pedigrees
from breedblup.relationship.numerator import a_inverse
from breedblup.relationship.single_step_groups import GroupEquations
from breedblup.relationship.single_step_plan import SingleStepForm


def source_inverse(source: Pedigree | RelationshipInverse) -> RelationshipInverse:
    """K⁻¹ of the pedigree, before genotypes."""
    if not isinstance(source, RelationshipInverse):
        refuse_other_pedigrees(source, "h_inverse", of_sires=False)
        return a_inverse(source) if source.groups is None else group_inverse(source)
    if source.genomic is not None:
        raise ModelError(
            "h_inverse: the inverse that is given rests on genotypes already -> give the pedigree, or its A⁻¹"
        )
    return source


def refuse_unfit(
    related: RelationshipInverse,
    form: str,
    core: object,
    tau: float,
    omega: float,
    group_equations: str | None,
) -> None:
    """`ModelError` for arguments that are wrong whatever the genotypes are."""
    forms = (*get_args(SingleStepForm), "auto")
    if form not in forms:
        close = nearest(form, forms) if isinstance(form, str) else ""
        raise ModelError(f"h_inverse: form is {form!r}; it can be {', '.join(map(repr, forms))}{close}")
    if not (np.isfinite(tau) and tau > 0.0 and np.isfinite(omega) and omega >= 0.0):
        raise ModelError(f"h_inverse: τ is {tau!r} and ω {omega!r}; τ has to be above 0, ω 0 or above")
    if form == "apy" and core is None:
        raise ModelError("h_inverse: form 'apy' needs a core -> name its animals (core=...), see core_at_random")
    if core is not None and form not in ("apy", "auto"):
        raise ModelError(
            f"h_inverse: a core is given, which form {form!r} has no use for -> leave it out, or form='apy'"
        )
    if form == "markers" and (tau, omega) != (1.0, 1.0):
        raise ModelError("h_inverse: form 'markers' has τ and ω of 1 -> choose another form, or leave them out")
    if form == "markers" and related.plain_groups:
        raise ModelError(
            "h_inverse: form 'markers' takes no groups of unknown parents but metafounders -> choose another form, or "
            "metafounder_inverse"
        )
    if group_equations is None:
        return
    if group_equations not in get_args(GroupEquations):
        raise ModelError(f"h_inverse: group_equations is {group_equations!r}; it can be 'altered' or 'full'")
    if not related.plain_groups:
        raise ModelError(
            "h_inverse: group_equations are for fixed and random groups of unknown parents, and there are none -> leave it out"
        )


def genotyped_rows(animals: RelationshipInverse, genotypes: Genotypes) -> NDArray[np.int32]:
    """Row of each genotyped animal."""
    refuse_other_than_genotypes(genotypes, "h_inverse")
    rows = animals.positions_of(genotypes.ids)
    outside = genotypes.ids.filter(pl.Series(rows < 0))
    if len(outside):
        raise PedigreeError(
            f"h_inverse: {len(outside):,} of {counted(len(genotypes), 'genotyped animal')} of {genotypes.source} stand outside "
            f"{animals.made[0]}: {name_some(outside)} -> leave them out (genotypes.of_animals), or add them to the pedigree, as "
            "founders where parents are unknown"
        )
    return rows


def options_for(related: RelationshipInverse, options: GenomicOptions | None) -> GenomicOptions:
    """What is meant where something is left open."""
    if related.groups is None or related.plain_groups:
        return GenomicOptions() if options is None else options
    chosen = GenomicOptions(frequencies="half") if options is None else options
    return replace(chosen, tuning="none") if chosen.tuning is None else chosen
