"""`evaluation.toml`: what a scheduled evaluation reads, fits and writes.

File names are relative to the folder of the TOML file. All that can be given (those marked * have to be)::

    [pedigree]                          # left out when no random term has a pedigree
    file = "pedigree.csv"               # * CSV (comma, tab, semicolon; also .gz) or Parquet
    id = "animal"                       # names of the columns; recognised when left out
    sire = "sire"
    dam = "dam"                         # or maternal_grandsire = "mgs": a pedigree of sires, for "sire_mgs"
    sex = "sex"
    birth = "birth"
    twin_of = "twin_of"                 # whose genotype an identical twin or clone shares
    missing_parents = ["", "0", "NA", "."]
    groups = ["UK1", "UK2"]             # codes in the parent columns that name groups of unknown parents; or
    phantom_parents = "phantoms.csv"    # parents in several groups: column of names, then one for each group with its share; or

    [pedigree.group_rule]               # groups by the birth of the offspring and more, small ones merged, see GroupRule
    years = 5                           # length of a period; 0: years do not matter
    path = true                         # unknown sires and unknown dams apart
    sex = false                         # those of males and of females apart
    breed = "breed"                     # a column of the pedigree; left out: breed does not matter
    smallest = 50

    [pedigree.rules]                    # "error", "warn" or "repair" (set the parent missing), see PedigreeRules
    loop = "error"
    born_after = "warn"

    [genotypes]
    file = "chip.bed"                   # * PLINK with .bim and .fam beside it, VCF, or text
    format = "plink"                    # or "vcf", "table", "rows", "blupf90"; left out: told by the name
    map = "map.csv"                     # of text: markers with their alleles
    missing = ["9"]                     # of text: further codes of a missing call
    ids = "iid"                         # of PLINK; or "fid_iid"
    multiallelic = "refuse"             # of VCF; or "skip"
    unknown_animals = "error"           # that the pedigree lacks; or "drop", "founder"
    ungenotyped_records = "error"       # of animals that take no part, where only genotyped ones do; or "drop"
    exclusions = "exclusions.csv"       # kind, name, why: left out; a run publishes the list for the next
    warn_below = 0.5                    # correlation of G with A22
    stop_below = 0.3

    [genotypes.quality]                 # thresholds, see GenotypeQuality
    marker_call_rate = 0.9

    [genotypes.quality.severities]      # "exclude", "report" or "stop", see Severities
    mendelian = "report"

    [records]
    file = "records.csv"                # *
    missing_effects = "error"           # or "drop": leave out records that lack a class or covariate
    unknown_animals = "error"           # or "founder": take animals that the pedigree lacks as unrelated

    [model]                             # formula, or instead the keys that Model.to_dict() gives
    formula = "milk ~ herd_year + parity + (1 | animal) + (1 | ide(animal))"     # * or a list, one for each trait
    weights = "w"                       # column of record weights: residual variance R/w; or { milk = "w" }
    residual_classes = "herd"           # each class has a residual (co)variance of its own; or a list of factors

    [variances]                         # a number or a matrix (list of rows) for each random term, and the residual; to
                                        # estimate them they can be left out, and are starting values otherwise
    animal = 20.0                       # keys: the text right of the bar; order of rows: effect outer, trait inner
    "ide(animal)" = 12.0                # quotes around names with other signs than letters, digits, _ and -
    residual = 28.0                     # or a table: a number or a matrix for each class

    [relationships]                     # when left out, the pedigree is that of the random term `animal`
    animal = "pedigree"                 # or "dominance", "sire_mgs"; { kind = "pedigree", prune = true }; with groups of
                                        # unknown parents these are fixed; { kind = "groups", ratio = 2.0 } random,
                                        # { kind = "metafounders", file = "gamma.csv" } with Γ as columns id1, id2, value
    line = { file = "k.csv", kind = "relationship" }    # or "inverse"; columns id1, id2, value
                                        # with genotypes "single_step", "genomic", "genomic_dominance", or a table:
    cow = { kind = "single_step", method = "vanraden1", frequencies = "observed", blend = 0.05, blend_with = "a22", ridge = 0.0,
            tuning = "chen", order = "blend_tune", form = "auto", tau = 1.0, omega = 1.0 }   # all of these are defaults; also
                                        # frequency_file, weight_file (by marker); core_file, core_number or core_share of APY;
                                        # groups, ratio, gamma (a file, or "estimate"), group_equations; prune

    [solve]
    method = "auto"                     # or "cholesky", "pcg"
    pev = "auto"                        # or "exact", "none"
    inbreeding = true                   # false leaves inbreeding out of the relationship matrix; "contemporaries": unknown
                                        # parents are as inbred as the year's animals (VanRaden 1992)
    reduce = true                       # eliminate animals without progeny before solving; left out: where PCG gains by it
    criterion = "error"                 # of PCG: of the EBVs, in genetic SD; or "relative_residual",
                                        # "squared_relative_residual", "relative_change"
    tolerance = 1e-6
    maximum_rounds = 10000
    memory_gib = 16.0                   # what the run may use; otherwise what the machine has free

    [reml]                              # how `breedblup reml` estimates the variances
    method = "ai"                       # or "em", "px-em"
    likelihood = "reml"                 # or "ml"
    information = "average"             # that standard errors come from; or "observed", "expected"
    max_rounds = 100
    gain = 1e-8                         # what a further round may promise in -2 log L
    change = 1e-5                       # and in any parameter, relative
    folder = "results/variances"        # left out: that of [results], with -variances behind it

    [reml.structures]                   # of the matrix of a random term, or of the residual
    "animal + dam" = "diagonal"         # or "unstructured", { kind = "reduced_rank", rank = 1 }, { kind = "fixed", value = 20.0 }

    [reml.bounds]                       # of elements of these matrices
    "ide(animal)" = { lower = 1.0 }     # or upper, or both

    [reml.ties]
    "animal[2,2]" = { to = "animal[1,1]", factor = 2.0 }

    [[combinations]]                    # any number of them
    name = "total"                      # *
    weights = { direct = 1.0, maternal = 1.0 }      # * or for each effect a table of traits
    trait = "wwt"                       # this one only
    term = "animal + dam"               # needed where several random terms have a relationship

    [[curves]]                          # any number of them; one of points, sum and difference
    points = [60, 305]                  # or sum = { first = 5, last = 305, step = 1 }
                                        # or difference = { later = 280, earlier = 60 }
    group = "direct"                    # this one only; also trait and term

    [results]
    folder = "results/2026-04"          # *
    format = "csv"                      # or "parquet"
    accuracy = "r"                      # or "r2", "bif"
    marker_tests = false                # true: effects of markers with standard errors and p-values

    [base]                              # whose mean breeding value is zero; left out: that of the model
    kind = "birth_years"                # or "founders"; or "ids" with file = "base.csv" (one column, or column id)
    first = 2015
    last = 2017
    recorded_only = false               # of those years, only animals with records of their own
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from breedblup.adjustment import BaseBirthYears, BaseFounders, CombinationSpec
from breedblup.analysis import EvaluateOptions
from breedblup.errors import ConfigurationError, ModelError
from breedblup.model import Model
from breedblup.pedigree import GroupRule, PedigreeColumns, PedigreeRules
from breedblup.run.fitted import combinations_of, model_of, variances_of
from breedblup.run.genotype_input import GenotypesInput, genotypes_input_of
from breedblup.run.reml_task import RemlTask, reml_task_of
from breedblup.run.schema import BaseSection, GroupRuleSection, PedigreeSection, Sections, SolveSection, parse_sections
from breedblup.run.sources import Source, sources_of
from breedblup.run.syntax import read_toml
from breedblup.solvers.records import PcgOptions
from breedblup.variances import VarianceComponents


@dataclass(frozen=True, slots=True)
class PedigreeInput:
    """A pedigree file and how it is to be read."""

    file: Path
    columns: PedigreeColumns
    missing_parents: tuple[str, ...]
    rules: PedigreeRules
    groups: tuple[str, ...]
    phantom_parents: Path | None
    group_rule: GroupRule | None
    breed: str | None


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file that was read and checked.

    Attributes
    ----------
    path, content
        The file, and what it says as it was read.
    relationships
        Where each relationship comes from, by the name that random terms look up.
    variances
        None where they are to be estimated.
    reml
        How variances are estimated.
    combinations
        What is made of the breeding values, by its place in the file.
    marker_tests
        Whether effects of markers get standard errors.
    base
        Whose mean is zero; a path names the file that lists the animals.
    """

    path: Path
    content: Mapping[str, Any]
    pedigree: PedigreeInput | None
    genotypes: GenotypesInput | None
    records: Path
    model: Model
    variances: VarianceComponents | None
    relationships: Mapping[str, Source]
    options: EvaluateOptions
    reml: RemlTask
    combinations: Mapping[str, CombinationSpec]
    folder: Path
    format: Literal["csv", "parquet"]
    marker_tests: bool
    base: BaseFounders | BaseBirthYears | Path | None

    def inputs(self) -> dict[str, Path]:
        """Role of each file that the evaluation reads, and its path."""
        files = {"configuration": self.path, "records": self.records}
        if self.pedigree is not None:
            files["pedigree"] = self.pedigree.file
            if self.pedigree.phantom_parents is not None:
                files["phantom parents"] = self.pedigree.phantom_parents
        if self.genotypes is not None:
            files |= self.genotypes.files
        for factor, source in self.relationships.items():
            files |= {f"relationship {factor}{what}": file for what, file in source.files.items()}
        if isinstance(self.base, Path):
            files["base"] = self.base
        return files


