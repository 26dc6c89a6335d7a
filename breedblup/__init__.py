"""Breeding values (BLUP) from pedigrees and records.

The public names, in the order in which data flow: what is read, what is known of relationships, what is fitted, the two calls,
what is made of a result.
"""

from breedblup.adjustment import (
    AtPoints,
    BaseBirthYears,
    BaseFounders,
    BaseIds,
    Combination,
    Difference,
    SumOverRange,
    check_base,
    combine,
    rebase,
)
from breedblup.analysis import EvaluateOptions, Prepared, System, evaluate, evaluate_prepared, prepare, solve_system
from breedblup.design import Design, basis_values, build_design, coefficients_from, covariance_at
from breedblup.errors import (
    BreedblupError,
    ConfigurationError,
    InputError,
    ModelError,
    NotConverged,
    NotPositiveDefinite,
    NumericalError,
    PedigreeError,
    PublishError,
    RecordError,
    ResourceError,
)
from breedblup.evaluation import Evaluation, RandomEffects
from breedblup.io.tables import read_pedigree, read_records
from breedblup.mme import EquationLayout, MixedModelEquations, assemble_equations, build_incidence, constrain_fixed
from breedblup.model import (
    Basis,
    ByType,
    Coordinate,
    Covariate,
    Effect,
    Fixed,
    Levels,
    Members,
    Model,
    Random,
    Residual,
)
from breedblup.pedigree import Pedigree, PedigreeColumns, PedigreeReport, PedigreeRules, inbreeding_coefficients
from breedblup.plan import SolvePlan
from breedblup.relationship import RelationshipInverse, a_inverse, dominance_inverse, inverse_from, sire_mgs_inverse
from breedblup.solvers.records import PcgOptions, Solution
from breedblup.variances import VarianceComponents

__version__ = "0.1.0"

__all__ = [
    "AtPoints",
    "BaseBirthYears",
    "BaseFounders",
    "BaseIds",
    "Basis",
    "BreedblupError",
    "ByType",
    "Combination",
    "ConfigurationError",
    "Coordinate",
    "Covariate",
    "Design",
    "Difference",
    "Effect",
    "EquationLayout",
    "EvaluateOptions",
    "Evaluation",
    "Fixed",
    "InputError",
    "Levels",
    "Members",
    "MixedModelEquations",
    "Model",
    "ModelError",
    "NotConverged",
    "NotPositiveDefinite",
    "NumericalError",
    "PcgOptions",
    "Pedigree",
    "PedigreeColumns",
    "PedigreeError",
    "PedigreeReport",
    "PedigreeRules",
    "Prepared",
    "PublishError",
    "Random",
    "RandomEffects",
    "RecordError",
    "RelationshipInverse",
    "Residual",
    "ResourceError",
    "Solution",
    "SolvePlan",
    "SumOverRange",
    "System",
    "VarianceComponents",
    "a_inverse",
    "assemble_equations",
    "basis_values",
    "build_design",
    "build_incidence",
    "check_base",
    "coefficients_from",
    "combine",
    "constrain_fixed",
    "covariance_at",
    "dominance_inverse",
    "evaluate",
    "evaluate_prepared",
    "inbreeding_coefficients",
    "inverse_from",
    "prepare",
    "read_pedigree",
    "read_records",
    "rebase",
    "sire_mgs_inverse",
    "solve_system",
]
