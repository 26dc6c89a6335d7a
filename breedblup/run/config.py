"""`evaluation.toml`: what a scheduled evaluation reads, fits and writes.

File names are relative to the folder of the TOML file. All that can be given (those marked * have to be)::

    [pedigree]                          # left out when no random term has a pedigree
    file = "pedigree.csv"               # * CSV (comma, tab, semicolon; also .gz) or Parquet
    id = "animal"                       # names of the columns; recognised when left out
    sire = "sire"
    dam = "dam"
    sex = "sex"
    birth = "birth"
    missing_parents = ["", "0", "NA", "."]

    [pedigree.rules]                    # "error", "warn" or "repair" (set the parent missing), see PedigreeRules
    loop = "error"
    born_after = "warn"

    [records]
    file = "records.csv"                # *
    missing_effects = "error"           # or "drop": leave out records that lack a class or covariate
    unknown_animals = "error"           # or "founder": take animals that the pedigree lacks as unrelated

    [model]
    formula = "milk ~ herd_year + parity + (1 | animal) + (1 | ide(animal))"     # *
    weights = "w"                       # column of record weights: residual variance R/w
                                        # instead of both: the keys that Model.to_dict() gives

    [variances]                         # * one for each random term, by the text right of its bar, and the residual
    animal = 20.0
    "ide(animal)" = 12.0                # quotes around names with other signs than letters, digits, _ and -
    residual = 28.0

    [relationships]                     # when left out, the pedigree is that of the random term `animal`
    animal = "pedigree"
    line = { file = "k.csv", kind = "relationship" }    # or "inverse"; columns id1, id2, value

    [solve]
    method = "auto"                     # or "cholesky", "pcg"
    pev = "auto"                        # or "exact", "none"
    inbreeding = true                   # false leaves inbreeding out of the relationship matrix
    criterion = "error"                 # of PCG: of the EBVs, in genetic SD; or "relative_residual",
                                        # "squared_relative_residual", "relative_change"
    tolerance = 1e-6
    maximum_rounds = 10000
    memory_gib = 16.0                   # what the run may use; otherwise what the machine has free

    [results]
    folder = "results/2026-04"          # *
    format = "csv"                      # or "parquet"
    accuracy = "r"                      # or "r2", "bif"

    [base]                              # whose mean breeding value is zero; left out: that of the model
    kind = "birth_years"                # or "founders"; or "ids" with file = "base.csv" (one column, or column id)
    first = 2015
    last = 2017
    recorded_only = false               # of those years, only animals with records of their own
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from breedblup.adjustment import BaseBirthYears, BaseFounders
from breedblup.analysis import EvaluateOptions
from breedblup.errors import ConfigurationError, ModelError, name_some, nearest
from breedblup.model import Model
from breedblup.pedigree import PedigreeColumns, PedigreeRules
from breedblup.run.schema import (
    BaseSection,
    PedigreeSection,
    RelationshipSection,
    Sections,
    SolveSection,
    parse_sections,
)
from breedblup.solvers.records import PcgOptions
from breedblup.variances import VarianceComponents


@dataclass(frozen=True, slots=True)
class PedigreeInput:
    """A pedigree file and how it is to be read."""

    file: Path
    columns: PedigreeColumns
    missing_parents: tuple[str, ...]
    rules: PedigreeRules


@dataclass(frozen=True, slots=True)
class MatrixInput:
    """A file with a relationship matrix, or with its inverse."""

    file: Path
    kind: Literal["relationship", "inverse"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file that was read and checked.

    Attributes
    ----------
    path, content
        The file, and what it says as it was read.
    relationships
        For each factor of the model, ``"pedigree"`` or the matrix that it gets.
    base
        Whose mean is zero; a path names the file that lists the animals.
    """

    path: Path
    content: Mapping[str, Any]
    pedigree: PedigreeInput | None
    records: Path
    model: Model
    variances: VarianceComponents
    relationships: Mapping[str, Literal["pedigree"] | MatrixInput]
    options: EvaluateOptions
    folder: Path
    format: Literal["csv", "parquet"]
    base: BaseFounders | BaseBirthYears | Path | None

    def inputs(self) -> dict[str, Path]:
        """Role of each file that the evaluation reads, and its path."""
        files = {"configuration": self.path, "records": self.records}
        if self.pedigree is not None:
            files["pedigree"] = self.pedigree.file
        for factor, source in self.relationships.items():
            if isinstance(source, MatrixInput):
                files[f"relationship {factor}"] = source.file
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
    content = _read_toml(place)
    sections = parse_sections(place.name, content)
    model = _model(place.name, sections)
    relationships = _relationships(place, sections, model)
    if sections.base is not None and not relationships:
        raise ConfigurationError(
            f"{place.name}: [base] is given, but no random term has a pedigree or another relationship; leave it out"
        )
    return Configuration(
        path=place,
        content=content,
        pedigree=None if sections.pedigree is None else _pedigree(place, sections.pedigree),
        records=place.parent / sections.records.file,
        model=model,
        variances=_variances(place.name, sections, model),
        relationships=relationships,
        options=_options(sections),
        folder=(place.parent / sections.results.folder).resolve(),
        format=sections.results.format,
        base=None if sections.base is None else _base(place, sections.base),
    )


