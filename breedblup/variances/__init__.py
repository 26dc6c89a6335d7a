"""Variances of the random terms and of the residual, and the space in which they are estimated.

`components` is the object, `matrices` what a covariance matrix is, with its roots, `agreement` whether variances are those
of a model. `structures` is what a user assumes of the matrices, `blocks` the elements that this leaves, `restrictions` the
bounds and ties of these, `parameters` all of them as one vector, `boundary` what is left free where a matrix is singular.
"""

from breedblup.variances.components import VarianceComponents
from breedblup.variances.parameters import MatrixBlock, Parameter, ParameterSpace
from breedblup.variances.structures import Bound, Diagonal, FixedValue, ReducedRank, Tie, Unstructured

__all__ = [
    "Bound",
    "Diagonal",
    "FixedValue",
    "MatrixBlock",
    "Parameter",
    "ParameterSpace",
    "ReducedRank",
    "Tie",
    "Unstructured",
    "VarianceComponents",
]
