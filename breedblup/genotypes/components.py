"""Principal components of genotypes, and how many explain a share of their variance, without forming ZZ'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError, counted
from breedblup.genotypes.centred import CentredGenotypes
from breedblup.genotypes.genotypes import Genotypes, refuse_other_than_genotypes

EXACT = 500
"""Animals up to which all eigenvalues are computed when some are asked for."""

EXACT_SHARE = 4000
"""Animals up to which all eigenvalues are computed when a share is asked for."""

EXTRA = 10
"""Vectors beside those asked for (Halko, Martinsson & Tropp 2011)."""

BLOCKS = 8
"""Blocks of vectors kept before the space is narrowed to the best of them."""

RESIDUAL = 1e-3
"""Of an eigenvalue: ‖ZZ'v - λv‖ up to which a pair is found. An eigenvalue is no further away than this."""

NEGLIGIBLE = 1e-8
"""Of the largest eigenvalue: smaller ones count as 0."""

ROUNDS = 100
"""Largest number of times that ZZ' is applied to a block of vectors."""

BASIS_BYTES = 2**30
"""Of the Lanczos vectors of the random vectors that are followed together; those of one at least."""

PROBES, STEPS, LEADING = 16, 60, 32
"""Random vectors, Lanczos steps, and eigenvalues found one by one, when the number that explain a share is estimated."""

SHOWN = 5
"""Components whose shares are printed."""

_Pairs = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Eigenvalues, the largest first, vectors, and relative residuals."""


@dataclass(frozen=True, repr=False, eq=False)
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
        Whether all eigenvalues were computed; otherwise the leading ones were sought from random vectors.
    residuals
        ‖ZZ'v - λv‖/λ of each vector v of length 1: the relative error of an eigenvalue is at most this, in practice
        about its square.
    converged
        Whether all residuals are at most 0.001.
    """

    scores: pl.DataFrame
    eigenvalues: NDArray[np.float64]
    total: float
    shares: NDArray[np.float64]
    exact: bool
    residuals: NDArray[np.float64]
    converged: bool

    def __post_init__(self) -> None:
        for array in (self.eigenvalues, self.shares, self.residuals):
            array.flags.writeable = False

    def __repr__(self) -> str:
        n, k = self.scores.height, self.eigenvalues.size
        how = "all eigenvalues computed" if self.exact else "found from random vectors"
        how += "" if self.converged else ", some not surely"
        shares = ", ".join(f"PC{j + 1} {100 * share:.3g} %" for j, share in enumerate(self.shares[:SHOWN]))
        more = f", … {100 * self.shares.sum():.3g} % together" if k > 1 else ""
        return f"Principal components of {counted(n, 'animal')}: {k}, {how}\n  {shares}{more}"


def principal_components(
    genotypes: Genotypes | CentredGenotypes, k: int = 10, *, seed: int = 1, rounds: int = ROUNDS
) -> PrincipalComponents:
    """Leading eigenvalues and vectors of ZZ' from random vectors, by a block Krylov method (Musco & Musco 2015).

    Up to 500 animals all eigenvalues are computed.

    Parameters
    ----------
    genotypes
        Z as it is, or calls, of which Z is made as in VanRaden's (2008) first G with observed frequencies.
    k
        Components; fewer come back where there are fewer animals or markers.
    seed
        Of the random vectors.
    rounds
        Largest number of times that ZZ' is applied to a block of ``k`` + 10 vectors; it ends sooner, after some
        10 to 30, when all residuals are at most 0.001.

    Raises
    ------
    ModelError
        If ``k`` or ``rounds`` is less than 1.
    GenotypeError
        If no marker varies, or it is given neither Z nor genotypes.
    """
    if not isinstance(genotypes, CentredGenotypes):
        refuse_other_than_genotypes(genotypes, "principal_components")
    if k < 1 or rounds < 1:
        raise ModelError(f"principal components: k is {k}, rounds {rounds} -> at least 1 component, 1 round")
    z = genotypes if isinstance(genotypes, CentredGenotypes) else centred_by_frequencies(genotypes)
    total = _trace(z)
    few = min(k, *z.genotypes.shape)
    exact = len(z) <= max(EXACT, few + EXTRA)
    values, vectors, residuals = _exact_pairs(z, few) if exact else _leading_pairs(z, few, seed, rounds)
    values = np.maximum(values, 0.0)
    largest = np.abs(vectors).argmax(axis=0)
    scores = vectors * np.sqrt(values) * np.sign(vectors[largest, np.arange(few)])
    columns = {f"PC{j + 1}": np.ascontiguousarray(scores[:, j]) for j in range(few)}
    frame = pl.DataFrame({"id": z.genotypes.ids, **columns})
    converged = bool((residuals <= RESIDUAL).all())
    return PrincipalComponents(frame, values, total, values / total, exact, residuals, converged)


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
    leading, basis, _ = _leading_pairs(z, LEADING, seed, ROUNDS)
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


