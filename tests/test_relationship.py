"""Relationship inverses: published matrices, products, matrices of the user's."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from conftest import EXACT, REFS, expected
from reference import a_ignoring_inbreeding, positive_definite

import breedblup as bb

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
