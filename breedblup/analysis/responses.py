"""Responses simulated from a fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, ResourceError, counted
from breedblup.formula import expression_of, sources_of
from breedblup.frames import give_back
from breedblup.kernels import numerator
from breedblup.mme.record_sums import fitted_values
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.group_operator import GroupOperator
from breedblup.relationship.inverse import DENSE_LIMIT
from breedblup.relationship.operator import PedigreeOperator
from breedblup.reml.point import Point
from breedblup.solvers.selected_inverse import threads_for

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

_Array = NDArray[np.float64]

INVERSES: Mapping[str, Callable[[_Array], _Array]] = {
    "log": np.exp,
    "log2": np.exp2,
    "log10": lambda values: np.power(10.0, values),
    "log1p": np.expm1,
}
"""What gives a column back from its function; the others are not one to one for all real numbers."""


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

    def __repr__(self) -> str:
        sets, n, _ = self.values.shape
        given = ", random effects those of the fit" if self.conditional else ""
        return f"{counted(sets, 'set')} of simulated responses of {counted(n, 'record')}, seed {self.seed}{given}"

    def records(self, number: int) -> Any:
        """The records with the responses of one set, counted from 0; empty in records that were not in use.

        The fitted model takes them. Where the response is a logarithm, the column that it is of is made from it.

        Raises
        ------
        ModelError
            If a response is another function of columns, or of a column that another response is of too.
        """
        design = self.fit.problem.design
        frame = design.table.frame
        for t, trait in enumerate(design.traits):
            column = np.full(frame.height, np.nan)
            column[design.rows] = self.values[number, :, t]
            name, values = _column_behind(self.fit, trait, column)
            frame = frame.with_columns(pl.Series(name, values).fill_nan(None))
            frame = frame if name == trait else frame.drop(trait)
        return give_back(frame, design.table.backend)


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
    drawer = Drawer.of(fit.point, conditional=conditional)
    with threads_for(fit.problem.work):
        values = np.stack([drawer.draw(random) for _ in range(sets)])
    return SimulatedResponses(fit, values, seed, conditional)


def _column_behind(fit: RemlFit, trait: str, values: _Array) -> tuple[str, _Array]:
    """The column of the records that a response is computed from, with its values; the response itself where it is none."""
    expression = expression_of(trait)
    if expression is None:
        return trait, values
    source = expression.operands[0]
    others = [name for name in fit.model.computed_columns if name != trait]
    if expression.symbol not in INVERSES or not isinstance(source, str) or source in sources_of(others):
        raise ModelError(
            f"simulate: the column that {trait!r} is computed from cannot be made from simulated values of it -> make the "
            "response a column of the records, such as log_y, and fit that; or take the values from .values"
        )
    return source, INVERSES[expression.symbol](values)


@dataclass(frozen=True)
class Drawer:
    """What draws have in common: the expectation, and a root of K of each random term that is drawn."""

    point: Point
    expected: _Array
    roots: dict[int, _KinshipRoot]

    @classmethod
    def of(cls, point: Point, *, conditional: bool) -> Drawer:
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
