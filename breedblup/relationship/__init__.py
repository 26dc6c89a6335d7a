"""Inverses of relationship matrices: how they multiply, what their entries are, where they come from.

`numerator`, `groups`, `maternal_grandsire` and `dominance` make them of a pedigree, `inverse` of a matrix of the user's,
`added` extends them; `operator` is A⁻¹ as the pedigree gives it. `on_demand`, `blocks`, `matings` and `partial_inbreeding` answer
questions about some animals, among their ancestors (`ancestry`) only.
"""

from breedblup.relationship.added import extend_inverse
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.dominance import dominance_inverse
from breedblup.relationship.groups import group_inverse, group_shares, metafounder_inverse, variance_scaling
from breedblup.relationship.inverse import GroupRows, InverseOperator, RelationshipInverse, inverse_from
from breedblup.relationship.maternal_grandsire import MaternalGrandsireOperator, sire_mgs_inverse
from breedblup.relationship.matings import mating_inbreeding
from breedblup.relationship.numerator import a_inverse
from breedblup.relationship.on_demand import (
    a22,
    closest_relatives,
    mean_relationships,
    relationship_block,
    relationships,
)
from breedblup.relationship.operator import PedigreeOperator
from breedblup.relationship.partial_inbreeding import partial_inbreeding_coefficients

__all__ = [
    "GroupRows",
    "InverseOperator",
    "MaternalGrandsireOperator",
    "PedigreeOperator",
    "RelationshipInverse",
    "a22",
    "a22_inverse",
    "a_inverse",
    "closest_relatives",
    "dominance_inverse",
    "extend_inverse",
    "group_inverse",
    "group_shares",
    "inverse_from",
    "mating_inbreeding",
    "mean_relationships",
    "metafounder_inverse",
    "partial_inbreeding_coefficients",
    "relationship_block",
    "relationships",
    "sire_mgs_inverse",
    "variance_scaling",
]
