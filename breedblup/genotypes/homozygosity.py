"""Inbreeding of genotyped animals from their calls: by homozygosity, by G, by uniting gametes, by runs of homozygosity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError
from breedblup.genotypes.genotypes import Genotypes, refuse_other_than_genotypes
from breedblup.genotypes.planes import planes_by_block
from breedblup.genotypes.quality.sex import refuse_other_than_pedigree
from breedblup.kernels.homozygosity import add_weights_of_calls
from breedblup.kernels.mendelian import add_runs
from breedblup.pedigree import Pedigree

COPIES = np.array([2.0, np.nan, 1.0, 0.0])
"""Of the counted allele, by code of a call."""


@dataclass(frozen=True, slots=True)
class RunsOfHomozygosity:
    """What a run of homozygosity is: markers in a row on a chromosome, from a homozygous one to a homozygous one.

    A run ends before the marker that would be one heterozygous or missing call too many, at a gap and at the end of the
    chromosome; the next begins at the next homozygous marker (consecutive runs, as in Marras et al. 2015).

    Attributes
    ----------
    shortest
        Least length in base pairs.
    fewest_markers
        Least number of homozygous markers.
    most_heterozygous, most_missing
        Calls of these kinds that a run may hold.
    widest_gap
        Largest distance of neighbouring markers in base pairs.
    """

    shortest: int = 1_000_000
    fewest_markers: int = 15
    most_heterozygous: int = 0
    most_missing: int = 1
    widest_gap: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("shortest", "fewest_markers", "most_heterozygous", "most_missing", "widest_gap"):
            if getattr(self, name) < 0:
                raise ModelError(f"runs of homozygosity: {name} is {getattr(self, name)} -> 0 or more")


STANDARD = RunsOfHomozygosity()
"""What a run is where nothing is said."""


def genomic_inbreeding(
    genotypes: Genotypes,
    *,
    pedigree: Pedigree | None = None,
    frequencies: NDArray[np.float64] | None = None,
    runs: RunsOfHomozygosity = STANDARD,
) -> pl.DataFrame:
    """Inbreeding of each animal, by several definitions, beside that of the pedigree.

    Parameters
    ----------
    genotypes
        After quality control: autosomes only.
    pedigree
        Gives ``f_pedigree``.
    frequencies
        Of the counted allele in the base; by default as observed, when the mean of the first three is near 0.
    runs
        What a run of homozygosity is.

    Returns
    -------
    pl.DataFrame
        ``animal``; ``homozygosity``, the share of homozygous calls; ``f_homozygosity`` = (O - E) / (L - E), with O of
        L calls homozygous and E = Σ(1 - 2pq) expected; ``f_g`` = G_ii - 1 of VanRaden's (2008) first G; ``f_uniting``
        of Yang et al. (2010), the mean of (x² - (1 + 2p)x + 2p²) / 2pq; ``f_runs``, length in runs over that of the
        chromosomes from first to last marker, and ``runs``, their number, null where the map is unknown;
        ``f_pedigree``, null where the pedigree does not have the animal.

    Raises
    ------
    GenotypeError
        If ``frequencies`` has another number of values than there are markers or leaves 0 to 1, no marker varies by them, or
        it is given something else than genotypes.
    ModelError
        If the pedigree is none.
    """
    refuse_other_than_genotypes(genotypes, "genomic_inbreeding")
    refuse_other_than_pedigree(pedigree, "genomic_inbreeding")
    m = genotypes.shape[1]
    p = genotypes.frequencies if frequencies is None else np.asarray(frequencies, dtype=np.float64)
    if p.shape != (m,) or (frequencies is not None and not ((p >= 0.0) & (p <= 1.0)).all()):
        raise GenotypeError(
            f"{genotypes.source}: frequencies for inbreeding are {p.size:,} numbers -> one from 0 to 1 for each of "
            f"{m:,} markers"
        )
    p = np.nan_to_num(p)
    variance = 2.0 * p * (1.0 - p)
    if not variance.any():
        raise GenotypeError(f"{genotypes.source}: inbreeding needs markers that vary; by the frequencies none does")
    sums = np.zeros((len(genotypes), 6))
    add_weights_of_calls(genotypes.packed, genotypes.rows, genotypes.places, _weights(p, variance), sums)
    called, heterozygous, expected, uniting, squares, varying = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        by_homozygosity = 1.0 - heterozygous / expected
        united = uniting / varying
        homozygosity = 1.0 - heterozygous / called
    frame = pl.DataFrame(
        {
            "animal": genotypes.ids,
            "homozygosity": homozygosity,
            "f_homozygosity": by_homozygosity,
            "f_g": np.where(called > 0, squares / variance.sum() - 1.0, np.nan),
            "f_uniting": united,
            **_runs(genotypes, runs),
            "f_pedigree": _of_pedigree(genotypes, pedigree),
        }
    )
    finite = [
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in frame.columns if name != "animal"
    ]
    return frame.with_columns(finite).cast({"runs": pl.Int64})


def _weights(p: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each call adds: to calls, heterozygotes, those expected, Yang's sum, the diagonal of G, calls that vary."""
    weights = np.zeros((p.size, 4, 6))
    varies = variance > 0.0
    for code in (0, 2, 3):
        x = COPIES[code]
        weights[:, code, 0] = 1.0
        weights[:, code, 1] = x == 1.0
        weights[:, code, 2] = variance
        united = x**2 - (1.0 + 2.0 * p) * x + 2.0 * p**2
        weights[:, code, 3] = np.where(varies, united / np.where(varies, variance, 1.0), 0.0)
        weights[:, code, 4] = np.where(varies, (x - 2.0 * p) ** 2, 0.0)
        weights[:, code, 5] = varies
    return weights


