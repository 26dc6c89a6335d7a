"""Relationships that are asked for, never forming A: columns of A are products with unit vectors (Colleau 2002).

Everything takes a pedigree, which stands for its A with unknown parents unrelated, whether or not they are grouped, or a
`RelationshipInverse`: of A, of metafounders, of a matrix of the user's. Of a pedigree, or an A⁻¹ made of it, only the
ancestors of the animals named are visited.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ModelError, PedigreeError
from breedblup.frames import Table, as_table, give_back
from breedblup.relationship.ancestry import (
    COLUMNS,
    Ids,
    Related,
    ancestry_of,
    as_text,
    distinct_positions,
    refuse_beyond,
    source_positions,
)
from breedblup.relationship.inverse import RelationshipInverse

PAIR_BYTES = 48
"""Of a row of a table of relationships: two ids and a number, while it is made."""


def relationships(source: Related, ids: Ids, others: Ids | None = None, *, memory: int | None = None) -> pl.DataFrame:
    """Relationships among chosen animals, or between those of two lists, as a table.

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix.
    ids, others
        Text ids, each once. Without ``others`` every pair of ``ids`` stands once, each animal with itself (1 + F) too; with
        them, every one of ``ids`` with every one of ``others``.
    memory
        Bytes that may be used; None for 80 % of what is available.

    Returns
    -------
    DataFrame
        animal1, animal2, relationship.

    Raises
    ------
    PedigreeError
        If an id is unknown or repeated, or none is given.
    ResourceError
        If the table would not fit; 48 bytes a pair are counted.

    Examples
    --------
    >>> pedigree = bb.read_pedigree(pl.DataFrame({"id": ["a", "b", "c"], "sire": [None, None, "a"], "dam": [None, None, "b"]}))
    >>> bb.relationships(pedigree, ["c"], ["a", "c"])["relationship"].to_list()
    [0.5, 1.0]
    """
    rows = as_text(ids)
    columns = rows if others is None else as_text(others)
    for names in (rows, columns):
        distinct_positions(source, names, "relationships")
    pairs = len(rows) * len(columns)
    refuse_beyond(memory, PAIR_BYTES * pairs, f"a table of {pairs:,} relationships", "ask for fewer at a time")
    block = relationship_block(source, rows, columns, memory=memory)
    first, second = np.triu_indices(len(rows)) if others is None else np.divmod(np.arange(pairs), len(columns))
    return pl.DataFrame(
        {"animal1": rows.gather(first), "animal2": columns.gather(second), "relationship": block[first, second]}
    )


def relationship_block(source: Related, ids: Ids, others: Ids, *, memory: int | None = None) -> NDArray[np.float64]:
    """Relationships between the animals of two lists: a dense block of A, ids × others.

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix.
    ids, others
        Text ids of its rows and columns, each once in its list. The work is in proportion to ``others`` times the ancestors
        of both.
    memory
        Bytes that may be used; None for 80 % of what is available.

    Raises
    ------
    PedigreeError
        If an id is unknown or repeated, or none is given.
    ResourceError
        If the block, of 8 bytes an entry, would not fit.
    """
    rows = distinct_positions(source, ids, "relationship_block")
    columns = distinct_positions(source, others, "relationship_block")
    what = f"a block of {rows.size:,} x {columns.size:,} relationships"
    refuse_beyond(memory, 8 * rows.size * columns.size, what, "ask for fewer animals at a time")
    ancestry = ancestry_of(source, np.concatenate([rows, columns]))
    block = np.empty((rows.size, columns.size))
    places = ancestry.places_of(rows)
    for some, values in ancestry.columns(ancestry.places_of(columns)):
        block[:, some] = values[places]
    return block


def a22(source: Related, ids: Ids, *, memory: int | None = None) -> NDArray[np.float64]:
    """A₂₂: the relationships among the animals of a list, such as those with genotypes, dense (Colleau 2002).

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix.
    ids
        Text ids, each once: order of rows and columns.
    memory
        Bytes that may be used; None for 80 % of what is available.

    Returns
    -------
    ndarray
        k × k, exactly symmetric.

    Raises
    ------
    PedigreeError
        If an id is unknown or repeated, or none is given.
    ResourceError
        If it, of 8k² bytes, would not fit. Products with A₂₂ and its inverse do without: `a22_inverse`.
    """
    size = distinct_positions(source, ids, "a22").size
    instead = "use a22_inverse, whose products do not need it"
    refuse_beyond(memory, 8 * size**2, f"A22 of {size:,} animals", instead)
    block = relationship_block(source, ids, ids, memory=memory)
    lower = np.tril_indices(size, -1)
    block.T[lower] = block[lower]
    return block


def closest_relatives(source: Related, id: str, n: int = 20, *, among: Ids | None = None) -> pl.DataFrame:
    """The largest relationships of an animal.

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix.
    id
        The animal.
    n
        How many to give; fewer where no more are related.
    among
        Animals to choose from, each once; None for all. Among a few, only their ancestors are visited.

    Returns
    -------
    DataFrame
        animal, relationship (a_ij), correlation (a_ij / √(a_ii a_jj), Wright's coefficient of relationship): largest
        relationship first, equal ones in the order of the source. The animal itself is left out.

    Raises
    ------
    PedigreeError
        If an id is unknown.
    ModelError
        If n is not positive.
    """
    if n < 1:
        raise ModelError(f"closest_relatives: n is {n} -> ask for at least one relative")
    own = source_positions(source, [id], "closest_relatives")
    if among is None:
        animals = source.animals if isinstance(source, RelationshipInverse) else len(source)
        candidates = np.arange(animals, dtype=np.int32)
    else:
        candidates = np.sort(distinct_positions(source, among, "closest_relatives"))
    ancestry = ancestry_of(source, np.concatenate([own, candidates]))
    places, (place,) = ancestry.places_of(candidates), ancestry.places_of(own)
    ((_, column),) = ancestry.columns(np.array([place]))
    values, diagonal, of_own = column[places, 0], ancestry.diagonal[places], ancestry.diagonal[place]
    related = np.flatnonzero((values > 0) & (candidates != own[0]))
    chosen = related[np.argsort(-values[related], kind="stable")[:n]]
    return pl.DataFrame(
        {
            "animal": source.ids.gather(candidates[chosen]),
            "relationship": values[chosen],
            "correlation": values[chosen] / np.sqrt(of_own * diagonal[chosen]),
        }
    )


def mean_relationships(source: Related, groups: Any) -> Any:
    """Mean relationships within and between groups of animals, from one product of A with their indicators.

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix.
    groups
        Data frame with columns ``id`` and ``group``; an animal may be in several groups.

    Returns
    -------
    DataFrame
        One row for each pair of groups, in the order in which they are met: group1, group2, animals1, animals2; mean, over all
        pairs, an animal with itself among them; mean_of_others, over pairs of two different animals, null where there is none.
        In the library of ``groups``.

    Raises
    ------
    PedigreeError
        If an id is unknown, an animal is in a group twice, or a group is not named.
    """
    table = as_table(groups, "groups")
    member = source_positions(source, table.text("id"), "mean_relationships")
    names, codes = _group_codes(table, member)
    ancestry = ancestry_of(source, member)
    shape = (ancestry.rows.size, len(names))
    places = ancestry.places_of(member)
    indicator = scipy.sparse.csc_array((np.ones(member.size), (places, codes)), shape=shape)
    sums = np.empty((len(names),) * 2)
    for first in range(0, len(names), COLUMNS):
        block = np.ascontiguousarray(indicator[:, first : first + COLUMNS].toarray())
        sums[:, first : first + COLUMNS] = np.asarray(indicator.T @ ancestry.operator.multiply(block))
    animals = np.bincount(codes, minlength=len(names))
    pairs = np.outer(animals, animals)
    shared = (indicator.T @ indicator).toarray()
    selves = (indicator.T @ (scipy.sparse.diags_array(ancestry.diagonal) @ indicator)).toarray()
    first_of, second_of = np.triu_indices(len(names))
    with np.errstate(invalid="ignore"):
        others = ((sums - selves) / np.where(pairs > shared, pairs - shared, np.nan))[first_of, second_of]
    columns = {
        "group1": names.gather(first_of),
        "group2": names.gather(second_of),
        "animals1": animals[first_of],
        "animals2": animals[second_of],
        "mean": (sums / pairs)[first_of, second_of],
        "mean_of_others": pl.Series(others).fill_nan(None),
    }
    return give_back(pl.DataFrame(columns), table.backend)


def _group_codes(table: Table, member: NDArray[np.int32]) -> tuple[pl.Series, NDArray[np.int64]]:
    """Names of the groups, as met, and the group of each row."""
    group = table.text("group")
    nameless = group.is_null().arg_true()
    if len(nameless):
        raise PedigreeError(f"{table.places(nameless.to_numpy())}: no group is named -> name it, or remove the row")
    repeated = pl.DataFrame({"member": member, "group": group}).is_duplicated().arg_true()
    if len(repeated):
        raise PedigreeError(
            f"{table.places(repeated.to_numpy())}: {table.text('id')[int(repeated[0])]!r} is in group "
            f"{group[int(repeated[0])]!r} more than once -> keep one row"
        )
    names = group.unique(maintain_order=True)
    codes = pl.DataFrame({"group": group}).join(
        pl.DataFrame({"group": names}).with_row_index("code"), on="group", how="left", maintain_order="left"
    )
    return names, codes["code"].to_numpy().astype(np.int64)
