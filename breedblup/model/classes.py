"""Factors that multiply a random effect: which classes have a column of 0 and 1 of their own."""

from __future__ import annotations

from dataclasses import dataclass

from breedblup.errors import ModelError
from breedblup.model.checks import checked_names


@dataclass(frozen=True, slots=True)
class Classes:
    """A factor left of a bar: an effect for each of its classes, those of a record's class multiplied by 1, others by 0.

    Parameters
    ----------
    factor
        The column.
    levels
        The classes in their order; none where the records are to say (`breedblup.complete_model`).
    by_type
        A bare name, ``recipe:x``: a factor or a covariate by the type of its column.
    """

    factor: str
    levels: tuple[str, ...] = ()
    by_type: bool = False

    def __post_init__(self) -> None:
        checked_names((self.factor,), "the factor of Classes")
        object.__setattr__(self, "levels", checked_names(self.levels, "the levels of Classes"))
        if not isinstance(self.by_type, bool):
            raise ModelError(f"by_type of Classes is true or false, found {self.by_type!r}")
        if len(self.levels) == 1:
            raise ModelError(f"{self.factor!r} has one class only, {self.levels[0]!r}; a factor has two or more")
        if self.levels and self.by_type:
            raise ModelError(f"{self.factor!r} has levels and so is a factor, whatever the type of its column")
