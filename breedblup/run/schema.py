"""The sections and keys that `evaluation.toml` may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from breedblup.errors import ConfigurationError
from breedblup.pedigree import MISSING_PARENTS
from breedblup.run.genotype_schema import GenotypeQualitySection, GenotypesSection, QualitySeveritiesSection
from breedblup.run.relationship_schema import RelationshipSection
from breedblup.run.section import Finite, Positive, Section, Severity, Text, Texts
from breedblup.run.wording import in_words
from breedblup.solvers.records import Criterion


class PedigreeRulesSection(Section):
    """Severity of each rule; None leaves the rule's own default."""

    own_parent: Severity | None = None
    loop: Severity | None = None
    conflicting_duplicate: Severity | None = None
    sire_and_dam: Severity | None = None
    identical_duplicate: Severity | None = None
    born_after: Severity | None = None
    sex_role: Severity | None = None


class GroupRuleSection(Section):
    """How unknown parents are grouped by a rule; None leaves the rule's own default. ``breed`` is a column of the pedigree."""

    years: Annotated[int, Field(ge=0)] | None = None
    path: bool | None = None
    sex: bool | None = None
    breed: Text | None = None
    smallest: Annotated[int, Field(ge=1)] | None = None


class PedigreeSection(Section):
    """Where the pedigree is, the names of its columns and what is not accepted."""

    file: Text
    id: Text | None = None
    sire: Text | None = None
    dam: Text | None = None
    maternal_grandsire: Text | None = None
    sex: Text | None = None
    birth: Text | None = None
    twin_of: Text | None = None
    missing_parents: Texts = MISSING_PARENTS
    groups: Texts = ()
    phantom_parents: Text | None = None
    group_rule: GroupRuleSection | None = None
    rules: PedigreeRulesSection = PedigreeRulesSection()

    @property
    def grouped(self) -> bool:
        """Whether unknown parents are in groups."""
        return bool(self.groups) or self.phantom_parents is not None or self.group_rule is not None

    @model_validator(mode="after")
    def _grouped_once(self) -> PedigreeSection:
        if bool(self.groups) + (self.phantom_parents is not None) + (self.group_rule is not None) > 1:
            raise ValueError(
                "groups of unknown parents are given twice; give one of groups (codes), phantom_parents (a file) and group_rule"
            )
        if self.grouped and self.maternal_grandsire is not None:
            raise ValueError("relationships among sires take no groups of unknown parents; leave them out")
        return self

    @model_validator(mode="after")
    def _of_sires(self) -> PedigreeSection:
        if self.maternal_grandsire is None:
            return self
        if self.dam is not None:
            raise ValueError(
                "dam and maternal_grandsire are both given; a pedigree of sires has no dams, leave one out"
            )
        if self.rules.sire_and_dam is not None:
            raise ValueError("sire_and_dam cannot be a fault where maternal grandsires are known; leave the rule out")
        return self


class RecordsSection(Section):
    """Where the records are, and what happens to those that lack an effect or whose animal is unknown."""

    file: Text
    missing_effects: Literal["error", "drop"] = "error"
    unknown_animals: Literal["error", "founder"] = "error"


class SolveSection(Section):
    """How the equations are solved; None leaves the solver's own default."""

    method: Literal["auto", "cholesky", "pcg"] = "auto"
    pev: Literal["auto", "exact", "none"] = "auto"
    inbreeding: Literal[True, False, "contemporaries"] = True
    reduce: bool | None = None
    tolerance: Positive | None = None
    criterion: Criterion | None = None
    maximum_rounds: Annotated[int, Field(ge=1)] | None = None
    memory_gib: Positive | None = None

    @field_validator("inbreeding", mode="before")
    @classmethod
    def _no_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):  # 1 equals True
            raise ValueError(f"it can be true, false or 'contemporaries', found the whole number {value}")
        return value


class ResultsSection(Section):
    """Where results go and how they are written."""

    folder: Text
    format: Literal["csv", "parquet"] = "csv"
    accuracy: Literal["r", "r2", "bif"] = "r"
    marker_tests: bool = False


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


class Range(Section):
    """From first to last, in steps."""

    first: float
    last: float
    step: float = 1.0


class Span(Section):
    """Two points of a curve."""

    later: float
    earlier: float


class CombinationSection(Section):
    """A weighted sum of the effects of a random term; ``weights`` are checked by what is made of them."""

    name: Text
    weights: dict[str, Any]
    trait: Text | None = None
    term: Text | None = None


