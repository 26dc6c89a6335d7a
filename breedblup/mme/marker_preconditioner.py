"""A preconditioner for single-step SNP-BLUP that takes as few rounds as the pedigree alone.

Blocks of single levels would take many times the rounds of pedigree BLUP: the residual polygenic part of the genotyped has an
inverse covariance some 1/β times A₂₂⁻¹, and records see many markers together. So, for the term of the markers,

- animals without genotypes are eliminated exactly from A⁻¹ with what records say of each of them on the diagonal (a sparse factor
  with the pattern of A¹¹'s); what is left of the genotyped is taken for C⁻¹, whose inverse is a product;
- for marker effects, W'DW with D what records say of each animal is taken for its largest eigenvalues, found by random
  projection (Halko, Martinsson & Tropp 2011), and a constant beyond: a deflation of the second level.

Effects of one level are made independent first: P = LL' and the mean of D become diagonal together. On 30,000 animals, 2,000 of
them genotyped at 5,000 markers, 85 rounds, where pedigree BLUP took 129; in a first trial blocks of levels took nine times as
many, and blocks for the form with u and g as unknowns (Liu et al. 2014) five times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from breedblup.mme.marker_system import MarkerSystem, MarkerTerm
from breedblup.solvers.cholesky import CholeskyFactor
from breedblup.solvers.preconditioners import Preconditioner

LEADING = 200
"""Eigenvalues of W'DW that are taken apart."""

OVERSAMPLING = 20
"""Further random vectors, so that these are found well."""

