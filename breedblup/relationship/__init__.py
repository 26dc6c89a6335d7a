"""Inverses of relationship matrices: how they multiply, what their entries are, where they come from."""

from breedblup.relationship.inverse import InverseOperator, RelationshipInverse, inverse_from
from breedblup.relationship.numerator import PedigreeOperator, a_inverse

__all__ = ["InverseOperator", "PedigreeOperator", "RelationshipInverse", "a_inverse", "inverse_from"]
