"""Fits compared: information criteria, and likelihood-ratio tests between nested models.

Where a variance is zero under the null hypothesis the statistic is a mixture of χ² variables: half χ²₀, half χ²₁ for one
variance (Self and Liang 1987, J. Am. Stat. Assoc. 82:605), half χ²_k, half χ²_{k+1} for a variance and its k covariances with
effects that are there (Stram and Lee 1994, Biometrics 50:1171). Several such conditions get binomial weights, which hold
where their estimates are uncorrelated. The plain p-value, which ignores the boundary, is too large.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import comb
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import chi2

from breedblup.errors import ModelError, counted, name_some
from breedblup.frames import give_back
from breedblup.inference.nesting import Nesting, Structured, nesting_of, parameter_count
from breedblup.inference.printed import table_lines
from breedblup.model import Model
from breedblup.reml.estimates import Estimates
from breedblup.reml.problem import RemlProblem

LOG_2_PI = float(np.log(2.0 * np.pi))

ROUNDED = 1e-4
"""A likelihood ratio this far below 0 is rounding; below that one of the fits is not at its maximum."""


@dataclass(frozen=True)
class FittedLikelihood:
    """What is compared of a fit.

    Attributes
    ----------
    minus2_log_l
        -2 log L at the estimates, without (N - p) log 2π (N log 2π for ML).
    likelihood
        ``reml`` or ``ml``.
    values, rank
        Observed values N, and the rank p of the fixed part.
    free
        Directions in which the estimates are free to move: parameters at a boundary, fixed or tied ones do not count.
    fixed, fixed_part
        Names of the fixed terms, and a checksum of which of their equations are estimated.
    data
        A checksum of records in use, responses and weights.
    """

    minus2_log_l: float
    likelihood: Literal["reml", "ml"]
    values: int
    rank: int
    free: int
    structured: Structured
    fixed: tuple[str, ...]
    fixed_part: str
    data: str

    @classmethod
    def of(cls, model: Model, problem: RemlProblem, estimates: Estimates, minus2_log_l: float) -> FittedLikelihood:
        """That of a fit."""
        design = problem.design
        weights = b"" if design.weights is None else design.weights.tobytes()
        return cls(
            minus2_log_l=minus2_log_l,
            likelihood=problem.likelihood,
            values=problem.values,
            rank=problem.rank,
            free=estimates.space.free_basis(estimates.theta).shape[1],
            structured=Structured.of(estimates.space, model, design),
            fixed=tuple(term.name for term in design.fixed),
            fixed_part=_checksum(np.packbits(problem.dropped[: problem.layout.fixed_size]).tobytes()),
            data=_checksum(design.y.tobytes(), design.rows.tobytes(), weights),
        )

    @property
    def constant(self) -> float:
        """What lme4 adds to -2 log L: (N - p) log 2π for REML, N log 2π for ML."""
        return (self.values - (self.rank if self.likelihood == "reml" else 0)) * LOG_2_PI


class Criterion(NamedTuple):
    """AIC and BIC by one definition."""

    definition: str
    parameters: int
    observations: int
    minus2_log_l: float
    aic: float
    bic: float


@dataclass(frozen=True)
class InformationCriteria:
    """AIC and BIC as lme4 and as ASReml define them; compare within one definition only.

    Attributes
    ----------
    lme4
        -2 log L with its constant; fixed effects and all (co)variances count, and log N.
    asreml
        -2 log L without it; (co)variances that are not fixed or at a boundary count, and log(N - p). For REML it compares models
        with the same fixed part only.
    backend
        Library of the table.
    """

    lme4: Criterion
    asreml: Criterion
    backend: str = "polars"

    @property
    def frame(self) -> Any:
        """definition, parameters, observations, minus2_log_l, aic, bic."""
        return give_back(self._table, self.backend)

    @property
    def _table(self) -> pl.DataFrame:
        return pl.DataFrame([self.lme4._asdict(), self.asreml._asdict()])

    def __repr__(self) -> str:
        return "\n".join(["Information criteria", *table_lines(self._table, digits=8)])


def information_criteria(fitted: FittedLikelihood) -> InformationCriteria:
    """AIC = -2 log L + 2k (Akaike 1974) and BIC = -2 log L + k log n (Schwarz 1978) of a fit."""
    k = fitted.rank + parameter_count(fitted.structured.space)
    lme4 = _criterion("lme4", k, fitted.values, fitted.minus2_log_l + fitted.constant)
    asreml = _criterion("ASReml", fitted.free, fitted.values - fitted.rank, fitted.minus2_log_l)
    return InformationCriteria(lme4, asreml)


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """A test of the restrictions that make a model of a larger one.

    Attributes
    ----------
    statistic
        2 (log L of the alternative - log L of the null model).
    df
        Parameters that the alternative has more.
    mixture
        Degrees of freedom of χ² variables and their weights; None where no closed form is known.
    p_plain
        By χ² with ``df``: too large where a variance is tested.
    p_mixture
        By the mixture; None without one.
    notes
        What lies on a boundary, and what the mixture rests on.
    """

    statistic: float
    df: int
    mixture: tuple[tuple[int, float], ...] | None
    p_plain: float
    p_mixture: float | None
    notes: tuple[str, ...]

    @property
    def p(self) -> float:
        """By the mixture; the plain one, which is conservative, where there is none."""
        return self.p_plain if self.p_mixture is None else self.p_mixture

    def __repr__(self) -> str:
        shown = f"likelihood ratio {self.statistic:.4f} on {self.df} df: p = {self.p_plain:.4g} (χ²)"
        if self.p_mixture is not None and self.mixture is not None and len(self.mixture) > 1:
            parts = " + ".join(f"{weight:.4g} χ²({df})" for df, weight in self.mixture)
            shown += f", p = {self.p_mixture:.4g} ({parts})"
        return "\n".join([shown, *(f"  {note}" for note in self.notes)])


def compare_likelihoods(null: FittedLikelihood, alternative: FittedLikelihood) -> LikelihoodRatioTest:
    """Whether the records fit a larger model better than chance would have it.

    Parameters
    ----------
    null, alternative
        The smaller model and the larger one, fitted to the same records by the same likelihood.

    Raises
    ------
    ModelError
        The likelihoods, records or (for REML) fixed parts differ, the models are not nested or equal, or the smaller one fits
        better, so that one of them is not at its maximum.
    """
    _check_comparable(null, alternative)
    nesting = nesting_of(null.structured, alternative.structured)
    df = nesting.parameters + alternative.rank - null.rank
    if df <= 0:
        than = f"{counted(-df, 'parameter')} less than" if df else "as many parameters as"
        raise ModelError(f"the alternative has {than} the null model; give the smaller model first")
    statistic = null.minus2_log_l + null.constant - alternative.minus2_log_l - alternative.constant
    if statistic < -ROUNDED:
        raise ModelError(
            f"the null model fits better than the alternative that contains it, by {-statistic:.4g} of -2 log L: one of them is "
            "not at its maximum; fit the alternative from other starting values"
        )
    statistic = max(statistic, 0.0)
    mixture = _mixture(nesting, df)
    p_mixture = None if mixture is None else sum(weight * _beyond(statistic, d) for d, weight in mixture)
    return LikelihoodRatioTest(statistic, df, mixture, _beyond(statistic, df), p_mixture, _notes(nesting))


def _check_comparable(null: FittedLikelihood, alternative: FittedLikelihood) -> None:
    """The likelihoods are those of the same records, and of the same contrasts of them for REML."""
    if null.likelihood != alternative.likelihood:
        raise ModelError(
            f"the null model was fitted by {null.likelihood.upper()}, the alternative by {alternative.likelihood.upper()}; "
            "fit both by the same likelihood"
        )
    if null.data != alternative.data:
        raise ModelError(
            f"the fits are of different records ({null.values:,} and {alternative.values:,} values), weights, or orders of "
            "records; fit both models to the same table"
        )
    same = null.fixed == alternative.fixed and null.fixed_part == alternative.fixed_part
    if null.likelihood == "reml" and not same:
        raise ModelError(
            f"the fixed parts differ ({name_some(null.fixed)}; {name_some(alternative.fixed)}): restricted likelihoods are those "
            "of different contrasts then; fit both by ML (likelihood='ml'), or test the fixed terms with Wald F"
        )
    lacking = [name for name in null.fixed if name not in alternative.fixed]
    if lacking:
        raise ModelError(
            f"the models are not nested: the alternative lacks the fixed terms {name_some(lacking)}; give the larger model second"
        )


def _mixture(nesting: Nesting, df: int) -> tuple[tuple[int, float], ...] | None:
    """Degrees of freedom and weights: each condition on the boundary holds in half of the samples."""
    b = nesting.boundaries
    if b is None:
        return None
    return tuple((df - b + j, comb(b, j) / 2**b) for j in range(b + 1))


def _beyond(statistic: float, df: int) -> float:
    """P(χ² ≥ statistic); χ²₀ is 0."""
    return float(chi2.sf(statistic, df)) if df else float(statistic <= 0.0)


def _notes(nesting: Nesting) -> tuple[str, ...]:
    """What the null hypothesis has on a boundary, and what the mixture rests on."""
    notes = [f"under the null hypothesis {one}" for one in nesting.said]
    if nesting.boundaries is None:
        notes.append(
            "no closed form of the mixture is known for this: the p-value of χ² is conservative; a parametric bootstrap is not"
        )
    elif nesting.boundaries > 1:
        notes.append("the weights hold where the estimates of these variances are uncorrelated")
    return tuple(notes)


def _criterion(definition: str, parameters: int, observations: int, minus2_log_l: float) -> Criterion:
    parameters, observations, minus2_log_l = int(parameters), int(observations), float(minus2_log_l)
    aic, bic = minus2_log_l + 2.0 * parameters, minus2_log_l + parameters * float(np.log(observations))
    return Criterion(definition, parameters, observations, minus2_log_l, aic, bic)


def _checksum(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
