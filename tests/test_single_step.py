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
from breedblup.relationship.genomic import GenomicOptions, genomic_matrix
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


@settings(max_examples=6, deadline=None)
@given(SEEDS, WEIGHTS, st.sampled_from(["a22", "identity"]))
def test_every_form_is_h(seed: int, weights: tuple[float, float], blend_with: Any) -> None:
    population = Population(seed)
    options = GenomicOptions(blend=0.2, blend_with=blend_with, tuning="mean" if seed % 2 else "none")
    tau, omega = weights
    a22 = bb.a22_inverse(population.pedigree, population.genotypes.ids)
    negative = genomic_matrix(population.genotypes, options, a22).constant < 0.0
    for form in FORMS:
        given_core = population.core(form)
        if form == "components" and negative:
            with pytest.raises(
                bb.ModelError, match="forms 'components' and 'markers' need a constant of G that is not negative"
            ):
                h_inverse(population.pedigree, population.genotypes, options, form=form)
            continue
        found = h_inverse(
            population.pedigree, population.genotypes, options, form=form, core=given_core, tau=tau, omega=omega
        )
        agree_with(
            found, single_step_h(population.a, population.rows, population.effective(found, tau, omega, population.a))
        )
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


@pytest.mark.parametrize("blend_with", ["a22", "identity"])
def test_marker_effects_are_the_same_h(blend_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_step_plan, "EXPLICIT_UP_TO", 5)
    population = Population(3)
    options = GenomicOptions(tuning="none", blend_with=blend_with)
    found = h_inverse(population.pedigree, population.genotypes, options)
    assert found.genomic is not None
    assert found.genomic.form == "markers"
    assert found.made[-1].startswith("form 'markers' by the plan")
    h = single_step_h(population.a, population.rows, found.genomic.matrix.dense())
    np.testing.assert_allclose(found.multiply(np.eye(30)), h, rtol=0, atol=1e-9)
    asked = h_inverse(population.pedigree, population.genotypes, options, form="markers")
    assert asked.made[-1] == "form 'markers' as asked for"


def test_apy_with_a_smaller_core_is_h_of_its_own_g() -> None:
    population = Population(4)
    found = h_inverse(population.pedigree, population.genotypes, core=population.core("apy", 5))
    assert found.genomic is not None
    assert found.genomic.form == "apy"
    g = found.genomic.matrix.dense()
    c, others = np.arange(5), np.arange(5, 12)
    g[np.ix_(others, others)] = g[np.ix_(others, c)] @ np.linalg.inv(g[np.ix_(c, c)]) @ g[np.ix_(c, others)]
    g[others, others] = found.genomic.matrix.diagonal()[others]
    agree_with(found, single_step_h(population.a, population.rows, g))


@pytest.mark.parametrize("form", FORMS)
def test_metafounders(form: Any) -> None:
    population = Population(5, groups=True)
    source = bb.metafounder_inverse(population.pedigree, GAMMA)
    found = h_inverse(source, population.genotypes, form=form, core=population.core(form))
    a = source.multiply(np.eye(len(source)))
    agree_with(found, single_step_h(a, population.rows, population.effective(found, 1.0, 1.0, a)))
    assert found.groups is source.groups
    assert found.genomic is not None
    centred = (population.calls - 1.0) @ (population.calls - 1.0).T / (25 / 2)
    expected = 0.95 * centred + 0.05 * a[np.ix_(population.rows, population.rows)]
    np.testing.assert_allclose(found.genomic.matrix.dense(), expected)
    given = h_inverse(source, population.genotypes, GenomicOptions(), form="explicit")
    assert given.genomic is not None
    assert given.genomic.matrix.constant == 0.0
    assert "allele frequencies observed" in "; ".join(given.made)


