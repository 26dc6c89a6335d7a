"""Simulated pedigrees and records, for `data/`, benchmarks and tests.

`simulate_pedigree` gives a population with overlapping generations, `simulate_records` gives records of one trait on
it, with the true effects beside them, `simulate_genotypes` drops genes through it on a map. All are plain arrays, the same for
the same seed; `to_frame` gives the tables that a user would have, with text ids.
"""

from breedblup.simulation.genome import GenomeOptions
from breedblup.simulation.genotypes import SimulatedGenome, simulate_genotypes
from breedblup.simulation.pedigrees import FEMALE, MALE, PedigreeOptions, SimulatedPedigree, simulate_pedigree, text_ids
from breedblup.simulation.records import RecordOptions, SimulatedRecords, drop_breeding_values, simulate_records

__all__ = [
    "FEMALE",
    "MALE",
    "GenomeOptions",
    "PedigreeOptions",
    "RecordOptions",
    "SimulatedGenome",
    "SimulatedPedigree",
    "SimulatedRecords",
    "drop_breeding_values",
    "simulate_genotypes",
    "simulate_pedigree",
    "simulate_records",
    "text_ids",
]
