"""Quality control of genotypes: thresholds, the checks, and a table of who failed which and why."""

from breedblup.genotypes.quality.control import check_diagonal, check_genotypes
from breedblup.genotypes.quality.report import QualityResult
from breedblup.genotypes.quality.thresholds import GenotypeQuality, Severities

__all__ = ["GenotypeQuality", "QualityResult", "Severities", "check_diagonal", "check_genotypes"]