def read_config(path: str | PathLike[str]) -> Configuration:
    """Read and check a configuration file; no other file is opened.

    Raises
    ------
    ConfigurationError
        With a line for everything that is wrong with the file.
    ModelError
        If the model or its variances cannot be.
    """
    place = Path(path)
    content = read_toml(place)
    sections = parse_sections(place.name, content)
    model = model_of(place.name, sections.model)
    relationships = sources_of(place, sections, model)
    if sections.base is not None and not relationships:
        raise ConfigurationError(
            f"{place.name}: [base] is given, but no random term has a pedigree or another relationship; leave it out"
        )
    if sections.results.marker_tests and sections.genotypes is None:
        raise ConfigurationError(
            f"{place.name}: [results] marker_tests are made of genotypes, and section [genotypes] is missing; leave them out"
        )
    return Configuration(
        path=place,
        content=content,
        pedigree=None if sections.pedigree is None else _pedigree(place, sections.pedigree),
        genotypes=None if sections.genotypes is None else genotypes_input_of(place, sections.genotypes),
        records=place.parent / sections.records.file,
        model=model,
        variances=None if sections.variances is None else variances_of(place.name, sections.variances, model),
        relationships=relationships,
        options=_options(sections),
        reml=reml_task_of(place, sections, model),
        combinations=combinations_of(place.name, sections),
        folder=(place.parent / sections.results.folder).resolve(),
        format=sections.results.format,
        marker_tests=sections.results.marker_tests,
        base=None if sections.base is None else _base(place, sections.base),
    )


