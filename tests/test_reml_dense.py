"""Likelihood, score and information of every kind of model against the dense likelihood of V, and where they lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import (
    DenseLikelihood,
    central_differences,
    dense_likelihood,
    positive_definite,
    random_pedigree,
)

import breedblup as bb
from breedblup.analysis.estimation import PreparedEstimation, prepare_estimation
from breedblup.reml.checks import never_together
from breedblup.reml.fit import maximise
from breedblup.reml.information import estimates_of
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import Point, point_at
from breedblup.reml.problem import RemlProblem
from breedblup.reml.score import average_information, score_at
from breedblup.variances import Bound, Diagonal, FixedValue, ParameterSpace, ReducedRank, Tie
from breedblup.variances.structures import Structure

Array = NDArray[np.float64]

RANGE = "range=(0, 10)"

REML = RemlOptions()

EQUAL = 1e-8
"""-2 log L, absolute: two ways to the same number of some hundreds."""

DERIVATIVE = 1e-6
"""Derivatives against central differences, relative to the largest on the scale of the parameters."""


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """Records of two traits on a small pedigree, some of them missing, and relationships of every kind."""

    records: pl.DataFrame
    known: Mapping[str, bb.Pedigree | bb.RelationshipInverse]


def draw(seed: int, animals: int = 24, n: int = 70, *, apart: bool = False) -> Data:
    """``apart``: no record has both traits."""
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, animals, 10)
    ids = [f"a{i:02d}" for i in range(animals)]
    named = [*ids, ""]
    frame = pl.DataFrame({"animal": ids, "sire": [named[s] for s in sire], "dam": [named[d] for d in dam]})
    pedigree = bb.Pedigree.from_frame(frame)
    animal, mother, other = (rng.integers(0, animals, n) for _ in range(3))
    columns: dict[str, Any] = {
        "animal": animal,
        "mother": mother,
        "sire": mother,
        "mgs": other,
        "mate1": mother,
        "mate2": other,
    }
    columns = {name: [ids[i] for i in codes] for name, codes in columns.items()}
    for name, levels in (("herd", "ABC"), ("year", "12"), ("litter", "qrstuvw"), ("class", "HL")):
        columns[name] = rng.choice(list(levels), n).tolist()
    columns |= {"day": rng.uniform(0, 10, n), "x": rng.normal(1, 1, n)}
    columns |= {name: rng.uniform(0.4, 2.5, n) for name in ("w", "w1", "w2", "q1", "q2")}
    root = np.linalg.cholesky(np.asarray(bb.a_inverse(pedigree).multiply(np.eye(animals))))
    u, m = root @ rng.standard_normal((animals, 2)), rng.standard_normal((animals, 2))
    slopes = root @ rng.standard_normal(animals)
    y = 10 + 1.5 * u[animal] + m[mother] + 1.2 * rng.standard_normal((n, 2)) @ np.array([[1.0, 0.4], [0.0, 0.9]])
    y += (0.2 * columns["day"] * slopes[animal])[:, None]
    missing = rng.random((n, 2)) < 0.2
    missing[:, 1] |= apart & ~missing[:, 0]
    y[missing] = np.nan
    columns |= {f"y{t + 1}": pl.Series(y[:, t]).fill_nan(None) for t in range(2)}
    groups = {
        role: [named[p] if p >= 0 else f"g{rng.integers(2)}" for p in parents]
        for role, parents in (("sire", sire), ("dam", dam))
    }
    groups["sire"][0], groups["dam"][0] = "g0", "g1"
    with_groups = bb.read_pedigree(pl.DataFrame({"animal": ids} | groups), groups=("g0", "g1"))
    square = rng.standard_normal((animals, animals))
    k = np.eye(animals) + 0.1 * square @ square.T
    known: dict[str, Any] = {
        "animal": pedigree,
        "D": bb.inverse_from(k, ids, kind="relationship"),
        "inverse": bb.inverse_from(np.linalg.inv(k) + 0.0, ids, kind="inverse"),
        "fixed groups": bb.group_inverse(with_groups),
        "random groups": bb.group_inverse(with_groups, ratio=2.0),
        "metafounders": bb.metafounder_inverse(with_groups, np.array([[0.6, 0.1], [0.1, 0.4]])),
        "sires": bb.sire_mgs_inverse(of_sires(ids, sire.tolist(), dam.tolist())),
    }
    return Data(pl.DataFrame(columns), known)


def of_sires(ids: Sequence[str], sire: Sequence[int], grandsire: Sequence[int]) -> bb.Pedigree:
    """The same parents, those in the place of dams as maternal grandsires."""
    named = [*ids, ""]
    frame = pl.DataFrame({"sire": ids, "father": [named[s] for s in sire], "mgs": [named[d] for d in grandsire]})
    columns = bb.PedigreeColumns(id="sire", sire="father", maternal_grandsire="mgs")
    return bb.Pedigree.from_frame(frame, columns=columns)


# --- kinds of models --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A formula, the relationship of each name in it, and what else makes the model."""

    formula: str | tuple[str, ...]
    known: tuple[tuple[str, str], ...] = ()
    weights: str | tuple[tuple[str, str], ...] = ""
    classes: str = ""
    structures: tuple[tuple[str, Structure], ...] = ()
    bounds: tuple[Bound, ...] = ()
    ties: tuple[Tie, ...] = ()
    apart: bool = False


