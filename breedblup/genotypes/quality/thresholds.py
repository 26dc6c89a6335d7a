"""`GenotypeQuality`: what calls have to satisfy, and what becomes of animals and markers that do not."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from breedblup.errors import ModelError

Severity = Literal["exclude", "report", "stop"]

SHARES = (
    "marker_call_rate",
    "animal_call_rate",
    "minor_allele_frequency",
    "hardy_weinberg",
    "heterozygosity_deviation",
    "duplicate_share",
    "mendelian_errors_per_pair",
    "mendelian_errors_per_trio",
    "mendelian_errors_per_marker",
)


@dataclass(frozen=True, slots=True)
class Severities:
    """What becomes of what a check finds: ``exclude`` leaves it out, ``report`` lists it, ``stop`` raises an error."""

    marker_call_rate: Severity = "exclude"
    animal_call_rate: Severity = "exclude"
    monomorphic: Severity = "exclude"
    minor_allele_frequency: Severity = "exclude"
    hardy_weinberg: Severity = "exclude"
    not_autosomal: Severity = "exclude"
    mendelian_marker: Severity = "exclude"
    duplicates: Severity = "report"
    sex: Severity = "report"
    mendelian: Severity = "report"
    g_diagonal: Severity = "report"

    def __post_init__(self) -> None:
        for check in fields(self):
            severity = getattr(self, check.name)
            if severity not in ("exclude", "report", "stop"):
                raise ModelError(
                    f"quality of genotypes: severity of {check.name} is {severity!r} -> 'exclude', 'report' or 'stop'"
                )


@dataclass(frozen=True, slots=True)
class GenotypeQuality:
    """Thresholds of the quality control of genotypes.

    Attributes
    ----------
    marker_call_rate, animal_call_rate
        Least share of animals with a call at a marker, and of markers with a call in an animal.
    minor_allele_frequency
        Least frequency of the rarer allele; 0 keeps all markers but the monomorphic.
    hardy_weinberg, heterozygosity_deviation
        A marker fails whose exact test of Hardy-Weinberg proportions (Wigginton, Cutler & Abecasis 2005) gives a
        probability below the first *and* whose share of heterozygotes is further from 2pq than the second: among
        many animals the test rejects every marker under selection, among few the share strays by chance. 1 and 0
        switch off the one or the other, 0 and 1 both.
    duplicate_share
        Share of identical calls from which on two animals are duplicates.
    mendelian_errors_per_pair, mendelian_errors_per_trio
        Largest share of markers at which an animal and its parent are opposing homozygotes, or at which a call is
        impossible given both parents.
    mendelian_errors_per_marker
        Largest share of animals whose call conflicts with those of their parents, at a marker; families in conflict left out.
    fewest_compared
        Markers that two animals must share for a conflict to be judged.
    x_chromosome, not_autosomal
        Names of the X chromosome, and of those that are neither it nor autosomes: their markers take no part in tests of
        Hardy-Weinberg proportions, duplicates and parents.
    x_heterozygosity
        Heterozygosity at markers of X, relative to that expected: males have at most the first, females at least the second.
    fewest_x_markers
        Calls at X from which on a sex is told.
    g_diagonal
        Smallest and largest diagonal of G.
    frequencies
        Allele frequencies of the result: ``kept`` (animals after all checks) or ``all`` (as read).
    severities
        What becomes of what each check finds.
    seed
        Of the markers that duplicates are sought on.
    """

    marker_call_rate: float = 0.90
    animal_call_rate: float = 0.90
    minor_allele_frequency: float = 0.01
    hardy_weinberg: float = 1e-6
    heterozygosity_deviation: float = 0.15
    duplicate_share: float = 0.98
    mendelian_errors_per_pair: float = 0.01
    mendelian_errors_per_trio: float = 0.02
    mendelian_errors_per_marker: float = 0.05
    fewest_compared: int = 100
    x_chromosome: tuple[str, ...] = ("X", "chrX")
    not_autosomal: tuple[str, ...] = ("Y", "chrY", "XY", "MT", "chrM", "M")
    x_heterozygosity: tuple[float, float] = (0.2, 0.5)
    fewest_x_markers: int = 20
    g_diagonal: tuple[float, float] = (0.5, 1.6)
    frequencies: Literal["kept", "all"] = "kept"
    severities: Severities = field(default_factory=Severities)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in SHARES:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ModelError(f"quality of genotypes: {name} is {value!r} -> a share between 0 and 1")
        for name in ("x_heterozygosity", "g_diagonal"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ModelError(f"quality of genotypes: {name} is {(low, high)} -> the smaller number first")
        for name in ("fewest_compared", "fewest_x_markers"):
            if getattr(self, name) < 1:
                raise ModelError(f"quality of genotypes: {name} is {getattr(self, name)} -> at least 1")
        if self.frequencies not in ("kept", "all"):
            raise ModelError(f"quality of genotypes: frequencies is {self.frequencies!r} -> 'kept' or 'all'")


STANDARD = GenotypeQuality()
"""The thresholds where none are given."""