AT_ONCE = 16
"""Random vectors that are multiplied together: bounds the memory of their imputation."""

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MarkerPreconditioner:
    """M⁻¹ for the equations of a `MarkerSystem`.

    Attributes
    ----------
    stored
        For the stored equations: what it says of the term of the markers is replaced.
    basis
        Takes effects of a level to independent ones (c × c).
    information
        Mean of D of each independent effect (c).
    factors
        Of A¹¹ with D on its diagonal, one for each independent effect; none where all animals are genotyped.
    across
        A¹².
    vectors, values, rest
        Eigenvectors (effects × r) and eigenvalues of W'D̄W, D̄ the mean over independent effects, and their mean beyond.
    """

    stored: Preconditioner
    system: MarkerSystem
    basis: NDArray[np.float64]
    information: NDArray[np.float64]
    factors: tuple[CholeskyFactor, ...]
    across: scipy.sparse.csr_array
    vectors: NDArray[np.float64]
    values: NDArray[np.float64]
    rest: float

    @classmethod
    def of(cls, system: MarkerSystem, stored: Preconditioner, blocks: NDArray[np.float64]) -> MarkerPreconditioner:
        """Build it.

        Parameters
        ----------
        blocks
            What records say of each level of the term: its c × c block of Z'R⁻¹Z, rows × c × c.
        """
        basis = _independent(system.term.precision, blocks.sum(axis=0))
        seen = np.maximum(np.einsum("it,nij,jt->nt", basis, blocks, basis), 0.0)
        information = seen.mean(axis=0)
        relationship = system.term.relationship
        others, among, absorbed = relationship.others, relationship.blocks.among, relationship.blocks.factor
        factors: tuple[CholeskyFactor, ...] = ()
        if absorbed is not None and among is not None:
            factors = tuple(_with_diagonal(absorbed, among, seen[others, t]) for t in range(seen.shape[1]))
        vectors, values, rest = _leading(system, seen.mean(axis=1))
        return cls(stored, system, basis, information, factors, relationship.blocks.across, vectors, values, rest)

    def apply(self, r: _Vector, out: _Vector) -> float:
        """Fill M⁻¹ r and give r'M⁻¹ r."""
        system = self.system
        self.stored.apply(r[: system.size], out[: system.size])
        of_others, of_genotyped = r[system.term.others] @ self.basis, r[system.term.genotyped] @ self.basis
        solved = self._eliminate(of_others)
        left = of_genotyped - self.across.T @ solved
        genotyped = system.term.relationship.component.multiply(left)
        solved -= self._eliminate(self.across @ genotyped)
        out[system.term.others] = solved @ self.basis.T
        out[system.term.genotyped] = genotyped @ self.basis.T
        out[system.size :] = (self._of_effects(system.effects(r) @ self.basis) @ self.basis.T).ravel()
        return float(r @ out)

    def _eliminate(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(A¹¹ + D)⁻¹ for each independent effect."""
        solved = [factor.solve(np.ascontiguousarray(values[:, t])) for t, factor in enumerate(self.factors)]
        return np.column_stack(solved) if solved else values.copy()

    def _of_effects(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(W'DW + I)⁻¹, approximately."""
        scale = self.information / max(float(self.information.mean()), np.finfo(float).tiny)
        along = self.vectors.T @ values
        beyond = 1.0 / (1.0 + self.rest * scale)
        within = 1.0 / (1.0 + np.multiply.outer(self.values, scale))
        product: NDArray[np.float64] = values * beyond + self.vectors @ (along * (within - beyond))
        return product


@dataclass(frozen=True)
class MarginalPreconditioner:
    """The same for equations in u alone, whose K⁻¹ has (ZZ' + C)⁻¹: u = ã + Wg, so that of u follows from that of both."""

    both: MarkerPreconditioner

    def apply(self, r: _Vector, out: _Vector) -> float:
        """Fill M⁻¹ r and give r'M⁻¹ r."""
        system = self.both.system
        residual = system.right_side(r)
        moved = np.empty_like(residual)
        self.both.apply(residual, moved)
        out[:] = system.expand(moved)
        return float(r @ out)


def seen_by_records(lhs: scipy.sparse.csr_array, term: MarkerTerm) -> NDArray[np.float64]:
    """Blocks of Z'R⁻¹Z of the levels of a term, rows × c × c, from equations as they are laid out."""
    relationship = term.relationship
    equations = np.empty((len(relationship.source), term.precision.shape[0]), dtype=np.int64)
    equations[relationship.genotyped], equations[relationship.others] = term.genotyped, term.others
    c = equations.shape[1]
    seen = np.empty((len(equations), c, c))
    of_pedigree = relationship.source.matrix.diagonal()
    for a in range(c):
        for b in range(c):
            stored = np.asarray(lhs[equations[:, a], equations[:, b]]).ravel()
            seen[:, a, b] = stored - of_pedigree * term.precision[a, b]
    return seen


def _independent(precision: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis B with B'PB = I and B'DB diagonal."""
    root = np.linalg.cholesky(precision)
    half = scipy.linalg.solve_triangular(root, seen, lower=True)
    _, turned = np.linalg.eigh(scipy.linalg.solve_triangular(root, half.T, lower=True))
    return np.asarray(scipy.linalg.solve_triangular(root, turned, lower=True, trans="T"))


def _with_diagonal(
    absorbed: CholeskyFactor, among: scipy.sparse.csr_array, added: NDArray[np.float64]
) -> CholeskyFactor:
    """Factor of A¹¹ with more on its diagonal, which every row stores."""
    values = among.data.copy()
    rows = np.repeat(np.arange(among.shape[0]), np.diff(among.indptr))
    diagonal = among.indices == rows
    values[diagonal] += added
    changed = scipy.sparse.csr_array((values, among.indices, among.indptr), shape=among.shape)
    return absorbed.refactorise(changed)


def _leading(system: MarkerSystem, seen: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Largest eigenvalues of W'DW with their vectors, and the mean of the others: two sweeps of random projection."""
    relationship = system.term.relationship
    size = relationship.matrix.effects
    count = min(LEADING + OVERSAMPLING, size, relationship.genotyped.size)
    start = np.random.default_rng(1).standard_normal((size, count))
    image = _informed(system, seen, start)
    trace = float(np.einsum("ij,ij->", start, image)) / count
    basis, _ = np.linalg.qr(image)
    image = _informed(system, seen, basis)
    values, turned = np.linalg.eigh(0.5 * (basis.T @ image + image.T @ basis))
    kept = slice(max(count - LEADING, 0), None)
    values = np.maximum(values[kept], 0.0)
    rest = max(trace - float(values.sum()), 0.0) / max(size - values.size, 1)
    return basis @ turned[:, kept], values, rest


def _informed(system: MarkerSystem, seen: NDArray[np.float64], effects: NDArray[np.float64]) -> NDArray[np.float64]:
    """W'DW times a block, some columns at a time, in single precision: a preconditioner needs no more."""
    relationship = system.term.relationship
    product = np.empty_like(effects)
    for first in range(0, effects.shape[1], AT_ONCE):
        some = slice(first, first + AT_ONCE)
        own = relationship.matrix.multiply_effects(effects[:, some].astype(np.float32)).astype(np.float64)
        imputed = relationship.impute(own) * seen[relationship.others, None]
        own = seen[relationship.genotyped, None] * own + relationship.collect(imputed)
        product[:, some] = relationship.matrix.multiply_effects_transposed(own.astype(np.float32))
    return product
