"""Relationships on demand, inbreeding of matings and by ancestors, A₂₂⁻¹: against dense A of random pedigrees."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from conftest import EXACT
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import autozygosity_by_enumeration, partial_kinship, positive_definite, random_pedigree, tabular_a

import breedblup as bb
from breedblup.errors import ModelError, PedigreeError, ResourceError
from breedblup.kernels import relatives
from breedblup.pedigree import Pedigree, PedigreeColumns
from breedblup.relationship.ancestry import Related, ancestry_of
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.groups import group_inverse, metafounder_inverse
from breedblup.relationship.matings import mating_inbreeding
from breedblup.relationship.on_demand import (
    a22,
    closest_relatives,
    mean_relationships,
    relationship_block,
    relationships,
)
from breedblup.relationship.partial_inbreeding import partial_inbreeding_coefficients
from breedblup.simulation import PedigreeOptions, simulate_pedigree

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)


def made(sire: np.ndarray, dam: np.ndarray) -> Pedigree:
    """A pedigree of these parents, ids a0, a1, …; its animals keep their order."""
    names = [f"a{i}" for i in range(sire.size)]
    parents = ([None if p < 0 else names[p] for p in of] for of in (sire.tolist(), dam.tolist()))
    pedigree = Pedigree.from_frame(pl.DataFrame({"id": names, **dict(zip(("sire", "dam"), parents, strict=True))},
        schema=dict.fromkeys(("id", "sire", "dam"), pl.String)))  # fmt: skip
    np.testing.assert_array_equal(pedigree.sire, sire)
    return pedigree


def a_random_one(seed: int, n: int, span: int = 15) -> tuple[Pedigree, np.ndarray, np.random.Generator]:
    """A random pedigree, its A, and the generator that made it."""
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, n, span)
    return made(sire, dam), tabular_a(sire.tolist(), dam.tolist()), rng


def some_of(pedigree: Pedigree, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """A few of its animals in any order: positions and ids."""
    chosen = rng.permutation(len(pedigree))[: rng.integers(1, len(pedigree) + 1)]
    return chosen, pedigree.ids.gather(chosen).to_list()


def sources(pedigree: Pedigree) -> list[Related]:
    """A pedigree that knows its F, one that does not, its A⁻¹, and A⁻¹ as a matrix of the user's."""
    fresh = Pedigree.from_frame(pedigree.to_frame().select("animal", "sire", "dam"))
    inverse = bb.a_inverse(pedigree)
    return [fresh, pedigree, inverse, bb.inverse_from(inverse.matrix, pedigree.ids, kind="inverse")]


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_blocks_tables_and_a22(seed: int, n: int, span: int) -> None:
    pedigree, a, rng = a_random_one(seed, n, span)
    rows, ids = some_of(pedigree, rng)
    columns, others = some_of(pedigree, rng)
    for source in sources(pedigree):
        np.testing.assert_allclose(relationship_block(source, ids, others), a[np.ix_(rows, columns)], atol=EXACT)
        dense = a22(source, pl.Series(ids))
        np.testing.assert_allclose(dense, a[np.ix_(rows, rows)], atol=EXACT)
        np.testing.assert_array_equal(dense, dense.T)
        table = relationships(source, ids, others)
        assert table["animal1"].to_list() == [name for name in ids for _ in others]
        assert table["animal2"].to_list() == others * len(ids)
        np.testing.assert_allclose(table["relationship"], a[np.ix_(rows, columns)].ravel(), atol=EXACT)
        among = relationships(source, ids)
        assert among.columns == ["animal1", "animal2", "relationship"]
        assert among.height == len(ids) * (len(ids) + 1) // 2
        np.testing.assert_allclose(among["relationship"], a[np.ix_(rows, rows)][np.triu_indices(len(ids))], atol=EXACT)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_products_with_the_inverse_of_a22(seed: int, n: int, span: int) -> None:
    pedigree, a, rng = a_random_one(seed, n, span)
    rows, ids = some_of(pedigree, rng)
    block = a[np.ix_(rows, rows)]
    vectors = rng.standard_normal((rows.size, 3))
    for source in sources(pedigree):
        inverse = a22_inverse(source, ids)
        assert inverse.ids.to_list() == ids
        np.testing.assert_allclose(inverse.multiply(vectors), block @ vectors, atol=1e-9)
        np.testing.assert_allclose(inverse.multiply_inverse(block @ vectors), vectors, atol=1e-8)
        np.testing.assert_allclose(inverse.multiply_inverse(block[:, 0]), np.eye(rows.size)[0], atol=1e-8)
        np.testing.assert_allclose(inverse.matrix @ block, np.eye(rows.size), atol=1e-8)
        np.testing.assert_allclose(inverse.diagonal, np.diag(block), atol=1e-9)
        assert inverse.logdet == pytest.approx(np.linalg.slogdet(block)[1], abs=1e-8)


