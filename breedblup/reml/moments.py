"""Simple moments of the records: variances after fixed effects, and what quadratic forms tell of each variance.

Values are multiplied by the root of their weight, so that the residual variance is that of all of them. With M the projector of
least squares and V = Σ θᵢ Vᵢ,

    E(e'Vᵢe) = Σⱼ tr(M Vᵢ M Vⱼ) θⱼ,    e = My,

which is MINQUE with no variance but that of the residual (Rao 1971), known for relationships as Haseman–Elston regression. Its
traces are means of ξ'M Vᵢ M Vⱼ M ξ over vectors ξ of random signs (Hutchinson 1990), exact for few records. Where the MVᵢM
depend on each other, no likelihood can tell the parameters apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.mme import Constraints, EquationLayout
from breedblup.mme.constraints import FixedPart
from breedblup.solvers.rank import RankFactor
from breedblup.variances.blocks import RESIDUAL, Parameter
from breedblup.variances.parameters import ParameterSpace

_Array = NDArray[np.float64]

SEED = 1971
"""Of the random signs: the same records have the same moments."""

PROBED_VALUES = 40_000
"""Records times vectors of signs, between the least and the most of them."""

FEWEST_PROBES, MOST_PROBES = 3, 150


@dataclass(frozen=True)
class Moments:
    """What is known of the variances before any is estimated.

    Attributes
    ----------
    variance
        Of each trait after fixed effects, at weight 1; the sum of squares over the values beyond the rank of X.
    degrees
        Values of each trait less the rank of its X.
    correlation
        Among the traits of a record after fixed effects; 0 for traits that are never together.
    loads
        By key of a random term: mean share wz²k of each coordinate in the variance of a value of its trait.
    traces
        tr(M Vᵢ M Vⱼ), p × p; by random signs for more than 150 values.
    forms
        e'Vᵢe, p.
    sizes
        Root of tr(VᵢVᵢ), p, found likewise: what ``traces`` has to be compared with.
    """

    variance: _Array
    degrees: NDArray[np.int64]
    correlation: _Array
    loads: Mapping[str, _Array]
    traces: _Array
    forms: _Array
    sizes: _Array


def moments_of(design: Design, layout: EquationLayout, constraints: Constraints, space: ParameterSpace) -> Moments:
    """Moments of the records of a design; ``constraints`` are those of the fixed equations of the layout."""
    fits = [TraitFit.of(design, layout, constraints, t) for t in range(len(design.traits))]
    roots = np.where(design.observed, 1.0 if design.weights is None else np.sqrt(design.weights), 0.0)
    residuals = project(fits, roots * np.where(design.observed, design.y, 0.0))
    degrees = np.array([fit.rows.size - fit.rank for fit in fits], dtype=np.int64)
    terms = {term.name: TermLoads.of(term, roots) for term in design.random}
    traces, sizes = _traces(design, fits, terms, space)
    return Moments(
        variance=(residuals**2).sum(axis=0) / np.maximum(degrees, 1),
        degrees=degrees,
        correlation=_correlation(design.observed, residuals),
        loads={name: loads.shares(design.observed) for name, loads in terms.items()},
        traces=traces,
        forms=np.array([np.vdot(residuals, part) for part in _parts(design, terms, space, residuals)]),
        sizes=sizes,
    )


@dataclass(frozen=True)
class TraitFit:
    """Least squares of one trait on its fixed effects: equation and value of each column of X in the records of the trait."""

    rows: NDArray[np.int64]
    trait: int
    columns: tuple[tuple[NDArray[np.int64], _Array], ...]
    factor: RankFactor | None

    @classmethod
    def of(cls, design: Design, layout: EquationLayout, constraints: Constraints, trait: int) -> TraitFit:
        """Of the records that have the trait."""
        rows = np.flatnonzero(design.observed[:, trait])
        part = FixedPart.of(design, layout, trait)
        if not part.terms:
            return cls(rows, trait, (), None)
        dropped = np.flatnonzero(np.isin(part.equations, constraints.equations))
        root = np.ones(rows.size) if design.weights is None else np.sqrt(design.weights[rows, trait])
        columns = []
        for k, term in enumerate(part.terms):
            link, start, width = term.links[0], int(part.layout.starts[k]), part.layout.width(k)
            for entry in link.entries:
                values = root if term.values is None or entry.column < 0 else root * term.values[:, entry.column]
                columns.append((start + link.codes.astype(np.int64) * width + entry.coordinate, entry.scale * values))
        return cls(rows, trait, tuple(columns), part.factor(part.incidence.rows.values, dropped))

    @property
    def rank(self) -> int:
        """Rank of X."""
        return 0 if self.factor is None else self.factor.rank

    def residuals(self, y: _Array) -> _Array:
        """y - Xb; a second pass takes out what rounding left."""
        if self.factor is None:
            return y
        rest = y
        for _ in range(2):
            side = np.zeros(self.factor.dependent.size)
            for equation, values in self.columns:
                side += np.bincount(equation, values * rest, side.size)
            b = self.factor.solve(side)
            rest = rest - sum((values * b[equation] for equation, values in self.columns), np.zeros(rest.size))
        return rest


def project(fits: list[TraitFit], values: _Array) -> _Array:
    """M of each trait times n × traits values."""
    rest = np.zeros_like(values)
    for fit in fits:
        rest[fit.rows, fit.trait] = fit.residuals(values[fit.rows, fit.trait])
    return rest


@dataclass(frozen=True)
class TermLoads:
    """Z of a random term: of each coordinate the trait, and codes and values of the records that reach it."""

    term: DesignTerm
    by_coordinate: tuple[tuple[tuple[int, NDArray[np.int32], _Array], ...], ...]

    @classmethod
    def of(cls, term: DesignTerm, roots: _Array) -> TermLoads:
        """With values times ``roots``, 0 where a trait is missing."""
        found: list[list[tuple[int, NDArray[np.int32], _Array]]] = [[] for _ in term.coordinates]
        for link in term.links:
            reached = np.where(link.codes >= 0, 1.0, 0.0)
            codes = np.maximum(link.codes, 0)
            for entry in link.entries:
                values = reached if term.values is None or entry.column < 0 else reached * term.values[:, entry.column]
                found[entry.coordinate].append((entry.trait, codes, entry.scale * values * roots[:, entry.trait]))
        return cls(term, tuple(tuple(one) for one in found))

    def collect(self, h: _Array) -> _Array:
        """Z'h, levels × coordinates."""
        levels = len(self.term.levels)
        total = np.zeros((levels, len(self.by_coordinate)))
        for c, loads in enumerate(self.by_coordinate):
            for trait, codes, values in loads:
                total[:, c] += np.bincount(codes, values * h[:, trait], levels)
        return total

    def related(self, h: _Array) -> _Array:
        """KZ'h."""
        total = self.collect(h)
        return total if self.term.relationship is None else self.term.relationship.multiply(total)

    def spread(self, effects: _Array, coordinate: int, into: _Array) -> None:
        """Add Z times the effects (levels) of a coordinate."""
        for trait, codes, values in self.by_coordinate[coordinate]:
            into[:, trait] += values * effects[codes]

    def shares(self, observed: NDArray[np.bool_]) -> _Array:
        """Mean of wz²k over the values of the trait of each coordinate; 1 where there is none."""
        diagonal = np.ones(len(self.term.levels)) if self.term.relationship is None else self.term.relationship.diagonal
        found = np.ones(len(self.by_coordinate))
        for c, loads in enumerate(self.by_coordinate):
            total = sum(float((values**2 * diagonal[codes]).sum()) for _, codes, values in loads)
            number = int(np.count_nonzero(observed[:, loads[0][0]])) if loads else 0
            found[c] = total / number if total > 0 else 1.0
        return found