def _runs(genotypes: Genotypes, runs: RunsOfHomozygosity) -> dict[str, NDArray[np.float64]]:
    """Share of the map in runs, and their number; NaN without a map."""
    table = genotypes.markers.with_row_index("number").filter(
        pl.col("chromosome").is_not_null() & pl.col("position").is_not_null() & (pl.col("chromosome") != "0")
    )
    table = table.sort("chromosome", "position", maintain_order=True)
    spans = table.group_by("chromosome").agg(pl.col("position").max() - pl.col("position").min())["position"]
    length = float(spans.sum()) if len(spans) else 0.0
    if length == 0.0:
        return {name: np.full(len(genotypes), np.nan) for name in ("f_runs", "runs")}
    chromosome, position = table["chromosome"].rle_id().to_numpy(), table["position"].to_numpy().astype(np.int64)
    apart = np.append(True, (np.diff(chromosome) != 0) | (np.diff(position) > runs.widest_gap))
    limits = np.array((runs.shortest, runs.fewest_markers, runs.most_heterozygous, runs.most_missing), dtype=np.int64)
    out = np.zeros((len(genotypes), 2), dtype=np.int64)
    state = np.zeros((len(genotypes), 5), dtype=np.int64)
    for part, (first, second) in planes_by_block(genotypes.at_markers(table["number"].to_numpy().astype(np.int64))):
        add_runs(first, second, _as_words(apart[part]), position[part], limits, state, out)
    last = state[:, 4] - state[:, 3]
    ended = (state[:, 0] >= max(runs.fewest_markers, 1)) & (last >= runs.shortest)
    out += np.stack([ended, ended * last], axis=1)
    return {"f_runs": out[:, 1] / length, "runs": out[:, 0].astype(np.float64)}


def _as_words(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Words of 64 bits, the first the lowest."""
    padded = np.zeros(-(-bits.size // 64) * 64, dtype=np.bool_)
    padded[: bits.size] = bits
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)


def _of_pedigree(genotypes: Genotypes, pedigree: Pedigree | None) -> NDArray[np.float64]:
    """F of the pedigree; NaN where it does not have the animal."""
    f = np.full(len(genotypes), np.nan)
    if pedigree is not None:
        at = pedigree.positions_of(genotypes.ids)
        f[at >= 0] = pedigree.inbreeding[at[at >= 0]]
    return f
