"""Text of a formula → parsed terms; knows no model and no data.

`tokens` cuts the text, `cursor` walks over what was cut, `terms` holds what a formula says and writes it back, `parser`
makes the terms (its docstring is the grammar), `calls` the roles of a column, `expressions` the
functions that make one, `groups` the part right of a bar.
"""

from breedblup.formula.expressions import Expression, Operation, expression_of, product_name, sources_of
from breedblup.formula.parser import parse_formula
from breedblup.formula.terms import (
    Call,
    Column,
    Group,
    Interaction,
    Membership,
    ParsedFormula,
    RandomTerm,
    has_constant,
)
from breedblup.formula.tokens import quote_name

__all__ = [
    "Call",
    "Column",
    "Expression",
    "Group",
    "Interaction",
    "Membership",
    "Operation",
    "ParsedFormula",
    "RandomTerm",
    "expression_of",
    "has_constant",
    "parse_formula",
    "product_name",
    "quote_name",
    "sources_of",
]