def _parts(design: Design, terms: Mapping[str, TermLoads], space: ParameterSpace, h: _Array) -> list[_Array]:
    """Vᵢh of every parameter, n × traits."""
    related = {name: loads.related(h) for name, loads in terms.items()}
    levels = [] if design.residual_levels is None else design.residual_levels.to_list()
    found = []
    for parameter in space.parameters:
        i, j = parameter.row, parameter.column
        part = np.zeros_like(h)
        if parameter.key == RESIDUAL:
            _of_residual(part, h, parameter, design, levels)
        else:
            loads, effects = terms[parameter.key], related[parameter.key]
            loads.spread(effects[:, j], i, part)
            if i != j:
                loads.spread(effects[:, i], j, part)
        found.append(part)
    return found


def _of_residual(part: _Array, h: _Array, parameter: Parameter, design: Design, levels: list[str]) -> None:
    i, j = parameter.row, parameter.column
    part[:, i] = h[:, j]
    part[:, j] = h[:, i]
    if design.residual_codes is not None:
        part[design.residual_codes != levels.index(str(parameter.level))] = 0.0
    part[~design.observed] = 0.0


def _traces(
    design: Design, fits: list[TraitFit], terms: Mapping[str, TermLoads], space: ParameterSpace
) -> tuple[_Array, _Array]:
    """Sums over ξ of products of MVᵢMξ, and roots of those of squares of Vᵢξ; the ξξ' add up to the identity, or nearly so."""
    traces, squares = np.zeros((space.size, space.size)), np.zeros(space.size)
    for vector in _probes(design.observed):
        squares += [np.vdot(part, part) for part in _parts(design, terms, space, vector)]
        projected = _parts(design, terms, space, project(fits, vector))
        columns = np.stack([project(fits, part).ravel() for part in projected])
        traces += columns @ columns.T
    return traces, np.sqrt(squares)


def _probes(observed: NDArray[np.bool_]) -> Iterator[_Array]:
    """Every unit vector of few values, random signs over the root of their number for more; n × traits, 0 where missing."""
    cells = np.argwhere(observed)
    if len(cells) <= MOST_PROBES:
        for cell in cells:
            vector = np.zeros(observed.shape)
            vector[tuple(cell)] = 1.0
            yield vector
        return
    random = np.random.default_rng(SEED)
    number = int(np.clip(PROBED_VALUES // len(observed), FEWEST_PROBES, MOST_PROBES))
    for _ in range(number):
        yield np.where(observed, random.choice([-1.0, 1.0], observed.shape), 0.0) / np.sqrt(number)


def _correlation(observed: NDArray[np.bool_], residuals: _Array) -> _Array:
    traits = residuals.shape[1]
    found = np.eye(traits)
    for t in range(traits):
        for s in range(t):
            both = observed[:, t] & observed[:, s]
            a, b = residuals[both, t], residuals[both, s]
            size = np.sqrt(float(a @ a) * float(b @ b))
            found[t, s] = found[s, t] = float(a @ b) / size if size > 0 else 0.0
    return found