def conventional(
    population: Population, found: bb.RelationshipInverse, weights: tuple[float, float], full: bool
) -> Any:
    """H⁻¹ over animals and groups from its blocks, without what is known of the groups themselves."""
    a, q, two = population.a, population.q, population.rows
    n = len(a)
    a_inverse = np.linalg.inv(a)
    whole = np.zeros((n + 2, n + 2))
    border = np.hstack([np.eye(n), -q])
    whole += border.T @ a_inverse @ border
    assert found.genomic is not None
    pedigree = np.linalg.inv(a[np.ix_(two, two)])
    d = weights[0] * np.linalg.inv(found.genomic.matrix.dense()) - weights[1] * pedigree
    of_groups, q2 = d if full else -pedigree, q[two]
    whole[np.ix_(two, two)] += d
    whole[np.ix_(two, [n, n + 1])] -= of_groups @ q2
    whole[np.ix_([n, n + 1], two)] -= q2.T @ of_groups
    whole[n:, n:] += q2.T @ of_groups @ q2
    return whole


@settings(max_examples=4, deadline=None)
@given(SEEDS, WEIGHTS, st.sampled_from(["altered", "full"]), st.sampled_from(FORMS))
def test_groups(seed: int, weights: tuple[float, float], equations: Any, form: Any) -> None:
    """Random and fixed groups: the block formulas, and the model of H and Q that they stand for."""
    population = Population(seed, groups=True)
    tau, omega = weights
    n = len(population.a)
    options = GenomicOptions(tuning="none", blend=0.2)
    for ratio in (2.0, None):
        found = h_inverse(
            bb.group_inverse(population.pedigree, ratio=ratio),
            population.genotypes,
            options,
            form=form,
            core=population.core(form),
            tau=tau,
            omega=omega,
            group_equations=equations,
        )
        h = single_step_h(population.a, population.rows, population.effective(found, tau, omega, population.a))
        full = equations == "full"
        owed = population.q if full else altered_shares(population.a, population.rows, population.q)
        inverse = conventional(population, found, weights, full)
        size = np.abs(inverse).max()
        assert found.groups is not None
        operator = found.groups.operator
        of_groups = population.rng.standard_normal((2, 3))
        of_animals = population.rng.standard_normal((n, 3))
        np.testing.assert_allclose(operator.owed_to_groups(of_groups), owed @ of_groups, rtol=0, atol=1e-9)
        np.testing.assert_allclose(operator.collected_by_groups(of_animals), owed.T @ of_animals, rtol=0, atol=1e-9)
        assert isinstance(operator, SingleStepGroupOperator)
        solutions = population.rng.standard_normal((n + 2, 3))
        part = solutions[population.rows] - (population.q[population.rows] @ solutions[n:] if full else 0.0)
        assert found.genomic is not None
        found_part = found.genomic.matrix.dense() @ operator.genomic_duals(solutions)
        np.testing.assert_allclose(found_part, part, rtol=0, atol=1e-8)
        assert found.remainder is not None
        diagonal = found.assembled.diagonal()
        diagonal[found.remainder.rows] += found.remainder.diagonal
        assert (diagonal > 0).all()
        if ratio is None:
            unit = np.eye(n + 2)
            np.testing.assert_allclose(found.multiply_inverse(unit), inverse, rtol=0, atol=1e-9 * size)
            np.testing.assert_allclose(found.matrix.toarray(), inverse, rtol=0, atol=1e-9 * size)
            directions = np.vstack([owed, np.eye(2)])
            np.testing.assert_allclose(inverse @ directions, 0.0, rtol=0, atol=1e-9 * size)
            np.testing.assert_allclose(found.multiply(unit)[:n, :n], h, rtol=0, atol=1e-8)
            np.testing.assert_allclose(found.diagonal, np.append(h.diagonal(), [0.0, 0.0]), rtol=0, atol=1e-8)
            assert as_stored(found).logdet == pytest.approx(np.linalg.slogdet(h)[1], abs=1e-7)
        else:
            joint = np.block([[h + owed @ owed.T / 2.0, owed / 2.0], [owed.T / 2.0, np.eye(2) / 2.0]])
            inverse[n:, n:] += 2.0 * np.eye(2)
            np.testing.assert_allclose(np.linalg.inv(joint), inverse, rtol=0, atol=1e-8 * size)
            agree_with(found, joint, 1e-8)


