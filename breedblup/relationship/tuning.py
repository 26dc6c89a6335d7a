"""G and A₂₂ on one base: G* = a 11' + b G, by five recipes, from means that are found without forming either matrix."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError, NotPositiveDefinite
from breedblup.genotypes import CentredGenotypes
from breedblup.relationship.genomic_matrix import Blended

Tuning: TypeAlias = Literal["none", "unit", "chen", "mean", "vitezica"]
"""Recipes by name; see `tuned`."""

TUNINGS: tuple[str, ...] = get_args(Tuning)

OF_PEDIGREE = ("chen", "mean", "vitezica")
"""Recipes that need A₂₂."""


class MatrixMeans(NamedTuple):
    """Mean of the diagonal of an n × n matrix, and of all its entries."""

    diagonal: float
    whole: float
    size: int

    @property
    def off_diagonal(self) -> float:
        """Mean of the entries off the diagonal; NaN of a single animal."""
        n = self.size
        return (n * self.whole - self.diagonal) / (n - 1) if n > 1 else np.nan

    def blended(self, share: float, other: MatrixMeans) -> MatrixMeans:
        """Means of (1 - share) · this + share · other."""
        kept = 1.0 - share
        return MatrixMeans(
            kept * self.diagonal + share * other.diagonal, kept * self.whole + share * other.whole, self.size
        )


class Tuned(NamedTuple):
    """a and b of G* = a 11' + b G."""

    constant: float
    factor: float


def means_of_cross_product(z: CentredGenotypes, added: NDArray[np.float64] | None) -> MatrixMeans:
    """Of ZZ' + diag(added): ‖Z'1‖² is the sum of all entries of ZZ'."""
    n = len(z)
    extra = 0.0 if added is None else float(added.sum())
    total = float(np.square(z.multiply_transposed(np.ones(n))).sum()) + extra
    return MatrixMeans((float(z.squared_lengths().sum()) + extra) / n, total / n**2, n)


def means_of_blended(blended: Blended, n: int) -> MatrixMeans:
    """Of A₂₂ or I: one product with 1."""
    whole = float(blended.multiply(np.ones((n, 1))).sum()) / n**2
    return MatrixMeans(float(blended.diagonal().mean()), whole, n)


def tuned(recipe: Tuning, genomic: MatrixMeans, pedigree: MatrixMeans | None) -> Tuned:
    """a and b of a recipe.

    ``none``: 0 and 1. ``unit``: mean diagonal 1, mean off-diagonal 0. ``chen``: means of diagonal and off-diagonal as in A₂₂
    (Chen et al. 2011; the same as Christensen et al. 2012, who match diagonal and whole). ``mean``: mean of all entries as in
    A₂₂, b = 1.
    ``vitezica``: the same a, and b = 1 - a/2 (Vitezica et al. 2011; Powell et al. 2010).

    Raises
    ------
    ModelError
        If A₂₂ is needed and not there, or there are too few animals for a recipe.
    NotPositiveDefinite
        If b is not positive.
    """
    if recipe == "none":
        return Tuned(0.0, 1.0)
    if recipe in OF_PEDIGREE and pedigree is None:
        raise ModelError(
            f"tuning {recipe!r} makes G comparable with A22 -> give the pedigree, or choose tuning 'none' or 'unit'"
        )
    target = MatrixMeans(1.0, 1.0 / genomic.size, genomic.size) if pedigree is None or recipe == "unit" else pedigree
    if recipe in ("unit", "chen"):
        spread = genomic.diagonal - genomic.off_diagonal
        if not spread > 0.0:
            raise ModelError(
                f"tuning {recipe!r} needs a mean diagonal of G above its mean off the diagonal, found {genomic.diagonal:.6g} "
                f"and {genomic.off_diagonal:.6g} among {genomic.size:,} genotyped -> choose tuning 'none' or 'mean'"
            )
        factor = (target.diagonal - target.off_diagonal) / spread
        constant = target.diagonal - factor * genomic.diagonal
    else:
        constant = target.whole - genomic.whole
        factor = 1.0 - 0.5 * constant if recipe == "vitezica" else 1.0
    if not factor > 0.0:
        raise NotPositiveDefinite(
            f"tuning {recipe!r} gives a = {constant:.6g} and b = {factor:.6g}: G* = a + bG is not positive definite -> check "
            "frequencies and pedigree, or choose another recipe"
        )
    return Tuned(constant, factor)
