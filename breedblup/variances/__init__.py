"""Variances of the random terms and of the residual.

`components` is the object, `matrices` what a covariance matrix is, with its roots, `agreement` whether variances are those
of a model.
"""

from breedblup.variances.components import VarianceComponents

__all__ = ["VarianceComponents"]
