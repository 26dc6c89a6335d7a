"""Genotypes: packed calls, their quality, and products with them."""

from breedblup.genotypes.centred import CentredGenotypes
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.markers import MARKER_COLUMNS, marker_table
from breedblup.genotypes.matching import MarkerMatch, match_markers

__all__ = ["MARKER_COLUMNS", "CentredGenotypes", "Genotypes", "MarkerMatch", "marker_table", "match_markers"]
