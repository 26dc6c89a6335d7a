"""Genetic variance by windows of adjacent markers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.adjustment.markers.effects import MarkerEffects, refuse_other_than_effects
from breedblup.errors import GenotypeError, ModelError, counted, name_some
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes

_Array = NDArray[np.float64]

WINDOW_COLUMNS = {
    "chromosome": pl.String, "first": pl.String, "last": pl.String, "start": pl.Int64, "end": pl.Int64, "markers": pl.Int64,
    "trait": pl.String, "effect": pl.String, "variance": pl.Float64, "share": pl.Float64, "of_markers": pl.Float64,
}  # fmt: skip


def window_variances(
    effects: MarkerEffects, genotypes: Genotypes, *, size: int = 20, unit: Literal["markers", "bp"] = "markers"
) -> pl.DataFrame:
    """Variance of Z_w ĝ_w over animals, for windows of adjacent markers that do not overlap.

    Parameters
    ----------
    genotypes
        Of the animals of the evaluation, or any that the variance is wanted for; same markers, same alleles, any order.
    size, unit
        Markers, or base pairs, of a window; none reaches over the end of a chromosome.

    Returns
    -------
    DataFrame
        A row for each window and each trait or effect: chromosome, first and last marker, start and end (base pairs), markers,
        trait, effect, ``variance``, its ``share`` of the variance over animals of all markers together, and ``of_markers``, the
        sum of 2p(1 - p)â². Windows covary, so shares need not add up to 1 (Fernando & Garrick 2013).

    Raises
    ------
    ModelError
        If effects are none, size is below 1, the unit is neither, or base pairs are asked for and positions are not known.
    GenotypeError
        If it is no genotypes, or the markers are not those of the effects.
    """
    refuse_other_than_effects(effects, "window_variances")
    refuse_other_than_genotypes(genotypes, "window_variances")
    _check(size, unit)
    order = _along_the_genome(effects.markers)
    places = _same_markers(effects, genotypes)[order]
    estimates, per_marker = effects.estimates[order], effects.variance[order]
    whole = _spread(genotypes, places, effects.centre[order], estimates)
    tables, table = [], effects.markers[order]
    for first, last in _bounds(table, size, unit):
        part = slice(first, last)
        variance = _spread(genotypes, places[part], effects.centre[order][part], estimates[part])
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(whole > 0.0, variance / whole, np.nan)
        for k, (trait, effect) in enumerate(effects.coordinates):
            tables.append(
                (
                    table["chromosome"][first], table["marker"][first], table["marker"][last - 1], table["position"][first],
                    table["position"][last - 1], last - first, trait, effect, variance[k], share[k],
                    per_marker[part, k].sum(),
                )
            )  # fmt: skip
    return pl.DataFrame(tables, schema=WINDOW_COLUMNS, orient="row").with_columns(pl.col("share").fill_nan(None))


def genome_order(chromosomes: pl.Series) -> list[str | None]:
    """Chromosomes in the order of a genome: numbers by size, then the others as they come, then those that are not known."""
    names = chromosomes.unique(maintain_order=True).to_list()
    return sorted(names, key=lambda name: (name is None, not _is_number(name), int(name) if _is_number(name) else 0))


def _is_number(name: str | None) -> bool:
    return name is not None and name.isdecimal()


def _check(size: int, unit: str) -> None:
    if unit not in ("markers", "bp"):
        raise ModelError(f"the unit of windows is {unit!r}; it can be 'markers' or 'bp'")
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ModelError(f"the size of windows is {size!r}; it has to be a whole number of {unit} from 1 on")


def _along_the_genome(markers: pl.DataFrame) -> NDArray[np.intp]:
    """Markers by chromosome and position; those without positions stay in their order."""
    names = genome_order(markers["chromosome"])
    place = {name: k for k, name in enumerate(names)}
    chromosome = np.array([place[name] for name in markers["chromosome"]], dtype=np.int64)
    return np.lexsort((markers["position"].fill_null(0).to_numpy(), chromosome))


def _same_markers(effects: MarkerEffects, genotypes: Genotypes) -> NDArray[np.int64]:
    """Places of the markers of the effects among those of the genotypes, which have to count the same alleles."""
    keys = ["marker", "allele1", "allele2"]
    wanted, there = effects.markers.select(keys), genotypes.markers.select(keys).with_row_index("place")
    joined = wanted.join(there, on=keys, how="left", maintain_order="left", nulls_equal=True)
    lacking = joined.filter(pl.col("place").is_null())["marker"].to_list()
    if lacking:
        raise GenotypeError(
            f"{genotypes.source}: {counted(len(lacking), 'marker')} of the effects not there with the same alleles: "
            f"{name_some(lacking)} -> give the genotypes that the effects were estimated from"
        )
    return joined["place"].to_numpy().astype(np.int64)


def _bounds(markers: pl.DataFrame, size: int, unit: str) -> Iterator[tuple[int, int]]:
    """First marker of each window and the one after its last."""
    chromosome = markers["chromosome"].fill_null("").rle_id().to_numpy()
    if unit == "bp":
        if markers["position"].is_null().any():
            raise ModelError("windows of base pairs need the position of every marker -> take windows of markers")
        stretch = markers["position"].to_numpy() // size
    else:
        starts = np.flatnonzero(np.diff(chromosome, prepend=-1))
        stretch = (np.arange(chromosome.size) - starts[chromosome]) // size
    change = (np.diff(chromosome, prepend=-1) != 0) | (np.diff(stretch, prepend=-1) != 0)
    bounds = [*np.flatnonzero(change).tolist(), chromosome.size]
    yield from pairwise(bounds)


def _spread(genotypes: Genotypes, places: NDArray[np.int64], centre: _Array, estimates: _Array) -> _Array:
    """Variance over animals of the sum of some markers, by trait or effect."""
    z = CentredGenotypes(genotypes.at_markers(places), centre, np.ones(centre.size))
    return np.asarray(z.multiply(np.ascontiguousarray(estimates)).var(axis=0))