ANIMAL = (("animal", "animal"),)

KINDS = {
    "animal": Kind("y1 ~ herd + (1 | animal)", ANIMAL),
    "without intercept": Kind("y1 ~ 0 + herd + herd:covariate(x) + (1 | animal)", ANIMAL),
    "without fixed effects": Kind("y1 ~ 0 + (1 | animal) + (1 | litter)", ANIMAL),
    "several terms": Kind("y1 ~ x + (1 | animal) + (1 | litter) + (1 | herd:year)", ANIMAL),
    "nested": Kind("y1 ~ x + (1 | litter/herd)"),
    "repeatability": Kind("y1 ~ herd + (1 | animal) + (1 | ide(animal))", ANIMAL),
    "maternal": Kind("y1 ~ herd + (1 | animal + mother) + (1 | ide(mother))", ANIMAL),
    "maternal without pedigree": Kind("y1 ~ herd + (1 | animal + mother)"),
    "two traits": Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL),
    "two traits, own effects": Kind(("y1 ~ herd + (1 | animal + mother)", "y2 ~ x + year + (1 | animal)"), ANIMAL),
    "two traits, own terms": Kind(("y1 ~ herd + (1 | animal)", "y2 ~ 1 + (1 | animal) + (1 | litter)"), ANIMAL),
    "two traits apart": Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL, apart=True),
    "residual classes": Kind("y1 ~ herd + (1 | animal)", ANIMAL, classes="class"),
    "residual classes of two traits": Kind("(y1, y2) ~ x + (1 | animal)", ANIMAL, classes="class"),
    "weights": Kind("y1 ~ herd + (1 | animal)", ANIMAL, weights="w"),
    "weights of each trait": Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL, weights=(("y1", "w1"), ("y2", "w2"))),
    "weights and classes": Kind("(y1, y2) ~ x + (1 | animal)", ANIMAL, weights="w", classes="class"),
    "random regression": Kind(
        f"y1 ~ leg(day, 2, {RANGE}) + (leg(day, 1, {RANGE}) | animal) + (leg(day, 1, {RANGE}) | ide(animal))", ANIMAL
    ),
    "random regression of two traits": Kind(f"(y1, y2) ~ herd + (leg(day, 1, {RANGE}) | animal)", ANIMAL),
    "random regression, uncorrelated": Kind(f"(y1, y2) ~ herd + (leg(day, 1, {RANGE}) || animal)", ANIMAL),
    "splines": Kind(f"y1 ~ herd + (bspline(day, 2, {RANGE}) | animal)", ANIMAL),
    "slopes": Kind("y1 ~ x + (1 + x | litter)"),
    "slopes, uncorrelated": Kind("y1 ~ x + (1 + x || litter)"),
    "members": Kind("y1 ~ herd + (1 | mm(mate1, mate2, weights=(q1, q2)))", (("mate1", "animal"),)),
    "pen mates": Kind("y1 ~ herd + (1 | animal + mm(mate1, mate2))", ANIMAL),
    "dominance": Kind("y1 ~ herd + (1 | animal) + (1 | vm(animal, D))", (*ANIMAL, ("D", "D"))),
    "matrix": Kind("y1 ~ herd + (1 | animal)", (("animal", "D"),)),
    "inverse": Kind("y1 ~ herd + (1 | animal)", (("animal", "inverse"),)),
    "sire and maternal grandsire": Kind(
        "y1 ~ herd + (1 | mm(sire, mgs, weights=(1, 0.5)))", (("sire", "sires"),)
    ),
    "fixed groups": Kind("y1 ~ herd + (1 | animal)", (("animal", "fixed groups"),)),
    "fixed groups of two traits": Kind("(y1, y2) ~ herd + (1 | animal)", (("animal", "fixed groups"),)),
    "fixed groups, maternal": Kind("y1 ~ herd + (1 | animal + mother)", (("animal", "fixed groups"),)),
    "random groups": Kind("y1 ~ herd + (1 | animal)", (("animal", "random groups"),)),
    "metafounders": Kind("(y1, y2) ~ herd + (1 | animal)", (("animal", "metafounders"),)),
    "no random terms": Kind("y1 ~ herd + x"),
    "no random terms, two traits": Kind("(y1, y2) ~ herd + x"),
    "diagonal": Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL, structures=(("animal", Diagonal()),)),
    "diagonal residual": Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL, structures=(("residual", Diagonal()),)),
    "fixed value": Kind(
        "(y1, y2) ~ herd + (1 | animal)", ANIMAL, structures=(("animal", FixedValue([[2.0, 0.5], [0.5, 1.0]])),)
    ),
    "tie": Kind("y1 ~ herd + (1 | animal) + (1 | ide(animal))", ANIMAL, ties=(Tie("ide(animal)", "animal", 0.5),)),
    "bound": Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL, bounds=(Bound("animal[1,1]", upper=0.8),)),
}  # fmt: skip

