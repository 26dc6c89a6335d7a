"""The algorithm for proven and young against its definition; cores."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import EXACT
from reference import apy_by_definition

from breedblup.errors import GenotypeError, ModelError, NotPositiveDefinite, ResourceError
from breedblup.genotypes import Genotypes
from breedblup.relationship import apy
from breedblup.relationship.apy import ApyInverse, apy_inverse
from breedblup.relationship.apy_core import core_at_random, core_by_eigenvalues
from breedblup.relationship.genomic import GenomicOptions, g_inverse, genomic_matrix

N, MARKERS = 30, 300
RIDGE = GenomicOptions(ridge=0.05)


def simulated(seed: int = 4) -> Genotypes:
    rng = np.random.default_rng(seed)
    calls = rng.binomial(2, rng.uniform(0.1, 0.9, MARKERS), (N, MARKERS))
    return Genotypes.from_calls(calls, [f"x{i}" for i in range(N)])


@pytest.fixture(scope="module")
def genotypes() -> Genotypes:
    return simulated()


@pytest.mark.parametrize("rows", [2048, 7])
@pytest.mark.parametrize("size", [1, 12, N - 1, N])
def test_products_and_entries(genotypes: Genotypes, size: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apy, "ROWS", rows)
    core = core_at_random(genotypes, size, seed=size)[::-1]
    inverse = apy_inverse(genotypes, RIDGE, core=core)
    operator = inverse.operator
    assert isinstance(operator, ApyInverse)
    assert operator.core_ids.to_list() == sorted(core, key=lambda name: int(name[1:]))
    g = genomic_matrix(genotypes, RIDGE).dense()
    wanted = apy_by_definition(g, operator.core.tolist())
    scale = np.abs(wanted).max()
    unit = np.eye(N)
    np.testing.assert_allclose(inverse.multiply_inverse(unit), wanted, atol=EXACT * scale)
    entries = inverse.matrix
    np.testing.assert_allclose(entries.toarray(), wanted, atol=EXACT * scale)
    assert entries.nnz == size**2 + 2 * size * (N - size) + N - size
    assert (entries != entries.T).nnz == 0
    assert entries.has_canonical_format
    found = inverse.multiply(unit)
    np.testing.assert_allclose(found @ wanted, unit, atol=1e-9)
    np.testing.assert_allclose(operator.inverse_diagonal(), wanted.diagonal(), rtol=EXACT)
    assert inverse.logdet == pytest.approx(-np.linalg.slogdet(wanted)[1], rel=EXACT)
    # G_cc, G_nc and the diagonal are those of G
    same = np.eye(N, dtype=bool)
    same[operator.core] = same[:, operator.core] = True
    np.testing.assert_allclose(found[same], g[same], atol=EXACT)
    np.testing.assert_allclose(inverse.diagonal, g.diagonal(), rtol=EXACT)
    assert f"APY with a core of {size} animal" in inverse.made[-1]
    assert inverse.genomic is not None
    assert inverse.genomic.form == "apy"
    if size >= N - 1:
        np.testing.assert_allclose(found, g, atol=EXACT)
        assert inverse.logdet == pytest.approx(g_inverse(genotypes, RIDGE).logdet, rel=EXACT)


def test_core_that_cannot_be(genotypes: Genotypes) -> None:
    with pytest.raises(GenotypeError, match="the core of APY is empty -> name some genotyped animals"):
        apy_inverse(genotypes, RIDGE, core=[])
    with pytest.raises(GenotypeError, match="the core of APY has 'y1' without a genotype -> take them out of it"):
        apy_inverse(genotypes, RIDGE, core=["x1", "y1"])
    with pytest.raises(GenotypeError, match="the core of APY names 'x1' more than once"):
        apy_inverse(genotypes, RIDGE, core=["x1", "x2", "x1"])
    with pytest.raises(
        GenotypeError, match="a core of 31 of 30 genotyped animals cannot be drawn -> ask for 1 or more"
    ):
        core_at_random(genotypes, 31, seed=1)
    matrix = genomic_matrix(genotypes, RIDGE)
    for wrong in ([], [1, 1], [-1], [N]):
        with pytest.raises(ModelError, match="a core has to name some of the 30 genotyped animals, each once"):
            ApyInverse(matrix, np.array(wrong, dtype=np.int32))
    with pytest.raises(ResourceError, match="APY of 30 animals with a core of 3 takes .* -> choose a smaller core"):
        apy_inverse(genotypes, RIDGE, core=["x1", "x2", "x3"], memory=1000)


def test_singular(genotypes: Genotypes) -> None:
    calls = genotypes.calls().copy()
    calls[20] = calls[3]
    twice = Genotypes.from_calls(calls, genotypes.ids)
    with pytest.raises(
        NotPositiveDefinite, match="G of the core of 3 animals is not positive definite, 'x3' and 'x20' have the same"
    ):
        apy_inverse(twice, core=["x1", "x3", "x20"])
    with pytest.raises(
        NotPositiveDefinite, match="the core of 2 explains all of 1 animal outside it, first 'x20': G_APY is singular"
    ) as caught:
        apy_inverse(twice, core=["x1", "x3"])
    assert caught.value.equation == 20
    apy_inverse(twice, RIDGE, core=["x1", "x3"])


def test_core_by_eigenvalues(genotypes: Genotypes) -> None:
    matrix = genomic_matrix(genotypes)
    values = np.linalg.eigvalsh(matrix.dense())[::-1]
    for share in (0.5, 0.9, 0.98):
        core = core_by_eigenvalues(matrix, share, seed=2)
        assert len(core) == int(np.searchsorted(np.cumsum(values), share * values.sum())) + 1
        assert core == core_at_random(genotypes, len(core), seed=2)
    assert core_by_eigenvalues(matrix, 0.5, seed=2) != core_by_eigenvalues(matrix, 0.5, seed=3)
