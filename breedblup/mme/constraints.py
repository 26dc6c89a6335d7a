"""Dependent columns of X: found, set to zero and named.

Two rules, in this order (`docs/developing.md` says why):

1. Where the model has an overall constant (an intercept, or a Legendre covariate that is not nested), the first level of
   every set of classes is its reference and set to zero, as R's treatment contrasts do.
2. What remains dependent is found by a sparse LDL' of X'R⁻¹X with the terms of many levels first, then the constant, then
   covariates that are not nested: of a set of dependent columns the one that comes last in that order is set to zero. A
   covariate that is so nearly dependent that rounding may decide is refused, never dropped.

Estimable functions do not depend on either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.errors import ModelError, name_some
from breedblup.mme.incidence import Incidence, fill_pattern
from breedblup.mme.layout import EquationLayout
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
    reference
        Equations of reference levels (rule 1).
    dependent
        Equations found dependent on others (rule 2).
    rank
        Rank of X.
    factor
        Factor of the X'DX that is left (D the record weights), over all fixed equations.
    """

    reference: NDArray[np.int64]
    dependent: NDArray[np.int64]
    rank: int
    factor: RankFactor

    @property
    def equations(self) -> NDArray[np.int64]:
        """All constrained equations, ascending."""
        return np.sort(np.concatenate([self.reference, self.dependent]))

    def notes(self, layout: EquationLayout) -> tuple[str, ...]:
        """What was set to zero, named."""
        said = []
        for what, equations in (("reference levels", self.reference), ("dependent on others", self.dependent)):
            if equations.size:
                names = [layout.name(int(e)) for e in equations[:10]]
                more = f" and {equations.size - 10} more" if equations.size > 10 else ""
                said.append(f"fixed effects set to zero, {what}: {', '.join(names)}{more}")
        terms = (layout.locate(int(e))[0] for e in self.dependent)
        covariates = {term.name for term in terms if not term.classes}
        if covariates:
            said.append(
                f"look at {', '.join(sorted(covariates))}: a covariate is among the effects set to zero; it repeats others, or "
                "its mean is very large beside its spread and it has to be centred"
            )
        said.append(f"rank of the fixed part {self.rank} of {layout.fixed_size}")
        return tuple(said)


def constrain_fixed(incidence: Incidence, layout: EquationLayout) -> Constraints:
    """Find the fixed equations that have to be set to zero.

    Parameters
    ----------
    incidence
        Of all terms; only its fixed part is looked at.
    """
    size = layout.fixed_size
    fixed = [
        (term, int(start)) for term, start in zip(layout.terms, layout.starts, strict=False) if term.kind == "fixed"
    ]
    constant = any(term.spans_constant for term, _ in fixed)
    reference = np.array(
        [start for term, start in fixed if constant and term.classes and not term.spans_constant], dtype=np.int64
    )
    terms = [term for term, _ in fixed]
    part = incidence.leading(size).without(reference, size)
    factor = _factor_of(part, terms, size)
    doubtful = factor.relative_pivots < CLEARLY_INDEPENDENT
    if any(not layout.locate(int(e))[0].classes for e in np.flatnonzero(doubtful)):
        centred = replace(part, covariates=_centred(part.covariates, terms, constant=constant))
        _refuse_nearly_dependent(factor, _factor_of(centred, terms, size), layout)
    dependent = np.setdiff1d(np.flatnonzero(factor.dependent), reference)
    return Constraints(reference, dependent, factor.rank, factor)


def _order(terms: list[DesignTerm]) -> NDArray[np.int64]:
    """Elimination order: terms of many levels by size, the constant, covariates that are not nested."""
    few = [k for k, term in enumerate(terms) if len(term.levels) == 1]
    return elimination_order([term.equations for term in terms], sorted(few, key=lambda k: not terms[k].spans_constant))


def _factor_of(part: Incidence, terms: list[DesignTerm], size: int) -> RankFactor:
    """Factor of X'DX with its dependent columns dropped."""
    nothing = (size, np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32))
    pattern = fill_pattern(part, size, nothing)
    return dependent_columns(pattern.matrix(pattern.records_part), _order(terms), tolerance=ROUNDED_ZERO)


def _centred(values: NDArray[np.float64], terms: list[DesignTerm], *, constant: bool) -> NDArray[np.float64]:
    """Covariates less their mean, of all records or of each class that they are nested in, where the model has that mean.

    The space that X spans, and so its rank, stays the same, but is told apart from rounding.
    """
    centred = values.copy()
    classes = [term for term in terms if term.classes]
    slot = 0
    for term in terms:
        for _ in term.coefficients if term.basis is not None else ():
            same = (other for other in classes if np.array_equal(term.codes, other.codes))
            has_mean = constant if len(term.levels) == 1 else any(same)
            column = centred[:, slot]
            means = np.bincount(term.codes, column, len(term.levels)) / np.bincount(
                term.codes, minlength=len(term.levels)
            )
            rest = column - means[term.codes]
            if has_mean and np.abs(rest).max() > SAME_VALUE * np.abs(column).max():
                centred[:, slot] = rest
            slot += 1
    return centred


def _refuse_nearly_dependent(factor: RankFactor, centred: RankFactor, layout: EquationLayout) -> None:
    """`ModelError` where a covariate looks dependent as it stands and is not, or rounding would decide."""
    pivots = centred.relative_pivots
    wrong = (factor.relative_pivots < CLEARLY_INDEPENDENT) & (pivots > ROUNDED_ZERO)
    named = [int(e) for e in np.flatnonzero(wrong) if not layout.locate(int(e))[0].classes]
    if named:
        said = name_some(layout.name(e) for e in named)
        least = factor.relative_pivots[named].min()
        raise ModelError(
            f"{said}: a covariate that is nearly a combination of the effects before it ({least:.0e} of its sum of squares is "
            "its own), so that its estimate would be rounding error -> centre it (subtract a round number near its mean), or "
            "use poly() for powers"
        )
