"""K⁻¹ over animals and groups of unknown parents as an operator: products and entries.

With T handing down values from parents to offspring, a class of unknown parents being a parent too, K = T blockdiag(var(g), D) T'
over groups and animals; `breedblup.relationship.groups` says what var(g) is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.kernels import numerator
from breedblup.relationship.operator import PedigreeOperator


@dataclass(frozen=True)
class GroupOperator:
    """K⁻¹ over n animals and then g groups.

    Attributes
    ----------
    among_classes
        What the animals add, over the animals and the classes of unknown parents.
    shares
        Classes × g, None where class k is group k.
    covariance, precision
        Var(g) and its inverse, g × g. Of fixed groups both are zeros: K is then that of the animals at given groups.
    """

    among_classes: PedigreeOperator
    shares: scipy.sparse.csr_array | None
    covariance: NDArray[np.float64]
    precision: NDArray[np.float64]

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K⁻¹ V for an (n + g) × k block."""
        n = self.among_classes.sire.size
        product = self._to_groups(self.among_classes.multiply_inverse(self.to_classes(vectors)))
        product[n:] += self.precision @ vectors[n:]
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K V for an (n + g) × k block."""
        of = self.among_classes
        n = of.sire.size
        summed = np.zeros((n + self._classes, vectors.shape[1]))
        summed[:n] = vectors[:n]
        numerator.sum_to_parents(of.sire, of.dam, summed)
        collected = self._to_groups(summed)
        groups = self.covariance @ (collected[n:] + vectors[n:])
        full = self.to_classes(np.concatenate([collected[:n], groups]))
        numerator.pass_to_offspring(of.sire, of.dam, of.variance, full)
        return np.concatenate([full[:n], groups])

    def entries(self) -> scipy.sparse.csr_array:
        """K⁻¹ in CSR."""
        matrix = self.among_classes.entries()
        n, g = self.among_classes.sire.size, self.covariance.shape[0]
        if self.shares is not None:
            widen = scipy.sparse.block_diag([scipy.sparse.eye_array(n), self.shares], format="csr")
            matrix = scipy.sparse.csr_array(widen.T @ matrix @ widen)
        if self.precision.any():
            row, column = np.nonzero(np.ones((g, g)))
            own = scipy.sparse.coo_array((self.precision.ravel(), (n + row, n + column)), shape=matrix.shape)
            matrix = scipy.sparse.csr_array(matrix + own.tocsr())
        matrix.sort_indices()
        return matrix

    def owed_to_groups(self, of_groups: NDArray[np.float64]) -> NDArray[np.float64]:
        """Q V for a g × k block: what the animals have of the groups' values."""
        of = self.among_classes
        n = of.sire.size
        full = self.to_classes(np.concatenate([np.zeros((n, of_groups.shape[1])), of_groups]))
        numerator.pass_to_offspring(of.sire, of.dam, of.variance, full)
        return full[:n]

    def collected_by_groups(self, of_animals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Q'V for an n × k block."""
        of = self.among_classes
        n = of.sire.size
        full = np.concatenate([of_animals, np.zeros((self._classes, of_animals.shape[1]))])
        numerator.sum_to_parents(of.sire, of.dam, full)
        return self._to_groups(full)[n:]

    def to_classes(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of animals and groups → of animals and classes; a copy, or ``vectors`` where classes are groups."""
        n = self.among_classes.sire.size
        return vectors if self.shares is None else np.concatenate([vectors[:n], self.shares @ vectors[n:]])

    def _to_groups(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The transpose of `to_classes`."""
        n = self.among_classes.sire.size
        return vectors if self.shares is None else np.concatenate([vectors[:n], self.shares.T @ vectors[n:]])

    @property
    def _classes(self) -> int:
        return self.covariance.shape[0] if self.shares is None else int(self.shares.shape[0])
