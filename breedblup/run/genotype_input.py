"""A file of genotypes as a configuration names it: how it is read, and what is left out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from breedblup.errors import ConfigurationError, ModelError
from breedblup.genotypes.quality import GenotypeQuality, Severities
from breedblup.io.genotypes.plink import PlinkIds
from breedblup.io.genotypes.reading import GenotypeFormat
from breedblup.io.genotypes.vcf import Multiallelic
from breedblup.relationship.diagnostics import AgreementLimits
from breedblup.run.genotype_schema import GenotypesSection

_PLINK = (".bed", ".bim", ".fam")


@dataclass(frozen=True, slots=True)
class GenotypeFile:
    """A file of genotypes, and what `read_genotypes` is told of it."""

    file: Path
    format: GenotypeFormat | None = None
    map: Path | None = None
    missing: tuple[str, ...] = ()
    ids: PlinkIds = "iid"
    multiallelic: Multiallelic = "refuse"

    @property
    def files(self) -> dict[str, Path]:
        """Role of each file, and its path: of PLINK there are three."""
        mapped = {} if self.map is None else {"map of markers": self.map}
        if self.file.suffix in _PLINK or (self.format == "plink" and self.file.is_file()):
            beside = {end: self.file.with_suffix(end) for end in _PLINK}
            if self.file.suffix not in _PLINK:
                beside[".bed"] = self.file
        elif self.format == "plink" or (self.format is None and not self.file.exists()):
            beside = {end: self.file.with_name(self.file.name + end) for end in _PLINK}
        else:
            return {"genotypes": self.file} | mapped
        return {f"genotypes {end}": file for end, file in beside.items()} | mapped


@dataclass(frozen=True, slots=True)
class GenotypesInput:
    """Genotypes of an evaluation.

    Attributes
    ----------
    unknown_animals
        What happens to genotyped animals that the pedigree lacks.
    ungenotyped_records
        What happens to records of animals that take no part, where a relationship is of genotyped animals alone.
    exclusions
        File with a list of animals and markers to leave out.
    agreement
        Correlations of G with A₂₂ that are warned of, and refused.
    """

    source: GenotypeFile
    unknown_animals: Literal["error", "drop", "founder"]
    ungenotyped_records: Literal["error", "drop"]
    exclusions: Path | None
    agreement: AgreementLimits
    quality: GenotypeQuality

    @property
    def files(self) -> dict[str, Path]:
        """Role of each file, and its path."""
        return self.source.files if self.exclusions is None else self.source.files | {"exclusions": self.exclusions}


def genotypes_input_of(place: Path, section: GenotypesSection) -> GenotypesInput:
    """What the section [genotypes] says.

    Raises
    ------
    ConfigurationError
        If a threshold of the quality control cannot be.
    """
    given = section.quality.model_dump(exclude_none=True)
    try:
        quality = GenotypeQuality(**given | {"severities": Severities(**given["severities"])})
    except ModelError as wrong:
        said = str(wrong).removeprefix("quality of genotypes: ")
        raise ConfigurationError(f"{place.name}: [genotypes.quality] {said}") from None
    source = GenotypeFile(
        place.parent / section.file, section.format, None if section.map is None else place.parent / section.map,
        section.missing, section.ids, section.multiallelic,
    )  # fmt: skip
    try:
        agreement = AgreementLimits(warn=section.warn_below, stop=section.stop_below)
    except ModelError:
        raise ConfigurationError(
            f"{place.name}: [genotypes] warn_below = {section.warn_below:g} and stop_below = {section.stop_below:g} have to be "
            "correlations, stop_below not above warn_below"
        ) from None
    exclusions = None if section.exclusions is None else place.parent / section.exclusions
    return GenotypesInput(source, section.unknown_animals, section.ungenotyped_records, exclusions, agreement, quality)
