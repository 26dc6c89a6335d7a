"""G against the pedigree: do both tell the same of the same animals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError
from breedblup.relationship.blending import PedigreeBlend, refuse_other_animals
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.relationship.inverse import RelationshipInverse


@dataclass(frozen=True)
class AgreementLimits:
    """When G and A₂₂ disagree.

    Attributes
    ----------
    warn, stop
        Correlations of relationships between different animals below which a warning is given, and an error raised.
    sample
        Animals that are compared, drawn at random where there are more.
    seed
        Of the draw.
    """

    warn: float = 0.5
    stop: float = 0.3
    sample: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        if not (-1.0 <= self.stop <= self.warn <= 1.0 and self.sample >= 2):
            raise ModelError(
                f"AgreementLimits: stop {self.stop!r}, warn {self.warn!r} and sample {self.sample!r} do not fit -> correlations "
                "with stop not above warn, and 2 animals or more"
            )


@dataclass(frozen=True)
class PedigreeAgreement:
    """How G of plain genotypes (without its share of A₂₂) goes with A₂₂.

    Attributes
    ----------
    off_diagonal, diagonal
        Correlations; NaN where one of the two does not vary.
    intercept, slope
        Regression of G on A₂₂ off the diagonal; NaN as before.
    animals
        How many were compared.
    sampled
        Whether they were drawn at random.
    warnings
        What to look at, one sentence an entry.
    """

    off_diagonal: float
    diagonal: float
    intercept: float
    slope: float
    animals: int
    sampled: bool
    warnings: tuple[str, ...]


STANDARD = AgreementLimits()


def check_against_pedigree(
    matrix: GenomicMatrix, a22: RelationshipInverse, limits: AgreementLimits = STANDARD
) -> PedigreeAgreement:
    """Compare G with A₂₂; of many animals, those of a sample.

    Correlations do not depend on tuning. Genotypes that belong to other animals, or a wrong pedigree, make them low.

    Parameters
    ----------
    a22
        Of the same animals in the same order, from `a22_inverse`.

    Raises
    ------
    GenotypeError
        If relationships between different animals have a correlation below ``limits.stop``.
    ModelError
        If A₂₂ is of other animals.
    """
    genotypes = matrix.z.genotypes
    refuse_other_animals(genotypes, a22)
    n = len(matrix)
    rows = np.arange(n, dtype=np.int32)
    if n > limits.sample:
        rows = np.sort(np.random.default_rng(limits.seed).choice(rows, limits.sample, replace=False))
    genomic = matrix.z.cross_block(rows, rows) + matrix.constant
    if matrix.added is not None:
        genomic[np.diag_indices(rows.size)] += matrix.added[rows]
    pedigree = PedigreeBlend(a22).block(rows, rows)
    below = np.tril_indices(rows.size, -1)
    between, slope, intercept = _regression(genomic[below], pedigree[below])
    own = _regression(genomic.diagonal(), pedigree.diagonal())[0]
    said = f"correlation of G with A22 between different animals is {between:.3f}"
    if between < limits.stop:
        raise GenotypeError(
            f"{genotypes.source}: the {said} ({rows.size:,} animals), below {limits.stop:g} -> check that samples bear the ids "
            "of their animals, and the pedigree"
        )
    warnings: tuple[str, ...] = ()
    if np.isnan(between):
        warnings = ("relationships between animals do not vary in G or in A22: they cannot be compared",)
    elif between < limits.warn:
        warnings = (f"the {said}, below {limits.warn:g}: check ids of samples, and the pedigree",)
    return PedigreeAgreement(between, own, intercept, slope, rows.size, rows.size < n, warnings)


def _regression(y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float, float]:
    """Correlation, slope and intercept of y on x; NaN where one does not vary."""
    if x.size < 2 or np.ptp(x) <= 1e-10 or np.ptp(y) <= 1e-10:
        return np.nan, np.nan, np.nan
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    return float(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy))), slope, float(y.mean() - slope * x.mean())
