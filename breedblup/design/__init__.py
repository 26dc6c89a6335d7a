"""Records + Model → Design: which level of which term each record belongs to, and with which covariates.

`complete` finds the classes of factors left of a bar, `computed` makes columns of others, `choice` decides which values of
which records are used, `basis` evaluates regressions, `levels` codes classes, `effects` codes random terms, `terms` holds
what was coded, `build` puts a design together and accounts for every record.
"""

from breedblup.design.basis import (
    basis_values,
    coefficients_from,
    covariance_at,
    legendre,
    orthogonal_polynomials,
)
from breedblup.design.build import Design, RecordCounts, build_design
from breedblup.design.complete import complete_model
from breedblup.design.terms import DesignTerm

__all__ = [
    "Design",
    "DesignTerm",
    "RecordCounts",
    "basis_values",
    "build_design",
    "coefficients_from",
    "complete_model",
    "covariance_at",
    "legendre",
    "orthogonal_polynomials",
]
