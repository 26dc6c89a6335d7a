"""Principal components of genotypes, and how many explain a share of their variance, without forming ZZ'."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError
from breedblup.genotypes.centred import CentredGenotypes
from breedblup.genotypes.genotypes import Genotypes

EXACT = 500
"""Animals up to which all eigenvalues are computed when some are asked for."""

EXACT_SHARE = 4000
"""Animals up to which all eigenvalues are computed when a share is asked for."""

EXTRA = 10
"""Vectors beside those asked for (Halko, Martinsson & Tropp 2011)."""

PROBES, STEPS, LEADING = 16, 60, 32
"""Random vectors, Lanczos steps, and eigenvalues found one by one, when the number that explain a share is estimated."""


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """The leading principal components of animals.

    Attributes
    ----------
    scores
        A row for each animal: id, PC1, PC2, …; eigenvectors of ZZ' times the root of the eigenvalue. Of each the largest
        score is positive.
    eigenvalues
        Of ZZ', the largest first.
    total
        Trace of ZZ': the sum of all eigenvalues.
    shares
        Eigenvalues over the trace.
    exact
        Whether all eigenvalues were computed; otherwise by random vectors, the last ones less surely.
    """

    scores: pl.DataFrame
    eigenvalues: NDArray[np.float64] = field(repr=False)
    total: float
    shares: NDArray[np.float64]
    exact: bool

    def __post_init__(self) -> None:
        for array in (self.eigenvalues, self.shares):
            array.flags.writeable = False


def principal_components(
    genotypes: Genotypes | CentredGenotypes, k: int = 10, *, seed: int = 1, power_iterations: int = 2
) -> PrincipalComponents:
    """Leading eigenvalues and vectors of ZZ' by a randomised range finder (Halko, Martinsson & Tropp 2011).

    Parameters
    ----------
    genotypes
        Z as it is, or calls, of which Z is made as in VanRaden's (2008) first G with observed frequencies.
    k
        Components; fewer come back where there are fewer animals or markers.
    seed
        Of the random vectors.
    power_iterations
        Times that ZZ' is applied once more: with 2, leading eigenvalues are right to some digits where they stand out.

    Raises
    ------
    ModelError
        If ``k`` is less than 1, or ``power_iterations`` negative.
    GenotypeError
        If no marker varies.
    """
    if k < 1 or power_iterations < 0:
        raise ModelError(
            f"principal components: k is {k}, power_iterations {power_iterations} -> at least 1 component, 0 iterations"
        )
    z = genotypes if isinstance(genotypes, CentredGenotypes) else centred_by_frequencies(genotypes)
    total = _trace(z)
    few = min(k, *z.genotypes.shape)
    exact = len(z) <= max(EXACT, few + EXTRA)
    if exact:
        values, vectors = _exact_pairs(z)
    else:
        values, vectors = _leading_pairs(z, few + EXTRA, seed, power_iterations)
    values, vectors = np.maximum(values[:few], 0.0), vectors[:, :few]
    largest = np.abs(vectors).argmax(axis=0)
    scores = vectors * np.sqrt(values) * np.sign(vectors[largest, np.arange(few)])
    columns = {f"PC{j + 1}": np.ascontiguousarray(scores[:, j]) for j in range(few)}
    frame = pl.DataFrame({"id": z.genotypes.ids, **columns})
    return PrincipalComponents(frame, values, total, values / total, exact)


def centred_by_frequencies(genotypes: Genotypes) -> CentredGenotypes:
    """Z with ZZ' = VanRaden's (2008) first G by observed frequencies; markers that do not vary count nothing."""
    p = np.nan_to_num(genotypes.frequencies)
    variance = float((2.0 * p * (1.0 - p)).sum())
    if variance == 0.0:
        raise GenotypeError(
            f"{genotypes.source}: no marker varies among {len(genotypes):,} animals -> give other animals"
        )
    return CentredGenotypes(genotypes, 2.0 * p, np.full(p.size, variance**-0.5))


def components_explaining(z: CentredGenotypes, share: float, *, seed: int = 1) -> int:
    """Number of leading eigenvalues of ZZ' whose sum is a share of its trace.

    All eigenvalues are computed up to 4,000 animals. Beyond, the leading 32 are, and the distribution of the others
    is estimated by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017), 16 random vectors and 60 steps: the
    number is right to a few per cent.

    Raises
    ------
    ModelError
        If the share is not between 0 and 1.
    GenotypeError
        If no marker varies.
    """
    if not 0.0 < share < 1.0:
        raise ModelError(f"share of the variance explained is {share!r} -> a number between 0 and 1")
    total = _trace(z)
    if len(z) <= EXACT_SHARE:
        values = np.linalg.eigvalsh(z.cross_product())[::-1]
        return int(np.searchsorted(np.cumsum(np.maximum(values, 0.0)), share * total)) + 1
    values, vectors = _leading_pairs(z, LEADING + EXTRA, seed, 3)
    leading, basis = values[:LEADING], vectors[:, :LEADING]
    sums = np.cumsum(leading)
    if sums[-1] >= share * total:
        return int(np.searchsorted(sums, share * total)) + 1
    nodes, weights = _spectrum_without(z, basis, seed)
    order = np.argsort(-nodes)
    nodes, weights = np.maximum(nodes[order], 0.0), weights[order] * (len(z) - LEADING)
    explained = np.cumsum(nodes * weights)
    explained *= (total - sums[-1]) / explained[-1]
    counts = np.cumsum(weights)
    wanted = share * total - sums[-1]
    return min(len(z), LEADING + int(np.ceil(np.interp(wanted, explained, counts))))


def _trace(z: CentredGenotypes) -> float:
    """Trace of ZZ'; refuses a Z without variation."""
    total = float(z.squared_lengths().sum())
    if not total > 0.0:
        raise GenotypeError(f"{z.genotypes.source}: all genotypes are alike, Z is zero -> there are no components")
    return total


