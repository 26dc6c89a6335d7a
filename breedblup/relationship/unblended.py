"""G before blending and tuning: which markers, how they are centred, scaled and weighted."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.kernels.homozygosity import add_weights_of_calls
from breedblup.relationship.allele_frequencies import Frequencies, frequencies_used
from breedblup.relationship.inverse import RelationshipInverse

Method = Literal["vanraden1", "vanraden2", "yang"]

CALLED = (0, 2, 3)
"""Codes of calls that are not missing."""


class Unblended(NamedTuple):
    """G before blending and tuning: ZZ' + diag(added), and statements."""

    z: CentredGenotypes
    added: NDArray[np.float64] | None
    made: tuple[str, ...]


def unblended_matrix(
    genotypes: Genotypes, method: Method, choice: Frequencies, given: Any, a22: RelationshipInverse | None
) -> Unblended:
    """ZZ', and for the method of Yang what its diagonal has beyond that."""
    p, frequencies_said = frequencies_used(genotypes, choice, a22)
    variance = 2.0 * p * (1.0 - p)
    kept = variance > 0.0
    weights, weights_said = _weights(genotypes, given, kept)
    used = genotypes if kept.all() else genotypes.at_markers(kept)
    p, variance = p[kept], variance[kept]
    m = variance.size
    if method == "vanraden1":
        divisor = np.full(m, variance.sum())
        said = f"G by VanRaden's method 1, divided by 2Σp(1-p) = {variance.sum():.10g}"
    else:
        divisor = m * variance
        said = "G by VanRaden's method 2" if method == "vanraden2" else "G by the method of Yang et al. (2010)"
    z = CentredGenotypes(used, 2.0 * p, np.sqrt(weights / divisor))
    lacking = bool(genotypes.counts[kept, 3].any())
    added = _added_by_yang(z, lacking) if method == "yang" else None
    if added is not None and lacking:
        weights_said = (*weights_said, "diagonal of each animal by the markers with a call of it")
    named = f"from {genotypes.source}: {counted(len(genotypes), 'animal')}, {counted(m, 'marker')}"
    made = (f"{said}, {named}", frequencies_said, *left_out(genotypes, kept), *weights_said)
    return Unblended(z, added, made)


def _added_by_yang(z: CentredGenotypes, lacking: bool) -> NDArray[np.float64]:
    """What 1 plus the mean of (x² - (1 + 2p)x + 2p²) / 2p(1 - p), over an animal's calls, has beyond the diagonal of ZZ'."""
    # x² - (1 + 2p)x + 2p² is (x - 2p)² - (1 - 2p)(x - 2p) - 2p(1 - p); the last summands of the calls add up to their share
    added = np.asarray(-z.multiply((1.0 - z.centre) * z.scale))
    if not lacking:
        return added
    share = np.square(z.scale) * z.centre * (1.0 - 0.5 * z.centre)
    weights, shares = np.zeros((share.size, 4, 1)), np.zeros((len(z), 1))
    weights[:, CALLED] = share[:, None, None]
    add_weights_of_calls(z.genotypes.packed, z.genotypes.rows, z.genotypes.places, weights, shares)
    # no call at all, no diagonal
    factor = 1.0 / np.where(shares[:, 0] > 0.0, shares[:, 0], 1.0)
    return np.asarray((factor - 1.0) * z.squared_lengths() + factor * added)


def left_out(genotypes: Genotypes, kept: NDArray[np.bool_]) -> tuple[str, ...]:
    """Statements of markers that are left out and of calls that are missing."""
    without = np.isnan(genotypes.frequencies)
    if not kept.any():
        raise GenotypeError(
            f"{genotypes.source}: none of {counted(kept.size, 'marker')} has variation at these allele frequencies "
            f"({int(without.sum()):,} without a call) -> give markers that differ among the animals"
        )
    said = []
    if not kept.all():
        fixed = int(np.count_nonzero(~kept & ~without))
        said.append(
            f"{counted(int(np.count_nonzero(~kept)), 'marker')} left out: {fixed:,} without variation at these frequencies, "
            f"{int(without.sum()):,} without a call"
        )
    missing = int(genotypes.counts[kept, 3].sum())
    if missing:
        share = 100.0 * missing / (len(genotypes) * int(kept.sum()))
        said.append(f"{counted(missing, 'call')} missing ({share:.3g} %), set to the mean of their marker")
    return tuple(said)


def _weights(genotypes: Genotypes, given: Any, kept: NDArray[np.bool_]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Weights of the markers that are kept, mean 1, and a statement where they were given."""
    if given is None:
        return np.ones(int(kept.sum())), ()
    weights = np.array(given, dtype=np.float64)
    if weights.shape != kept.shape:
        raise GenotypeError(
            f"{genotypes.source}: {weights.size:,} weights are given for {kept.size:,} markers -> give one for each, in "
            "their order"
        )
    if not (np.isfinite(weights) & (weights >= 0.0)).all() or not weights[kept].sum() > 0.0:
        raise GenotypeError(
            f"{genotypes.source}: weights of markers have to be numbers from 0, some of them above -> correct them"
        )
    mean = float(weights[kept].mean())
    return weights[kept] / mean, (f"weighted by marker, weights divided by their mean of {mean:.10g}",)