REDUCED = Kind("(y1, y2) ~ herd + (1 | animal)", ANIMAL, structures=(("animal", ReducedRank(1)),))


@cache
def data_of(seed: int, apart: bool) -> Data:
    return draw(seed, apart=apart)


def prepared(kind: Kind, seed: int = 7, options: RemlOptions = REML) -> PreparedEstimation:
    """The problem of a kind of model."""
    data = data_of(seed, kind.apart)
    weights = kind.weights if isinstance(kind.weights, str) else dict(kind.weights)
    model = bb.Model.from_formula(
        kind.formula if isinstance(kind.formula, str) else list(kind.formula),
        weights=weights or None,
        residual_classes=kind.classes or (),
    )
    return prepare_estimation(
        model, data.records, {name: data.known[which] for name, which in kind.known},
        structures=dict(kind.structures), bounds=kind.bounds, ties=kind.ties, options=options,
    )  # fmt: skip


def dense_of(problem: RemlProblem) -> DenseLikelihood:
    dropped = np.concatenate([problem.constraints.equations, problem.constraints.groups])
    restricted = problem.likelihood == "reml"
    return dense_likelihood(problem.design, problem.plain, dropped, problem.space.parameters, restricted)


def somewhere(problem: RemlProblem, seed: int) -> Array:
    """Parameters inside the parameter space, away from any optimum and from symmetry."""
    rng, space = np.random.default_rng(seed), problem.space
    theta = np.zeros(space.size)
    for block in space.blocks:
        matrix = rng.uniform(0.4, 2.0) * positive_definite(rng, block.order)
        theta[block.slice] = np.where(block.mask, matrix, 0.0)[block.elements]
    return theta


def steps_of(problem: RemlProblem, theta: Array) -> Array:
    """Differences of a thousandth of the variances that a parameter stands beside."""
    steps = np.empty(theta.size)
    for block in problem.space.blocks:
        diagonal = problem.space.matrix(theta, block).diagonal()
        rows, columns = block.elements
        steps[block.slice] = 1e-3 * np.sqrt(diagonal[rows] * diagonal[columns])
    return steps


def derivatives_agree(found: Array, wanted: Array, steps: Array, tolerance: float) -> None:
    """Within a tolerance of the largest, each times its step."""
    np.testing.assert_allclose(
        found * steps, wanted * steps, rtol=tolerance, atol=tolerance * np.abs(wanted * steps).max()
    )


