"""What is fitted, as plain frozen data: names only, no records.

::

    Model
    ├── traits      the columns of the responses
    ├── fixed       Fixed       classes of a factor, or of the observed combinations of several; () is the intercept
    │               Covariate   regression on a Basis of a column, one for all records or one per class
    │               ByType      bare names of a formula: classes or regression, by the type of the column
    ├── random      Random      Effects that share a covariance matrix and a relationship matrix K, or K = I
    │               └── Effect    one effect of Levels (or of Members, several weighted levels a record), or a regression
    │                             on a Basis of a column; one for each of the Classes of factors
    └── residual    Residual    variance R, or R/w with columns of weights; one for each class of factors

Fixed terms and effects name the traits that they affect; none stands for all. A column may be a function of columns by its
name, ``log(x)`` (`breedblup.formula.expressions`). The rows of the covariance matrix of a random term are its
Coordinates. A model equals the model made from its formulas and from its TOML.

`bases`, `classes`, `fixed`, `random` and `residual` hold the parts, `coordinates` the rows, `model` puts them together;
`bytrait` takes the terms of one trait out and joins those of several; `wording` turns the parts into formulas and back,
`plain` into what TOML holds and back; `overview` shows them; `checks` refuses what is no name, term or table, `rules` what
makes no model.
"""

from breedblup.model.bases import LINEAR, Basis, BasisKind
from breedblup.model.classes import Classes
from breedblup.model.coordinates import Coordinate, coordinates_of, effect_classes, effect_labels
from breedblup.model.fixed import INTERCEPT, ByType, Covariate, Fixed, FixedPart
from breedblup.model.model import Model
from breedblup.model.random import (
    Effect,
    LevelGroup,
    Levels,
    Members,
    Random,
    affects,
)
from breedblup.model.residual import Residual

__all__ = [
    "INTERCEPT",
    "LINEAR",
    "Basis",
    "BasisKind",
    "ByType",
    "Classes",
    "Coordinate",
    "Covariate",
    "Effect",
    "Fixed",
    "FixedPart",
    "LevelGroup",
    "Levels",
    "Members",
    "Model",
    "Random",
    "Residual",
    "affects",
    "coordinates_of",
    "effect_classes",
    "effect_labels",
]