def _exact_pairs(z: CentredGenotypes, few: int) -> _Pairs:
    """The largest of all eigenvalues, their vectors and residuals."""
    matrix = z.cross_product()
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1][:few], vectors[:, ::-1][:, :few]
    return values, vectors, _relative(matrix @ vectors - vectors * values, values)


def _leading_pairs(z: CentredGenotypes, few: int, seed: int, rounds: int) -> _Pairs:
    """Leading eigenvalues, vectors and residuals within a space that grows by the residuals (block Krylov, restarted)."""
    rng = np.random.default_rng(seed)
    width = min(few + EXTRA, *z.genotypes.shape)
    new = np.linalg.qr(_cross(z, rng.standard_normal((len(z), width))))[0]
    basis = images = np.empty((len(z), 0))
    while True:
        basis, images = np.hstack([basis, new]), np.hstack([images, _cross(z, new)])
        small = basis.T @ images
        values, turns = np.linalg.eigh(0.5 * (small + small.T))
        values, turns = values[::-1][:width], turns[:, ::-1][:, :width]
        vectors, turned = basis @ turns, images @ turns
        left = turned - vectors * values
        residuals, rounds = _relative(left, values), rounds - 1
        if rounds == 0 or (residuals[:few] <= RESIDUAL).all():
            return values[:few], vectors[:, :few], residuals[:few]
        if basis.shape[1] > (BLOCKS - 1) * width:
            basis, images = vectors, turned
        left = _unit(_beside(basis, left))[0]
        directions, sizes, _ = np.linalg.svd(left, full_matrices=False)
        new = np.linalg.qr(_beside(basis, directions[:, sizes > NEGLIGIBLE * sizes[0]]))[0]


def _relative(left: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of residuals over the eigenvalues."""
    return np.asarray(np.linalg.norm(left, axis=0) / np.maximum(values, NEGLIGIBLE * values[0]))


def _cross(z: CentredGenotypes, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """ZZ'V."""
    return z.multiply(z.multiply_transposed(np.ascontiguousarray(vectors)))


def _spectrum_without(
    z: CentredGenotypes, basis: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights (adding up to 1) of the distribution of eigenvalues beside those of a basis."""
    n = len(z)
    steps = min(STEPS, n - basis.shape[1])
    starts = np.random.default_rng([seed, 1]).choice(np.array([-1, 1], dtype=np.int8), (n, PROBES))
    together = max(1, min(PROBES, BASIS_BYTES // (8 * n * (steps + 1))))
    parts = [starts[:, first : first + together].astype(np.float64) for first in range(0, PROBES, together)]
    found = [_lanczos(z, basis, part, steps) for part in parts]
    nodes, weights = zip(*found, strict=True)
    return np.concatenate(nodes), np.concatenate(weights) / PROBES


def _lanczos(
    z: CentredGenotypes, basis: NDArray[np.float64], starts: NDArray[np.float64], steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights (adding up to 1 for each start) by steps from each of some vectors; every vector is held."""
    n, probes = starts.shape
    vectors = np.empty((steps + 1, n, probes))
    vectors[0] = _unit(_beside(basis, starts))[0]
    diagonal, beside = np.zeros((steps, probes)), np.zeros((steps, probes))
    for step in range(steps):
        new = _beside(basis, _cross(z, vectors[step]))
        diagonal[step] = np.einsum("ij,ij->j", new, vectors[step])
        for _ in range(2):  # once is not enough for vectors that stay orthogonal
            for probe in range(probes):
                known = vectors[: step + 1, :, probe]
                new[:, probe] -= known.T @ (known @ new[:, probe])
        vectors[step + 1], beside[step] = _unit(new)
    nodes, weights = [], []
    for probe in range(probes):
        off = beside[:-1, probe]
        values, turned = np.linalg.eigh(np.diag(diagonal[:, probe]) + np.diag(off, 1) + np.diag(off, -1))
        nodes.append(values)
        weights.append(turned[0] ** 2)
    return np.concatenate(nodes), np.concatenate(weights)


def _beside(basis: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors less their parts in the basis."""
    return vectors - basis @ (basis.T @ vectors)


def _unit(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns of length one, and their lengths; a column of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=0)
    return vectors / np.maximum(lengths, np.finfo(np.float64).tiny), lengths