# --- at points --------------------------------------------------------------------------------------------------------


LIKELIHOODS = [pytest.param(RemlOptions(), id="reml"), pytest.param(RemlOptions(likelihood="ml"), id="ml")]


@pytest.mark.parametrize("options", LIKELIHOODS)
@pytest.mark.parametrize("name", KINDS)
def test_likelihood_score_and_information(name: str, options: RemlOptions) -> None:
    kind = KINDS[name]
    if options.likelihood == "ml" and "fixed groups" in name:
        with pytest.raises(bb.ModelError, match="ML with fixed groups of unknown parents is not there -> use REML"):
            prepared(kind, options=options)
        return
    problem = prepared(kind, options=options).problem
    dense = dense_of(problem)
    for seed in (1, 2):
        theta = somewhere(problem, seed)
        point, steps = point_at(problem, theta), steps_of(problem, theta)
        assert point.minus2_log_l == pytest.approx(dense.minus2_log_l(theta), abs=EQUAL)
        score = score_at(point).values
        derivatives_agree(score, dense.gradient(theta), steps, 1e-8)
        derivatives_agree(score, dense.differences(theta, steps), steps, DERIVATIVE)
        own = central_differences(lambda at, problem=problem: point_at(problem, at).minus2_log_l, theta, steps)
        derivatives_agree(score, own, steps, DERIVATIVE)
        information, wanted = average_information(point), dense.information(theta, "average")
        scale = np.sqrt(wanted.diagonal())
        np.testing.assert_allclose(information / np.outer(scale, scale), wanted / np.outer(scale, scale), atol=1e-8)


def test_likelihood_and_score_at_reduced_rank() -> None:
    """At a singular G₀ the likelihood is that of V; the score holds there too, towards the inside."""
    problem = prepared(REDUCED).problem
    dense = dense_of(problem)
    theta = np.array([1.2, -0.8, 0.8**2 / 1.2, 1.5, 0.3, 0.9])
    assert np.linalg.det(problem.space.matrix(theta, problem.space.blocks[0])) == pytest.approx(0.0, abs=1e-15)
    assert point_at(problem, theta, exact=True).minus2_log_l == pytest.approx(dense.minus2_log_l(theta), abs=EQUAL)
    assert point_at(problem, theta).minus2_log_l == pytest.approx(dense.minus2_log_l(theta), abs=1e-6)
    derivatives_agree(score_at(point_at(problem, theta)).values, dense.gradient(theta), np.ones(6), DERIVATIVE)


@pytest.mark.parametrize("variance", [0.0, 1e-14])
def test_likelihood_and_score_at_a_variance_of_zero(variance: float) -> None:
    problem = prepared(KINDS["several terms"]).problem
    dense = dense_of(problem)
    theta = np.array([variance, 0.7, 0.0, 1.1])
    assert point_at(problem, theta, exact=True).minus2_log_l == pytest.approx(dense.minus2_log_l(theta), abs=EQUAL)
    derivatives_agree(score_at(point_at(problem, theta)).values, dense.gradient(theta), np.ones(4), DERIVATIVE)


# --- at the optimum ---------------------------------------------------------------------------------------------------