def _read_toml(place: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(place.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigurationError(f"{place}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{place}: this is a folder; name the configuration file in it") from None
    except OSError as wrong:
        raise ConfigurationError(f"{place}: the file cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{place.name}: the file is not UTF-8; save it as UTF-8 text") from None
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigurationError(
            f"{place.name}: this is not TOML: {wrong}; text belongs in quotes, and so do names with signs other than "
            'letters, digits, _ and -, such as "ide(animal)" = 12.0'
        ) from None


def _pedigree(place: Path, section: PedigreeSection) -> PedigreeInput:
    columns = PedigreeColumns(section.id, section.sire, section.dam, section.sex, section.birth)
    given = section.rules.model_dump(exclude_none=True)
    try:
        rules = PedigreeRules(**given)
    except ModelError as wrong:
        raise ConfigurationError(f"{place.name}: [pedigree.rules] {wrong}") from None
    return PedigreeInput(place.parent / section.file, columns, section.missing_parents, rules)


def _model(name: str, sections: Sections) -> Model:
    """The model, from a formula or from the plain form that `Model.to_dict` gives."""
    content = sections.model
    if "formula" not in content:
        known = ("formula", "weights", "traits", "fixed", "random", "residual")
        for key in content:
            if key not in known:
                raise ConfigurationError(
                    f"{name}: [model] unknown key {key!r}{nearest(key, known)} (known: {', '.join(known)})"
                )
        try:
            return Model.from_dict(content)
        except ModelError as wrong:
            raise ModelError(f'{name}: [model] {wrong}; a formula is given as formula = "…"') from None
    for key, value in content.items():
        if key not in ("formula", "weights"):
            hint = nearest(key, ("formula", "weights"))
            raise ConfigurationError(f"{name}: [model] unknown key {key!r}{hint} (known: formula, weights)")
        if not isinstance(value, str):
            raise ConfigurationError(f"{name}: [model] {key} has to be text in quotes")
    try:
        return Model.from_formula(content["formula"], weights=content.get("weights"))
    except ModelError as wrong:
        raise ModelError(f"{name}: [model] formula: {wrong}") from None


def _variances(name: str, sections: Sections, model: Model) -> VarianceComponents:
    given = dict(sections.variances)
    for key, value in given.items():
        rows = value if isinstance(value, list) else [[value]]
        cells = [cell for row in rows for cell in (row if isinstance(row, list) else [None])]
        if not cells or not all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells):
            raise ConfigurationError(
                f"{name}: [variances] {key!r} has to be a number, or a matrix as a list of rows of numbers"
            )
    if "residual" not in given:
        raise ConfigurationError(f"{name}: [variances] residual is missing; it has to be given")
    try:
        variances = VarianceComponents(
            {key: given[key] for key in given if key != "residual"}, residual=given["residual"]
        )
        variances.check(model)
    except ModelError as wrong:
        raise ModelError(f"{name}: [variances] {wrong}") from None
    return variances


def _relationships(place: Path, sections: Sections, model: Model) -> Mapping[str, Literal["pedigree"] | MatrixInput]:
    """Whose relationships are known: as declared, otherwise the pedigree is that of the factor ``animal``."""
    factors = [term.factors[0] for term in model.random if not term.identity and len(term.factors) == 1]
    if sections.relationships is None:
        if sections.pedigree is None:
            if "animal" in factors:
                raise ConfigurationError(
                    f"{place.name}: the random term 'animal' has no relationship; give [pedigree], or a matrix in [relationships]"
                )
            return {}
        if "animal" in factors:
            return {"animal": "pedigree"}
        raise ConfigurationError(
            f"{place.name}: no random term is called 'animal', so [relationships] has to say whose pedigree this is, "
            f'such as {next(iter(factors), "animal")} = "pedigree" (random terms: {name_some(factors) or "none"})'
        )
    chosen = {factor: _relationship(place, section) for factor, section in sections.relationships.items()}
    if "pedigree" in chosen.values() and sections.pedigree is None:
        raise ConfigurationError(f"{place.name}: [relationships] names the pedigree, but section [pedigree] is missing")
    if "pedigree" not in chosen.values() and sections.pedigree is not None:
        raise ConfigurationError(
            f"{place.name}: [pedigree] is given and [relationships] does not use it; write which factor's it is, "
            "or leave the section out"
        )
    return chosen


def _relationship(place: Path, section: RelationshipSection) -> Literal["pedigree"] | MatrixInput:
    if section.file is None or section.kind == "pedigree":
        return "pedigree"
    return MatrixInput(place.parent / section.file, section.kind)


def _options(sections: Sections) -> EvaluateOptions:
    solve, records = sections.solve, sections.records
    return EvaluateOptions(
        method=solve.method,
        pev=solve.pev,
        inbreeding=solve.inbreeding,
        accuracy=sections.results.accuracy,
        unknown_animals=records.unknown_animals,
        missing_effects=records.missing_effects,
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