@pytest.mark.parametrize("equations", ["altered", "full"])
@pytest.mark.parametrize("method", ["cholesky", "pcg"])
def test_evaluation_with_fixed_groups(equations: Any, method: Any) -> None:
    """Against generalised least squares on [X, ZD], û = Dĝ + ĥ."""
    population = Population(11, groups=True)
    found = h_inverse(population.pedigree, population.genotypes, group_equations=equations)
    assert found.groups is not None
    assert found.groups.kind == "fixed"
    h = single_step_h(population.a, population.rows, population.effective(found, 1.0, 1.0, population.a))
    owed = population.q if equations == "full" else altered_shares(population.a, population.rows, population.q)
    animal = population.rng.integers(0, 30, 60)
    y = population.rng.standard_normal(60) + 3.0
    z = np.eye(30)[animal]
    x = np.hstack([np.ones((60, 1)), z @ owed])
    v_inverse = np.linalg.inv(2.0 * z @ h @ z.T + 3.0 * np.eye(60))
    b = np.linalg.pinv(x.T @ v_inverse @ x, rcond=1e-10) @ x.T @ v_inverse @ y
    fitted = x @ b + 2.0 * z @ h @ z.T @ v_inverse @ (y - x @ b)
    ids = population.pedigree.ids
    evaluation = bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        pl.DataFrame({"animal": ids.gather(animal), "y": y}),
        bb.VarianceComponents({"animal": 2.0}, residual=3.0),
        {"animal": as_stored(found) if method == "cholesky" else found},
        options=bb.EvaluateOptions(
            method=method, pev="auto" if method == "cholesky" else "none", pcg=bb.PcgOptions(tolerance=1e-10)
        ),
    )
    ebv = dict(evaluation.ebv.select("id", "ebv").iter_rows())
    values = evaluation.fixed["estimate"].item() + np.array([ebv[name] for name in ids.gather(animal)])
    np.testing.assert_allclose(values, fitted, rtol=0, atol=1e-7)


def test_a_given_inverse_of_relationships_can_be_the_source() -> None:
    population = Population(6)
    source = bb.inverse_from(population.a, population.pedigree.ids, kind="relationship")
    found = h_inverse(source, population.genotypes, form="explicit")
    agree_with(found, single_step_h(population.a, population.rows, population.effective(found, 1.0, 1.0, population.a)))


def test_what_is_said() -> None:
    population = Population(7, groups=True)
    said = h_inverse(population.pedigree, population.genotypes, tau=0.9, omega=0.7, core=population.core("apy")).made
    assert "τ = 0.9, ω = 0.7: exactly H of the genomic relationships (τG⁻¹ + (1 - ω)A22⁻¹)⁻¹" in "; ".join(said)
    assert (
        "groups of unknown parents in the pedigree's part only (altered equations), as genotypes tell them apart already"
        in said
    )
    assert any(one.startswith("form 'apy' by the plan: 12 genotyped animals, 25 markers") for one in said)
    plain = Population(7)
    said = h_inverse(plain.pedigree, plain.genotypes, GenomicOptions(blend=0.5), omega=1.01).made
    assert "τ = 1, ω = 1.01, positive definite as its eigenvalues show" in "; ".join(said)


