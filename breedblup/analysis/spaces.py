"""The parameters of a problem under other assumptions: what profiles, reduced ranks and second starts are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from breedblup.model import Model
from breedblup.reml.checks import never_together
from breedblup.reml.problem import RemlProblem
from breedblup.variances import Bound, ParameterSpace, Tie
from breedblup.variances.structures import Structure


def other_space(
    model: Model,
    problem: RemlProblem,
    structures: Mapping[str, Structure],
    bounds: Sequence[Bound] | None = None,
    ties: Sequence[Tie] = (),
) -> ParameterSpace:
    """The parameters of a problem with some structures changed, other bounds where these are given, and further ties."""
    space, design = problem.space, problem.design
    given = {block.name: block.structure for block in space.blocks} | dict(structures)
    limits = space.bounds if bounds is None else bounds
    return ParameterSpace.of(
        model, problem.residual_levels, given, limits, [*space.ties, *ties], never_together(design)
    )