def test_a22_inverse_says_what_it_is_of_and_serves_a_model() -> None:
    pedigree, _, _ = a_random_one(3, 30)
    ids = ["a29", "a17", "a4", "a25"]
    inverse = a22_inverse(pedigree, ids)
    others = len(pedigree.ancestors_of(ids)) - 4
    assert f"A from pedigree pedigree; inbreeding considered; among 4 animals, {others} others absorbed" in repr(
        inverse
    )
    assert "inbreeding ignored; among 4 animals" in repr(a22_inverse(bb.a_inverse(pedigree, inbreeding=False), ids))
    records = pl.DataFrame({"animal": ids, "y": [1.0, 3.0, 2.0, 5.0]})
    variances = bb.VarianceComponents({"animal": 1.0}, residual=2.0)
    model = bb.Model.from_formula("y ~ 1 + (1 | animal)")
    by_block = bb.evaluate(model, records, variances, relationships={"animal": inverse}).ebv
    whole = bb.evaluate(model, records, variances, relationships={"animal": pedigree}).ebv
    joined = by_block.join(whole, on="id", suffix="_whole")
    assert joined.height == 4
    np.testing.assert_allclose(joined["ebv"], joined["ebv_whole"], atol=1e-9)
    np.testing.assert_allclose(joined["pev"], joined["pev_whole"], atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_inbreeding_of_matings(seed: int, n: int, span: int) -> None:
    pedigree, a, rng = a_random_one(seed, n, span)
    sires, dams = rng.integers(0, n, (2, 25))
    frame = pl.DataFrame({"bull": pedigree.ids.gather(sires), "cow": pedigree.ids.gather(dams)})
    for source in sources(pedigree):
        for pair in (("bull", "cow"), ("cow", "bull")):
            table = mating_inbreeding(source, frame, sire=pair[0], dam=pair[1])
            assert table.columns == ["sire", "dam", "inbreeding"]
            assert table["sire"].to_list() == frame[pair[0]].to_list()
            np.testing.assert_allclose(table["inbreeding"], 0.5 * a[sires, dams], atol=EXACT)


def test_matings_come_back_in_the_library_that_they_came_in() -> None:
    pedigree = made(np.array([-1, -1, 0]), np.array([-1, -1, 1]))
    frame = pl.DataFrame({"sire": ["a0", "a2"], "dam": ["a2", "a2"]}).to_pandas()
    assert mating_inbreeding(pedigree, frame)["inbreeding"].tolist() == [0.25, 0.5]
    groups = mean_relationships(pedigree, pl.DataFrame({"id": ["a0"], "group": ["x"]}).to_pandas())
    assert groups["mean"].tolist() == [1.0]


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_closest_relatives(seed: int, n: int, span: int) -> None:
    pedigree, a, rng = a_random_one(seed, n, span)
    candidates, names = some_of(pedigree, rng)
    own = int(rng.integers(n))
    for source in sources(pedigree)[:3]:
        for among, chosen in ((None, np.arange(n)), (names, candidates)):
            table = closest_relatives(source, f"a{own}", 5, among=among)
            wanted = sorted((-a[own, j], j) for j in chosen if j != own and a[own, j] > 0)[:5]
            assert table["relationship"].to_list() == pytest.approx([-minus for minus, _ in wanted], abs=EXACT)
            found = [int(name[1:]) for name in table["animal"]]
            np.testing.assert_allclose(a[own, found], table["relationship"], atol=EXACT)
            expected = [a[own, j] / np.sqrt(a[own, own] * a[j, j]) for j in found]
            np.testing.assert_allclose(table["correlation"], expected, atol=EXACT)
            assert own not in found


def test_relatives_that_are_equally_close_come_in_the_order_of_the_pedigree() -> None:
    pedigree = made(np.array([-1, -1, 0, 0, 0]), np.array([-1, -1, 1, 1, 1]))
    assert closest_relatives(pedigree, "a3")["animal"].to_list() == ["a0", "a1", "a2", "a4"]
    assert closest_relatives(pedigree, "a3", among=["a4", "a1"])["animal"].to_list() == ["a1", "a4"]
    assert closest_relatives(pedigree, "a0", among=["a1"]).is_empty()
    with pytest.raises(ModelError, match=r"closest_relatives: n is 0 -> ask for at least one relative"):
        closest_relatives(pedigree, "a3", 0)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_mean_relationships(seed: int, n: int, span: int) -> None:
    pedigree, a, rng = a_random_one(seed, n, span)
    members = {f"g{k}": some_of(pedigree, rng)[0] for k in range(rng.integers(1, 12))}  # animals in several groups too
    frame = pl.DataFrame(
        [(f"a{i}", name) for name, of in members.items() for i in of], schema=["id", "group"], orient="row"
    )
    for source in sources(pedigree)[:3]:
        rows = list(mean_relationships(source, frame).iter_rows(named=True))
        names = list(members)
        assert [(row["group1"], row["group2"]) for row in rows] == [
            (one, other) for k, one in enumerate(names) for other in names[k:]
        ]
        for row in rows:
            one, other = members[row["group1"]], members[row["group2"]]
            assert (row["animals1"], row["animals2"]) == (one.size, other.size)
            assert row["mean"] == pytest.approx(a[np.ix_(one, other)].mean(), abs=EXACT)
            pairs = [a[i, j] for i in one for j in other if i != j]
            if pairs:
                assert row["mean_of_others"] == pytest.approx(np.mean(pairs), abs=1e-9)
            else:
                assert row["mean_of_others"] is None


def test_groups_that_cannot_be_used() -> None:
    pedigree = made(np.array([-1, -1]), np.array([-1, -1]))
    with pytest.raises(PedigreeError, match=r"groups row 1: no group is named -> name it, or remove the row"):
        mean_relationships(pedigree, pl.DataFrame({"id": ["a0", "a1"], "group": ["x", None]}))
    with pytest.raises(PedigreeError, match=r"groups rows 0, 2: 'a0' is in group 'x' more than once -> keep one row"):
        mean_relationships(pedigree, pl.DataFrame({"id": ["a0", "a1", "a0"], "group": ["x", "x", "x"]}))


# --- inbreeding by ancestors ------------------------------------------------------------------------------------------


def parts(pedigree: Pedigree, animal: int) -> dict[tuple[str, str], float]:
    """(ancestor, origin) → part of F."""
    table = partial_inbreeding_coefficients(pedigree, [f"a{animal}"])
    assert set(table["animal"]) <= {f"a{animal}"}
    assert (table["inbreeding"].diff().drop_nulls() <= 0).all()
    return {(row[1], row[2]): row[3] for row in table.iter_rows()}


ORIGINS = {-1: "itself", 0: "its unknown sire", 1: "its unknown dam"}


@pytest.mark.parametrize("seed", range(12))
def test_parts_of_founders_by_all_ways_of_handing_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, 8, 4)
    pedigree = made(sire, dam)
    for animal in range(8):
        wanted = autozygosity_by_enumeration(sire.tolist()[: animal + 1], dam.tolist()[: animal + 1], animal)
        named = {(f"a{owner}", ORIGINS[role]): value for (owner, role), value in wanted.items()}
        assert parts(pedigree, animal) == pytest.approx(named, abs=1e-14)


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_parts_of_founders_add_up_to_inbreeding(seed: int, n: int, span: int) -> None:
    pedigree, a, _ = a_random_one(seed, n, span)
    table = partial_inbreeding_coefficients(pedigree, pedigree.ids)
    added = dict(table.group_by("animal").agg(pl.col("inbreeding").sum()).iter_rows())
    np.testing.assert_allclose([added.get(name, 0.0) for name in pedigree.ids], np.diag(a) - 1, atol=1e-13)
    assert (table["inbreeding"] > 0).all()


