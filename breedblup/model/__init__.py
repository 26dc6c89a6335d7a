"""What is fitted, as plain frozen data: names only, no records.

::

    Model
    ├── traits      the columns of the responses
    ├── fixed       Fixed       classes of a factor, or of the observed combinations of several; () is the intercept
    │               Covariate   regression on a Basis of a column, one for all records or one per class
    │               ByType      bare names of a formula: classes or regression, by the type of the column
    ├── random      Random      one effect a level, with a relationship matrix K or with K = I
    └── residual    Residual    variance R, or R/w with a column of weights

A model equals the model made from its formula and from its TOML.

`terms` holds the parts, `model` puts them together; `wording` turns the parts into a formula and back, `plain` into what
TOML holds and back; `checks` refuses what is no name, term or table.
"""

from breedblup.model.model import Model
from breedblup.model.terms import Basis, BasisKind, ByType, Covariate, Fixed, FixedPart, Random, Residual

__all__ = ["Basis", "BasisKind", "ByType", "Covariate", "Fixed", "FixedPart", "Model", "Random", "Residual"]
