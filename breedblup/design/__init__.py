"""Records + Model → Design: which level of which term each record belongs to, and with which covariates.

`basis` evaluates regressions, `terms` codes classes, `build` puts a design together and accounts for every record.
"""

from breedblup.design.basis import legendre, orthogonal_polynomials
from breedblup.design.build import Design, RecordCounts, build_design
from breedblup.design.terms import DesignTerm

__all__ = ["Design", "DesignTerm", "RecordCounts", "build_design", "legendre", "orthogonal_polynomials"]
