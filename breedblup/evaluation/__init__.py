"""The result of an evaluation: breeding values with their precision, fixed effects, and how all of it was made.

`effects` holds the solutions of random terms and what their precision is computed from, `tables` makes tables of them,
`result` is the `Evaluation` that an analyst sees.
"""

from breedblup.evaluation.effects import RandomEffects, inverse_by_level, random_effects
from breedblup.evaluation.result import Evaluation
from breedblup.evaluation.tables import (
    GENETIC_COLUMNS,
    GROUP_COLUMNS,
    AccuracyScale,
    accuracy_from_reliability,
    fixed_table,
    genetic_rows,
    genetic_table,
    groups_table,
    random_table,
)

__all__ = [
    "GENETIC_COLUMNS",
    "GROUP_COLUMNS",
    "AccuracyScale",
    "Evaluation",
    "RandomEffects",
    "accuracy_from_reliability",
    "fixed_table",
    "genetic_rows",
    "genetic_table",
    "groups_table",
    "inverse_by_level",
    "random_effects",
    "random_table",
]
