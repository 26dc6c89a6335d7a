"""Relationship inverses: published matrices, products, sires and maternal grandsires, dominance, matrices of the user's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from conftest import EXACT, REFS, expected
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    a_ignoring_inbreeding,
    dominance_by_definition,
    positive_definite,
    random_pedigree,
    sire_mgs_ignoring_inbreeding,
    tabular_a,
    tabular_sire_mgs,
)

import breedblup as bb
from breedblup.relationship import RelationshipInverse, dominance, dominance_inverse, sire_mgs_inverse
from breedblup.simulation import PedigreeOptions, simulate_pedigree
from breedblup.solvers.dense import invert_dense

PUBLISHED = ["ped_mrode2", "ped_fernando_grossman90", "ped_stress40"]


def in_file_order(pedigree: bb.Pedigree, matrix: np.ndarray) -> np.ndarray:
    order = pedigree.user_order
    return matrix[np.ix_(order, order)]


@pytest.mark.parametrize("case", PUBLISHED)
def test_published_pedigrees(case: str) -> None:
    wanted = expected(case)["expected"]
    tolerance = expected(case)["tolerance"]["abs"]
    pedigree = bb.read_pedigree(REFS / case / "pedigree.csv")
    inverse = bb.a_inverse(pedigree)
    n = len(pedigree)
    np.testing.assert_allclose(
        in_file_order(pedigree, inverse.matrix.toarray()), wanted["A_inverse"], rtol=1e-10, atol=tolerance
    )
    np.testing.assert_allclose(in_file_order(pedigree, inverse.multiply(np.eye(n))), wanted["A"], atol=tolerance)
    np.testing.assert_allclose(
        inverse.multiply_inverse(np.eye(n)), inverse.matrix.toarray(), rtol=1e-10, atol=tolerance
    )
    assert inverse.logdet == pytest.approx(wanted["logdet_A"], abs=1e-9)
    inbreeding = dict(zip(pedigree.ids, bb.inbreeding_coefficients(pedigree).tolist(), strict=True))
    assert inbreeding == pytest.approx(wanted["inbreeding"], abs=tolerance)
    np.testing.assert_allclose(inverse.diagonal, 1 + bb.inbreeding_coefficients(pedigree), atol=EXACT)
    sampling = dict(zip(pedigree.ids, inverse.operator.variance.tolist(), strict=True))  # type: ignore[attr-defined]
    assert sampling == pytest.approx(wanted["mendelian_variance"], abs=tolerance)


def test_mrode_ignoring_inbreeding() -> None:
    wanted = expected("ped_mrode2")["expected"]["A_inverse_ignoring_inbreeding"]
    pedigree = bb.read_pedigree(REFS / "ped_mrode2" / "pedigree.csv")
    inverse = bb.a_inverse(pedigree, inbreeding=False)
    np.testing.assert_allclose(in_file_order(pedigree, inverse.matrix.toarray()), wanted, atol=1e-10)
    k = a_ignoring_inbreeding(pedigree.sire.tolist(), pedigree.dam.tolist())
    np.testing.assert_allclose(inverse.diagonal, np.diag(k), atol=EXACT)
    assert inverse.logdet == pytest.approx(np.linalg.slogdet(k)[1], abs=EXACT)
    assert "inbreeding ignored" in repr(inverse)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_matrix_of_the_users(sparse: bool) -> None:
    k = positive_definite(np.random.default_rng(5), 7)
    ids = [f"a{i}" for i in range(7)]
    convert = scipy.sparse.csc_array if sparse else np.asarray
    from_k = bb.inverse_from(convert(k), ids, kind="relationship")
    from_inverse = bb.inverse_from(convert(np.linalg.inv(k)), pl.Series(ids), kind="inverse")
    v = np.random.default_rng(6).standard_normal((7, 2))
    for made in (from_k, from_inverse):
        np.testing.assert_allclose(made.diagonal, np.diag(k), rtol=1e-9)
        np.testing.assert_allclose(made.multiply(v), k @ v, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(made.multiply(v[:, 0]), k @ v[:, 0], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(made.multiply_inverse(v), np.linalg.solve(k, v), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(made.matrix.toarray() @ k, np.eye(7), atol=1e-8)
        assert made.logdet == pytest.approx(np.linalg.slogdet(k)[1], rel=1e-9)


BAD = np.array([[1.0, 2.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    ("matrix", "ids", "kind", "error", "message"),
    [
        (np.eye(3), ["a", "b"], "relationship", bb.ModelError, "a relationship matrix of 3 x 3 and 2 ids do not fit"),
        (np.eye(2), ["a", "a"], "relationship", bb.ModelError, "ids of a relationship matrix have to differ; repeated: 'a'"),
        (np.full((1, 1), np.nan), ["a"], "relationship", bb.ModelError, "entries that are not finite"),
        (np.array([[1.0, 0.5], [0.2, 1]]), ["a", "b"], "inverse", bb.ModelError, "symmetric, but 'a', 'b' is 0.5 one way and 0.2"),
        (BAD, ["a", "b"], "relationship", bb.NotPositiveDefinite, "relationship matrix is not positive definite, noticed at 'b'"),
        (BAD, ["a", "b"], "inverse", bb.NotPositiveDefinite, "the inverse relationship matrix is not positive definite"),
        (np.eye(1), ["a"], "both", bb.ModelError, "kind is 'both'; it can be 'relationship'"),
    ],
)  # fmt: skip
def test_matrices_refused(matrix: np.ndarray, ids: list[str], kind: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bb.inverse_from(matrix, ids, kind=kind)  # type: ignore[arg-type]


def test_too_large_to_invert() -> None:
    n = 20_001
    with pytest.raises(bb.ResourceError, match="a relationship matrix of 20,001 rows cannot be inverted here"):
        bb.inverse_from(scipy.sparse.eye_array(n), [str(i) for i in range(n)], kind="relationship")


def test_arrays_are_read_only() -> None:
    inverse = bb.a_inverse(bb.read_pedigree(REFS / "ped_mrode2" / "pedigree.csv"))
    with pytest.raises(ValueError, match="read-only"):
        inverse.diagonal[0] = 2.0
    with pytest.raises(ValueError, match="read-only"):
        inverse.pedigree.sire[0] = 2  # type: ignore[union-attr]


def test_singular_matrices_are_refused() -> None:
    for seed in range(20):
        root = np.random.default_rng(seed).standard_normal((6, 4))
        with pytest.raises(bb.NotPositiveDefinite, match="the relationship matrix is not positive definite"):
            bb.inverse_from(root @ root.T, list("abcdef"), kind="relationship")


# --- pruning, sires and maternal grandsires ---------------------------------------------------------------------------

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)
SIRE_COLUMNS = bb.PedigreeColumns(id="sire", sire="sire_of_sire", maternal_grandsire="mgs")


def coded(sire: np.ndarray, dam: np.ndarray) -> bb.Pedigree:
    """Animals a0, a1, … with these parents, in a shuffled file."""
    names = np.array([f"a{i}" for i in range(sire.size)] + [None], dtype=object)
    frame = pl.DataFrame(
        {"animal": names[:-1].tolist(), "sire": names[sire].tolist(), "dam": names[dam].tolist()},
        schema=dict.fromkeys(("animal", "sire", "dam"), pl.String),
    )
    return bb.Pedigree.from_frame(frame.sample(fraction=1.0, shuffle=True, seed=1))


def random_one(seed: int, n: int, span: int) -> bb.Pedigree:
    return coded(*random_pedigree(np.random.default_rng(seed), n, span))


def assert_acts_as(inverse: RelationshipInverse, k: np.ndarray) -> None:
    n = len(k)
    vectors = np.random.default_rng(n).standard_normal((n, 2))
    np.testing.assert_allclose(inverse.multiply(vectors), k @ vectors, atol=1e-10)
    np.testing.assert_allclose(inverse.multiply_inverse(inverse.multiply(vectors)), vectors, atol=1e-8)
    matrix = inverse.matrix
    np.testing.assert_allclose(matrix.toarray() @ k, np.eye(n), atol=1e-8)
    np.testing.assert_allclose(matrix.toarray(), matrix.toarray().T, rtol=1e-12, atol=1e-12)
    rows = np.repeat(np.arange(n), np.diff(matrix.indptr))
    assert (np.diff(rows * n + matrix.indices) > 0).all(), "columns ascend, none stands twice"
    np.testing.assert_allclose(inverse.diagonal, np.diag(k), atol=1e-12)
    assert inverse.logdet == pytest.approx(np.linalg.slogdet(k)[1], abs=1e-8)


def test_parents_and_inbreeding_of_a() -> None:
    pedigree = random_one(3, 30, 6)
    for considered in (True, False):
        inverse = bb.a_inverse(pedigree, inbreeding=considered)
        assert [share for _, share in inverse.parents] == [0.5, 0.5]
        np.testing.assert_array_equal(inverse.parents[0][0], pedigree.sire)
        np.testing.assert_array_equal(inverse.parents[1][0], pedigree.dam)
        np.testing.assert_array_equal(inverse.inbreeding, pedigree.inbreeding)
    given_matrix = bb.inverse_from(np.eye(2), ["a", "b"], kind="relationship")
    assert given_matrix.parents == ()
    assert given_matrix.inbreeding is None


@settings(max_examples=60)
@given(SEEDS, SIZES, SPANS, st.integers(1, 5))
def test_ancestors_keep_their_relationships(seed: int, n: int, span: int, chosen: int) -> None:
    pedigree = random_one(seed, n, span)
    ids = pedigree.ids.sample(min(n, chosen), seed=seed % 2**31)
    pruned = pedigree.ancestors_of(ids)
    rows = pedigree.positions_of(pruned.ids)
    assert (np.diff(rows) > 0).all(), "the order stays"
    whole = tabular_a(pedigree.sire.tolist(), pedigree.dam.tolist())
    np.testing.assert_allclose(
        tabular_a(pruned.sire.tolist(), pruned.dam.tolist()), whole[np.ix_(rows, rows)], atol=EXACT
    )
    in_file = pedigree.ids.gather(pedigree.user_order)
    assert (
        pruned.ids.gather(pruned.user_order).to_list() == in_file.filter(in_file.is_in(pruned.ids.implode())).to_list()
    )
    needed = set(ids)
    for name, sire, dam in reversed(list(zip(pedigree.ids, pedigree.sire, pedigree.dam, strict=True))):
        if name in needed:
            needed |= {pedigree.ids[int(parent)] for parent in (sire, dam) if parent >= 0}
    assert set(pruned.ids) == needed
    assert pruned.report.animals == len(pruned)
    assert pruned.report.founders == sum(s < 0 and d < 0 for s, d in zip(pruned.sire, pruned.dam, strict=True))


def test_pruning_takes_sex_and_birth_along() -> None:
    frame = pl.DataFrame(
        {
            "animal": ["calf", "cow", "bull", "other"],
            "sire": ["bull", None, None, "bull"],
            "dam": ["cow", None, None, None],
            "sex": ["F", "F", "M", "M"],
            "birth": ["2020", "2017", "2016", "2021"],
        }
    )
    pruned = bb.Pedigree.from_frame(frame).ancestors_of(["calf"])
    assert dict(zip(pruned.ids, pruned.sex.tolist(), strict=True)) == {"bull": 1, "cow": 2, "calf": 2}  # type: ignore[union-attr]
    assert dict(zip(pruned.ids, pruned.birth, strict=True)) == {"bull": 2016, "cow": 2017, "calf": 2020}  # type: ignore[arg-type]
    assert pruned.ids.gather(pruned.user_order).to_list() == ["calf", "cow", "bull"]
    assert pruned.name == "pedigree (1 animal and their ancestors)"
    numbered = bb.Pedigree.from_frame(pl.DataFrame({"animal": [1, 2], "sire": [0, 1], "dam": [0, 0]}))
    assert numbered.ancestors_of(pl.Series([1])).ids.to_list() == ["1"]


def test_pruning_refuses() -> None:
    pedigree = random_one(1, 5, 3)
    with pytest.raises(bb.PedigreeError, match="pedigree has no animal 'x', 'y' -> correct the ids, or add"):
        pedigree.ancestors_of(pl.Series(["a1", "x", "y", "x"]))
    with pytest.raises(bb.PedigreeError, match="pedigree: no ids are given -> name at least one animal"):
        pedigree.ancestors_of([])
    with pytest.raises(bb.PedigreeError, match="has no animal 'x'"):
        pedigree.male_ancestors_of(["x"])
    with pytest.raises(bb.PedigreeError, match="has no animal 'x'"):
        dominance_inverse(pedigree, ["x"])


def test_a_large_pedigree_pruned() -> None:
    simulated = simulate_pedigree(PedigreeOptions(animals=100_000, seed=4))
    pedigree = bb.Pedigree.from_frame(simulated.to_frame())
    sires = pedigree.ids.gather(np.unique(pedigree.sire[pedigree.sire >= 0])[-300:])
    pruned = pedigree.ancestors_of(sires)
    assert 300 < len(pruned) < len(pedigree) / 2
    rows = pedigree.positions_of(pruned.ids)
    np.testing.assert_allclose(pruned.inbreeding, pedigree.inbreeding[rows], atol=1e-14)
    own = pruned.positions_of(sires[:20])
    units, whole_units = np.zeros((len(pruned), 20)), np.zeros((len(pedigree), 20))
    units[own, np.arange(20)] = whole_units[rows[own], np.arange(20)] = 1.0
    columns = bb.a_inverse(pruned).multiply(units)
    np.testing.assert_allclose(columns, bb.a_inverse(pedigree).multiply(whole_units)[rows], atol=1e-13)
    lines = pedigree.male_ancestors_of(sires)
    inverse = sire_mgs_inverse(lines)
    v = np.random.default_rng(1).standard_normal(len(lines))
    np.testing.assert_allclose(inverse.multiply_inverse(inverse.multiply(v)), v, atol=1e-10)


@settings(max_examples=60)
@given(SEEDS, SIZES, SPANS)
def test_sires_and_maternal_grandsires(seed: int, n: int, span: int) -> None:
    pedigree = dataclasses.replace(random_one(seed, n, span), of_sires=True)
    sire, grandsire = pedigree.sire.tolist(), pedigree.dam.tolist()
    considered, ignored = sire_mgs_inverse(pedigree), sire_mgs_inverse(pedigree, inbreeding=False)
    k = tabular_sire_mgs(sire, grandsire)
    assert_acts_as(considered, k)
    assert_acts_as(ignored, sire_mgs_ignoring_inbreeding(sire, grandsire))
    for inverse in (considered, ignored):
        np.testing.assert_allclose(inverse.inbreeding, np.diag(k) - 1.0, atol=1e-14)
        assert [share for _, share in inverse.parents] == [0.5, 0.25]
        np.testing.assert_array_equal(inverse.parents[0][0], pedigree.sire)
        np.testing.assert_array_equal(inverse.parents[1][0], pedigree.dam)
        assert inverse.pedigree is pedigree
    assert "inbreeding considered" in repr(considered)
    assert "inbreeding ignored" in repr(ignored)


@settings(max_examples=30)
@given(SEEDS, SIZES, SPANS)
def test_the_order_of_the_file_changes_nothing(seed: int, n: int, span: int) -> None:
    pedigree = random_one(seed, n, span)
    rows = pedigree.to_frame().drop("inbreeding").sample(fraction=1.0, shuffle=True, seed=seed % 2**31)
    shuffled = bb.Pedigree.from_frame(rows)
    at = shuffled.positions_of(pedigree.ids)
    of_sires = [dataclasses.replace(one, of_sires=True) for one in (pedigree, shuffled)]
    for made, pair in ((sire_mgs_inverse, of_sires), (bb.a_inverse, [pedigree, shuffled])):
        first, second = (made(one).matrix.toarray() for one in pair)
        np.testing.assert_allclose(second[np.ix_(at, at)], first, atol=1e-9)


def test_published_sires_and_maternal_grandsires() -> None:
    case = "mrode_threshold_linear"
    pedigree = bb.read_pedigree(REFS / case / "pedigree.csv", columns=SIRE_COLUMNS)
    assert not pedigree.report.warnings
    assert pedigree.to_frame().columns == ["animal", "sire", "maternal_grandsire"]
    assert "sires 3, maternal grandsires 3" in str(pedigree)
    assert "inbreeding" not in str(pedigree)
    inverse = sire_mgs_inverse(pedigree)
    k = in_file_order(pedigree, inverse.multiply(np.eye(len(pedigree))))
    np.testing.assert_allclose(k, expected(case)["expected"]["A_smgs"], atol=EXACT)


def test_male_ancestors_from_a_full_pedigree() -> None:
    pedigree = bb.read_pedigree(REFS / "ped_mrode2" / "pedigree.csv")
    sires = pedigree.male_ancestors_of(["5", "4"])
    assert sires.ids.to_list() == ["1", "4", "5"]
    assert (sires.sire.tolist(), sires.dam.tolist()) == ([-1, 0, 1], [-1, -1, 0])
    inverse = sire_mgs_inverse(sires)
    wanted = expected("ped_mrode2")["expected"]["A_sire_mgs_sires_1_4_5"]
    np.testing.assert_allclose(inverse.multiply(np.eye(3)), wanted, atol=EXACT)
    assert "by sires and maternal grandsires (2 animals and their ancestors)" in repr(inverse)


def test_dams_are_no_maternal_grandsires() -> None:
    frame = pl.DataFrame(
        {"animal": ["b", "c", "x"], "sire": [None, None, "b"], "dam": [None, None, "c"], "sex": list("MFM")}
    )
    for table in (frame, frame.drop("sex")):
        pedigree = bb.Pedigree.from_frame(table)
        with pytest.raises(
            bb.ModelError, match="sire_mgs_inverse: pedigree has dams, not maternal grandsires -> derive them"
        ):
            sire_mgs_inverse(pedigree)
        of_sires = pedigree.male_ancestors_of(["x"])
        assert len(sire_mgs_inverse(of_sires)) == 2
        assert of_sires.male_ancestors_of(["x"]).to_frame().equals(of_sires.to_frame())
        with pytest.raises(
            bb.PedigreeError, match="has maternal grandsires in the place of dams, and so no A -> the F"
        ):
            bb.inbreeding_coefficients(of_sires)
        for function in (bb.a_inverse, dominance_inverse):
            with pytest.raises(
                bb.ModelError, match=f"{function.__name__}: .* has maternal grandsires in the place of dams ->"
            ):
                function(of_sires)
    columns = bb.PedigreeColumns(maternal_grandsire="dam")
    with pytest.raises(
        bb.PedigreeError,
        match="pedigree: 'c' recorded as female in the place of a maternal grandsire -> correct the sex",
    ):
        sire_mgs_inverse(bb.Pedigree.from_frame(frame, columns=columns))
    both = bb.PedigreeColumns(dam="dam", maternal_grandsire="dam")
    with pytest.raises(
        bb.PedigreeError, match="dam 'dam' and maternal grandsire 'dam' are both named -> name one of them"
    ):
        bb.Pedigree.from_frame(frame, columns=both)


# --- dominance --------------------------------------------------------------------------------------------------------


def outbred(seed: int, n: int) -> bb.Pedigree:
    """Founders, then animals of unrelated-enough parents: sires and dams alternate, families of up to three."""
    rng = np.random.default_rng(seed)
    sire, dam = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    for i in range(min(12, n), n, 3):
        s, d = rng.choice(i, 2, replace=False)
        sire[i : i + 3], dam[i : i + 3] = (s, d) if rng.random() < 0.5 else (d, s)
        if rng.random() < 0.1:
            dam[i] = -1
    return coded(sire, dam)


def in_its_order(pedigree: bb.Pedigree, ids: pl.Series) -> np.ndarray:
    at = pedigree.positions_of(ids)
    return dominance_by_definition(pedigree.sire.tolist(), pedigree.dam.tolist())[np.ix_(at, at)]


@settings(max_examples=40)
@given(SEEDS, SIZES)
def test_dominance(seed: int, n: int) -> None:
    pedigree = outbred(seed, n)
    inverse = dominance_inverse(pedigree)
    assert inverse.ids.to_list() == pedigree.ids.gather(pedigree.user_order).to_list()
    assert_acts_as(inverse, in_its_order(pedigree, inverse.ids))
    chosen = pedigree.ids.sample(max(1, n // 2), seed=seed % 2**31)
    part = dominance_inverse(pedigree, chosen)
    assert part.ids.to_list() == chosen.to_list()
    assert_acts_as(part, in_its_order(pedigree, chosen))


@pytest.mark.parametrize("bytes_held", [1, 2**28])
def test_dominance_in_narrow_blocks(bytes_held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dominance, "BLOCK_BYTES", bytes_held)
    pedigree = outbred(5, 60)
    inverse = dominance_inverse(pedigree)
    assert_acts_as(inverse, in_its_order(pedigree, inverse.ids))


def test_published_dominance() -> None:
    pedigree = bb.read_pedigree(REFS / "mrode_dominance" / "pedigree.csv")
    inverse = dominance_inverse(pedigree)
    assert inverse.ids.to_list() == [str(i) for i in range(1, 13)]
    np.testing.assert_allclose(inverse.multiply(np.eye(12)), expected("mrode_dominance")["expected"]["D"], atol=EXACT)
    assert "no correction for that of the animals (1 on the diagonal)" in repr(inverse)
    assert (inverse.parents, inverse.pedigree) == ((), None)


def test_parts_that_are_not_related_stay_apart() -> None:
    families = 2_000
    sire = np.full(6 * families, -1, dtype=np.int32)
    dam = sire.copy()
    sire[2 * families :], dam[2 * families :] = np.repeat(np.arange(2 * families).reshape(-1, 2), 4, axis=0).T
    inverse = dominance_inverse(coded(sire, dam))
    assert inverse.matrix.nnz == 2 * families + 16 * families
    block = np.full((4, 4), 0.25) + 0.75 * np.eye(4)  # full sibs share a quarter
    assert inverse.logdet == pytest.approx(families * np.linalg.slogdet(block)[1], rel=1e-10)


def inbred_lines(generations: int) -> bb.Pedigree:
    """Two lines by selfing, four crosses between them."""
    n = 2 * generations
    own = np.arange(n - 2)
    sire = np.concatenate([[-1, -1], own, np.full(4, n - 2)]).astype(np.int32)
    dam = np.concatenate([[-1, -1], own, np.full(4, n - 1)]).astype(np.int32)
    return coded(sire, dam)


def selfed_line() -> bb.Pedigree:
    """Selfing down to F = 3/4, then two sibs: their relationship in the formula is ½ (7/4)²."""
    parent = np.array([-1, 0, 1, 2, 2], dtype=np.int32)
    return coded(parent, parent)


@pytest.mark.parametrize("pedigree", [inbred_lines(48), selfed_line()], ids=["crosses", "selfed"])
def test_too_much_inbreeding_is_refused(pedigree: bb.Pedigree) -> None:
    message = "the dominance relationships from pedigree pedigree are not positive definite, noticed at 'a.*: full sibs of inbred"
    with pytest.raises(bb.NotPositiveDefinite, match=message) as raised:
        dominance_inverse(pedigree)
    assert f"noticed at {pedigree.ids.gather(pedigree.user_order)[raised.value.equation]!r}" in str(raised.value)


def test_some_inbreeding_is_not() -> None:
    inverse = dominance_inverse(inbred_lines(2))
    assert_acts_as(inverse, in_its_order(inbred_lines(2), inverse.ids))


def test_dominance_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    pedigree = outbred(2, 40)
    with pytest.raises(bb.ModelError, match="ids of a relationship matrix have to differ; repeated: 'a3'"):
        dominance_inverse(pedigree, ["a3", "a4", "a3"])
    stored = dominance_inverse(pedigree).matrix.nnz
    monkeypatch.setattr(dominance, "ENTRIES_LIMIT", stored)
    assert dominance_inverse(pedigree).matrix.nnz == stored
    for limit in (stored - 1, 10):
        monkeypatch.setattr(dominance, "ENTRIES_LIMIT", limit)
        with pytest.raises(
            bb.ResourceError, match=f"from pedigree pedigree would fill more than {limit:,} entries -> name the animals"
        ):
            dominance_inverse(pedigree)
    monkeypatch.setattr(dominance, "PAIRS_LIMIT", 3)
    with pytest.raises(
        bb.ResourceError, match=r"among \d+ pairs of parents of pedigree are too many \(limit 3\) -> name the animals"
    ):
        dominance_inverse(pedigree)


@pytest.mark.parametrize("function", [bb.a_inverse, bb.sire_mgs_inverse, bb.dominance_inverse])
def test_what_is_no_pedigree_is_refused(function: Any) -> None:
    with pytest.raises(
        bb.ModelError, match=rf"{function.__name__} takes a Pedigree, found a str -> read it with read_pedigree"
    ):
        function("pedigree.csv")


def test_a_dense_matrix_is_refused_by_the_row_that_fails() -> None:
    with pytest.raises(bb.NotPositiveDefinite, match="row 1 has a non-positive pivot") as indefinite:
        invert_dense(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert indefinite.value.equation == 1
    with pytest.raises(bb.NotPositiveDefinite, match="the pivot of row 2 is rounding"):
        invert_dense(np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0 + 1e-15]]))


def test_animals_without_mendelian_variance_are_named() -> None:
    """After some fifty generations of selfing an animal repeats its parent, and A is singular."""
    ids = [f"a{i}" for i in range(66)]
    lines = bb.read_pedigree(pl.DataFrame({"animal": ids, "sire": [None, *ids[:-1]], "dam": [None, *ids[:-1]]}))
    with pytest.raises(bb.NotPositiveDefinite, match=r"A is singular, 'a\d\d' has no Mendelian sampling variance, its"):
        bb.a_inverse(lines)
    assert np.isfinite(bb.a_inverse(lines.ancestors_of(["a40"])).logdet)
