"""Henderson's mixed model equations: which equation is what, their assembly in CSR, what bounds the error of an iterate."""

from breedblup.mme.assemble import EquationPattern, MixedModelEquations, assemble_equations, inverse_variance
from breedblup.mme.bound import EnergyBound
from breedblup.mme.constraints import Constraints, constrain_fixed
from breedblup.mme.incidence import Incidence, build_incidence
from breedblup.mme.layout import EquationLayout

__all__ = [
    "Constraints",
    "EnergyBound",
    "EquationLayout",
    "EquationPattern",
    "Incidence",
    "MixedModelEquations",
    "assemble_equations",
    "build_incidence",
    "constrain_fixed",
    "inverse_variance",
]
