"""What `evaluation.toml` may say of a relationship: which keys, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from breedblup.errors import ConfigurationError
from breedblup.relationship.single_step_groups import GroupEquations
from breedblup.run.section import Count, Finite, Positive, Section, Text

PedigreeKind = Literal["pedigree", "groups", "metafounders", "dominance", "sire_mgs"]
GenomicKind = Literal["genomic", "single_step", "genomic_dominance"]

Form = Literal["auto", "explicit", "apy", "components", "markers"]
Groups = Literal["fixed", "random", "metafounders"]

G_KEYS = ("method", "frequencies", "blend", "blend_with", "ridge", "tuning", "order")
"""Keys that `GenomicOptions` has under the same name."""

_OF_G = (*G_KEYS, "frequency_file", "weight_file", "form", "core_file", "core_number", "core_share")
_TAKEN: Mapping[str, tuple[str, ...]] = {
    "pedigree": ("prune",),
    "groups": ("prune", "ratio"),
    "metafounders": ("file", "prune"),
    "dominance": ("prune",),
    "sire_mgs": ("prune",),
    "relationship": ("file",),
    "inverse": ("file",),
    "genomic": _OF_G,
    "genomic_dominance": ("frequencies", "frequency_file", "ridge"),
    "single_step": (*_OF_G, "tau", "omega", "groups", "ratio", "gamma", "group_equations", "prune"),
}
"""Keys that go with each kind."""

ESTIMATED = "estimate"
"""What ``gamma`` says where Γ is to be found from the genotypes."""


class RelationshipSection(Section):
    """Made from the pedigree, from genotypes, or a file with a relationship matrix or its inverse as columns id1, id2, value.

    ``metafounders`` is made from the pedigree and a file with Γ; ``ratio`` makes ``groups`` random. Of the keys of genomic
    relationships None leaves the default of what they are handed to.
    """

    kind: Literal[PedigreeKind, GenomicKind, "relationship", "inverse"]
    file: Text | None = None
    prune: bool = False
    ratio: Positive | None = None
    method: Literal["vanraden1", "vanraden2", "yang"] | None = None
    frequencies: Literal["observed", "half", "base"] | None = None
    frequency_file: Text | None = None
    weight_file: Text | None = None
    blend: Finite | None = None
    blend_with: Literal["a22", "identity"] | None = None
    ridge: Finite | None = None
    tuning: Literal["none", "unit", "chen", "mean", "vitezica"] | None = None
    order: Literal["blend_tune", "tune_blend"] | None = None
    form: Form = "auto"
    core_file: Text | None = None
    core_number: Count | None = None
    core_share: Positive | None = None
    tau: Positive = 1.0
    omega: Finite = 1.0
    groups: Groups | None = None
    gamma: Text | None = None
    group_equations: GroupEquations | None = None

    @property
    def genomic(self) -> bool:
        """Whether it rests on genotypes."""
        return self.kind in ("genomic", "single_step", "genomic_dominance")

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _file_fits_kind(self) -> RelationshipSection:
        if (self.file is None) == ("file" in _TAKEN[self.kind]):
            raise ValueError(
                '"pedigree" stands alone, and so do "groups", "dominance" and "sire_mgs"; { file = "k.csv", kind = '
                '"relationship" } (or "inverse", or "metafounders" with Γ) names a file'
            )
        if self.prune and self.kind in ("relationship", "inverse"):
            raise ValueError("prune goes with a pedigree, not with a file; leave it out")
        if self.ratio is not None and not (self.kind == "groups" or self.groups == "random"):
            raise ValueError('ratio is that of random groups; it goes with kind = "groups"')
        if self.groups == "random" and self.ratio is None:
            raise ValueError(
                'groups = "random" needs ratio, additive variance over that of a group; groups = "fixed" goes without'
            )
        return self

    @model_validator(mode="after")
    def _keys_fit_kind(self) -> RelationshipSection:
        taken = _TAKEN[self.kind]
        for key in self.__class__.model_fields:
            if key in self.model_fields_set and key not in ("kind", *taken, "prune"):
                raise ValueError(f'{key} does not go with kind = "{self.kind}", which takes {", ".join(taken)}')
        cores = [key for key in ("core_file", "core_number", "core_share") if getattr(self, key) is not None]
        if len(cores) > 1:
            raise ValueError(f"{' and '.join(cores)} both choose the core; leave one of them out")
        if cores and self.form not in ("auto", "apy"):
            raise ValueError(
                f'{cores[0]} chooses the core of form = "apy", and form is "{self.form}"; leave one of them out'
            )
        if self.core_share is not None and self.core_share >= 1.0:
            raise ValueError(f"core_share has to be below 1, a share of the variation in G, found {self.core_share:g}")
        if self.kind == "genomic_dominance" and self.frequencies == "base":
            raise ValueError('frequencies = "base" is none of genomic_dominance, which takes "observed" and "half"')
        if self.kind == "genomic" and self.form in ("components", "markers"):
            raise ValueError(f'form = "{self.form}" is one of single_step; genomic takes "auto", "explicit" and "apy"')
        if self.frequencies is not None and self.frequency_file is not None:
            raise ValueError("frequencies and frequency_file are both given; leave one of them out")
        if (self.gamma is None) == (self.groups == "metafounders"):
            raise ValueError('gamma (a file, or "estimate") goes with groups = "metafounders", which needs it')
        return self


def refuse_marker_tests(name: str, relationships: Mapping[str, RelationshipSection], *, grouped: bool) -> None:
    """`ConfigurationError` where tests of markers are asked for, and K among the genotyped animals is not G by a factor."""
    for column, section in relationships.items():
        found = _untestable(section, grouped) if section.kind in ("genomic", "single_step") else None
        if found is not None:
            raise ConfigurationError(
                f"{name}: [results] marker_tests need G itself among the genotyped animals, and [relationships] {column} has "
                f"{found}, or leave marker_tests out"
            )


def _untestable(section: RelationshipSection, grouped: bool) -> str | None:
    """What of a section stands against tests of markers, and what to write; None where nothing does."""
    core = any(value is not None for value in (section.core_file, section.core_number, section.core_share))
    if section.form in ("apy", "markers") or core:
        return f'form = "{"apy" if core else section.form}"; write form = "explicit"{" without a core" if core else ""}'
    if (section.tau, section.omega) != (1.0, 1.0):
        return f"tau = {section.tau:g} and omega = {section.omega:g}; leave them at 1"
    if section.kind == "single_step" and grouped and section.groups != "metafounders":
        return (
            f'groups = "{section.groups or "fixed"}"; write groups = "metafounders", or leave groups out of [pedigree]'
        )
    return None
