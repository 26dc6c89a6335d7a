"""Parents sought among genotyped candidates, by opposing homozygotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError, name_some
from breedblup.genotypes.genotypes import Genotypes, refuse_other_than_genotypes
from breedblup.genotypes.planes import of_rows, planes_by_block
from breedblup.genotypes.quality.sex import FEMALE, MALE, known_sexes, refuse_other_than_pedigree
from breedblup.kernels.mendelian import add_candidate_conflicts, add_identical
from breedblup.pedigree import Pedigree

ROLES = ("sire", "dam")

GROUP_BYTES = 256 * 2**20
"""Of all that is held of a group of animals with all candidates."""

PAIR_BYTES = 48
"""Of an animal with a candidate: counts of all and of a role's candidates, their rates in two orders, and two orders."""

CANDIDATES = {
    "animal": pl.String,
    "role": pl.String,
    "candidate": pl.String,
    "rank": pl.Int64,
    "compared": pl.Int64,
    "conflicts": pl.Int64,
    "rate": pl.Float64,
    "identical": pl.Float64,
    "recorded": pl.Boolean,
}

PARENTS = {
    "animal": pl.String,
    "role": pl.String,
    "recorded": pl.String,
    "recorded_rate": pl.Float64,
    "found": pl.String,
    "rate": pl.Float64,
    "next_rate": pl.Float64,
    "verdict": pl.String,
}


