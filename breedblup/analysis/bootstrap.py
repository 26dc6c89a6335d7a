"""Responses simulated from a fitted model, and the variances estimated from them: the parametric bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, NumericalError, ResourceError
from breedblup.frames import give_back
from breedblup.inference.expressions import parse_expression
from breedblup.inference.functions import checked_level
from breedblup.kernels import numerator
from breedblup.mme.record_sums import fitted_values
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.group_operator import GroupOperator
from breedblup.relationship.inverse import DENSE_LIMIT
from breedblup.relationship.operator import PedigreeOperator
from breedblup.reml.fit import maximise
from breedblup.reml.point import Point

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

_Array = NDArray[np.float64]

LEAST_REPLICATES = 2


@dataclass(frozen=True)
class SimulatedResponses:
    """Responses drawn from a fitted model.

    Attributes
    ----------
    values
        Sets × records in use × traits, NaN where the records have none; read-only.
    seed
        Gives the same responses again.
    conditional
        Whether random effects are those of the fit.
    """

    fit: RemlFit
    values: _Array
    seed: int
    conditional: bool

    def __post_init__(self) -> None:
        self.values.flags.writeable = False

    def __len__(self) -> int:
        return len(self.values)

    def records(self, number: int) -> Any:
        """The records with the responses of one set, counted from 0; empty in records that were not in use."""
        design = self.fit.problem.design
        frame = design.table.frame
        columns = []
        for t, trait in enumerate(design.traits):
            column = np.full(frame.height, np.nan)
            column[design.rows] = self.values[number, :, t]
            columns.append(pl.Series(trait, column).fill_nan(None))
        return give_back(frame.with_columns(columns), design.table.backend)


def simulate(fit: RemlFit, sets: int = 1, *, seed: int = 0, conditional: bool = False) -> SimulatedResponses:
    """Responses y = Xb + Zu + e at the estimates, for the records of the fit.

    Parameters
    ----------
    sets
        How many sets of responses.
    seed
        The same seed gives the same responses.
    conditional
        Whether u are the solutions of the fit, so that residuals alone are new; else u are new too, var(u) = G₀ ⊗ K. Fixed
        effects, fixed groups of unknown parents among them, are those of the fit.

    Raises
    ------
    ModelError
        If ``sets`` is below 1.
    ResourceError
        If a relationship matrix of the user's is too large to be factorised.
    """
    if sets < 1:
        raise ModelError(f"simulate: sets is {sets}; give a whole number from 1")
    random = np.random.default_rng(seed)
    drawer = _Drawer.of(fit.point, conditional=conditional)
    values = np.stack([drawer.draw(random) for _ in range(sets)])
    return SimulatedResponses(fit, values, seed, conditional)


@dataclass(frozen=True)
class _Drawer:
    """What draws have in common: the expectation, and a root of K of each random term that is drawn."""

    point: Point
    expected: _Array
    roots: dict[int, _KinshipRoot]

    @classmethod
    def of(cls, point: Point, *, conditional: bool) -> _Drawer:
        problem = point.problem
        vector, roots = np.zeros(problem.layout.size), {}
        vector[: problem.layout.fixed_size] = point.x[: problem.layout.fixed_size]
        for k, term in enumerate(problem.layout.terms):
            if term.kind == "fixed":
                continue
            effects = point.of_term(point.x, k) @ point.root(k).T
            part = vector[problem.layout.starts[k] : problem.layout.starts[k + 1]].reshape(effects.shape)
            if conditional:
                part[:] = effects
                continue
            roots[k] = _KinshipRoot.of(term.relationship, len(term.levels))
            if k in problem.groups_of_terms:
                part[:] = _of_fixed_groups(term.relationship, effects)
        return cls(point, _spread(point, vector), roots)

    def draw(self, random: np.random.Generator) -> _Array:
        """One set of responses, n × traits."""
        point, problem = self.point, self.point.problem
        vector = np.zeros(problem.layout.size)
        for k, root in self.roots.items():
            deviates = random.standard_normal((len(problem.layout.terms[k].levels), problem.layout.width(k)))
            effects = root.times(deviates) @ point.root(k).T
            vector[problem.layout.starts[k] : problem.layout.starts[k + 1]] = effects.ravel()
        y = self.expected + _spread(point, vector) + _residuals(point, random)
        return np.where(problem.design.observed, y, np.nan)


def _spread(point: Point, vector: _Array) -> _Array:
    """[X Z] times effects, n × traits."""
    problem = point.problem
    return fitted_values(problem.incidence, problem.plain_slots, np.zeros_like(problem.dropped), vector)


def _residuals(point: Point, random: np.random.Generator) -> _Array:
    """Residuals of every record and trait."""
    design = point.problem.design
    deviates = random.standard_normal(design.y.shape)
    if design.residual_levels is None or design.residual_codes is None:
        drawn = deviates @ np.linalg.cholesky(point.variances.residual_matrix()).T
    else:
        drawn = np.empty_like(deviates)
        for code, level in enumerate(design.residual_levels.to_list()):
            mine = design.residual_codes == code
            drawn[mine] = deviates[mine] @ np.linalg.cholesky(point.variances.residual_matrix(level)).T
    return drawn if design.weights is None else drawn / np.sqrt(design.weights)


@dataclass(frozen=True)
class _KinshipRoot:
    """A root of K: handing values down a pedigree, or a dense triangle; neither for K = I."""

    operator: PedigreeOperator | GroupOperator | None
    triangle: _Array | None

    @classmethod
    def of(cls, relationship: RelationshipInverse | None, size: int) -> _KinshipRoot:
        """Of the levels of a term."""
        if relationship is None:
            return cls(None, None)
        if isinstance(relationship.operator, PedigreeOperator | GroupOperator):
            return cls(relationship.operator, None)
        if size > DENSE_LIMIT:
            raise ResourceError(
                f"simulate: a relationship matrix of {size:,} rows cannot be factorised here (limit {DENSE_LIMIT:,}) -> simulate "
                "with conditional=True, or from a smaller matrix"
            )
        return cls(None, np.asarray(np.linalg.cholesky(relationship.multiply(np.eye(size))), dtype=np.float64))

    def times(self, deviates: _Array) -> _Array:
        """Values with covariance K from independent ones, levels × columns."""
        if self.triangle is not None:
            product: _Array = self.triangle @ deviates
            return product
        if self.operator is None:
            return deviates
        if isinstance(self.operator, PedigreeOperator):
            return _handed_down(self.operator, deviates / np.sqrt(self.operator.variance)[:, None])
        of, n = self.operator.among_classes, self.operator.among_classes.sire.size
        groups = _root_of(self.operator.covariance) @ deviates[n:]
        own = deviates[:n] / np.sqrt(of.variance)[:, None]
        values = _handed_down(of, self.operator.to_classes(np.concatenate([own, groups])))
        return np.concatenate([values[:n], groups])


def _handed_down(operator: PedigreeOperator, values: _Array) -> _Array:
    """T D times values of animals, classes of unknown parents as given."""
    handed = np.array(values, order="C")
    numerator.pass_to_offspring(operator.sire, operator.dam, operator.variance, handed)
    return handed


def _root_of(covariance: _Array) -> _Array:
    values, vectors = np.linalg.eigh(covariance)
    root: _Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _of_fixed_groups(relationship: RelationshipInverse | None, effects: _Array) -> _Array:
    """What every animal and group has of the groups' estimates."""
    assert relationship is not None
    assert relationship.groups is not None
    of_groups = np.ascontiguousarray(effects[relationship.animals :])
    return np.concatenate([relationship.groups.operator.owed_to_groups(of_groups), of_groups])


