"""What is known of descent: a checked, immutable pedigree, and the rules that it was checked by.

`reading` turns a table into coded parents, `checks` finds what is wrong with them, `rules` says how severe that is,
`pedigree` holds the result.
"""

from breedblup.pedigree.pedigree import Pedigree, inbreeding_coefficients
from breedblup.pedigree.reading import MISSING_PARENTS, PedigreeColumns
from breedblup.pedigree.rules import PedigreeReport, PedigreeRules

__all__ = [
    "MISSING_PARENTS",
    "Pedigree",
    "PedigreeColumns",
    "PedigreeReport",
    "PedigreeRules",
    "inbreeding_coefficients",
]
