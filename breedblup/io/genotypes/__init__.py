"""Genotypes from and to files: PLINK, VCF, and text."""

from breedblup.io.genotypes.plink import read_fam, read_plink
from breedblup.io.genotypes.reading import read_genotypes, read_marker_map
from breedblup.io.genotypes.writing import write_genotypes, write_plink

__all__ = ["read_fam", "read_genotypes", "read_marker_map", "read_plink", "write_genotypes", "write_plink"]
