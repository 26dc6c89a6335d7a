"""Estimates with their asymptotic covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.reml.options import Information
from breedblup.variances import VarianceComponents
from breedblup.variances.parameters import ParameterSpace

NO_ERROR = ("fixed", "boundary", "bound")
"""Kinds of parameters that are not free: they have no standard error."""


@dataclass(frozen=True)
class Estimates:
    """Estimated parameters of all covariance matrices.

    Attributes
    ----------
    theta
        In the order of ``space.parameters``.
    covariance
        Asymptotic, parameters × parameters; rows of parameters that are not free are 0.
    status
        Of each parameter: ``free``, ``fixed``, ``tied``, ``bound`` (at a limit of the user's) or ``boundary`` (of the parameter
        space).
    information
        Matrix that the covariance is the inverse of: ``average``, ``observed`` or ``expected``.
    """

    space: ParameterSpace
    theta: NDArray[np.float64]
    covariance: NDArray[np.float64]
    status: tuple[str, ...]
    information: Information

    def __post_init__(self) -> None:
        for array in (self.theta, self.covariance):
            array.flags.writeable = False

    @property
    def variances(self) -> VarianceComponents:
        """The estimates as covariance matrices."""
        return self.space.unpack(self.theta)

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """Of each parameter; NaN where it is not free."""
        errors = np.sqrt(np.maximum(self.covariance.diagonal(), 0.0))
        return np.where([one in NO_ERROR for one in self.status], np.nan, errors)

    @property
    def table(self) -> pl.DataFrame:
        """parameter, estimate, se, status."""
        return pl.DataFrame(
            {
                "parameter": self.space.names,
                "estimate": self.theta,
                "se": pl.Series(self.standard_errors).fill_nan(None),
                "status": self.status,
            }
        )
