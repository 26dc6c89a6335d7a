"""Genotypes: packed calls, their quality, and products with them."""

from breedblup.genotypes.centred import CentredGenotypes
from breedblup.genotypes.genotypes import Genotypes, marker_table

__all__ = ["CentredGenotypes", "Genotypes", "marker_table"]
