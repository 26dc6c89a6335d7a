"""Inverses of relationship matrices: how they multiply, what their entries are, where they come from."""

from breedblup.relationship.dominance import dominance_inverse
from breedblup.relationship.inverse import InverseOperator, RelationshipInverse, inverse_from
from breedblup.relationship.maternal_grandsire import MaternalGrandsireOperator, sire_mgs_inverse
from breedblup.relationship.numerator import PedigreeOperator, a_inverse

__all__ = [
    "InverseOperator",
    "MaternalGrandsireOperator",
    "PedigreeOperator",
    "RelationshipInverse",
    "a_inverse",
    "dominance_inverse",
    "inverse_from",
    "sire_mgs_inverse",
]