@dataclass(frozen=True)
class Bootstrap:
    """Estimates from responses simulated at the estimates of a fit.

    Attributes
    ----------
    names
        Parameters, then expressions.
    estimates
        Of the fit.
    values
        Replicates × names; NaN where an expression has no value.
    failures
        Replicates whose likelihood found no maximum; they are left out of ``values``.
    seed
        Gives the same replicates again.
    """

    names: tuple[str, ...]
    estimates: _Array
    values: _Array
    failures: int
    seed: int
    backend: str

    def __post_init__(self) -> None:
        for array in (self.estimates, self.values):
            array.flags.writeable = False

    @property
    def replicates(self) -> Any:
        """A row for each replicate and a column for each name."""
        return give_back(pl.DataFrame({n: self.values[:, k] for k, n in enumerate(self.names)}), self.backend)

    def table(self, level: float = 0.95) -> Any:
        """name, estimate, mean, sd, bias, lower, upper; limits are quantiles (Efron & Tibshirani 1993, ch. 13)."""
        tail = 0.5 * (1.0 - checked_level(level))
        mean = np.nanmean(self.values, axis=0)
        lower, upper = np.nanquantile(self.values, [tail, 1.0 - tail], axis=0)
        frame = pl.DataFrame(
            {
                "name": self.names,
                "estimate": self.estimates,
                "mean": mean,
                "sd": np.nanstd(self.values, axis=0, ddof=1),
                "bias": mean - self.estimates,
                "lower": lower,
                "upper": upper,
            }
        )
        return give_back(frame, self.backend)

    def __repr__(self) -> str:
        failed = f", {self.failures} without a maximum left out" if self.failures else ""
        return f"Bootstrap of {len(self.values):,} replicates{failed}, seed {self.seed}: {', '.join(self.names)}"


def parametric_bootstrap(
    fit: RemlFit, replicates: int = 200, *, seed: int = 0, expressions: Sequence[str] = ()
) -> Bootstrap:
    """Estimate the variances anew from responses simulated at those of a fit.

    Parameters
    ----------
    replicates
        Sets of responses: some hundreds for standard deviations, a thousand for limits.
    seed
        The same seed gives the same replicates.
    expressions
        Functions of the components beside these, as `derive` takes them.

    Raises
    ------
    ModelError
        If ``replicates`` is below 2, or an expression cannot be read.
    NumericalError
        If fewer than two replicates have a maximum.
    """
    if replicates < LEAST_REPLICATES:
        raise ModelError(
            f"parametric_bootstrap: replicates is {replicates}; give a whole number from {LEAST_REPLICATES}"
        )
    space, problem = fit.estimates.space, fit.problem
    parsed = [parse_expression(text, space) for text in expressions]
    options = replace(fit.options, method="ai", max_rounds=None)
    inside = "boundary" not in fit.estimates.status and not space.singular(fit.estimates.theta)
    begin = fit.estimates.theta if inside else fit.history[0].theta
    random, drawer = np.random.default_rng(seed), _Drawer.of(fit.point, conditional=False)
    found = []
    for _ in range(replicates):
        try:
            maximum = maximise(problem.with_y(drawer.draw(random)), begin, options)
        except NumericalError:
            continue
        if maximum.converged:
            found.append(maximum.point.theta)
    if len(found) < LEAST_REPLICATES:
        raise NumericalError(
            f"parametric_bootstrap: {len(found)} of {replicates} replicates have a maximum -> fit a simpler model, or look "
            "at the responses that simulate() gives"
        )
    theta = np.array(found)
    return Bootstrap(
        (*space.names, *expressions),
        np.concatenate([fit.estimates.theta, *(np.atleast_1d(one.values(fit.estimates.theta)) for one in parsed)]),
        np.column_stack([theta, *(one.values(theta) for one in parsed)]),
        replicates - len(found),
        seed,
        problem.design.table.backend,
    )
