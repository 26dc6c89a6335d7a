"""Prior covariances of the equations of one level of a random term, and their inverses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breedblup.mme.layout import EquationLayout
from breedblup.variances import VarianceComponents


def covariance_of(layout: EquationLayout, k: int, variances: VarianceComponents) -> NDArray[np.float64]:
    """Prior covariance of the equations of one level of a random term: G₀, or I where its rank is lower."""
    return np.eye(layout.width(k)) if layout.loadings[k] is not None else variances.matrix(layout.terms[k].name)


def inverse_covariance(layout: EquationLayout, k: int, variances: VarianceComponents) -> NDArray[np.float64]:
    """G₀⁻¹ of a random term in the coordinates of its equations; zeros for a fixed term."""
    if layout.terms[k].kind == "fixed":
        return np.zeros((layout.width(k),) * 2)
    inverse = np.asarray(np.linalg.inv(covariance_of(layout, k, variances)), dtype=np.float64)
    return 0.5 * (inverse + inverse.T)
