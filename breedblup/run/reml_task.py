"""How variances are to be estimated: what [reml] says of it, and what other sections do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from breedblup.errors import ConfigurationError, ModelError
from breedblup.model import Model
from breedblup.reml.options import RemlOptions
from breedblup.run.fitted import is_matrix
from breedblup.run.schema import Sections, StructureSection
from breedblup.variances import Bound, Diagonal, FixedValue, ParameterSpace, ReducedRank, Tie, Unstructured
from breedblup.variances.structures import Structure

BESIDE_RESULTS = "-variances"
"""Behind the name of the folder of an evaluation's results, where [reml] names none."""


@dataclass(frozen=True, slots=True)
class RemlTask:
    """Options, what is assumed of the covariance matrices, and where the result goes."""

    options: RemlOptions
    structures: Mapping[str, Structure]
    bounds: tuple[Bound, ...]
    ties: tuple[Tie, ...]
    folder: Path


def reml_task_of(place: Path, sections: Sections, model: Model) -> RemlTask:
    """What a configuration says of the estimation of variances.

    Raises
    ------
    ConfigurationError
        With a line for every structure, bound and tie that cannot be. Levels of residual classes and of factors left of a
        bar are those of the records, and seen when it is estimated.
    """
    reml, name = sections.reml, place.name
    structures: dict[str, Structure] = {}
    bounds: list[Bound] = []
    ties: list[Tie] = []
    faults: list[str] = []
    for key, given in reml.structures.items():
        with _noted(faults, name, f'[reml.structures] "{key}":'):
            structures[key] = _structure(given)
    for parameter, bound in reml.bounds.items():
        with _noted(faults, name, "[reml.bounds]:"):
            bounds.append(Bound(parameter, bound.lower, bound.upper))
    for parameter, tie in reml.ties.items():
        with _noted(faults, name, "[reml.ties]:"):
            ties.append(Tie(parameter, tie.to, tie.factor))
    faults += _misfits(name, model, structures, bounds, ties)
    if faults:
        raise ConfigurationError("\n".join(faults))
    folder = (place.parent / sections.results.folder).resolve()
    beside = folder.with_name(folder.name + BESIDE_RESULTS)
    return RemlTask(
        _options(sections), structures, tuple(bounds), tuple(ties),
        beside if reml.folder is None else (place.parent / reml.folder).resolve(),
    )  # fmt: skip


@contextmanager
def _noted(faults: list[str], name: str, place: str) -> Iterator[None]:
    """What is refused becomes a line among the faults."""
    try:
        yield
    except ModelError as wrong:
        faults.append(f"{name}: {place} {wrong}")


def _misfits(
    name: str, model: Model, structures: Mapping[str, Structure], bounds: Iterable[Bound], ties: Iterable[Tie]
) -> list[str]:
    """Which of them the matrices of the model do not have, each by itself; where all have a place, whether they go together."""
    if not all(effect.is_complete for term in model.random for effect in term.effects):
        return []
    links = [parameter for tie in ties for parameter in (tie.parameter, tie.to)]
    levels = _classes_named([*structures, *(bound.parameter for bound in bounds), *links]) or ("…",)
    classes = levels if model.residual.classes else ()
    faults: list[str] = []
    for key, structure in structures.items():
        with _noted(faults, name, "[reml]"):
            ParameterSpace.of(model, classes, {key: structure})
    for bound in bounds:
        with _noted(faults, name, "[reml]"):
            ParameterSpace.of(model, classes, bounds=[bound])
    for tie in ties:
        with _noted(faults, name, "[reml]"):
            ParameterSpace.of(model, classes, ties=[tie])
    if not faults:
        with _noted(faults, name, "[reml]"):
            ParameterSpace.of(model, classes, structures, tuple(bounds), tuple(ties))
    return faults


def _classes_named(names: Iterable[str]) -> tuple[str, ...]:
    """Residual classes that names of matrices and their elements speak of."""
    found = (re.fullmatch(r"residual (.+?)(?:\[\d+,\d+\])?", name) for name in names)
    return tuple(dict.fromkeys(match[1] for match in found if match))


def _structure(given: StructureSection) -> Structure:
    if given.kind == "fixed":
        if not is_matrix(given.value):
            raise ModelError("value has to be a number, or a matrix as a list of rows of numbers")
        return FixedValue(given.value)
    if given.kind == "reduced_rank":
        assert given.rank is not None
        return ReducedRank(given.rank)
    return Diagonal() if given.kind == "diagonal" else Unstructured()


def _options(sections: Sections) -> RemlOptions:
    """Options of REML; those that are not given keep their default."""
    given = sections.reml.model_dump(exclude={"folder", "structures", "bounds", "ties"}, exclude_none=True)
    memory = sections.solve.memory_gib
    return RemlOptions(
        **given,
        inbreeding=sections.solve.inbreeding,
        unknown_animals=sections.records.unknown_animals,
        missing_effects=sections.records.missing_effects,
        memory_bytes=None if memory is None else int(memory * 2**30),
    )
