"""Models with fixed groups of unknown parents against generalised least squares on the columns [X, ZQ]."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import group_shares_by_recursion, random_pedigree, tabular_a

import breedblup as bb

SEEDS = st.integers(0, 2**32 - 1)
METHODS = st.sampled_from(["cholesky", "pcg", "reduced"])


def options(method: str) -> bb.EvaluateOptions:
    if method == "cholesky":
        return bb.EvaluateOptions(method="cholesky")
    return bb.EvaluateOptions(method="pcg", pev="none", reduce=method == "reduced", pcg=bb.PcgOptions(tolerance=1e-10))


class Population:
    """A random pedigree whose unknown parents belong to groups, with records of animals that have dams."""

    def __init__(self, seed: int, traits: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.n, self.g = int(self.rng.integers(8, 16)), int(self.rng.integers(1, 4))
        sire, dam = random_pedigree(self.rng, self.n, 7)
        classes = [self.rng.integers(0, self.g, self.n) for _ in range(2)]
        codes = [f"g{k}" for k in range(self.g)]
        ids = [f"a{i}" for i in range(self.n)]
        parents = {
            role: [ids[p] if p >= 0 else codes[c] for p, c in zip(parent, own, strict=True)]
            for role, parent, own in (("sire", sire, classes[0]), ("dam", dam, classes[1]))
        }
        used = sorted({name for column in parents.values() for name in column if name in codes})
        self.pedigree = bb.read_pedigree(pl.DataFrame({"animal": ids} | parents), groups=used)
        place = {code: k for k, code in enumerate(used)}
        own = [np.array([place.get(codes[c], 0) for c in one]) for one in classes]
        self.q = group_shares_by_recursion(sire, dam, own[0], own[1], np.eye(len(used)))
        self.a = tabular_a(sire.tolist(), dam.tolist())
        m = int(self.rng.integers(12, 25))
        self.animal, self.dam = (self.rng.integers(0, self.n, m) for _ in range(2))
        self.sex = self.rng.integers(0, 2, m)
        self.y = self.rng.standard_normal((m, traits)) + 3.0
        self.y[self.rng.random(self.y.shape) < 0.25] = np.nan
        self.y[0] = 1.0
        self.records = pl.DataFrame(
            {"animal": [ids[i] for i in self.animal], "dam": [ids[i] for i in self.dam]}
            | {"sex": [("f", "m")[s] for s in self.sex]}
            | {f"y{t}": pl.Series(self.y[:, t]).fill_nan(None) for t in range(traits)}
        )
        self.ids = ids


def fitted_by_least_squares(
    population: Population, loads: list[list[np.ndarray]], g0: np.ndarray, r0: np.ndarray
) -> np.ndarray:
    """Xb + ZQg + Za of every observed record and trait; ``loads[t]`` has Z of each coordinate, 0 where it does not act."""
    y, q, a = population.y, population.q, population.a
    m, traits = y.shape
    observed = [(i, t) for i in range(m) for t in range(traits) if not np.isnan(y[i, t])]
    x = np.column_stack([np.ones(m), population.sex])
    fixed = np.array([np.kron(np.eye(traits)[t], x[i]) for i, t in observed])
    z = np.array([np.concatenate([load[i] for load in loads[t]]) for i, t in observed])
    explained = np.hstack([fixed, z @ np.kron(np.eye(len(g0)), q)])
    g = np.kron(g0, a)
    residual = np.array([[r0[t, s] if i == j else 0.0 for j, s in observed] for i, t in observed])
    v_inverse = np.linalg.inv(z @ g @ z.T + residual)
    values = np.array([y[i, t] for i, t in observed])
    b = np.linalg.pinv(explained.T @ v_inverse @ explained, rcond=1e-10) @ explained.T @ v_inverse @ values
    u = g @ z.T @ v_inverse @ (values - explained @ b)
    fitted = np.full(y.shape, np.nan)
    for (i, t), value in zip(observed, explained @ b + z @ u, strict=True):
        fitted[i, t] = value
    return fitted


def fitted_by_evaluation(evaluation: bb.Evaluation, population: Population, effects: dict[str, str]) -> np.ndarray:
    """The same from tables; ``effects`` names the column of animals that each effect acts through."""
    fitted = np.zeros(population.y.shape)
    for t in range(population.y.shape[1]):
        fixed = evaluation.fixed.filter(pl.col("trait") == f"y{t}")
        values = {(row["term"], row["level"]): row["estimate"] for row in fixed.iter_rows(named=True)}
        constant = next(value for (term, _), value in values.items() if term != "sex")
        fitted[:, t] = [constant + values["sex", ("f", "m")[s]] for s in population.sex]
        for effect, column in effects.items():
            table = evaluation.ebv.filter((pl.col("trait") == f"y{t}") & (pl.col("effect") == effect))
            ebv = dict(table.select("id", "ebv").iter_rows())
            fitted[:, t] += [ebv[name] for name in population.records[column]]
    fitted[np.isnan(population.y)] = np.nan
    return fitted


@settings(max_examples=40, deadline=None)
@given(SEEDS, METHODS)
def test_two_traits(seed: int, method: str) -> None:
    population = Population(seed, 2)
    g0, r0 = np.array([[2.0, 0.7], [0.7, 1.5]]), np.array([[3.0, 0.5], [0.5, 2.0]])
    evaluation = bb.evaluate(
        bb.Model.from_formula("(y0, y1) ~ sex + (1 | animal)"),
        population.records,
        bb.VarianceComponents({"animal": g0}, residual=r0),
        {"animal": population.pedigree},
        options=options(method),
    )
    z = np.eye(population.n)[population.animal]
    nothing = np.zeros_like(z)
    loads = [[z, nothing], [nothing, z]]
    expected = fitted_by_least_squares(population, loads, g0, r0)
    np.testing.assert_allclose(fitted_by_evaluation(evaluation, population, {"direct": "animal"}), expected, atol=1e-7)
    assert evaluation.ebv["pev"].is_null().all()
    assert evaluation.ebv["reliability"].is_null().all()
    assert evaluation.base.startswith("breeding values are relative to groups of unknown parents that were set to 0")


@settings(max_examples=40, deadline=None)
@given(SEEDS, METHODS)
def test_direct_and_maternal(seed: int, method: str) -> None:
    population = Population(seed, 1)
    g0, r0 = np.array([[2.0, -0.5], [-0.5, 1.0]]), np.array([[3.0]])
    evaluation = bb.evaluate(
        bb.Model.from_formula("y0 ~ sex + (1 | animal + dam)"),
        population.records,
        bb.VarianceComponents({"animal + dam": g0}, residual=3.0),
        {"animal": bb.group_inverse(population.pedigree)},
        options=options(method),
    )
    loads = [[np.eye(population.n)[population.animal], np.eye(population.n)[population.dam]]]
    expected = fitted_by_least_squares(population, loads, g0, r0)
    found = fitted_by_evaluation(evaluation, population, {"direct": "animal", "maternal": "dam"})
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_groups_that_cannot_be_told_apart_are_named() -> None:
    """One group beside a mean, and a group without recorded descendants."""
    rows = pl.DataFrame({"animal": ["a", "b", "c"], "sire": ["G1", "a", "G2"], "dam": ["G1", "G1", "G2"]})
    pedigree = bb.read_pedigree(rows, groups=("G1", "G2"))
    records = pl.DataFrame({"animal": ["a", "b"], "y": [1.0, 2.0]})
    variances = bb.VarianceComponents({"animal": 1.0}, residual=1.0)
    evaluation = bb.evaluate(bb.Model.from_formula("y ~ 1 + (1 | animal)"), records, variances, {"animal": pedigree})
    assert (
        "fixed groups of unknown parents set to zero, as records cannot tell them from the rest: animal 'G1', animal 'G2'"
        in evaluation.notes
    )
    assert evaluation.groups["solution"].to_list() == [0.0, 0.0]
    table = evaluation.groups
    assert table.columns == ["group", "kind", "term", "trait", "effect", "solution", "pev", "unknown_parents"]
    assert table["unknown_parents"].to_list() == [3.0, 2.0]
    plain = bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        records,
        variances,
        {"animal": bb.read_pedigree(rows, missing_parents=("G1", "G2"))},
    )
    assert evaluation.ebv["ebv"].to_list() == pytest.approx(plain.ebv["ebv"].to_list(), abs=1e-12)
    assert "with fixed groups of unknown parents only differences" in str(evaluation)
    rebased = bb.rebase(evaluation, bb.BaseFounders())
    assert rebased.groups["solution"].to_list() == [-rebased.subtracted["animal", "y", "direct"]] * 2
    assert rebased.ebv.filter(pl.col("id").is_in(["a", "c"]))["ebv"].mean() == pytest.approx(0.0, abs=1e-12)


def test_parent_average_of_an_unknown_parent_is_its_group() -> None:
    rows = pl.DataFrame(
        {"animal": ["a", "b", "c", "d"], "sire": ["G1", "a", "G2", "p"], "dam": ["G2", "G1", "G2", "p"]}
    )
    phantoms = bb.read_phantom_parents(
        pl.DataFrame({"phantom": ["G1", "G2", "p"], "g": [1.0, 0.0, 0.25], "h": [0.0, 1.0, 0.75]})
    )
    pedigree = bb.read_pedigree(rows, groups=phantoms)
    records = pl.DataFrame({"animal": ["a", "b", "c", "d"], "y": [1.0, 2.0, 5.0, 3.0]})
    evaluation = bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        records,
        bb.VarianceComponents({"animal": 2.0}, residual=1.0),
        {"animal": bb.group_inverse(pedigree, ratio=0.5)},
    )
    groups = dict(evaluation.groups.select("group", "solution").iter_rows())
    average = dict(evaluation.ebv.select("id", "parent_average").iter_rows())
    ebv = dict(evaluation.ebv.select("id", "ebv").iter_rows())
    assert average == pytest.approx(
        {
            "a": 0.5 * (groups["g"] + groups["h"]),
            "b": 0.5 * (ebv["a"] + groups["g"]),
            "c": groups["h"],
            "d": 0.25 * groups["g"] + 0.75 * groups["h"],
        }
    )
    assert (evaluation.ebv["reliability"].to_numpy() > 0).all()
    assert (evaluation.groups["pev"].to_numpy() > 0).all()


def refused(population: Population, variances: Any, message: str, relationship: Any = None) -> None:
    with pytest.raises(bb.BreedblupError, match=message):
        bb.evaluate(
            bb.Model.from_formula("(y0, y1) ~ sex + (1 | animal)"),
            population.records,
            variances,
            {"animal": relationship or population.pedigree},
        )


def test_models_that_fixed_groups_do_not_take() -> None:
    population = Population(1, 2)
    with pytest.raises(
        bb.ModelError, match="pev is 'exact', but with fixed groups of unknown parents only differences"
    ):
        bb.evaluate(
            bb.Model.from_formula("y0 ~ sex + (1 | animal)"),
            population.records,
            bb.VarianceComponents({"animal": 1.0}, residual=1.0),
            {"animal": population.pedigree},
            options=bb.EvaluateOptions(pev="exact"),
        )
    singular = bb.VarianceComponents({"animal": [[1.0, 1.0], [1.0, 1.0]]}, residual=np.eye(2))
    refused(
        population,
        singular,
        "animal: fixed groups of unknown parents need a covariance matrix of full rank, found rank 1",
    )
    whole = bb.VarianceComponents({"animal": np.eye(2)}, residual=np.eye(2))
    population.records = population.records.with_columns(animal=pl.lit(population.pedigree.groups.names[0]))
    refused(population, whole, "is not in the relationship given for 'animal'|are not in the relationship given")
    with pytest.raises(bb.ModelError, match="a_inverse: pedigree has groups of unknown parents, which A does not know"):
        bb.a_inverse(population.pedigree)