class CurveSection(Section):
    """Values along the curve of a random regression."""

    points: Annotated[tuple[float, ...], Field(strict=False)] | None = None
    sum: Range | None = None
    difference: Span | None = None
    trait: Text | None = None
    term: Text | None = None
    group: Text | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> CurveSection:
        if sum(value is not None for value in (self.points, self.sum, self.difference)) != 1:
            raise ValueError(
                "give one of points = [60, 305], sum = { first = 5, last = 305 } and difference = { later = 280, earlier = 60 }"
            )
        return self


class StructureSection(Section):
    """What is assumed of a covariance matrix; ``rank`` and ``value`` go with one kind each."""

    kind: Literal["unstructured", "diagonal", "reduced_rank", "fixed"]
    rank: Annotated[int, Field(ge=1)] | None = None
    value: Any = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _keys_fit_kind(self) -> StructureSection:
        if (self.rank is None) == (self.kind == "reduced_rank") or (self.value is None) == (self.kind == "fixed"):
            raise ValueError(
                'write "unstructured", "diagonal", { kind = "reduced_rank", rank = 1 } or { kind = "fixed", value = 20.0 }'
            )
        return self


class BoundSection(Section):
    """Limits of an element of a covariance matrix."""

    lower: Finite | None = None
    upper: Finite | None = None


class TieSection(Section):
    """The element that another is a multiple of."""

    to: Text
    factor: Finite = 1.0


class RemlSection(Section):
    """How variances are estimated; None leaves the default of `RemlOptions`."""

    method: Literal["ai", "em", "px-em"] | None = None
    likelihood: Literal["reml", "ml"] | None = None
    information: Literal["average", "observed", "expected"] | None = None
    max_rounds: Annotated[int, Field(ge=1)] | None = None
    gain: Positive | None = None
    change: Positive | None = None
    folder: Text | None = None
    structures: dict[str, StructureSection] = Field(default_factory=dict)
    bounds: dict[str, BoundSection] = Field(default_factory=dict)
    ties: dict[str, TieSection] = Field(default_factory=dict)


class Sections(Section):
    """The whole file. What ``model`` and ``variances`` hold is checked by what is made of them."""

    pedigree: PedigreeSection | None = None
    genotypes: GenotypesSection | None = None
    records: RecordsSection
    model: dict[str, Any]
    variances: dict[str, Any] | None = None
    relationships: dict[str, RelationshipSection] | None = None
    solve: SolveSection = SolveSection()
    reml: RemlSection = RemlSection()
    results: ResultsSection
    base: BaseSection | None = None
    combinations: Annotated[tuple[CombinationSection, ...], Field(strict=False)] = ()
    curves: Annotated[tuple[CurveSection, ...], Field(strict=False)] = ()


_KNOWN: Mapping[tuple[str, ...], type[Section]] = {
    (): Sections,
    ("pedigree",): PedigreeSection,
    ("pedigree", "rules"): PedigreeRulesSection,
    ("pedigree", "group_rule"): GroupRuleSection,
    ("genotypes",): GenotypesSection,
    ("genotypes", "quality"): GenotypeQualitySection,
    ("genotypes", "quality", "severities"): QualitySeveritiesSection,
    ("records",): RecordsSection,
    ("solve",): SolveSection,
    ("reml",): RemlSection,
    ("reml", "structures"): StructureSection,
    ("reml", "bounds"): BoundSection,
    ("reml", "ties"): TieSection,
    ("results",): ResultsSection,
    ("base",): BaseSection,
    ("combinations",): CombinationSection,
    ("curves",): CurveSection,
    ("curves", "sum"): Range,
    ("curves", "difference"): Span,
}


def parse_sections(name: str, content: Mapping[str, Any]) -> Sections:
    """Check the content of a file; all that is wrong with it is said at once, a line each."""
    try:
        return Sections.model_validate(dict(content))
    except ValidationError as wrong:
        lines = [f"{name}: {in_words(error, _known_keys)}" for error in wrong.errors(include_url=False)]
        raise ConfigurationError("\n".join(lines)) from None


def _known_keys(place: tuple[str, ...]) -> tuple[str, ...]:
    """Keys that a section knows."""
    if place and place[0] == "relationships":
        return tuple(RelationshipSection.model_fields)
    return tuple(
        _KNOWN[place[:2] if place[:1] == ("reml",) else place].model_fields
    )  # the third is a name of the model's
