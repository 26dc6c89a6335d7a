"""A fit again, with some parameters held: what profiles and tests are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from breedblup.analysis.spaces import other_space
from breedblup.errors import NotConverged
from breedblup.inference.likelihood_ratio import FittedLikelihood, LikelihoodRatioTest, compare_likelihoods
from breedblup.reml.feasible import strictly_feasible
from breedblup.reml.fit import maximise
from breedblup.variances import Bound, FixedValue, Tie
from breedblup.variances.structures import Structure

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit


def lowest_with(fit: RemlFit, held: Mapping[str, float], ties: Sequence[Tie]) -> float:
    """-2 log L at its lowest with parameters held at values and others at multiples of each other.

    Raises
    ------
    NotConverged
        If no maximum was found.
    """
    space = fit.estimates.space
    structures: dict[str, Structure] = {}
    bounds = [bound for bound in space.bounds if bound.parameter not in held]
    for name, value in held.items():
        parameter = space.parameters[space.index_of(name)]
        block = next(one for one in space.blocks if (one.key, one.level) == (parameter.key, parameter.level))
        if block.order == 1:
            structures[block.name] = FixedValue(value)
        else:
            bounds.append(Bound(name, value, value))
    under = other_space(fit.model, fit.problem, structures, bounds, ties)
    begin = strictly_feasible(under, fit.estimates.theta)
    found = maximise(replace(fit.problem, space=under), begin, replace(fit.options, method="ai", max_rounds=None))
    if not found.converged:
        named = ", ".join([*(f"{name} = {value:g}" for name, value in held.items()), *map(str, ties)])
        raise NotConverged(
            f"no maximum was found with {named}: {found.reason} -> profile another component, or none", found
        )
    return found.point.minus2_log_l


def fitted_likelihood(fit: RemlFit) -> FittedLikelihood:
    """What is compared of a fit."""
    return FittedLikelihood.of(fit.model, fit.problem, fit.estimates, fit.minus2_log_likelihood)


def likelihood_ratio_test(null: RemlFit, alternative: RemlFit) -> LikelihoodRatioTest:
    """Whether the records fit the larger of two nested models better than chance would have it.

    Where variances are zero under the null hypothesis the statistic is a mixture of χ² (Self & Liang 1987; Stram & Lee 1994).

    Parameters
    ----------
    null, alternative
        Fits to the same records by the same likelihood; for REML with the same fixed part.

    Raises
    ------
    ModelError
        If the fits cannot be compared, or are not nested.
    """
    return compare_likelihoods(fitted_likelihood(null), fitted_likelihood(alternative))
