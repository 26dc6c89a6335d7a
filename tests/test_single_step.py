"""H⁻¹ in its forms: against H by definition, against each other, with groups of unknown parents, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import altered_shares, group_shares_by_recursion, random_pedigree, single_step_h, tabular_a

import breedblup as bb
from breedblup.genotypes import Genotypes
from breedblup.relationship import remainders, single_step_plan
from breedblup.relationship.genomic import GenomicOptions
from breedblup.relationship.remainders import probed_diagonal
from breedblup.relationship.single_step import as_stored, h_inverse
from breedblup.relationship.single_step_groups import SingleStepGroupOperator
from breedblup.relationship.single_step_operator import SingleStepOperator
from breedblup.relationship.single_step_plan import plan_single_step

SEEDS = st.integers(0, 2**32 - 1)
WEIGHTS = st.sampled_from([(1.0, 1.0), (0.8, 0.5), (1.3, 1.0), (1.6, 1.02), (1.0, 0.0)])
FORMS = ("explicit", "components", "apy")
GAMMA = np.array([[0.6, 0.1], [0.1, 0.4]])


class Population:
    """A random pedigree, unknown parents in two groups where asked for, and genotypes of some animals, in another order."""

    def __init__(self, seed: int, *, groups: bool = False, n: int = 30, genotyped: int = 12) -> None:
        self.rng = np.random.default_rng(seed)
        sire, dam = random_pedigree(self.rng, n, 12)
        sire[:4] = dam[:4] = -1
        own = np.arange(n) % 2
        names = [f"a{i}" for i in range(n)]
        parents = {
            role: [names[p] if p >= 0 else (f"g{k}" if groups else None) for p, k in zip(parent, own, strict=True)]
            for role, parent in (("sire", sire), ("dam", dam))
        }
        table = pl.DataFrame({"animal": names} | parents)
        self.pedigree = bb.read_pedigree(table, groups=("g0", "g1")) if groups else bb.read_pedigree(table)
        place = self.pedigree.positions_of(pl.Series(names))
        self.a, self.q = np.empty((n, n)), np.empty((n, 2))
        self.a[np.ix_(place, place)] = tabular_a(sire.tolist(), dam.tolist())
        self.q[place] = group_shares_by_recursion(sire, dam, own, own, np.eye(2))
        chosen = self.rng.permutation(n)[:genotyped]
        self.rows = place[chosen]
        self.calls = self.rng.integers(0, 3, (genotyped, 25))
        self.genotypes = Genotypes.from_calls(self.calls, [names[i] for i in chosen])

    def core(self, form: str, size: int | None = None) -> list[str] | None:
        """All genotyped animals, or the first ones."""
        return self.genotypes.ids.to_list()[:size] if form == "apy" else None

    def effective(self, h: bb.RelationshipInverse, tau: float, omega: float, a: np.ndarray) -> np.ndarray:
        assert h.genomic is not None
        pedigree = np.linalg.inv(a[np.ix_(self.rows, self.rows)])
        found: np.ndarray = np.linalg.inv(tau * np.linalg.inv(h.genomic.matrix.dense()) + (1.0 - omega) * pedigree)
        return found


def agree_with(found: bb.RelationshipInverse, h: np.ndarray, tolerance: float = 1e-9) -> None:
    """Products, entries, diagonal and determinant of H and its inverse."""
    unit, inverse = np.eye(len(h)), np.linalg.inv(h)
    np.testing.assert_allclose(found.multiply(unit), h, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.multiply_inverse(unit), inverse, rtol=0, atol=tolerance * np.abs(inverse).max())
    np.testing.assert_allclose(found.multiply_inverse(found.multiply(unit)), unit, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.diagonal, h.diagonal(), rtol=0, atol=tolerance)
    stored = as_stored(found)
    assert stored.remainder is None
    matrix = stored.assembled
    assert matrix.has_sorted_indices
    assert (matrix != matrix.T).nnz == 0
    np.testing.assert_allclose(matrix.toarray(), inverse, rtol=0, atol=tolerance * np.abs(inverse).max())
    assert stored.logdet == pytest.approx(np.linalg.slogdet(h)[1], abs=1e-8)


@settings(max_examples=12, deadline=None)
@given(SEEDS, WEIGHTS, st.sampled_from(["a22", "identity"]))
def test_every_form_is_h(seed: int, weights: tuple[float, float], blend_with: Any) -> None:
    population = Population(seed)
    options = GenomicOptions(blend=0.2, blend_with=blend_with, tuning="mean" if seed % 2 else "none")
    tau, omega = weights
    for form in FORMS:
        try:
            found = h_inverse(
                population.pedigree, population.genotypes, options, form=form, core=population.core(form), tau=tau, omega=omega
            )
        except bb.ModelError as error:
            assert "not negative, tuning gives a =" in str(error)  # noqa: PT017
            continue
        agree_with(found, single_step_h(population.a, population.rows, population.effective(found, tau, omega, population.a)))
        assert found.genomic is not None
        assert found.genomic.form == form
        assert found.genomic.tau == tau
        np.testing.assert_array_equal(found.genomic.rows, population.rows)
        np.testing.assert_array_equal(found.inbreeding, population.pedigree.inbreeding)
        assert found.remainder is not None
        rows = found.remainder.rows
        assert (np.diff(rows) > 0).all()
        unit = np.eye(rows.size)
        rest = (found.matrix - found.assembled).toarray()[np.ix_(rows, rows)]
        np.testing.assert_allclose(found.remainder.multiply(unit), rest, rtol=0, atol=1e-9 * np.abs(rest).max())
        assert (found.remainder.diagonal + found.assembled.diagonal()[rows] > 0).all()
        assert isinstance(found.operator, SingleStepOperator)
        u = population.rng.standard_normal((len(population.pedigree), 3))
        duals = found.operator.genomic_duals(u)
        np.testing.assert_allclose(found.genomic.matrix.dense() @ duals, u[population.rows], rtol=0, atol=1e-8)
