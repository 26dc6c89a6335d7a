"""Whose genes a reference population has: contributions of founders and ancestors, and the effective numbers of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError
from breedblup.kernels.description import add_to_parents, marginal_contributions
from breedblup.pedigree.reference import Reference, ReferenceChoice, reference_population

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

EXHAUSTED = 1e-12
"""A marginal contribution (as a share of the genes) at or below this is the rounding of nothing."""


STEPS = 2_000_000_000
"""Ancestors that the choice of ancestors goes through before it ends early: about a minute."""


@dataclass(frozen=True)
class FounderContributions:
    """Genes of a reference population by the founders they come from.

    Attributes
    ----------
    table
        ``id``, ``unknown_parent``, ``contribution``, ``cumulated``, largest first; contributions sum to 1. A founder is an animal
        without known parents (``unknown_parent`` null) or the unknown parent of an animal that has one known:
        ``id`` is then this animal, ``unknown_parent`` is ``sire`` or ``dam``.
    founders, unknown_parents
        Number of either kind.
    effective
        Effective number of founders 1/Σp² (Lacy 1989).
    genomes
        Founder genome equivalents 1/(2 f̄), with f̄ the mean coancestry of the reference, of each animal with itself
        included (Lacy 1989; Caballero & Toro 2000); exact, nothing is simulated.
    """

    table: pl.DataFrame = field(repr=False)
    founders: int
    unknown_parents: int
    effective: float
    genomes: float


@dataclass(frozen=True)
class AncestorContributions:
    """Genes of a reference population by the ancestors, founders or not, that explain most of them.

    Attributes
    ----------
    table
        ``id``, ``contribution`` (of all genes, whether or not others chosen before explain them), ``marginal``, ``cumulated``, in
        the order of choice.
    explained
        Share of the genes that the chosen ones explain: 1 unless the choice ended early.
    effective
        Effective number of ancestors 1/Σp² over marginal contributions (Boichard, Maignel & Verrier 1997); the lower bound
        where ``explained`` is below 1.
    bounds
        Lower and upper bound: what is left is spread over ancestors of the last contribution chosen, or evenly over all
        others. Both are ``effective`` where nothing is left.
    """

    table: pl.DataFrame = field(repr=False)
    explained: float
    effective: float
    bounds: tuple[float, float]


def genetic_contributions(pedigree: Pedigree, reference: ReferenceChoice = None) -> NDArray[np.float64]:
    """Expected share of every animal in the genes of a reference population, in the order of ``pedigree.ids``.

    An animal of the reference has its own share 1/N beside what it hands on; shares of founders, and halves of those
    of animals with one known parent, sum to 1.
    """
    chosen = reference_population(pedigree, reference)
    shares = np.zeros(len(pedigree))
    shares[chosen.lineage] = _counts(chosen) / len(chosen)
    return shares


def founder_contributions(pedigree: Pedigree, reference: ReferenceChoice = None) -> FounderContributions:
    """Contributions of founders to a reference population, and the effective numbers of founders and of founder genomes.

    Raises
    ------
    PedigreeError
        If the reference cannot be used (`reference_population`).
    """
    chosen = reference_population(pedigree, reference)
    counts = _counts(chosen)
    no_sire, no_dam = chosen.sire < 0, chosen.dam < 0
    whole = np.flatnonzero(no_sire & no_dam)
    half = np.flatnonzero(no_sire ^ no_dam)
    position = np.concatenate([whole, half])
    share = np.concatenate([counts[whole], 0.5 * counts[half]]) / len(chosen)
    missing = np.concatenate([np.zeros(whole.size, np.int8), np.where(no_sire[half], 1, 2).astype(np.int8)])
    order = np.lexsort((position, -share))
    kind = pl.Series(missing[order]).replace_strict({1: "sire", 2: "dam"}, default=None, return_dtype=pl.String)
    columns = {
        "id": pedigree.ids.gather(chosen.lineage[position[order]]),
        "unknown_parent": kind,
        "contribution": share[order],
        "cumulated": np.cumsum(share[order]),
    }
    genomes = 1.0 / (2.0 * _mean_coancestry(chosen, counts))
    return FounderContributions(pl.DataFrame(columns), whole.size, half.size, float(1.0 / (share @ share)), genomes)


def ancestor_contributions(
    pedigree: Pedigree, reference: ReferenceChoice = None, *, limit: int | None = None
) -> AncestorContributions:
    """Marginal contributions of ancestors, chosen one after the other (Boichard, Maignel & Verrier 1997), exactly.

    The animals of the reference can be chosen themselves; of equal contributions the older animal's comes first.

    Parameters
    ----------
    limit
        Ancestors to choose; by default as many as explain all genes, unless the choice goes through more than 2·10⁹
        ancestors before (deep pedigrees of many millions).

    Raises
    ------
    PedigreeError
        If ``limit`` is below 1, or the reference cannot be used (`reference_population`).
    """
    if limit is not None and limit < 1:
        raise PedigreeError(f"{pedigree.name}: {limit} ancestors are asked for -> give a limit of 1 or more, or none")
    chosen = reference_population(pedigree, reference)
    counts, number = _counts(chosen), len(chosen)
    most = chosen.lineage.size if limit is None else min(limit, chosen.lineage.size)
    picked, marginal = np.empty(most, dtype=np.int32), np.empty(most)
    taken = marginal_contributions(chosen.sire, chosen.dam, counts.copy(), EXHAUSTED * number, STEPS, picked, marginal)
    picked, share = picked[:taken], marginal[:taken] / number
    cumulated = np.cumsum(share)
    left = 1.0 - float(cumulated[-1])
    squares, others = float(share @ share), chosen.lineage.size - taken
    if left <= EXHAUSTED * taken or not others:
        left = 0.0
    lower = 1.0 / (squares + left * float(share[-1]))
    upper = 1.0 / (squares + left**2 / max(others, 1))
    columns = {
        "id": pedigree.ids.gather(chosen.lineage[picked]),
        "contribution": counts[picked] / number,
        "marginal": share,
        "cumulated": cumulated,
    }
    return AncestorContributions(pl.DataFrame(columns), 1.0 - left, lower, (lower, upper))


def mean_coancestry(pedigree: Pedigree, reference: ReferenceChoice = None) -> float:
    """Mean coancestry of a reference population over all pairs, of each animal with itself included: 1'A1 / (2 N²).

    With c = T'1 the contributions, 1'A1 = Σ D c²: one pass, and no product with A.

    Raises
    ------
    PedigreeError
        If the reference cannot be used (`reference_population`).
    """
    chosen = reference_population(pedigree, reference)
    return _mean_coancestry(chosen, _counts(chosen))


def _mean_coancestry(chosen: Reference, counts: NDArray[np.float64]) -> float:
    return float(chosen.variance @ counts**2) / (2.0 * len(chosen) ** 2)


def _counts(chosen: Reference) -> NDArray[np.float64]:
    """Contributions to the sum of the reference's genes, in animals: T'1."""
    counts = np.zeros(chosen.lineage.size)
    counts[chosen.members] = 1.0
    add_to_parents(chosen.sire, chosen.dam, counts)
    return counts
