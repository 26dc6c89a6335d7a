"""Breeding values (BLUP) from pedigrees and records.

The public names, in the order in which data flow: what is read, what is known of relationships, what is fitted, the two calls,
what is made of a result.
"""

from breedblup.adjustment import BaseBirthYears, BaseFounders, BaseIds, check_base, rebase
from breedblup.analysis import EvaluateOptions, Prepared, evaluate, evaluate_prepared, prepare, solve_equations
from breedblup.design import Design, build_design
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
from breedblup.evaluation import Evaluation
from breedblup.io.tables import read_pedigree, read_records
from breedblup.mme import EquationLayout, MixedModelEquations, assemble_equations, build_incidence, constrain_fixed
from breedblup.model import Basis, ByType, Covariate, Fixed, Model, Random, Residual
from breedblup.pedigree import Pedigree, PedigreeColumns, PedigreeReport, PedigreeRules, inbreeding_coefficients
from breedblup.plan import SolvePlan
from breedblup.relationship import RelationshipInverse, a_inverse, inverse_from
from breedblup.solvers.records import PcgOptions, Solution
from breedblup.variances import VarianceComponents

__version__ = "0.1.0"

__all__ = [
    "BaseBirthYears",
    "BaseFounders",
    "BaseIds",
    "Basis",
    "BreedblupError",
    "ByType",
    "ConfigurationError",
    "Covariate",
    "Design",
    "EquationLayout",
    "EvaluateOptions",
    "Evaluation",
    "Fixed",
    "InputError",
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
    "RecordError",
    "RelationshipInverse",
    "Residual",
    "ResourceError",
    "Solution",
    "SolvePlan",
    "VarianceComponents",
    "a_inverse",
    "assemble_equations",
    "build_design",
    "build_incidence",
    "check_base",
    "constrain_fixed",
    "evaluate",
    "evaluate_prepared",
    "inbreeding_coefficients",
    "inverse_from",
    "prepare",
    "read_pedigree",
    "read_records",
    "rebase",
    "solve_equations",
]
