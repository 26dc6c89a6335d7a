"""How variances are to be estimated: what [reml] says of it, and what other sections do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from breedblup.errors import ModelError
from breedblup.reml.options import RemlOptions
from breedblup.run.fitted import is_matrix, placed
from breedblup.run.schema import Sections, StructureSection
from breedblup.variances import Bound, Diagonal, FixedValue, ReducedRank, Tie, Unstructured
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


def reml_task_of(place: Path, sections: Sections) -> RemlTask:
    """What a configuration says of the estimation of variances.

    Raises
    ------
    ConfigurationError
        If a structure, bound or tie cannot be; whether the model has the matrix is seen when it is estimated.
    """
    reml, name = sections.reml, place.name
    structures, bounds, ties = {}, [], []
    for key, given in reml.structures.items():
        with placed(name, f'[reml.structures] "{key}"'):
            structures[key] = _structure(given)
    for parameter, bound in reml.bounds.items():
        with placed(name, "[reml.bounds]"):
            bounds.append(Bound(parameter, bound.lower, bound.upper))
    for parameter, tie in reml.ties.items():
        with placed(name, "[reml.ties]"):
            ties.append(Tie(parameter, tie.to, tie.factor))
    folder = (place.parent / sections.results.folder).resolve()
    beside = folder.with_name(folder.name + BESIDE_RESULTS)
    return RemlTask(
        _options(sections), structures, tuple(bounds), tuple(ties),
        beside if reml.folder is None else (place.parent / reml.folder).resolve(),
    )  # fmt: skip


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
