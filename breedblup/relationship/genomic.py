"""Genomic relationships: the choices, G as a recipe on packed genotypes, and G⁻¹ entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, counted, nearest
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.relationship.allele_frequencies import Frequencies
from breedblup.relationship.ancestry import Related, refuse_beyond
from breedblup.relationship.blending import IdentityBlend, PedigreeBlend, refuse_other_animals
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.dense import BYTES_AN_ENTRY, invert_genomic
from breedblup.relationship.genomic_matrix import Blended, GenomicMatrix, GenomicPart
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.relationship.tuning import (
    OF_PEDIGREE,
    TUNINGS,
    Tuned,
    Tuning,
    means_of_blended,
    means_of_cross_product,
    tuned,
)
from breedblup.relationship.unblended import Method, Unblended, unblended_matrix

BlendWith = Literal["a22", "identity"]
Order = Literal["blend_tune", "tune_blend"]

SINGLE_STEP_BLEND = 0.05
"""Share of A₂₂ in single-step evaluations, unless given: without it H⁻¹ would need a regular G."""


@dataclass(frozen=True, eq=False)
class GenomicOptions:
    """How G is made of genotypes.

    G = ZZ' of centred and scaled calls; it is then blended and tuned, in this order unless said otherwise, and the ridge is added
    last.

    Attributes
    ----------
    method
        ``vanraden1``: G = (M - 2p)(M - 2p)'/2Σp(1 - p) (VanRaden 2008). ``vanraden2``: each marker divided by its own 2p(1 - p),
        mean over markers. ``yang``: as ``vanraden2`` with the diagonal of Yang et al. (2010), over the calls of the animal.
    frequencies
        p: ``observed``, ``half``, ``base`` (estimated for the founders, Gengler et al. 2007), or one for each marker.
    weights
        One for each marker, not negative; their mean over the markers used is made 1. None: all equal.
    blend
        β: (1 - β)G + βB. None: 0.05 in single-step evaluations, 0 where only genotyped animals are evaluated.
    blend_with
        B: ``a22`` or ``identity``.
    ridge
        Added to the diagonal of the finished G.
    tuning
        G* = a + bG: ``none``, ``unit``, ``chen``, ``mean`` or ``vitezica``. None: ``chen`` in single-step evaluations, else
        ``none``.
    order
        ``blend_tune``, or ``tune_blend``, in which β is the share of a residual polygenic effect (Christensen et al. 2012).

    Raises
    ------
    ModelError
        If a value is none of these.
    """

    method: Method = "vanraden1"
    frequencies: Frequencies = "observed"
    weights: Sequence[float] | pl.Series | NDArray[np.float64] | None = None
    blend: float | None = None
    blend_with: BlendWith = "a22"
    ridge: float = 0.0
    tuning: Tuning | None = None
    order: Order = "blend_tune"

    def __post_init__(self) -> None:
        _refuse_other("method", self.method, get_args(Method))
        if isinstance(self.frequencies, str):
            _refuse_other("frequencies", self.frequencies, ("observed", "half", "base"))
        _refuse_other("blend_with", self.blend_with, get_args(BlendWith))
        _refuse_other("order", self.order, get_args(Order))
        if self.tuning is not None:
            _refuse_other("tuning", self.tuning, TUNINGS)
        if self.blend is not None and not 0.0 <= self.blend < 1.0:
            raise ModelError(f"GenomicOptions: blend is {self.blend!r}; it is a share, from 0 to below 1")
        if not (np.isfinite(self.ridge) and self.ridge >= 0.0):
            raise ModelError(
                f"GenomicOptions: ridge is {self.ridge!r}; what is added to the diagonal cannot be negative"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GenomicOptions):
            return NotImplemented
        return all(_same(getattr(self, of.name), getattr(other, of.name)) for of in fields(self))

    def __hash__(self) -> int:
        return hash((self.method, self.blend, self.blend_with, self.ridge, self.tuning, self.order))

    def resolved(self, *, single_step: bool) -> GenomicOptions:
        """The same with blend and tuning put in where they were left to the kind of evaluation."""
        blend = (SINGLE_STEP_BLEND if single_step else 0.0) if self.blend is None else self.blend
        tuning: Tuning = ("chen" if single_step else "none") if self.tuning is None else self.tuning
        return replace(self, blend=blend, tuning=tuning)


def _same(one: Any, other: Any) -> bool:
    """Whether two choices, or two columns of numbers, are equal."""
    if any(value is None or isinstance(value, str) for value in (one, other)):
        return type(one) is type(other) and bool(one == other)
    return np.array_equal(np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64))


def _refuse_other(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        close = nearest(value, known) if isinstance(value, str) else ""
        raise ModelError(f"GenomicOptions: {name} is {value!r}; it can be {', '.join(map(repr, known))}{close}")


PLAIN = GenomicOptions()


def genomic_matrix(
    genotypes: Genotypes, options: GenomicOptions = PLAIN, a22: RelationshipInverse | None = None
) -> GenomicMatrix:
    """G as a recipe on packed genotypes, never formed: frequencies, scales, blending, tuning and ridge are all resolved.

    A missing call is set to the mean of its marker, 2p; the diagonal of Yang et al. is a mean over the animal's calls. Markers
    without a call, and those that the frequencies leave no variation (p of 0 or 1), are left out. Every number is named in
    ``made``.

    Parameters
    ----------
    options
        Where blend and tuning are None, those of a single-step evaluation are meant with ``a22``, else none.
    a22
        A₂₂ of the same animals in the same order, from `a22_inverse`; needed to blend with it, to tune to it, and for
        frequencies of the base.

    Raises
    ------
    GenotypeError
        If no marker is left, or frequencies or weights do not fit the markers; if a frequency is given so near 0 or 1 that
        p(1 - p) is below 1e-6, though the rare allele is there; if it is given something else than genotypes.
    ModelError
        If A₂₂ is needed and not given, or is of other animals.
    NotPositiveDefinite
        If tuning gives a b that is not positive.
    """
    refuse_other_than_genotypes(genotypes, "genomic_matrix")
    settled = options.resolved(single_step=a22 is not None)
    if a22 is not None:
        refuse_other_animals(genotypes, a22)
    plain = unblended_matrix(genotypes, settled.method, settled.frequencies, settled.weights, a22)
    share, blended = _blended(len(genotypes), settled, a22)
    a, b, said = _tuned(plain, share, blended, settled, a22)
    kept = 1.0 - share
    if settled.order == "blend_tune":
        constant, factor, of_blended = a, b * kept, b * share
    else:
        constant, factor, of_blended = kept * a, kept * b, share
    added = None if plain.added is None else factor * plain.added
    if settled.ridge > 0.0:
        added = (0.0 if added is None else added) + np.full(len(genotypes), settled.ridge)
        said = (*said, f"{settled.ridge:g} added to the diagonal")
    z = CentredGenotypes(plain.z.genotypes, plain.z.centre, np.sqrt(factor) * plain.z.scale)
    return GenomicMatrix(z, constant, of_blended, blended, added, (*plain.made, *said))


def _blended(n: int, options: GenomicOptions, a22: RelationshipInverse | None) -> tuple[float, Blended | None]:
    """β and B."""
    share = options.blend or 0.0
    if share == 0.0:
        return 0.0, None
    if options.blend_with == "identity":
        return share, IdentityBlend(n)
    if a22 is None:
        raise ModelError(
            f"blend is {share:g} of A22, which is not there -> give the pedigree, or blend_with='identity'"
        )
    return share, PedigreeBlend(a22)


def _tuned(
    plain: Unblended,
    share: float,
    blended: Blended | None,
    options: GenomicOptions,
    a22: RelationshipInverse | None,
) -> tuple[float, float, tuple[str, ...]]:
    """a, b, and statements of blending and tuning, in their order."""
    named = "A22" if options.blend_with == "a22" else "I"
    said = () if blended is None else (f"blended: {1.0 - share:g} G + {share:g} {named}",)
    assert options.tuning is not None
    if options.tuning == "none":
        return 0.0, 1.0, said
    n = len(plain.z)
    genomic = means_of_cross_product(plain.z, plain.added)
    if blended is not None and options.order == "blend_tune":
        genomic = genomic.blended(share, means_of_blended(blended, n))
    pedigree = None if a22 is None else means_of_blended(PedigreeBlend(a22), n)
    found: Tuned = tuned(options.tuning, genomic, pedigree)
    tuning_said = f"tuned ({options.tuning!r}): a = {found.constant:.10g}, b = {found.factor:.10g}"
    ordered = (*said, tuning_said) if options.order == "blend_tune" else (tuning_said, *said)
    return found.constant, found.factor, ordered


def g_inverse(
    genotypes: Genotypes,
    options: GenomicOptions = PLAIN,
    *,
    pedigree: Related | None = None,
    memory: int | None = None,
) -> RelationshipInverse:
    """G⁻¹ of genotyped animals, for evaluations of these alone (GBLUP).

    Parameters
    ----------
    options
        Blend and tuning are 0 and ``none`` unless given. G of observed frequencies is singular as it stands: blend it, or add a
        ridge.
    pedigree
        Pedigree, or inverse of a relationship matrix: for options that need A₂₂ of the genotyped animals.
    memory
        Bytes that G and G⁻¹ may use; None for 80 % of what is available.

    Returns
    -------
    RelationshipInverse
        Over ``genotypes.ids``, in their order; every entry is held.

    Raises
    ------
    NotPositiveDefinite
        If G is singular; a pair of animals with the same genotypes is named.
    ResourceError
        If 16 n² bytes would not fit.
    GenotypeError, ModelError, PedigreeError
        As `genomic_matrix`, and if a genotyped animal is not in the pedigree.
    """
    refuse_other_than_genotypes(genotypes, "g_inverse")
    n = len(genotypes)
    refuse_beyond(
        memory, BYTES_AN_ENTRY * n**2, f"G and G⁻¹ of {counted(n, 'animal')} entry by entry", "use apy_inverse"
    )
    matrix = matrix_alone(genotypes, options, pedigree)
    operator, logdet = invert_genomic(matrix)
    part = GenomicPart(matrix, np.arange(n, dtype=np.int32), 1.0, "explicit")
    made = (*matrix.made, matrix.z.precision)
    return RelationshipInverse(genotypes.ids, operator, operator.diagonal(), logdet, made, genomic=part)


def matrix_alone(genotypes: Genotypes, options: GenomicOptions, pedigree: Related | None) -> GenomicMatrix:
    """G for evaluations of genotyped animals alone."""
    settled = options.resolved(single_step=False)
    return genomic_matrix(genotypes, settled, a22_where_needed(genotypes, settled, pedigree))


def a22_where_needed(
    genotypes: Genotypes, settled: GenomicOptions, pedigree: Related | None
) -> RelationshipInverse | None:
    """A₂₂ of the genotyped animals, where resolved options ask for it and a pedigree is there."""
    asked = (
        settled.tuning in OF_PEDIGREE
        or (bool(settled.blend) and settled.blend_with == "a22")
        or (isinstance(settled.frequencies, str) and settled.frequencies == "base")
    )
    return a22_inverse(pedigree, genotypes.ids) if asked and pedigree is not None else None