@dataclass(frozen=True, slots=True)
class ParentRule:
    """When a candidate is a parent.

    Attributes
    ----------
    largest_rate
        Largest share of opposing homozygotes among the markers compared.
    gap
        By how much the next candidate's share has to be larger.
    fewest_compared
        Markers with a call of both.
    duplicate_share
        Share of identical calls from which on a candidate is the animal itself, sampled twice.
    kept
        Candidates listed for each animal and role.
    """

    largest_rate: float = 0.01
    gap: float = 0.01
    fewest_compared: int = 100
    duplicate_share: float = 0.98
    kept: int = 3

    def __post_init__(self) -> None:
        for name in ("largest_rate", "gap", "duplicate_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ModelError(f"search for parents: {name} is {getattr(self, name)!r} -> a share between 0 and 1")
        for name in ("fewest_compared", "kept"):
            if getattr(self, name) < 1:
                raise ModelError(f"search for parents: {name} is {getattr(self, name)} -> at least 1")


STANDARD = ParentRule()
"""The rule where none is given."""


@dataclass(frozen=True, repr=False, eq=False)
class ParentSearch:
    """What a search for parents found.

    Attributes
    ----------
    parents
        One row for each animal and role: recorded parent and its rate (null where it is unknown or has no genotype), the
        parent found, its rate, that of the next candidate, and the verdict: ``confirmed`` (the recorded one), ``found``
        (another, or none was recorded), ``ambiguous`` (two candidates too close to each other) or ``none``.
    candidates
        The best candidates of each: rank, markers compared, opposing homozygotes, rate, share of identical calls,
        whether it is the one recorded.
    rule
        When a candidate is a parent.
    """

    parents: pl.DataFrame
    candidates: pl.DataFrame
    rule: ParentRule

    def __repr__(self) -> str:
        counts = self.parents.group_by("role", "verdict", maintain_order=True).len()
        lines = [f"  {role}: {verdict} {number:,}" for role, verdict, number in counts.iter_rows()]
        return "\n".join(["Search for parents", *lines])


@dataclass(frozen=True)
class _Search:
    """Genotypes, and of each genotyped animal: position in the pedigree, sex, recorded parents by number, birth."""

    genotypes: Genotypes
    at: NDArray[np.int32]
    sex: NDArray[np.int8]
    recorded: tuple[pl.Series, pl.Series]
    parents: NDArray[np.int32]
    birth: NDArray[np.int64]


def find_parents(
    genotypes: Genotypes,
    animals: Sequence[str] | pl.Series,
    *,
    sires: Sequence[str] | pl.Series | None = None,
    dams: Sequence[str] | pl.Series | None = None,
    pedigree: Pedigree | None = None,
    sex: Any = None,
    rule: ParentRule = STANDARD,
) -> ParentSearch:
    """Compare animals with every candidate and rank these by opposing homozygotes.

    A candidate is a parent where its share of opposing homozygotes is at most ``rule.largest_rate``, and that of the
    next is larger by ``rule.gap``. An animal itself, its recorded offspring, animals born in its year or day or
    later, and samples identical to it are no candidates. Close relatives of a parent share most of its alleles: with
    few markers they come close to it.

    Parameters
    ----------
    genotypes
        After quality control: autosomes only.
    animals
        Ids of those whose parents are sought, such as those in conflict with a recorded parent.
    sires, dams
        Ids of the candidates. By default all animals of that sex and those whose sex is unknown.
    pedigree
        Gives recorded parents, births and sexes.
    sex
        As for `check_genotypes`.

    Raises
    ------
    GenotypeError
        If no animal is named, an animal or candidate has no genotype, or it is given something else than genotypes.
    ModelError
        If the pedigree is none.
    """
    refuse_other_than_genotypes(genotypes, "find_parents")
    refuse_other_than_pedigree(pedigree, "find_parents")
    sought = _rows(genotypes, animals, "animals")
    if not sought.size:
        raise GenotypeError(f"{genotypes.source}: no animals to seek parents of -> name at least one")
    search = _prepared(genotypes, pedigree, known_sexes(genotypes, sex, pedigree))
    of_roles = [
        np.flatnonzero(search.sex != other).astype(np.int32) if given is None else _rows(genotypes, given, "candidates")
        for given, other in ((sires, FEMALE), (dams, MALE))
    ]
    everyone = np.union1d(*of_roles).astype(np.int32)
    # of equal rates the first by name is listed first: the order of the file does not matter
    of_roles = [rows[genotypes.ids.gather(rows).arg_sort().to_numpy()] for rows in of_roles]
    listed: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    verdicts: tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]] = ([], [])
    together = max(1, GROUP_BYTES // (PAIR_BYTES * max(everyone.size, 1)))
    for start in range(0, sought.size, together):
        part = np.ascontiguousarray(sought[start : start + together])
        compared, conflicts = _counts(genotypes, part, everyone)
        for role, candidates in enumerate(of_roles):
            columns = np.searchsorted(everyone, candidates)
            counts = compared[:, columns], conflicts[:, columns]
            table, rows = _ranked(search, part, candidates, counts, role, rule)
            listed[role].append(table)
            verdicts[role].extend(rows)
    parents = pl.DataFrame([*verdicts[0], *verdicts[1]], schema=PARENTS, orient="row")
    return ParentSearch(parents, pl.concat([*listed[0], *listed[1]]), rule)


def _rows(genotypes: Genotypes, ids: Sequence[str] | pl.Series, what: str) -> NDArray[np.int32]:
    """Rows of the animals of a list, each once."""
    names = pl.Series("id", list(ids), dtype=pl.String).unique(maintain_order=True)
    found = genotypes.positions_of(names)
    if (found < 0).any():
        lacking = names.filter(pl.Series(found < 0)).to_list()
        raise GenotypeError(
            f"{genotypes.source}: {what} without a genotype: {name_some(lacking)} -> leave them out of the search"
        )
    return found


def _prepared(genotypes: Genotypes, pedigree: Pedigree | None, sex: NDArray[np.int8]) -> _Search:
    """What the pedigree says of the genotyped animals."""
    n = len(genotypes)
    nobody = pl.Series([None] * n, dtype=pl.String)
    at = np.full(n, -1, dtype=np.int32)
    parents = np.full((n, 2), -1, dtype=np.int32)
    birth = np.full(n, np.iinfo(np.int64).min, dtype=np.int64)
    if pedigree is None:
        return _Search(genotypes, at, sex, (nobody, nobody), parents, birth)
    at = pedigree.positions_of(genotypes.ids)
    known = at >= 0
    names = []
    for role, of in enumerate((pedigree.sire, pedigree.dam)):
        used = not (role == 1 and pedigree.of_sires)
        parents[known, role] = of[at[known]] if used else -1
        text = pedigree.ids.gather(np.maximum(parents[:, role], 0))
        names.append(text.zip_with(pl.Series(parents[:, role] >= 0), nobody))
    if pedigree.birth is not None:
        days = pedigree.birth.to_physical().cast(pl.Int64).fill_null(np.iinfo(np.int64).min).to_numpy()
        birth[known] = days[at[known]]
    return _Search(genotypes, at, sex, (names[0], names[1]), parents, birth)


def _impossible(search: _Search, animals: NDArray[np.int32], candidates: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Candidates that are the animal itself, its recorded offspring, or not born before it (animals × candidates)."""
    here, there = search.at[animals][:, None], search.at[candidates][None, :]
    wrong = (animals[:, None] == candidates[None, :]) | ((here == there) & (here >= 0))
    for role in range(2):
        parent = search.parents[candidates, role]
        wrong |= (parent[None, :] == here) & (here >= 0)
    born, before = search.birth[animals][:, None], search.birth[candidates][None, :]
    unknown = np.iinfo(np.int64).min
    wrong |= (born != unknown) & (before != unknown) & (before >= born)
    return np.asarray(wrong)


def _counts(
    genotypes: Genotypes, animals: NDArray[np.int32], candidates: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Markers compared and opposing homozygotes (animals × candidates)."""
    compared, conflicts = np.zeros((2, animals.size, candidates.size), dtype=np.int32)
    if candidates.size:
        for _, (first, second) in planes_by_block(genotypes):
            add_candidate_conflicts(first, second, animals, candidates, compared, conflicts)
    return compared, conflicts


def _ranked(
    search: _Search,
    animals: NDArray[np.int32],
    candidates: NDArray[np.int32],
    counts: tuple[NDArray[np.int32], NDArray[np.int32]],
    role: int,
    rule: ParentRule,
) -> tuple[pl.DataFrame, list[tuple[Any, ...]]]:
    """The best candidates of each animal, and the verdict on each."""
    compared, conflicts = counts
    rate = conflicts / np.maximum(compared, 1)
    fewest = min(rule.fewest_compared, search.genotypes.shape[1])
    rate[_impossible(search, animals, candidates) | (compared < fewest)] = np.inf
    best = _other_animals(search.genotypes, animals, candidates, rate, rule)
    rows: list[tuple[Any, ...]] = []
    verdicts: list[tuple[Any, ...]] = []
    known = search.genotypes.positions_of(search.recorded[role].gather(animals))
    for k, animal in enumerate(animals.tolist()):
        own = [
            (
                search.genotypes.ids[int(candidates[j])],
                int(compared[k, j]),
                int(conflicts[k, j]),
                float(rate[k, j]),
                same,
            )
            for j, same in best[k]
        ]
        name, recorded = search.genotypes.ids[animal], search.recorded[role][animal]
        rows += [
            (name, ROLES[role], *shown[:1], rank + 1, *shown[1:], shown[0] == recorded)
            for rank, shown in enumerate(own[: rule.kept])
        ]
        among = np.flatnonzero(candidates == known[k]) if known[k] >= 0 else np.empty(0, dtype=np.int64)
        of_recorded = float(conflicts[k, among[0]] / max(compared[k, among[0]], 1)) if among.size else None
        verdicts.append((name, ROLES[role], recorded, of_recorded, *_verdict(own, recorded, rule)))
    return pl.DataFrame(rows, schema=CANDIDATES, orient="row"), verdicts


def _other_animals(
    genotypes: Genotypes,
    animals: NDArray[np.int32],
    candidates: NDArray[np.int32],
    rate: NDArray[np.float64],
    rule: ParentRule,
) -> list[list[tuple[int, float]]]:
    """Number and share of identical calls of each animal's best candidates, without samples of the animal itself."""
    order = np.argsort(rate, axis=1, kind="stable")
    wanted = max(rule.kept, 2)
    found: list[list[tuple[int, float]]] = [[] for _ in animals]
    lacking, start, width = np.arange(animals.size), 0, wanted + 2
    while lacking.size and start < candidates.size:
        next_best = order[lacking, start : start + width]
        alike = _identical(genotypes, animals[lacking], candidates[next_best])
        possible = np.isfinite(np.take_along_axis(rate[lacking], next_best, axis=1))
        others = possible & (alike < rule.duplicate_share)
        for k, numbers, shares, chosen in zip(lacking.tolist(), next_best, alike, others, strict=True):
            found[k] += zip(numbers[chosen].tolist(), shares[chosen].tolist(), strict=True)
        start, width = start + width, 2 * width
        lacking = lacking[[last and len(found[k]) < wanted for k, last in zip(lacking, possible[:, -1], strict=True)]]
    return [own[:wanted] for own in found]


def _identical(genotypes: Genotypes, animals: NDArray[np.int32], best: NDArray[np.int32]) -> NDArray[np.float64]:
    """Share of identical calls of each animal with its best candidates."""
    pairs = np.stack([np.repeat(animals, best.shape[1]), best.ravel()])
    chosen, places = np.unique(pairs, return_inverse=True)
    one, other = places.reshape(pairs.shape).astype(np.int32)
    compared, identical = np.zeros((2, one.size), dtype=np.int64)
    if one.size:
        for _, (first, second) in planes_by_block(of_rows(genotypes, chosen.astype(np.int64))):
            add_identical(first, second, one, other, compared, identical)
    return np.asarray(identical / np.maximum(compared, 1)).reshape(best.shape)


def _verdict(
    own: list[tuple[Any, ...]], recorded: str | None, rule: ParentRule
) -> tuple[str | None, float | None, float | None, str]:
    """Parent, its rate, that of the next, and how sure it is."""
    rates = [shown[3] for shown in own]
    next_rate = rates[1] if len(rates) > 1 else None
    if not rates or rates[0] > rule.largest_rate:
        return None, rates[0] if rates else None, next_rate, "none"
    if next_rate is not None and next_rate - rates[0] < rule.gap:
        return None, rates[0], next_rate, "ambiguous"
    return own[0][0], rates[0], next_rate, "confirmed" if own[0][0] == recorded else "found"