@settings(max_examples=30, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_parts_of_any_ancestor_by_the_tabular_method(seed: int, n: int, span: int) -> None:
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, n, span)
    pedigree = made(sire, dam)
    table = partial_inbreeding_coefficients(pedigree, pedigree.ids, ancestors=pedigree.ids)
    assert set(table["origin"]) <= {"itself"}
    found = np.zeros((n, n))
    for animal, ancestor, _, value in table.iter_rows():
        found[int(animal[1:]), int(ancestor[1:])] = value
    for ancestor in range(n):
        kinship = partial_kinship(sire.tolist(), dam.tolist(), ancestor)
        wanted = [kinship[s, d] if s >= 0 and d >= 0 else 0.0 for s, d in zip(sire, dam, strict=True)]
        np.testing.assert_allclose(found[:, ancestor], wanted, atol=1e-13)


def test_an_ancestor_that_is_no_founder_counts_what_comes_together_in_it() -> None:
    """a4 is inbred by selfing of a2, a son of a0 and a1: all by a2, half by each of the founders."""
    pedigree = made(np.array([-1, -1, 0, 2]), np.array([-1, -1, 1, 2]))
    table = partial_inbreeding_coefficients(pedigree, ["a3"], ancestors=["a0", "a1", "a2", "a3"])
    assert table.rows() == [
        ("a3", "a2", "itself", 0.5),
        ("a3", "a0", "itself", 0.25),
        ("a3", "a1", "itself", 0.25),
    ]


