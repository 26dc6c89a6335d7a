"""What is known of descent: a checked, immutable pedigree, and the rules that it was checked by.

`reading` turns a table into coded parents, `checks` finds what is wrong with them, `rules` says how severe that is,
`pedigree` holds the result, `groups` what is known of unknown parents, `grouping` makes such groups by a rule.
`description` gathers what `completeness`, `contributions`, `population_size`, `intervals`, `families` and `birth_years` find
of a `reference` population.
"""

from breedblup.pedigree.birth_years import inbreeding_by_year
from breedblup.pedigree.completeness import (
    Generations,
    completeness_by_depth,
    completeness_index,
    equivalent_generations,
    generations_of,
)
from breedblup.pedigree.contributions import (
    AncestorContributions,
    FounderContributions,
    ancestor_contributions,
    founder_contributions,
    genetic_contributions,
    mean_coancestry,
)
from breedblup.pedigree.description import PedigreeDescription, describe
from breedblup.pedigree.families import family_size_distribution, family_sizes, parents_by_year
from breedblup.pedigree.grouping import GroupRule, estimated_birth_years, group_unknown_parents
from breedblup.pedigree.groups import ParentGroups, PhantomParents, extended_parents
from breedblup.pedigree.inbreeding import inbreeding_coefficients
from breedblup.pedigree.intervals import generation_interval, generation_intervals, generation_intervals_by_year
from breedblup.pedigree.missing_parents import ContemporaryInbreeding, inbreeding_of_contemporaries
from breedblup.pedigree.pedigree import Pedigree
from breedblup.pedigree.population_size import effective_population_sizes
from breedblup.pedigree.pruning import compare_pruning
from breedblup.pedigree.reading import MISSING_PARENTS, PedigreeColumns
from breedblup.pedigree.reference import Reference, reference_population
from breedblup.pedigree.rules import PedigreeReport, PedigreeRules

__all__ = [
    "MISSING_PARENTS",
    "AncestorContributions",
    "ContemporaryInbreeding",
    "FounderContributions",
    "Generations",
    "GroupRule",
    "ParentGroups",
    "Pedigree",
    "PedigreeColumns",
    "PedigreeDescription",
    "PedigreeReport",
    "PedigreeRules",
    "PhantomParents",
    "Reference",
    "ancestor_contributions",
    "compare_pruning",
    "completeness_by_depth",
    "completeness_index",
    "describe",
    "effective_population_sizes",
    "equivalent_generations",
    "estimated_birth_years",
    "extended_parents",
    "family_size_distribution",
    "family_sizes",
    "founder_contributions",
    "generation_interval",
    "generation_intervals",
    "generation_intervals_by_year",
    "generations_of",
    "genetic_contributions",
    "group_unknown_parents",
    "inbreeding_by_year",
    "inbreeding_coefficients",
    "inbreeding_of_contemporaries",
    "mean_coancestry",
    "parents_by_year",
    "reference_population",
]
