"""Everything that breedblup raises on purpose.

::

    BreedblupError
    ├── InputError              what was read is wrong
    │   ├── PedigreeError         loops, double roles, conflicting duplicates
    │   ├── RecordError           values, levels or animals of the records
    │   ├── GenotypeError         calls, markers or files of genotypes
    │   └── ConfigurationError    evaluation.toml
    ├── ModelError              what was asked for does not fit together
    ├── NumericalError
    │   ├── NotPositiveDefinite   carries ``equation``
    │   └── NotConverged          carries ``solution``
    ├── ResourceError           memory, disk or time would not suffice
    └── PublishError            a result is in the way, or cannot be written

A message says where, what was found and what to do, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class BreedblupError(Exception):
    """Base of all errors of this package."""


class InputError(BreedblupError):
    """A file or data frame cannot be used as it is."""


class PedigreeError(InputError):
    """The pedigree breaks a rule that the user has not relaxed."""


class RecordError(InputError):
    """The records cannot be used as they are."""


class GenotypeError(InputError):
    """The genotypes cannot be used as they are."""


class ConfigurationError(InputError):
    """The configuration file cannot be used as it is."""


class ModelError(BreedblupError):
    """The model, its variances and its relationships do not fit together."""


class NumericalError(BreedblupError):
    """The arithmetic cannot go on."""


class NotPositiveDefinite(NumericalError):
    """A matrix that has to be positive definite is not.

    ``equation`` is the row at which it was noticed, -1 where no row can be named.
    """

    def __init__(self, message: str, equation: int = -1) -> None:
        super().__init__(message)
        self.equation = equation


class NotConverged(NumericalError):
    """An iteration ended before its criterion was met; ``solution`` is its last state (a `Maximum` of an estimation)."""

    def __init__(self, message: str, solution: object) -> None:
        super().__init__(message)
        self.solution = solution


class ResourceError(BreedblupError):
    """The run would not fit the machine's memory, disk or time."""


class PublishError(BreedblupError):
    """Results cannot be put where they were asked for."""


def name_some(names: Iterable[object], limit: int = 10) -> str:
    """Join the first ``limit`` names, then count the rest: ``'a', 'b' and 3 more``."""
    listed = [repr(name) if isinstance(name, str) else str(name) for name in names]
    shown = ", ".join(listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"


def counted(number: int, noun: str) -> str:
    """``1 row``, ``12,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def gib(count: float) -> str:
    """Bytes for people."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= size / 10:
            return f"{count / size:.2f} {unit}"
    return f"{count / 2**10:.1f} KiB"


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint ``; did you mean 'x'?`` for a mistyped name, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