def test_parts_are_the_same_however_many_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pedigree, _, _ = a_random_one(11, 60)
    whole = partial_inbreeding_coefficients(pedigree, pedigree.ids)
    assert whole.height > 20
    monkeypatch.setattr("breedblup.relationship.partial_inbreeding.ENTRIES_AT_ONCE", 1)
    assert partial_inbreeding_coefficients(pedigree, pedigree.ids).equals(whole)


@settings(max_examples=20, deadline=None)
@given(SEEDS, SIZES, SPANS)
def test_partial_inbreeding_kernel(seed: int, n: int, span: int) -> None:
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, n, span)
    every = np.arange(n, dtype=np.int32)
    partial = np.empty((n, n))
    relatives.partial_inbreeding(sire, dam, every, np.ones(n), every, partial)
    for ancestor in range(n):
        kinship = partial_kinship(sire.tolist(), dam.tolist(), ancestor)
        wanted = [kinship[s, d] if s >= 0 and d >= 0 else 0.0 for s, d in zip(sire, dam, strict=True)]
        np.testing.assert_allclose(partial[ancestor], wanted, atol=1e-13)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_ids_that_cannot_be_used() -> None:
    pedigree = made(np.array([-1, -1, 0]), np.array([-1, -1, 1]))
    inverse = bb.a_inverse(pedigree)
    for function in (a22, a22_inverse, relationships):
        with pytest.raises(PedigreeError, match=r"pedigree has no animal 'x' -> correct the ids, or add the animals"):
            function(pedigree, ["a0", "x"])
        with pytest.raises(
            PedigreeError, match=rf"{function.__name__}: A from pedigree pedigree has no animal 'x' -> correct the ids"
        ):
            function(inverse, ["a0", "x"])
        with pytest.raises(PedigreeError, match=r"pedigree: no ids are given -> name at least one animal"):
            function(pedigree, [])
        with pytest.raises(PedigreeError, match=rf"{function.__name__}: no ids are given -> name at least one animal"):
            function(inverse, [])
        with pytest.raises(
            PedigreeError, match=rf"{function.__name__}: 'a1' named more than once -> name each animal once"
        ):
            function(pedigree, ["a1", "a0", "a1"])
    with pytest.raises(PedigreeError, match=r"pedigree: no ids are given"):
        mating_inbreeding(pedigree, pl.DataFrame({"sire": [], "dam": []}, schema={"sire": pl.String, "dam": pl.String}))
    with pytest.raises(PedigreeError, match=r"pedigree has no animal None"):
        mating_inbreeding(pedigree, pl.DataFrame({"sire": ["a0"], "dam": [None]}))


