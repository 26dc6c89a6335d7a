"""Dependent columns of X: found, set to zero and named.

Three rules, in this order, for one trait after the other (`docs/developing.md` says why):

1. Effects without a record of the trait are set to zero.
2. Where the trait has an overall constant (an intercept, or a Legendre or spline covariate that is not nested), the first
   recorded level of every set of classes is its reference and set to zero, as R's treatment contrasts do.
3. What remains dependent is found by a sparse LDL' of X'DX (D the record weights) with the terms of many levels first, then
   the constant, then covariates that are not nested: of a set of dependent columns the one that comes last in that order is
   set to zero. A covariate that is so nearly dependent that rounding may decide is refused, never dropped.

Estimable functions do not depend on either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.errors import ModelError, name_some
from breedblup.mme.incidence import Incidence, build_incidence
from breedblup.mme.layout import EquationLayout
from breedblup.mme.pattern import count_pattern
from breedblup.solvers.rank import RankFactor, dependent_columns, elimination_order

ROUNDED_ZERO = 1e-13
"""Pivots, relative to their diagonal, that compensated sums leave of an exact dependency stay below this."""

SAME_VALUE = 1e-12
"""A column whose values differ by no more than this, relatively, is a constant."""

CLEARLY_INDEPENDENT = 1e-9
"""From here on half of the digits of an estimate are sound. A covariate whose mean is 10⁴ standard deviations has 1e-8."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """Fixed equations that are set to zero.

    Attributes
    ----------
    unrecorded
        Equations without records (rule 1).
    reference
        Equations of reference levels (rule 2).
    dependent
        Equations found dependent on others (rule 3).
    rank
        Rank of X, all traits together.
    groups
        Equations of fixed groups of unknown parents that records cannot tell from the rest (`breedblup.mme.group_rank`).
    """

    unrecorded: NDArray[np.int64]
    reference: NDArray[np.int64]
    dependent: NDArray[np.int64]
    rank: int
    groups: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def equations(self) -> NDArray[np.int64]:
        """All constrained equations of fixed effects, ascending."""
        return np.sort(np.concatenate([self.unrecorded, self.reference, self.dependent]))

    def notes(self, layout: EquationLayout) -> tuple[str, ...]:
        """What was set to zero, named."""
        said = []
        for what, equations in (
            ("fixed effects set to zero, without records", self.unrecorded),
            ("fixed effects set to zero, reference levels", self.reference),
            ("fixed effects set to zero, dependent on others", self.dependent),
            ("fixed groups of unknown parents set to zero, as records cannot tell them from the rest", self.groups),
        ):
            if equations.size:
                names = [layout.name(int(e)) for e in equations[:10]]
                more = f" and {equations.size - 10} more" if equations.size > 10 else ""
                said.append(f"{what}: {', '.join(names)}{more}")
        places = (layout.locate(int(e)) for e in self.dependent)
        covariates = {
            term.name
            for term, _, coordinate in places
            if not term.classes and not _has_slopes_by_class(term, term.coordinates[coordinate].trait, layout)
        }
        if covariates:
            said.append(
                f"look at {', '.join(sorted(covariates))}: a covariate is among the effects set to zero; it repeats others, or "
                "its mean is very large beside its spread and it has to be centred"
            )
        said.append(f"rank of the fixed part {self.rank} of {layout.fixed_size}")
        return tuple(said)


def _has_slopes_by_class(term: DesignTerm, trait: str, layout: EquationLayout) -> bool:
    """Whether a covariate is nested in the classes of another term too, whose slopes leave nothing to a common one."""
    return any(
        other.kind == "fixed"
        and other is not term
        and len(other.levels) > 1
        and any(coordinate.trait == trait for coordinate in other.coordinates)
        and other.values is not None
        and term.values is not None
        and np.array_equal(other.values, term.values, equal_nan=True)
        for other in layout.terms
    )


def constrain_fixed(design: Design, layout: EquationLayout) -> Constraints:
    """Find the fixed equations that have to be set to zero.

    Raises
    ------
    ModelError
        If a covariate is nearly a combination of other effects.
    """
    parts = [_constraints_of(FixedPart.of(design, layout, t)) for t in range(len(design.traits))]
    joined = [np.concatenate([part[k] for part in parts]) for k in range(3)]
    return Constraints(joined[0], joined[1], joined[2], sum(part[3] for part in parts))


@dataclass(frozen=True, slots=True)
class FixedPart:
    """The fixed part of one trait: its terms numbered by themselves, and the equations that they have in the whole."""

    terms: tuple[DesignTerm, ...]
    layout: EquationLayout
    incidence: Incidence
    equations: NDArray[np.int64]
    names: EquationLayout

    @classmethod
    def of(cls, design: Design, layout: EquationLayout, trait: int) -> FixedPart:
        """Of the records that have the trait."""
        rows = np.flatnonzero(design.observed[:, trait])
        terms, equations = [], [np.empty(0, dtype=np.int64)]
        for k, term in enumerate(design.fixed):
            mine = [entry.coordinate for entry in term.links[0].entries if entry.trait == trait]
            if mine:
                terms.append(term.of_trait(trait, rows))
                levels = layout.width(k) * np.arange(len(term.levels), dtype=np.int64)
                equations.append((int(layout.starts[k]) + levels[:, None] + np.array(mine)).ravel())
        own = EquationLayout.of(terms)
        of_trait = replace(
            design,
            y=np.ascontiguousarray(design.y[rows, trait : trait + 1]),
            weights=None if design.weights is None else design.weights[rows, trait : trait + 1],
            residual_levels=None,
            residual_codes=None,
            fixed=tuple(terms),
            random=(),
        )
        return cls(tuple(terms), own, build_incidence(of_trait, own), np.concatenate(equations), layout)

    def factor(self, values: NDArray[np.float64], dropped: NDArray[np.int64]) -> RankFactor:
        """Factor of X'DX with its dependent columns dropped, for given values of the covariates."""
        rows, slots = self.incidence.rows._replace(values=values), self.incidence.slots
        pattern = count_pattern(self.incidence, self.layout, dropped).positions()
        entries = np.empty(pattern.nonzeros)
        nothing = [np.zeros((self.layout.width(k),) * 2) for k in range(len(self.terms))]
        pattern.fill(rows, slots, np.ones((rows.observed.shape[0], 1, 1)), nothing, entries)
        entries[pattern.pointer[dropped]] = 0.0
        return dependent_columns(pattern.matrix(entries), elimination(self.layout), tolerance=ROUNDED_ZERO)