def _exact_pairs(z: CentredGenotypes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All eigenvalues, the largest first, and vectors."""
    values, vectors = np.linalg.eigh(z.cross_product())
    return values[::-1], vectors[:, ::-1]


def _leading_pairs(
    z: CentredGenotypes, columns: int, seed: int, power_iterations: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leading eigenvalues and vectors within the range of ZZ' times random vectors."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((len(z), min(columns, *z.genotypes.shape)))
    for _ in range(power_iterations + 1):
        basis = np.linalg.qr(_cross(z, basis))[0]
    small = z.multiply_transposed(np.ascontiguousarray(basis))
    values, turns = np.linalg.eigh(small.T @ small)
    return values[::-1], basis @ turns[:, ::-1]


def _cross(z: CentredGenotypes, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """ZZ'V."""
    return z.multiply(z.multiply_transposed(np.ascontiguousarray(vectors)))


def _spectrum_without(
    z: CentredGenotypes, basis: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights (adding up to 1) of the distribution of eigenvalues beside those of a basis."""
    rng = np.random.default_rng([seed, 1])
    n = len(z)
    steps = min(STEPS, n - basis.shape[1])
    vectors = np.empty((steps + 1, n, PROBES))
    vectors[0] = _unit(_beside(basis, rng.choice([-1.0, 1.0], (n, PROBES))))[0]
    diagonal, beside = np.zeros((steps, PROBES)), np.zeros((steps, PROBES))
    for step in range(steps):
        new = _beside(basis, _cross(z, vectors[step]))
        diagonal[step] = np.einsum("ij,ij->j", new, vectors[step])
        for _ in range(2):  # once is not enough for vectors that stay orthogonal
            for probe in range(PROBES):
                known = vectors[: step + 1, :, probe]
                new[:, probe] -= known.T @ (known @ new[:, probe])
        vectors[step + 1], beside[step] = _unit(new)
    nodes, weights = [], []
    for probe in range(PROBES):
        off = beside[:-1, probe]
        values, turned = np.linalg.eigh(np.diag(diagonal[:, probe]) + np.diag(off, 1) + np.diag(off, -1))
        nodes.append(values)
        weights.append(turned[0] ** 2 / PROBES)
    return np.concatenate(nodes), np.concatenate(weights)


def _beside(basis: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors less their parts in the basis."""
    return vectors - basis @ (basis.T @ vectors)


def _unit(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns of length one, and their lengths; a column of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=0)
    return vectors / np.maximum(lengths, np.finfo(np.float64).tiny), lengths