def best_by_brute_force(problem: RemlProblem, dense: DenseLikelihood, start: Array) -> tuple[Array, float]:
    """The highest dense likelihood over Cholesky factors, by BFGS from several starts and Nelder–Mead from the best."""
    space = problem.space
    places = [(block, *np.nonzero(np.tril(block.mask))) for block in space.blocks]

    def theta_of(entries: Array) -> Array:
        theta, first = np.zeros(space.size), 0
        for block, rows, columns in places:
            root = np.zeros((block.order, block.order))
            root[rows, columns] = entries[first : first + rows.size]
            first += rows.size
            theta[block.slice] = (root @ root.T)[block.elements]
        return theta

    def f(entries: Array) -> tuple[float, Array]:
        theta = theta_of(entries)
        value = dense.minus2_log_l(theta)
        if not np.isfinite(value):
            return 1e6, np.zeros_like(entries)
        gradient, slopes, first = dense.gradient(theta), np.zeros_like(entries), 0
        for block, rows, columns in places:
            root, gamma = np.zeros((block.order, block.order)), np.zeros((block.order, block.order))
            root[rows, columns] = entries[first : first + rows.size]
            own, (i, j) = gradient[block.slice], block.elements
            gamma[i, j] = gamma[j, i] = np.where(i == j, own, 0.5 * own)
            slopes[first : first + rows.size] = (2.0 * gamma @ root)[rows, columns]
            first += rows.size
        return value, slopes

    best: tuple[Array, float] = (start, dense.minus2_log_l(start))
    for factor in (1.0, 0.2, 3.0):
        entries = np.concatenate(
            [np.linalg.cholesky(factor * space.matrix(start, block))[rows, columns] for block, rows, columns in places]
        )
        found = scipy.optimize.minimize(f, entries, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
        found = scipy.optimize.minimize(f, found.x, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
        if found.fun < best[1]:
            best = theta_of(found.x), float(found.fun)
    return best


MAXIMISED = (
    "animal", "several terms", "repeatability", "maternal", "two traits", "two traits, own terms", "two traits apart",
    "residual classes", "weights of each trait", "random regression, uncorrelated", "slopes", "members", "pen mates", "dominance",
    "fixed groups", "metafounders", "diagonal", "diagonal residual", "no random terms, two traits",
)  # fmt: skip


@pytest.mark.parametrize("name", MAXIMISED)
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 40))
def test_average_information_and_brute_force_meet(name: str, seed: int) -> None:
    begin = prepared(KINDS[name], seed)
    maximum = maximise(begin.problem, begin.start)
    theta, lowest = best_by_brute_force(begin.problem, dense_of(begin.problem), begin.start)
    assert maximum.converged, maximum.reason
    assert maximum.point.minus2_log_l == pytest.approx(lowest, abs=2e-6)
    scale = np.sqrt(np.diag(steps_of(begin.problem, begin.start)) ** 2).diagonal() * 1e3
    np.testing.assert_allclose(maximum.point.theta / scale, theta / scale, atol=2e-3)


@pytest.mark.parametrize("method", ["em", "px-em"])
@pytest.mark.parametrize("name", ["animal", "two traits", "residual classes", "weights"])
def test_em_goes_where_average_information_goes(name: str, method: Any) -> None:
    begin = prepared(KINDS[name])
    lowest = maximise(begin.problem, begin.start)
    options = RemlOptions(method=method, max_rounds=20_000)
    maximum = maximise(begin.problem, begin.start, options)
    assert maximum.converged, maximum.reason
    falling = [one.minus2_log_l for one in maximum.history]
    assert all(after <= before + 1e-9 for before, after in pairwise(falling))
    assert maximum.point.minus2_log_l == pytest.approx(lowest.point.minus2_log_l, abs=1e-4)
    np.testing.assert_allclose(maximum.point.theta, lowest.point.theta, rtol=2e-2, atol=2e-2)


def brute_force_of_free(problem: RemlProblem, dense: DenseLikelihood, start: Array) -> tuple[Array, float]:
    """The highest dense likelihood over the parameters that bounds, ties and fixed values leave."""
    restrictions = problem.space.restrictions
    limits = list(zip(restrictions.lower, restrictions.upper, strict=True))

    def f(phi: Array) -> float:
        theta = restrictions.offset + restrictions.basis @ phi
        inside = all(np.linalg.eigvalsh(problem.space.matrix(theta, block))[0] > 0 for block in problem.space.blocks)
        return min(dense.minus2_log_l(theta), 1e6) if inside else 1e6

    phi = start[restrictions.roots]
    for _ in range(3):
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20_000, "maxfev": 20_000}
        found = scipy.optimize.minimize(f, phi, method="Nelder-Mead", bounds=limits, options=options)
        phi = found.x
    return restrictions.offset + restrictions.basis @ phi, float(found.fun)


@pytest.mark.parametrize("name", ["fixed value", "tie", "bound", "diagonal"])
def test_restricted_maxima(name: str) -> None:
    begin = prepared(KINDS[name])
    maximum = maximise(begin.problem, begin.start)
    theta, lowest = brute_force_of_free(begin.problem, dense_of(begin.problem), begin.start)
    assert maximum.converged, maximum.reason
    assert maximum.point.minus2_log_l == pytest.approx(lowest, abs=1e-6)
    np.testing.assert_allclose(maximum.point.theta, theta, atol=2e-3)


