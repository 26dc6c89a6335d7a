"""From published effects of markers to breeding values of animals that were genotyped since."""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from breedblup.adjustment.markers import MarkerEffects, predict_matched
from breedblup.adjustment.markers.prediction import MissingMarkers
from breedblup.errors import GenotypeError, InputError, PublishError, counted, name_some
from breedblup.genotypes import match_markers
from breedblup.genotypes.matching import Flips, Palindromes, UnknownAlleles
from breedblup.io.marker_effects import read_marker_effects
from breedblup.run.genotype_input import GenotypeFile
from breedblup.run.genotypes import read_genotype_file
from breedblup.run.publish import MANIFEST
from breedblup.run.results import MARKER_EFFECTS

_OPTIONS = {
    name: f"--{name.replace('_', '-')}" for name in ("flips", "palindromes", "unknown_alleles", "missing_markers")
}
_OPTIONS["markers"] = "--map"
"""What keywords of Python are called on the command line."""

_log = logging.getLogger("breedblup")


@dataclass(frozen=True, slots=True)
class PredictionTask:
    """What is predicted from what, and what may be mended.

    Attributes
    ----------
    results
        Folder that `breedblup run` published.
    genotypes
        Of the new animals.
    term
        Random term, where several rest on genotypes.
    flips, palindromes, unknown_alleles, missing_markers
        As `predict_genomic` takes them.
    """

    results: Path
    genotypes: GenotypeFile
    term: str | None = None
    flips: Flips = "repair"
    palindromes: Palindromes = "refuse"
    unknown_alleles: UnknownAlleles = "refuse"
    missing_markers: MissingMarkers = "error"


def predict_published(task: PredictionTask) -> pl.DataFrame:
    """Predictions as `predict_genomic` gives them; what was mended is logged.

    Raises
    ------
    InputError
        If the folder holds no effects of markers, or the genotypes do not fit them.
    """
    effects = read_published(task.results, task.term)
    _log.info("effects of %s, term %s, from %s", counted(len(effects), "marker"), effects.term, task.results)
    genotypes = read_genotype_file(task.genotypes)
    try:
        match = match_markers(
            genotypes, effects.markers, flips=task.flips, palindromes=task.palindromes,
            unknown_alleles=task.unknown_alleles,
        )  # fmt: skip
        table = predict_matched(effects, genotypes, match, task.missing_markers)
    except GenotypeError as wrong:
        raise GenotypeError(_as_options(str(wrong))) from None
    for note in match.notes:
        _log.warning("%s: %s", genotypes.source, _as_options(note))
    without = int(table.filter(pl.col("trait") == table["trait"][0])["calls_missing"].sum())
    if without:
        _log.info("%s: %s missing, taken at the mean", genotypes.source, counted(without, "call"))
    return table


def _as_options(message: str) -> str:
    """A message whose advice names options of the command, not keywords of Python."""
    pattern = rf'\b({"|".join(_OPTIONS)})="([^"]*)"'
    return re.sub(pattern, lambda found: f"{_OPTIONS[found[1]]} {found[2]}", message)


def read_published(folder: Path, term: str | None = None) -> MarkerEffects:
    """Effects of markers that `breedblup run` published.

    Raises
    ------
    InputError
        If the folder is none of its, holds no effects, or those of several terms of which none is named.
    """
    place = folder / MANIFEST
    try:
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder}: there are no results (no {MANIFEST} that can be read); name the folder that `breedblup run` published"
        ) from None
    names = [name for name in files if name.startswith(MARKER_EFFECTS)]
    if not names:
        raise InputError(
            f"{folder}: these results hold no effects of markers; evaluate with genotypes, as single_step or genomic"
        )
    found = {effects.term: effects for effects in map(read_marker_effects, (folder / name for name in names))}
    chosen = next(iter(found)) if term is None and len(found) == 1 else term
    if chosen not in found:
        asked = "one has to be named with --term" if term is None else f"and none of {term!r}"
        raise InputError(f"{folder}: there are effects of markers of {name_some(found)}, {asked}")
    return found[chosen]


def write_predictions(table: pl.DataFrame, file: Path, *, replace: bool) -> None:
    """Write predictions as CSV, as a whole or not at all.

    Raises
    ------
    PublishError
        If the file is there and ``replace`` is not asked for, or it cannot be written.
    """
    refuse_occupied(file, replace=replace)
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            table.write_csv(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as wrong:
        partial.unlink(missing_ok=True)
        raise PublishError(f"{file}: the predictions cannot be written: {wrong.strerror or wrong}") from None


def refuse_occupied(file: Path, *, replace: bool) -> None:
    """`PublishError` where a file is in the way of predictions."""
    if file.is_dir() or (file.exists() and not replace):
        in_the_way = "there is such a file already; ask to --replace it, or name another file"
        raise PublishError(
            f"{file}: {'this is a folder; name a file in it, or another' if file.is_dir() else in_the_way}"
        )
