"""The sections and keys that `evaluation.toml` may have, and what is wrong with one in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from breedblup.errors import ConfigurationError, nearest
from breedblup.pedigree import MISSING_PARENTS
from breedblup.solvers.records import Criterion

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Severity = Literal["error", "warn", "repair"]


class Section(BaseModel):
    """A table of the file: no unknown key, nothing converted, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PedigreeRulesSection(Section):
    """Severity of each rule; None leaves the rule's own default."""

    own_parent: Severity | None = None
    loop: Severity | None = None
    conflicting_duplicate: Severity | None = None
    sire_and_dam: Severity | None = None
    identical_duplicate: Severity | None = None
    born_after: Severity | None = None
    sex_role: Severity | None = None


class PedigreeSection(Section):
    """Where the pedigree is, the names of its columns and what is not accepted."""

    file: Text
    id: Text | None = None
    sire: Text | None = None
    dam: Text | None = None
    sex: Text | None = None
    birth: Text | None = None
    missing_parents: Texts = MISSING_PARENTS
    rules: PedigreeRulesSection = PedigreeRulesSection()


class RecordsSection(Section):
    """Where the records are, and what happens to those that lack an effect or whose animal is unknown."""

    file: Text
    missing_effects: Literal["error", "drop"] = "error"
    unknown_animals: Literal["error", "founder"] = "error"


class RelationshipSection(Section):
    """The pedigree, or a file with a relationship matrix or its inverse as columns id1, id2, value."""

    kind: Literal["pedigree", "relationship", "inverse"]
    file: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _file_fits_kind(self) -> RelationshipSection:
        if (self.file is None) != (self.kind == "pedigree"):
            raise ValueError(
                '"pedigree" stands alone; { file = "k.csv", kind = "relationship" } (or "inverse") names a file'
            )
        return self


class SolveSection(Section):
    """How the equations are solved; None leaves the solver's own default."""

    method: Literal["auto", "cholesky", "pcg"] = "auto"
    pev: Literal["auto", "exact", "none"] = "auto"
    inbreeding: bool = True
    tolerance: Positive | None = None
    criterion: Criterion | None = None
    maximum_rounds: Annotated[int, Field(ge=1)] | None = None
    memory_gib: Positive | None = None


class ResultsSection(Section):
    """Where results go and how they are written."""

    folder: Text
    format: Literal["csv", "parquet"] = "csv"
    accuracy: Literal["r", "r2", "bif"] = "r"


class BaseSection(Section):
    """Animals whose mean breeding value is zero."""

    kind: Literal["founders", "birth_years", "ids"]
    first: int | None = None
    last: int | None = None
    recorded_only: bool = False
    file: Text | None = None

    @model_validator(mode="after")
    def _keys_fit_kind(self) -> BaseSection:
        needed = {"founders": set(), "birth_years": {"first", "last"}, "ids": {"file"}}[self.kind]
        given = self.model_fields_set - {"kind", "recorded_only" if self.kind == "birth_years" else "kind"}
        if given != needed:
            takes = " and ".join(sorted(needed)) or "no other key"
            raise ValueError(f'kind = "{self.kind}" takes {takes}, found {", ".join(sorted(given)) or "none"}')
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(f"first = {self.first} is later than last = {self.last}")
        return self


class Sections(Section):
    """The whole file. What ``model`` and ``variances`` hold is checked by what is made of them."""

    pedigree: PedigreeSection | None = None
    records: RecordsSection
    model: dict[str, Any]
    variances: dict[str, Any]
    relationships: dict[str, RelationshipSection] | None = None
    solve: SolveSection = SolveSection()
    results: ResultsSection
    base: BaseSection | None = None


_KNOWN: Mapping[tuple[str, ...], type[Section]] = {
    (): Sections,
    ("pedigree",): PedigreeSection,
    ("pedigree", "rules"): PedigreeRulesSection,
    ("records",): RecordsSection,
    ("solve",): SolveSection,
    ("results",): ResultsSection,
    ("base",): BaseSection,
}

_WANTED = {
    "string_type": "text in quotes",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a section",
    "model_type": "a section",
}


def parse_sections(name: str, content: Mapping[str, Any]) -> Sections:
    """Check the content of a file; all that is wrong with it is said at once, a line each."""
    try:
        return Sections.model_validate(dict(content))
    except ValidationError as wrong:
        lines = [f"{name}: {_in_words(error)}" for error in wrong.errors(include_url=False)]
        raise ConfigurationError("\n".join(lines)) from None


def _in_file(place: tuple[str | int, ...]) -> str:
    """A place as it is written in the file: ``[pedigree.rules] loop``."""
    keys = [key for key in place if isinstance(key, str)]
    if len(keys) == 1:
        return _section(place)
    item = f" item {place[-1] + 1}" if isinstance(place[-1], int) else ""
    return f"{_section(keys[:-1])} {keys[-1]}{item}"


def _section(place: Sequence[str | int]) -> str:
    """Name of a section as it is written in the file: ``[pedigree.rules]``."""
    keys = [str(key) if str(key).isidentifier() else f'"{key}"' for key in place]
    return f"[{'.'.join(keys)}]"


def _in_words(error: ErrorDetails) -> str:
    """One line for one error of pydantic."""
    place, kind, found = error["loc"], error["type"], error["input"]
    where, context = _in_file(place), error.get("ctx", {})
    if kind == "extra_forbidden":
        known = list(_known_keys(place[:-1]))
        what = "section" if len(place) == 1 and isinstance(found, dict) else "key"
        inside = _section(place[:-1]) + " " if len(place) > 1 else ""
        return f"{inside}unknown {what} {place[-1]!r}{nearest(str(place[-1]), known)} (known: {', '.join(known)})"
    if kind == "missing":
        return f"{where} is missing; it has to be given"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(found, words) if isinstance(found, str) else ""
        return f"{where} can be {context['expected']}, found {_described(found)}{hint}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    if kind == "string_too_short":
        return f"{where} is empty text; write a name, or leave the key out"
    if kind in ("greater_than", "greater_than_equal"):
        least = context.get("gt", context.get("ge"))
        return f"{where} has to be {'more than' if 'gt' in context else 'at least'} {least:g}, found {found}"
    if kind == "finite_number":
        return f"{where} has to be a finite number, found {found}"
    return f"{where} has to be {_WANTED[kind]}, found {_described(found)}"


def _known_keys(place: tuple[str | int, ...]) -> tuple[str, ...]:
    """Keys that a section knows."""
    if place and place[0] == "relationships":
        return tuple(RelationshipSection.model_fields)
    return tuple(_KNOWN[tuple(str(key) for key in place)].model_fields)


def _described(value: object) -> str:
    """A value of the file with its kind."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, str(value).lower()),
        (str, f"text {value!r}"),
        (int, f"the whole number {value}"),
        (float, f"the number {value}"),
        (list, "a list"),
        (dict, "a section"),
        ((datetime, date, time), f"the date {value}"),
    )
    return next(words for kind, words in kinds if isinstance(value, kind))
