"""Ancestors of named animals, all or of some generations, and what pruning does to inbreeding."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_pedigree, tabular_a

from breedblup.errors import PedigreeError
from breedblup.pedigree import Pedigree, compare_pruning


def pedigree_of(sire: list[int], dam: list[int], groups: tuple[str, ...] = ()) -> Pedigree:
    """Animals a0, a1, …; a negative parent is unknown, or the first group where there are groups."""
    unknown = groups[0] if groups else ""
    frame = pl.DataFrame(
        {
            "id": [f"a{i}" for i in range(len(sire))],
            "sire": [f"a{s}" if s >= 0 else unknown for s in sire],
            "dam": [f"a{d}" if d >= 0 else unknown for d in dam],
        }
    )
    return Pedigree.from_frame(frame, groups=groups)


def within(named: set[int], sire: list[int], dam: list[int], generations: int) -> set[int]:
    """Named animals and what is reached in so many steps to parents."""
    kept, last = set(named), set(named)
    for _ in range(generations):
        last = {parent[i] for i in last for parent in (sire, dam)} - {-1}
        kept |= last
    return kept


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 10), st.integers(0, 6))
def test_pruned_to_generations(seed: int, n: int, span: int, generations: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = random_pedigree(rng, n, span)
    sire, dam = (array.tolist() for array in arrays)
    named = sorted(rng.choice(n, rng.integers(1, n + 1), replace=False).tolist())
    pedigree = pedigree_of(sire, dam)
    ids = [f"a{i}" for i in named]
    pruned = pedigree.ancestors_of(ids, generations=generations)
    kept = sorted(within(set(named), sire, dam, generations))
    assert pruned.ids.to_list() == [f"a{i}" for i in kept]
    place = {animal: k for k, animal in enumerate(kept)}
    assert pruned.sire.tolist() == [place.get(sire[i], -1) for i in kept]
    assert pruned.dam.tolist() == [place.get(dam[i], -1) for i in kept]
    assert pruned.report.animals == len(kept)
    assert pruned.report.founders == sum(s < 0 and d < 0 for s, d in zip(pruned.sire, pruned.dam, strict=True))
    whole = pedigree.ancestors_of(ids)
    a = tabular_a(whole.sire.tolist(), whole.dam.tolist())
    rows = whole.positions_of(pl.Series(ids))
    np.testing.assert_allclose(a[np.ix_(rows, rows)], tabular_a(sire, dam)[np.ix_(named, named)], atol=1e-14)
    assert whole.ids.to_list() == pedigree.ancestors_of(ids, generations=n).ids.to_list()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 10))
def test_compared(seed: int, n: int, span: int) -> None:
    rng = np.random.default_rng(seed)
    sire, dam = (array.tolist() for array in random_pedigree(rng, n, span))
    named = rng.choice(n, rng.integers(1, n + 1), replace=False).tolist()
    pedigree = pedigree_of(sire, dam)
    table = compare_pruning(pedigree, [f"a{i}" for i in named], generations=[0, 1, 2, 5])
    assert table["generations"].to_list() == [0, 1, 2, 5, None]
    whole = np.diag(tabular_a(sire, dam))[named] - 1
    for row in table.iter_rows(named=True):
        depth = n if row["generations"] is None else row["generations"]
        kept = sorted(within(set(named), sire, dam, depth))
        place = {animal: k for k, animal in enumerate(kept)}
        a = tabular_a([place.get(sire[i], -1) for i in kept], [place.get(dam[i], -1) for i in kept])
        rows = [place[i] for i in named]
        f = np.diag(a)[rows] - 1
        founders = sum(sire[i] not in place and dam[i] not in place for i in kept)
        assert (row["animals"], row["founders"]) == (len(kept), founders)
        assert (row["inbreeding"], row["largest"]) == pytest.approx((f.mean(), f.max()), abs=1e-14)
        assert row["change"] == pytest.approx((f - whole).mean(), abs=1e-14)
        assert row["largest_change"] == pytest.approx(abs(f - whole).max(), abs=1e-14)
        assert row["changed"] == np.count_nonzero(abs(f - whole) > 1e-12)
        assert row["coancestry"] == pytest.approx(a[np.ix_(rows, rows)].mean() / 2)
    assert table.row(-1)[5:8] == (0.0, 0.0, 0)


def test_pruned_by_hand() -> None:
    """4 and 5 are full sibs of the sibs 2 and 3: their inbreeding goes with their grandparents."""
    pedigree = pedigree_of([-1, -1, 0, 0, 2, 2], [-1, -1, 1, 1, 3, 3])
    assert pedigree.ancestors_of(["a4"], generations=0).ids.to_list() == ["a4"]
    pruned = pedigree.ancestors_of(["a4", "a5"], generations=1)
    assert pruned.to_frame()["animal"].to_list() == ["a2", "a3", "a4", "a5"]
    assert pruned.to_frame()["inbreeding"].to_list() == [0.0, 0.0, 0.0, 0.0]
    assert pruned.name == "pedigree (2 animals and their ancestors of 1 generation)"
    assert pedigree.ancestors_of(["a4"]).name == "pedigree (1 animal and their ancestors)"
    table = compare_pruning(pedigree, ["a4", "a5"])
    assert table["inbreeding"].to_list()[:2] == [0.0, 0.25]
    assert table["change"].to_list()[:2] == [-0.25, 0.0]
    assert table["changed"].to_list()[:2] == [2, 0]


def test_refused() -> None:
    pedigree = pedigree_of([-1, 0, 1], [-1, -1, -1])
    message = "pedigree: ancestors of -1 generations are asked for -> give a whole number from 0 on, or None for all"
    with pytest.raises(PedigreeError, match=message):
        pedigree.ancestors_of(["a2"], generations=-1)
    with pytest.raises(PedigreeError, match=message):
        compare_pruning(pedigree, ["a2"], generations=[-1])
    with pytest.raises(PedigreeError, match="pedigree has no animal 'x'"):
        compare_pruning(pedigree, ["x"])
    with pytest.raises(PedigreeError, match="maternal grandsires in the place of dams, and so no A"):
        compare_pruning(pedigree.male_ancestors_of(["a2"]), ["a2"])


def test_parents_cut_off_have_no_group() -> None:
    pedigree = pedigree_of([-1, 0, 1], [-1, -1, -1], groups=("unknown",))
    assert pedigree.ancestors_of(["a2"]).groups is not None
    assert pedigree.ancestors_of(["a2"], generations=2).groups is not None
    with pytest.raises(
        PedigreeError,
        match="nothing says to which a parent cut off from 'a1' belongs -> keep all generations, or prune first",
    ):
        pedigree.ancestors_of(["a2"], generations=1)
