"""Henderson's mixed model equations: which equation is what, their assembly in CSR, what bounds the error of an iterate.

`layout` numbers equations, `incidence` holds W, `constraints` finds what of X has to be set to zero and `group_rank` which fixed
groups of unknown parents, `pattern` the positions of the left-hand side, `assemble` its values; `fixed_space` is what has no
prior, `bound` says how far an iterate is from the solution, `reduction` eliminates animals without progeny.
"""

from breedblup.mme.assemble import EquationPattern, MixedModelEquations, assemble_equations
from breedblup.mme.bound import EnergyBound
from breedblup.mme.constraints import Constraints
from breedblup.mme.fixed_space import FixedSpace, factor_fixed, group_equations
from breedblup.mme.group_rank import constrain
from breedblup.mme.incidence import Incidence, build_incidence
from breedblup.mme.layout import EquationLayout
from breedblup.mme.pattern import Pattern, count_pattern

__all__ = [
    "Constraints",
    "EnergyBound",
    "EquationLayout",
    "EquationPattern",
    "FixedSpace",
    "Incidence",
    "MixedModelEquations",
    "Pattern",
    "assemble_equations",
    "build_incidence",
    "constrain",
    "count_pattern",
    "factor_fixed",
    "group_equations",
]
