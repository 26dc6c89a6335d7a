"""What `evaluation.toml` may say of genotypes: where they are, and which of them are left out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from breedblup.io.genotypes.plink import PlinkIds
from breedblup.io.genotypes.reading import GenotypeFormat
from breedblup.io.genotypes.vcf import Multiallelic
from breedblup.run.section import Count, Finite, Section, Text, Texts

Pair = Annotated[tuple[Finite, ...], Field(strict=False)]
Outcome = Literal["exclude", "report", "stop"]


class QualitySeveritiesSection(Section):
    """What becomes of what each check finds; None leaves the check's own default."""

    marker_call_rate: Outcome | None = None
    animal_call_rate: Outcome | None = None
    monomorphic: Outcome | None = None
    minor_allele_frequency: Outcome | None = None
    hardy_weinberg: Outcome | None = None
    not_autosomal: Outcome | None = None
    mendelian_marker: Outcome | None = None
    duplicates: Outcome | None = None
    sex: Outcome | None = None
    mendelian: Outcome | None = None
    g_diagonal: Outcome | None = None


class GenotypeQualitySection(Section):
    """Limits of the quality control; None leaves the default of `GenotypeQuality`."""

    marker_call_rate: Finite | None = None
    animal_call_rate: Finite | None = None
    minor_allele_frequency: Finite | None = None
    hardy_weinberg: Finite | None = None
    heterozygosity_deviation: Finite | None = None
    duplicate_share: Finite | None = None
    mendelian_errors_per_pair: Finite | None = None
    mendelian_errors_per_trio: Finite | None = None
    mendelian_errors_per_marker: Finite | None = None
    fewest_compared: Count | None = None
    x_chromosome: Texts | None = None
    not_autosomal: Texts | None = None
    x_heterozygosity: Pair | None = None
    fewest_x_markers: Count | None = None
    g_diagonal: Pair | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    severities: QualitySeveritiesSection = QualitySeveritiesSection()

    @field_validator("x_heterozygosity", "g_diagonal")
    @classmethod
    def _two_numbers(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and len(value) != 2:
            raise ValueError(f"two numbers are needed, the smaller first, found {len(value)}")
        return value


class GenotypesSection(Section):
    """Where the genotypes are, how they are read, and which of them are left out.

    ``exclusions`` is a list kept between runs; ``warn_below`` and ``stop_below`` are limits of the correlation of G with A₂₂.
    """

    file: Text
    format: GenotypeFormat | None = None
    map: Text | None = None
    missing: Texts = ()
    ids: PlinkIds = "iid"
    multiallelic: Multiallelic = "refuse"
    unknown_animals: Literal["error", "drop", "founder"] = "error"
    ungenotyped_records: Literal["error", "drop"] = "error"
    exclusions: Text | None = None
    warn_below: Finite = 0.5
    stop_below: Finite = 0.3
    quality: GenotypeQualitySection = GenotypeQualitySection()