def test_what_is_no_source() -> None:
    of_sires = Pedigree.from_frame(
        pl.DataFrame({"id": ["a"], "sire": [None], "mgs": [None]}), columns=PedigreeColumns(maternal_grandsire="mgs")
    )
    with pytest.raises(ModelError, match=r"relationships: pedigree has maternal grandsires in the place of dams"):
        relationships(of_sires, ["a"])
    with pytest.raises(ModelError, match=r"a22 takes a Pedigree, found a DataFrame"):
        a22(pl.DataFrame(), ["a"])  # type: ignore[arg-type]
    inverse = bb.sire_mgs_inverse(of_sires)
    assert relationships(inverse, ["a"])["relationship"].to_list() == [1.0]
    with pytest.raises(
        ModelError, match=r"partial_inbreeding_coefficients takes a Pedigree, found a RelationshipInverse"
    ):
        partial_inbreeding_coefficients(inverse, ["a"])  # type: ignore[arg-type]


def test_more_than_fits_is_refused() -> None:
    pedigree, _, _ = a_random_one(5, 40)
    ids = pedigree.ids
    with pytest.raises(
        ResourceError, match=r"A22 of 40 animals takes 12\.5 KiB, 1\.0 KiB may be used -> use a22_inverse, whose"
    ):
        a22(pedigree, ids, memory=1000)
    with pytest.raises(
        ResourceError, match=r"a table of 1,600 relationships takes .*iB may be used -> ask for fewer at a time"
    ):
        relationships(pedigree, ids, memory=1000)
    with pytest.raises(
        ResourceError, match=r"a block of 40 x 40 relationships takes .* -> ask for fewer animals at a time"
    ):
        relationship_block(pedigree, ids, ids, memory=1000)
    with pytest.raises(
        ResourceError, match=r"the factor of A¹¹, of 39 animals, for A22⁻¹ takes .* -> name fewer animals, or form"
    ):
        a22_inverse(bb.inverse_from(bb.a_inverse(pedigree).matrix, ids, kind="inverse"), ["a3"], memory=100)
    assert a22(pedigree, ids, memory=40 * 40 * 8).shape == (40, 40)


def test_the_entries_of_a22_inverse_are_refused_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    pedigree, _, _ = a_random_one(5, 40)
    inverse = a22_inverse(pedigree, ["a39", "a38"])
    monkeypatch.setattr("breedblup.relationship.ancestry.MEMORY_SHARE", 0.0)
    with pytest.raises(
        ResourceError, match=r"A22⁻¹ of 2 animals entry by entry takes .*iB may be used -> use its products"
    ):
        _ = inverse.matrix


def test_a_matrix_of_the_users() -> None:
    k = positive_definite(np.random.default_rng(8), 9)
    names = [f"k{i}" for i in range(9)]
    source = bb.inverse_from(k, names, kind="relationship")
    np.testing.assert_allclose(a22(source, ["k7", "k2"]), k[np.ix_([7, 2], [7, 2])], rtol=1e-12)
    table = mating_inbreeding(source, pl.DataFrame({"sire": ["k3", "k3"], "dam": ["k5", "k3"]}))
    np.testing.assert_allclose(table["inbreeding"], [0.5 * k[3, 5], 0.5 * k[3, 3]], rtol=1e-12)


def test_only_ancestors_are_visited() -> None:
    pedigree, a, _ = a_random_one(21, 60)
    named = np.array([17, 30], dtype=np.int32)
    line = pedigree.ancestors_of(["a17", "a30"])
    for source in sources(pedigree)[:3]:
        ancestry = ancestry_of(source, named)
        assert pedigree.ids.gather(ancestry.rows).to_list() == line.ids.to_list()
        np.testing.assert_allclose(ancestry.diagonal, np.diag(a)[ancestry.rows], atol=EXACT)
        block = a[np.ix_(ancestry.rows, ancestry.rows)]
        assert ancestry.logdet == pytest.approx(np.linalg.slogdet(block)[1], abs=1e-9)
    assert "inbreeding" not in vars(sources(pedigree)[0])
    assert ancestry_of(sources(pedigree)[3], named).rows.size == 60


