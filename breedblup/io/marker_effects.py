"""Effects of markers in a file that tells all about itself: Parquet, a row for each marker, the rest in its metadata.

Columns are marker, chromosome, position, allele1, allele2, frequency, centre, scale, ``estimate_k`` for each trait or effect, and
``factor_k``, rows of the factor for reliabilities, where there is one. The metadata hold, under one key, names of traits and
effects, term, intercept, base, variances, how everything was made, and a digest of names and alleles of the markers. Numbers come
back bit for bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.adjustment.markers import MarkerEffects, ReliabilityFactor, list_digest
from breedblup.errors import InputError, PublishError, ResourceError
from breedblup.genotypes import MARKER_COLUMNS
from breedblup.io.tables import read_table

KEY = "breedblup.marker_effects"
"""Key of the metadata."""

VERSION = 1
"""Of the layout of the file."""

_PER_MARKER = ("frequency", "centre", "scale")
_NUMBERS = ("intercept", "base", "variances")


def write_marker_effects(effects: MarkerEffects, path: str | PathLike[str]) -> None:
    """Write effects with their markers, alleles, centres and how they were made: what `read_marker_effects` reads.

    A file of that name is replaced, at once and whole.

    Raises
    ------
    PublishError
        If the file cannot be written.
    ResourceError
        If the disk is full.
    """
    factor = effects.factor
    columns = {name: pl.Series(name, getattr(effects, name)) for name in _PER_MARKER}
    columns |= {f"estimate_{k}": pl.Series(effects.estimates[:, k]) for k in range(len(effects.coordinates))}
    said: dict[str, Any] = {
        "version": VERSION, "digest": effects.digest, "markers": len(effects), "term": effects.term,
        "coordinates": effects.coordinates, "constant": effects.constant, "unexplained": effects.unexplained,
        "made": effects.made, "factor": None,
    }  # fmt: skip
    said |= {name: getattr(effects, name).tolist() for name in _NUMBERS}
    if factor is not None:
        kind = [pl.Array(pl.Float64, rows.shape[1]) for rows in factor.vectors]
        columns |= {
            f"factor_{k}": pl.Series(np.ascontiguousarray(rows), dtype=kind[k]) for k, rows in enumerate(factor.vectors)
        }
        said["factor"] = {"shares": factor.shares, "intercepts": [rows.tolist() for rows in factor.intercepts]}
    frame = effects.markers.select(list(MARKER_COLUMNS)).with_columns(one.alias(name) for name, one in columns.items())
    _put(path, lambda place: frame.write_parquet(place, metadata={KEY: json.dumps(said)}))


def write_marker_table(effects: MarkerEffects, path: str | PathLike[str]) -> None:
    """Write the table of the effects as CSV, for people; predictions need the file of `write_marker_effects`.

    Raises
    ------
    PublishError, ResourceError
        As `write_marker_effects` does.
    """
    _put(path, effects.table.write_csv)


def read_marker_effects(path: str | PathLike[str]) -> MarkerEffects:
    """Read what `write_marker_effects` wrote.

    Raises
    ------
    InputError
        If there is no such file, it is not whole, holds no effects of markers, was written by a later version, or its markers
        are not those that its digest was taken of.
    """
    table = read_table(path)
    said = _metadata(Path(fspath(path)), typed=table.typed)
    frame, width = table.frame, len(said["coordinates"])
    markers = frame.select(list(MARKER_COLUMNS))
    if frame.height != said["markers"] or list_digest(markers) != said["digest"]:
        raise InputError(
            f"{table.name}: markers or alleles are not those that the effects were written with -> write the file again"
        )
    factor = None
    if said["factor"] is not None:
        factor = ReliabilityFactor(
            tuple(_block(frame[f"factor_{k}"]) for k in range(width)),
            tuple(np.array(rows, dtype=np.float64) for rows in said["factor"]["intercepts"]),
            tuple(said["factor"]["shares"]),
        )
    return MarkerEffects(
        markers=markers,
        estimates=np.column_stack([frame[f"estimate_{k}"].to_numpy() for k in range(width)]),
        coordinates=tuple((trait, effect) for trait, effect in said["coordinates"]),
        term=said["term"],
        constant=said["constant"],
        unexplained=said["unexplained"],
        factor=factor,
        made=tuple(said["made"]),
        **{name: frame[name].to_numpy().copy() for name in _PER_MARKER},
        **{name: np.array(said[name], dtype=np.float64) for name in _NUMBERS},
    )


def _metadata(place: Path, *, typed: bool) -> dict[str, Any]:
    """What the file says of itself."""
    text = pl.read_parquet_metadata(place).get(KEY) if typed else None
    if text is None:
        raise InputError(
            f"{place.name}: there are no effects of markers in it -> give a file that write_marker_effects wrote"
        )
    said: dict[str, Any] = json.loads(text)
    if said["version"] > VERSION:
        raise InputError(
            f"{place.name}: effects of markers in layout {said['version']}, and this breedblup reads up to {VERSION} -> update it"
        )
    return said


def _block(column: pl.Series) -> NDArray[np.float64]:
    """A column of arrays as a matrix; one without vectors has no columns."""
    width = int(column.dtype.shape[0])  # type: ignore[attr-defined]
    return column.to_numpy().reshape(len(column), width).copy()


def _put(path: str | PathLike[str], write: Callable[[Path], None]) -> None:
    """Write aside, then into the place."""
    place = Path(fspath(path))
    partial = place.with_name(f".{place.name}.partial-{os.getpid()}")
    try:
        write(partial)
        partial.replace(place)
    except (OSError, pl.exceptions.PolarsError) as failure:
        partial.unlink(missing_ok=True)
        if isinstance(failure, OSError) and failure.errno == 28:
            raise ResourceError(f"{place}: the disk is full -> make room") from None
        why = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure).partition("\n")[0]
        raise PublishError(f"{place}: cannot be written ({why}) -> name a file in a folder that is there") from None