def _constraints_of(part: FixedPart) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """Equations of one trait without records, of reference levels and dependent on others, and the rank of its X."""
    nothing = np.empty(0, dtype=np.int64)
    if not part.terms:
        return nothing, nothing, nothing, 0
    recorded = [np.bincount(term.links[0].codes, minlength=len(term.levels)) > 0 for term in part.terms]
    starts = part.layout.starts[:-1].tolist()
    widths = [part.layout.width(k) for k in range(len(part.terms))]
    unrecorded = np.flatnonzero(~np.concatenate([np.repeat(r, w) for r, w in zip(recorded, widths, strict=True)]))
    constant = any(term.constant for term in part.terms)
    reference = np.array(
        [
            start + int(np.argmax(has))
            for term, start, has in zip(part.terms, starts, recorded, strict=True)
            if constant and term.classes and not term.constant
        ],
        dtype=np.int64,
    )
    dropped = np.concatenate([unrecorded, reference])
    values = part.incidence.rows.values
    factor = part.factor(values, dropped)
    doubtful = factor.relative_pivots < CLEARLY_INDEPENDENT
    if any(not part.layout.locate(int(e))[0].classes for e in np.flatnonzero(doubtful)):
        centred = _centred(values, part.terms, constant=constant)
        _refuse_nearly_dependent(factor, part.factor(centred, dropped), part)
    dependent = np.setdiff1d(np.flatnonzero(factor.dependent), dropped)
    number = part.equations
    return number[unrecorded], number[reference], number[dependent], factor.rank


def elimination(layout: EquationLayout) -> NDArray[np.int64]:
    """Order in which fixed equations are eliminated: terms of many levels by size, the constant, covariates not nested."""
    fixed = [k for k, term in enumerate(layout.terms) if term.kind == "fixed"]
    few = [k for k in fixed if len(layout.terms[k].levels) == 1]
    last = sorted(few, key=lambda k: not layout.terms[k].constant)
    return elimination_order([layout.equations(k) for k in fixed], last)


def _centred(values: NDArray[np.float64], terms: Sequence[DesignTerm], *, constant: bool) -> NDArray[np.float64]:
    """Covariates less their mean, of all records or of each class that they are nested in, where the trait has that mean.

    The space that X spans, and so its rank, stays the same, but is told apart from rounding.
    """
    centred = values.copy()
    classes = [term for term in terms if term.classes]
    column = 0
    for term in terms:
        codes = term.links[0].codes
        same = (other for other in classes if np.array_equal(codes, other.links[0].codes))
        has_mean = constant if len(term.levels) == 1 else any(same)
        for _ in range(0 if term.values is None else term.values.shape[1]):
            x = centred[:, column]
            numbers = np.maximum(np.bincount(codes, minlength=len(term.levels)), 1)
            rest = x - (np.bincount(codes, x, len(term.levels)) / numbers)[codes]
            if has_mean and np.abs(rest).max() > SAME_VALUE * np.abs(x).max():
                centred[:, column] = rest
            column += 1
    return centred


def _refuse_nearly_dependent(factor: RankFactor, centred: RankFactor, part: FixedPart) -> None:
    """`ModelError` where a covariate looks dependent as it stands and is not, or rounding would decide."""
    pivots = centred.relative_pivots
    wrong = (factor.relative_pivots < CLEARLY_INDEPENDENT) & (pivots > ROUNDED_ZERO)
    named = [int(e) for e in np.flatnonzero(wrong) if not part.layout.locate(int(e))[0].classes]
    if named:
        said = name_some(part.names.name(int(e)) for e in part.equations[named])
        least = factor.relative_pivots[named].min()
        raise ModelError(
            f"{said}: a covariate that is nearly a combination of the effects before it ({least:.0e} of its sum of squares is "
            "its own), so that its estimate would be rounding error -> centre it (subtract a round number near its mean), or "
            "use poly() for powers"
        )
