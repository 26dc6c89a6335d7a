"""What is made of an evaluation: combinations of effects, curves at points and over ranges, another base.

`combination` adds rows to the table of breeding values, `curve` finds the weights of random regressions, `base` moves the zero.
"""

from breedblup.adjustment.base import Base, BaseBirthYears, BaseFounders, BaseIds, check_base, rebase
from breedblup.adjustment.combination import Combination, CombinationSpec, check_combinations, combine
from breedblup.adjustment.curve import AtPoints, Difference, SumOverRange

__all__ = [
    "AtPoints",
    "Base",
    "BaseBirthYears",
    "BaseFounders",
    "BaseIds",
    "Combination",
    "CombinationSpec",
    "Difference",
    "SumOverRange",
    "check_base",
    "check_combinations",
    "combine",
    "rebase",
]