@pytest.mark.parametrize(("form", "dense_up_to"), [("explicit", 100), ("components", 5), ("apy", 100)])
def test_omega_too_large(form: Any, dense_up_to: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ω that the message names is where H⁻¹ turns indefinite."""
    monkeypatch.setattr("breedblup.relationship.definiteness.DENSE_UP_TO", dense_up_to)
    population = Population(8)
    a22 = population.a[np.ix_(population.rows, population.rows)]
    given_core = population.core(form)
    found = h_inverse(population.pedigree, population.genotypes, form=form, core=given_core)
    assert found.genomic is not None
    largest = np.linalg.eigvals(np.linalg.solve(a22, found.genomic.matrix.dense())).real.max() / 0.9
    limit = 1.0 + 1.0 / largest
    words = f"has an eigenvalue of {-0.5 * largest + 1.0:.4g}.* relative to τG⁻¹ -> choose ω below {limit:.3f}"
    with pytest.raises(bb.NotPositiveDefinite, match=words):
        h_inverse(population.pedigree, population.genotypes, form=form, core=given_core, tau=0.9, omega=1.5)
    h_inverse(population.pedigree, population.genotypes, form=form, core=given_core, tau=0.9, omega=limit - 1e-4)
    with pytest.raises(bb.NotPositiveDefinite, match="H⁻¹ with ω = .* is not positive definite"):
        h_inverse(population.pedigree, population.genotypes, form=form, core=given_core, tau=0.9, omega=limit + 1e-4)


def test_singular_g_is_refused_by_name() -> None:
    population = Population(9)
    calls = population.calls.copy()
    calls[3] = calls[2]
    genotypes = Genotypes.from_calls(calls, population.genotypes.ids)
    with pytest.raises(bb.NotPositiveDefinite, match="have the same genotypes"):
        h_inverse(population.pedigree, genotypes, GenomicOptions(blend=0.0, tuning="none"), form="explicit")


def test_animals_outside_the_pedigree_and_twins() -> None:
    population = Population(10)
    names = [*population.genotypes.ids.to_list()[:10], "x1", "x2"]
    strangers = Genotypes.from_calls(population.calls, names)
    with pytest.raises(
        bb.PedigreeError, match="2 of 12 genotyped animals .* stand outside A from pedigree .*'x1', 'x2' -> leave"
    ):
        h_inverse(population.pedigree, strangers)
    h_inverse(population.pedigree, strangers.of_animals(names[:10]))
    table = pl.DataFrame(
        {"animal": ["a", "b", "t"], "sire": [None, "a", "a"], "dam": None, "twin_of": [None, None, "b"]}
    )
    twins = bb.read_pedigree(table.cast(pl.String))
    with pytest.raises(bb.PedigreeError, match="named more than once"):
        h_inverse(twins, Genotypes.from_calls(population.calls[:2], ["b", "t"]))


def test_arguments_that_do_not_fit() -> None:
    population = Population(12)
    pedigree, genotypes = population.pedigree, population.genotypes

    def refused(match: str, **arguments: Any) -> None:
        with pytest.raises(bb.ModelError, match=match):
            h_inverse(pedigree, genotypes, **arguments)

    refused("h_inverse: form is 'Explicit'; it can be 'explicit'", form="Explicit")
    refused("τ has to be above 0, ω 0 or above", tau=0.0)
    refused("τ has to be above 0, ω 0 or above", omega=-0.1)
    refused("form 'apy' needs a core", form="apy")
    refused("a core is given, which form 'explicit' has no use for", form="explicit", core=["a1"])
    refused("form 'markers' has τ and ω of 1", form="markers", omega=0.9)
    refused("group_equations is 'partial'", group_equations="partial")
    refused("for fixed and random groups of unknown parents, and there are none", group_equations="full")
    grouped = Population(12, groups=True)
    for source in (grouped.pedigree, bb.group_inverse(grouped.pedigree, ratio=1.0)):
        with pytest.raises(bb.ModelError, match="form 'markers' takes no groups of unknown parents but metafounders"):
            h_inverse(source, grouped.genotypes, form="markers")
    ridged = GenomicOptions(ridge=0.01, tuning="none")
    refused("inverse of βA22 plus a diagonal matrix", options=ridged, form="components")
    plain = GenomicOptions(blend=0.0, tuning="none")
    refused("need a G that is more than markers explain", options=plain, form="components")
    with pytest.raises(bb.ModelError, match="rests on genotypes already"):
        h_inverse(h_inverse(pedigree, genotypes), genotypes)
    with pytest.raises(bb.ModelError, match="h_inverse takes a Pedigree, found a str"):
        h_inverse("pedigree.csv", genotypes)  # type: ignore[arg-type]


def test_a_form_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    population = Population(13)
    with pytest.raises(
        bb.ResourceError, match="H⁻¹ with the dense inverse of G among 12 genotyped animals|dense inverse of G"
    ):
        h_inverse(population.pedigree, population.genotypes, form="explicit", memory=3_400)
    untuned = GenomicOptions(tuning="none")
    with pytest.raises(bb.ResourceError, match="the factor of form 'components' for 25 markers"):
        h_inverse(population.pedigree, population.genotypes, untuned, form="components", memory=20_000)
    found = h_inverse(population.pedigree, population.genotypes, untuned, form="explicit")
    monkeypatch.setattr("breedblup.relationship.ancestry.MEMORY_SHARE", 0.0)
    with pytest.raises(bb.ResourceError, match="H⁻¹ entry by entry, 12 rows of it full"):
        as_stored(found)
    known = found.diagonal
    assert found.genomic is not None
    np.testing.assert_array_equal(known[population.rows], found.genomic.matrix.diagonal())
    assert np.isnan(np.delete(known, population.rows)).all()


def test_plan() -> None:
    """What is chosen, and what is said of it."""
    assert plan_single_step(10_000, 50_000, 10**6, memory=10**10).form == "explicit"
    assert plan_single_step(5_000, 50_000, 10**6, core=1_000, memory=10**10).form == "apy"
    large = plan_single_step(50_000, 50_000, 10**6, memory=4 * 10**9)
    assert large.form == "markers"
    assert large.bytes["markers"] < 10**9 < large.bytes["explicit"]
    assert large.reasons[0] == "form 'markers' by the plan: 50,000 genotyped animals, 50,000 markers, 0.56 GiB"
    unable = {"markers": "it takes no fixed groups"}
    other = plan_single_step(50_000, 10_000, 10**6, unable=unable, memory=4 * 10**9)
    assert other.form == "components"
    assert other.reasons[1] == "not form 'markers': it takes no fixed groups"
    assert plan_single_step(12_000, 50_000, 10**6, unable=unable, memory=10**10).form == "explicit"
    words = "no form of H⁻¹ can be had .*explicit: takes 56.16 GiB.*apy: no core is given; components: takes .*it takes no fixed groups"
    with pytest.raises(bb.ResourceError, match=words):
        plan_single_step(50_000, 50_000, 10**6, unable=unable, memory=4 * 10**9)


def test_plan_knows_what_a_form_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    population = Population(14, groups=True)
    monkeypatch.setattr(single_step_plan, "EXPLICIT_UP_TO", 5)

    def made(pedigree: Any, **arguments: Any) -> str:
        return "; ".join(h_inverse(pedigree, population.genotypes, **arguments).made)

    untuned = GenomicOptions(tuning="none")
    no_groups = "not form 'markers': it takes no groups of unknown parents but metafounders"
    assert no_groups in made(population.pedigree, options=untuned)
    random = bb.group_inverse(population.pedigree, ratio=1.0)
    assert no_groups in made(random, options=untuned)
    metafounders = bb.metafounder_inverse(population.pedigree, GAMMA)
    assert "not form 'markers': it has τ and ω of 1" in made(metafounders, options=untuned, omega=0.9)
    said = made(random, options=GenomicOptions(tuning="none", ridge=0.1))
    assert (
        "not form 'components': forms 'components' and 'markers' need the inverse of βA22 plus a diagonal matrix"
        in said
    )
    assert "form 'explicit' by the plan" in said


def test_diagonals_from_probes() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((40, 60))
    matrix = root @ root.T
    np.testing.assert_allclose(probed_diagonal(lambda block: np.diag(matrix.diagonal()) @ block, 40), matrix.diagonal())
    found = probed_diagonal(lambda block: matrix @ block, 40)
    beside = np.sqrt(np.square(matrix).sum(axis=1) - matrix.diagonal() ** 2)
    assert (np.abs(found - matrix.diagonal()) < 4.5 * beside / np.sqrt(remainders.PROBES)).all()


def test_products_that_do_not_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    population = Population(15)
    found = h_inverse(population.pedigree, population.genotypes, core=population.core("apy"), omega=0.5)
    monkeypatch.setattr(remainders, "MOST_ROUNDS", 2)
    with pytest.raises(bb.NumericalError, match="did not settle in 2 rounds"):
        found.multiply(np.ones(len(found)))