def test_a_tie_a_bound_and_a_fixed_value_are_what_was_asked_for() -> None:
    tied = prepared(KINDS["tie"])
    theta = maximise(tied.problem, tied.start).point.theta
    assert theta[1] == pytest.approx(0.5 * theta[0], rel=1e-12)
    bounded = prepared(KINDS["bound"])
    maximum = maximise(bounded.problem, bounded.start)
    assert maximum.point.theta[0] == pytest.approx(0.8, rel=1e-12)
    estimates = estimates_of(maximum, "average")
    assert estimates.status[0] == "bound"
    assert np.isnan(estimates.standard_errors[0])
    fixed = prepared(KINDS["fixed value"])
    assert maximise(fixed.problem, fixed.start).point.theta[:3].tolist() == [2.0, 0.5, 1.0]


def test_reduced_rank() -> None:
    """The best of rank 1: over the loadings of one factor, by brute force."""
    begin = prepared(REDUCED)
    dense = dense_of(begin.problem)

    def theta_of(entries: Array) -> Array:
        root = np.array([[entries[2], 0.0], [entries[3], entries[4]]])
        g, r = np.outer(entries[:2], entries[:2]), root @ root.T
        return np.array([g[0, 0], g[1, 0], g[1, 1], r[0, 0], r[1, 0], r[1, 1]])

    best = min(
        (
            scipy.optimize.minimize(
                lambda e: min(dense.minus2_log_l(theta_of(e)), 1e6), start, method="BFGS", options={"gtol": 1e-7}
            )
            for start in ([1.0, 0.5, 1.0, 0.2, 1.0], [1.0, -0.5, 1.0, 0.2, 1.0], [0.1, 1.0, 1.0, 0.2, 1.0])
        ),
        key=lambda found: float(found.fun),
    )
    maximum = maximise(begin.problem, begin.start)
    assert maximum.converged, maximum.reason
    assert maximum.point.minus2_log_l == pytest.approx(best.fun, abs=1e-6)
    np.testing.assert_allclose(maximum.point.theta, theta_of(best.x), atol=2e-3)
    g = begin.problem.space.matrix(maximum.point.theta, begin.problem.space.blocks[0])
    assert np.linalg.eigvalsh(g)[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("kind", ["average", "observed", "expected"])
@pytest.mark.parametrize("name", ["several terms", "two traits", "residual classes", "tie", "weights"])
def test_standard_errors_of_each_information(name: str, kind: Any) -> None:
    begin = prepared(KINDS[name])
    maximum = maximise(begin.problem, begin.start)
    estimates = estimates_of(maximum, kind)
    free = begin.problem.space.free_basis(maximum.point.theta)
    information = dense_of(begin.problem).information(maximum.point.theta, kind)
    wanted = free @ np.linalg.inv(free.T @ information @ free) @ free.T
    np.testing.assert_allclose(estimates.covariance, wanted, rtol=2e-4, atol=2e-4 * np.abs(wanted).max())


def test_other_records_of_the_same_problem() -> None:
    problem = prepared(KINDS["two traits"]).problem
    rng, theta = np.random.default_rng(3), np.array([1.0, 0.2, 0.8, 1.3, -0.4, 0.9])
    y = rng.standard_normal(problem.design.y.shape)
    before = point_at(problem, theta).minus2_log_l
    other = problem.with_y(y)
    assert point_at(other, theta).minus2_log_l == pytest.approx(dense_of(other).minus2_log_l(theta), abs=EQUAL)
    assert point_at(problem, theta).minus2_log_l == before
    point: Point = point_at(other, theta)
    assert point.problem.design.y[problem.design.observed] == pytest.approx(y[problem.design.observed])


def test_traits_that_are_never_together() -> None:
    begin = prepared(KINDS["two traits apart"])
    apart = never_together(begin.problem.design)
    assert np.array_equal(apart, ~np.eye(2, dtype=bool))
    assert "residual[2,1]" not in begin.problem.space.names
    assert isinstance(begin.problem.space, ParameterSpace)
    assert "residual covariance of y1 and y2 set to 0: no record has both" in begin.notes