@pytest.mark.parametrize("n", [1, 5])
def test_founders_alone(n: int) -> None:
    unknown = np.full(n, -1, dtype=np.int32)
    pedigree = made(unknown, unknown)
    np.testing.assert_array_equal(a22(pedigree, pedigree.ids), np.eye(n))
    inverse = a22_inverse(pedigree, pedigree.ids)
    np.testing.assert_array_equal(inverse.matrix.toarray(), np.eye(n))
    assert inverse.logdet == 0.0
    assert closest_relatives(pedigree, "a0").is_empty()
    assert partial_inbreeding_coefficients(pedigree, pedigree.ids).is_empty()
    assert partial_inbreeding_coefficients(pedigree, ["a0"]).columns == ["animal", "ancestor", "origin", "inbreeding"]


def test_metafounders() -> None:
    """Relationships of A^Γ among animals and metafounders, and the inverse of a block of it."""
    frame = pl.DataFrame(
        {"id": ["a", "b", "c", "d"], "sire": ["g", "h", "a", "c"], "dam": ["h", "h", "b", "b"]},
    )
    pedigree = Pedigree.from_frame(frame, groups=["g", "h"])
    source = metafounder_inverse(pedigree, [[0.5, 0.1], [0.1, 0.4]])
    whole = source.multiply(np.eye(6))
    table = relationships(source, ["a", "g"], ["d", "h"])
    np.testing.assert_allclose(table["relationship"], whole[np.ix_([0, 4], [3, 5])].ravel(), atol=EXACT)
    np.testing.assert_allclose(whole[0, 4], 0.5 * (0.5 + 0.1), atol=EXACT)
    matings = mating_inbreeding(source, pl.DataFrame({"sire": ["a"], "dam": ["d"]}))
    assert matings["inbreeding"].to_list() == pytest.approx([0.5 * whole[0, 3]], abs=EXACT)
    inverse = a22_inverse(source, ["d", "a"])
    block = whole[np.ix_([3, 0], [3, 0])]
    np.testing.assert_allclose(inverse.multiply_inverse(block), np.eye(2), atol=EXACT)
    assert inverse.logdet == pytest.approx(np.linalg.slogdet(block)[1], abs=EXACT)
    with pytest.raises(
        ModelError,
        match="a22_inverse: A from pedigree pedigree has fixed groups, whose variance is no relationship -> give the",
    ):
        a22_inverse(group_inverse(pedigree), ["d"])
    assert relationships(pedigree, ["a"], ["b", "d"])["relationship"].to_list() == [
        0.0,
        0.25,
    ]  # A, its groups left aside


def test_twins_are_the_animal_whose_genotype_they_share() -> None:
    frame = pl.DataFrame(
        {"id": ["a", "t", "b"], "sire": [None, None, "a"], "dam": [None] * 3, "twin_of": [None, "a", None]}
    )
    pedigree = Pedigree.from_frame(frame)
    table = relationships(pedigree, ["t"], ["b", "a"])
    assert table.rows() == [("t", "b", 0.5), ("t", "a", 1.0)]
    with pytest.raises(PedigreeError, match=r"a22: 'a' named more than once -> name each animal once"):
        a22(pedigree, ["a", "t"])


def test_simulated_population() -> None:
    """Overlapping generations, ids of text, parents in any row: columns of A agree with products of the whole A."""
    pedigree = bb.read_pedigree(simulate_pedigree(PedigreeOptions(animals=3000, years=15)).to_frame())
    inverse = bb.a_inverse(pedigree)
    chosen = np.random.default_rng(2).permutation(3000)[:30]
    unit = np.zeros((3000, 30))
    unit[chosen, np.arange(30)] = 1.0
    wanted = inverse.multiply(unit)[chosen]
    np.testing.assert_allclose(a22(pedigree, pedigree.ids.gather(chosen)), wanted, atol=1e-13)
    table = partial_inbreeding_coefficients(pedigree, pedigree.ids.gather(chosen))
    added = dict(table.group_by("animal").agg(pl.col("inbreeding").sum()).iter_rows())
    f = pedigree.inbreeding[chosen]
    assert (f > 0).sum() > 5
    np.testing.assert_allclose([added.get(name, 0.0) for name in pedigree.ids.gather(chosen)], f, atol=1e-13)


def test_kernels_are_the_same_as_plain_python() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "kernel and not plain_python",
        __file__,
    ]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