def _pedigree(place: Path, section: PedigreeSection) -> PedigreeInput:
    names = ("id", "sire", "dam", "sex", "birth", "twin_of", "maternal_grandsire")
    columns = PedigreeColumns(**section.model_dump(include=set(names)))
    given = section.rules.model_dump(exclude_none=True)
    try:
        rules = PedigreeRules(**given)
    except ModelError as wrong:
        raise ConfigurationError(f"{place.name}: [pedigree.rules] {wrong}") from None
    rule, breed = _group_rule(section.group_rule)
    phantoms = None if section.phantom_parents is None else place.parent / section.phantom_parents
    return PedigreeInput(
        place.parent / section.file, columns, section.missing_parents, rules, section.groups, phantoms, rule, breed
    )


def _group_rule(section: GroupRuleSection | None) -> tuple[GroupRule | None, str | None]:
    """The rule for groups, and the column of breeds."""
    if section is None:
        return None, None
    given = section.model_dump(include={"years", "path", "sex", "smallest"}, exclude_none=True)
    return GroupRule(**given), section.breed


def _options(sections: Sections) -> EvaluateOptions:
    solve, records = sections.solve, sections.records
    return EvaluateOptions(
        method=solve.method,
        pev=solve.pev,
        inbreeding=solve.inbreeding,
        accuracy=sections.results.accuracy,
        unknown_animals=records.unknown_animals,
        missing_effects=records.missing_effects,
        reduce=solve.reduce,
        memory_bytes=None if solve.memory_gib is None else int(solve.memory_gib * 2**30),
        pcg=_pcg_options(solve),
    )


def _pcg_options(solve: SolveSection) -> PcgOptions:
    """Options of PCG; those that are not given keep their default."""
    return PcgOptions(**solve.model_dump(include={"tolerance", "criterion", "maximum_rounds"}, exclude_none=True))


def _base(place: Path, section: BaseSection) -> BaseFounders | BaseBirthYears | Path:
    if section.file is not None:
        return place.parent / section.file
    if section.first is not None and section.last is not None:
        return BaseBirthYears(section.first, section.last, section.recorded_only)
    return BaseFounders()
