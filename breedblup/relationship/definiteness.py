"""Whether ω above 1 leaves H⁻¹ positive definite: τG⁻¹ + (1 - ω)A₂₂⁻¹ has to be (Martini et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from breedblup.errors import NotPositiveDefinite
from breedblup.relationship.remainders import Array, ProductDifference

DENSE_UP_TO = 100
"""Animals up to which eigenvalues are those of dense matrices."""

SETTLED = 1e-8
"""Relative accuracy of the eigenvalue."""


def refuse_indefinite(difference: ProductDifference) -> None:
    """`NotPositiveDefinite` where ω is too large, from the largest eigenvalue of A₂₂⁻¹ relative to τG⁻¹."""
    if difference.omega <= 1.0:
        return
    tau, n = difference.tau, difference.rows.size
    if n <= DENSE_UP_TO:
        unit = np.eye(n)
        pedigree = difference.a22.multiply_inverse(unit)
        genomic = tau * difference.multiply_genomic_inverse(unit)
        largest = float(scipy.linalg.eigvalsh(pedigree, 0.5 * (genomic + genomic.T))[-1])
    else:
        found = eigsh(
            _linear(n, difference.a22.multiply_inverse),
            k=1,
            M=_linear(n, lambda block: tau * difference.multiply_genomic_inverse(block)),
            Minv=_linear(n, lambda block: difference.inverse.multiply(block) / tau),
            which="LA",
            v0=np.random.default_rng(n).standard_normal(n),
            tol=SETTLED,
            return_eigenvectors=False,
        )
        largest = float(found[0])
    if 1.0 - (difference.omega - 1.0) * largest <= 0.0:
        raise indefinite(largest, difference.omega)


def indefinite(largest: float, omega: float) -> NotPositiveDefinite:
    """The error, for the largest eigenvalue of A₂₂⁻¹ relative to τG⁻¹."""
    smallest = 1.0 - (omega - 1.0) * largest
    return NotPositiveDefinite(
        f"H⁻¹ with ω = {omega:g} is not positive definite: τG⁻¹ + (1 - ω)A22⁻¹ has an eigenvalue of {smallest:.6g} relative to "
        f"τG⁻¹ -> choose ω below {1.0 + 1.0 / largest:.4g}, or a larger τ"
    )


def _linear(n: int, product: Callable[[Array], Array]) -> LinearOperator:
    def multiply(vector: Array) -> Array:
        return product(np.ascontiguousarray(vector).reshape(n, -1)).reshape(vector.shape)

    return LinearOperator((n, n), matvec=multiply, matmat=multiply, dtype=np.float64)
