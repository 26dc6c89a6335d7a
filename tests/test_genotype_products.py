"""Products on packed genotypes are those of the expanded, centred and scaled calls."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import pytest
from conftest import EXACT
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import centred_by_definition, codes_by_definition

from breedblup.genotypes import CentredGenotypes, Genotypes, cross_products
from breedblup.kernels.genotypes import animal_code_counts, code_counts

SINGLE = 1e-5
"""Of float32, relative to the largest."""

Calls = NDArray[np.int8]


def drawn(animals: int, markers: int, missing: float, seed: int = 1) -> Calls:
    """Calls of markers with frequencies of their own; some missing."""
    rng = np.random.default_rng(seed)
    calls = rng.binomial(2, rng.uniform(0.1, 0.9, markers), (animals, markers))
    return np.where(rng.random(calls.shape) < missing, -1, calls).astype(np.int8)


def named(calls: Calls) -> Genotypes:
    return Genotypes.from_calls(calls, [f"a{i}" for i in range(len(calls))])


def centred(genotypes: Genotypes, *, equal: bool = False, seed: int = 2) -> CentredGenotypes:
    """Centres and scales of no meaning, so that none can be mistaken for another."""
    rng = np.random.default_rng(seed)
    m = genotypes.shape[1]
    return CentredGenotypes(genotypes, rng.uniform(0.2, 1.8, m), np.full(m, 0.3) if equal else rng.uniform(0.1, 2.0, m))


def expanded(z: CentredGenotypes) -> NDArray[np.float64]:
    return centred_by_definition(z.genotypes.calls(), z.centre, z.scale)


def assert_products_agree(z: CentredGenotypes) -> None:
    """Products with 1, 2 and 7 vectors, in both types, and with none."""
    dense, rng = expanded(z), np.random.default_rng(3)
    for columns in ((), (2,), (7,), (0,)):
        v, w = (rng.standard_normal((size, *columns)) for size in dense.shape[::-1])
        for block, product, wanted in ((v, z.multiply, dense @ v), (w, z.multiply_transposed, dense.T @ w)):
            scale = np.abs(wanted).max(initial=1.0)
            found, less = product(block), product(block.astype(np.float32))
            assert found.dtype == np.float64
            assert less.dtype == np.float32
            assert found.shape == less.shape == wanted.shape
            assert_allclose(found / scale, wanted / scale, atol=EXACT)
            assert_allclose(less / scale, wanted / scale, atol=SINGLE)


@pytest.mark.parametrize("missing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("animals", "markers"), [(1, 1), (4, 3), (7, 300), (261, 18), (9000, 5)])
def test_products_with_vectors(animals: int, markers: int, missing: float) -> None:
    assert_products_agree(centred(named(drawn(animals, markers, missing))))


@pytest.mark.parametrize("some", [295, 150, 30, 1, 0])
def test_products_of_some_animals_and_markers(some: int) -> None:
    whole = named(drawn(301, 40, 0.05))
    order = np.random.default_rng(4).permutation(301)[:some]
    part = whole.of_animals(whole.ids.gather(order)).at_markers(np.array([33, 2, 17, 4, 39]))
    assert_array_equal(part.calls(), whole.calls()[order][:, [33, 2, 17, 4, 39]])
    assert_products_agree(centred(part))


def test_products_of_a_store_on_disk(tmp_path: Path) -> None:
    inside = named(drawn(13, 9, 0.1))
    (tmp_path / "x.bed").write_bytes(b"abc" + inside.packed.tobytes())
    packed = np.memmap(tmp_path / "x.bed", dtype=np.uint8, mode="r", offset=3, shape=inside.packed.shape)
    outside = Genotypes.from_store(inside.ids, inside.markers, packed)
    assert outside.location != inside.location
    assert_products_agree(centred(outside))
    assert_array_equal(centred(outside).cross_product(), centred(inside).cross_product())


def test_an_animal_that_stands_twice_counts_twice() -> None:
    whole = named(drawn(30, 12, 0.05))
    places = np.array([3, 29, 3, 0], dtype=np.int32)
    z = centred(replace(whole, ids=whole.ids.gather([3, 29, 3, 0]), places=places))
    assert_products_agree(z)
    assert_allclose(z.cross_product(), expanded(z) @ expanded(z).T, rtol=EXACT, atol=EXACT)


def test_bits_do_not_depend_on_threads() -> None:
    z = centred(named(drawn(5000, 300, 0.01)))
    v, w = (np.random.default_rng(5).standard_normal((size, 7)) for size in (300, 5000))
    before = numba.get_num_threads()
    found = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            found.append((z.multiply(v[:, 0]), z.multiply_transposed(w[:, 0]), z.multiply(v), z.multiply_transposed(w)))
    finally:
        numba.set_num_threads(before)
    for one, other in zip(found[0], found[-1], strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("missing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("equal", [True, False])
def test_cross_products(missing: float, equal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_products, "TILE", 16)
    monkeypatch.setattr(cross_products, "MOST", 32)
    monkeypatch.setattr(cross_products, "FEWEST", 32)
    z = centred(named(drawn(53, 90, missing)), equal=equal)
    dense = expanded(z)
    exact = equal and missing == 0.0
    assert z.precision == (cross_products.EXACT if exact else cross_products.DOUBLE).text
    whole = z.cross_product()
    assert_allclose(whole, dense @ dense.T, rtol=EXACT, atol=EXACT)
    assert_array_equal(whole, whole.T)
    rows, columns = np.array([5, 0, 52, 17], dtype=np.int32), np.array([17, 3], dtype=np.int32)
    assert_allclose(z.cross_block(rows, columns), dense[rows] @ dense[columns].T, rtol=EXACT, atol=EXACT)
    assert_allclose(z.squared_lengths(), (dense**2).sum(axis=1), rtol=EXACT)


def test_whole_numbers_lose_nothing_to_float32() -> None:
    calls = drawn(6, 3000, 0.0)
    z = centred(named(calls), equal=True)
    assert z.precision == cross_products.EXACT.text
    numbers = [[(Fraction(int(x)) - Fraction(c)) for x, c in zip(row, z.centre, strict=True)] for row in calls]
    wanted = [[float(sum(a * b for a, b in zip(p, q, strict=True))) * 0.3**2 for q in numbers] for p in numbers]
    assert_allclose(z.cross_product(), wanted, rtol=1e-13, atol=1e-12)


def test_large_cross_products_are_in_float32_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_products, "SMALL", 0.0)
    z = centred(named(drawn(40, 600, 0.02)))
    assert z.precision == cross_products.SINGLE.text
    assert "float32" in z.precision
    wanted = expanded(z) @ expanded(z).T
    error = np.abs(z.cross_product() - wanted).max() / wanted.diagonal().mean()
    assert 0.0 < error < 1e-6


def test_columns_are_expanded_for_all_or_some_animals() -> None:
    z = centred(named(drawn(21, 300, 0.1)))
    dense = expanded(z)
    assert_allclose(z.dense(7, 290), dense[:, 7:290], rtol=EXACT)
    some = np.array([20, 3, 3])
    assert_allclose(z.dense_of(some, 0, 4), dense[some, :4], rtol=EXACT)
    assert z.dense(5, 5).shape == (21, 0)


@pytest.mark.parametrize(
    ("animals", "markers", "some"),
    [(103, 300, 103), (103, 300, 50), (103, 300, 3), (2100, 4, 2099), (9, 3, 1), (9, 3, 0)],
)
def test_counts_of_codes(animals: int, markers: int, some: int) -> None:
    whole = named(drawn(animals, markers, 0.2))
    places = np.random.default_rng(6).permutation(animals)[:some].astype(np.int32)
    genotypes = replace(whole, ids=whole.ids.gather(places), places=places).at_markers(np.arange(markers - 1)[::-1])
    wanted = codes_by_definition(genotypes.calls())
    by_marker, by_animal = np.full((markers - 1, 4), -9), np.full((some, 4), -9)
    code_counts(genotypes.packed, genotypes.rows, genotypes.places, by_marker)
    animal_code_counts(genotypes.packed, genotypes.rows, genotypes.places, by_animal)
    assert_array_equal(by_marker, wanted.sum(axis=0))
    assert_array_equal(by_animal, wanted.sum(axis=1))
    assert_array_equal(genotypes.counts, by_marker[:, [3, 2, 0, 1]])


def test_counts_of_an_animal_that_stands_twice() -> None:
    whole = named(drawn(9, 5, 0.2))
    places = np.array([8, 8, 1, 0, 2, 3], dtype=np.int32)
    genotypes = replace(whole, ids=whole.ids.gather(places), places=places)
    counts = np.empty((5, 4), dtype=np.int64)
    code_counts(genotypes.packed, genotypes.rows, places, counts)
    assert_array_equal(counts, codes_by_definition(genotypes.calls()).sum(axis=0))
