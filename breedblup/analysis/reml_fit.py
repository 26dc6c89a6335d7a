"""RemlFit: estimated variances, and what an analyst asks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, TypeVar, overload

import polars as pl

from breedblup.analysis.bootstrap import Bootstrap, parametric_bootstrap
from breedblup.analysis.history import history_table
from breedblup.analysis.options import EvaluateOptions
from breedblup.analysis.prediction import Prediction, predict
from breedblup.analysis.refitting import fitted_likelihood, lowest_with
from breedblup.analysis.responses import SimulatedResponses, simulate
from breedblup.analysis.sections import as_html, as_text
from breedblup.analysis.solution import evaluate
from breedblup.analysis.summary import SummaryTables, summary_sections, summary_tables
from breedblup.errors import ModelError, name_some, nearest
from breedblup.evaluation import Evaluation
from breedblup.frames import give_back, give_back_tables
from breedblup.inference.effect_correlations import CorrelationTable, correlations, curve_covariances
from breedblup.inference.fixed import fixed_effects, wald_tests
from breedblup.inference.functions import Derived, DerivedTable, derive
from breedblup.inference.likelihood_ratio import InformationCriteria, information_criteria
from breedblup.inference.linear_model import LinearModelSummary, linear_model_summary
from breedblup.inference.means import PredictedMeans, predicted_means
from breedblup.inference.named_contrasts import ContrastTests, contrast_tests
from breedblup.inference.profile import Profile, profile_component, profile_ratio
from breedblup.inference.ratio_table import RatioTable
from breedblup.inference.ratios import (
    heritabilities,
    intraclass_correlations,
    phenotypic_variances,
    proportions,
    repeatabilities,
    total_maternal_heritabilities,
)
from breedblup.inference.residuals import Leverages, Residuals, leverages_of, residuals_of
from breedblup.inference.sampling import Sampled, sample_derived
from breedblup.model import Model
from breedblup.relationship import RelationshipInverse
from breedblup.reml.conventions import Convention, log_likelihood
from breedblup.reml.estimates import Estimates
from breedblup.reml.fit import Maximum, RemlRound
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import Point
from breedblup.reml.problem import RemlProblem
from breedblup.variances import VarianceComponents

Result = TypeVar("Result")

RatioName = Literal["heritability", "proportions", "repeatability", "intraclass_correlation", "phenotypic_variance"]

RATIOS: Mapping[RatioName, Callable[..., RatioTable]] = {
    "heritability": heritabilities,
    "proportions": proportions,
    "repeatability": repeatabilities,
    "intraclass_correlation": intraclass_correlations,
    "phenotypic_variance": phenotypic_variances,
}


@dataclass(frozen=True, repr=False)
class RemlFit:
    """Variance components with their precision, and the solutions at them.

    Attributes
    ----------
    estimates
        Parameters, their covariance and status.
    maximum
        Where the likelihood is highest: the point, and the history of every round.
    relationships
        K⁻¹ by the column whose levels it relates.
    notes
        What was decided that changes a number.
    seconds
        By stage.
    """

    model: Model
    options: RemlOptions
    estimates: Estimates
    maximum: Maximum
    relationships: Mapping[str, RelationshipInverse]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def variances(self) -> VarianceComponents:
        """The estimates, as `evaluate` takes them."""
        return self.estimates.variances

    @property
    def components(self) -> Any:
        """parameter, estimate, se, status."""
        return self._as_given(self.estimates.table)

    @property
    def point(self) -> Point:
        """The likelihood and the solutions at the estimates."""
        return self.maximum.point

    @property
    def problem(self) -> RemlProblem:
        """What the likelihood was maximised of."""
        return self.point.problem

    @property
    def history(self) -> tuple[RemlRound, ...]:
        """Every round."""
        return self.maximum.history

    @property
    def minus2_log_likelihood(self) -> float:
        """-2 log L as ASReml has it, without (N - p) log 2π; BLUPF90's differs by a constant: compare differences."""
        return self.point.minus2_log_l

    @property
    def reml_criterion(self) -> float:
        """-2 log L with the constant, as lme4 prints it: (N - p) log 2π added for REML, N log 2π for ML."""
        return -2.0 * self.log_likelihood("lme4")

    def log_likelihood(self, convention: Convention) -> float:
        """As a program prints it: ``asreml``, ``lme4``, ``blupf90``, or ``invariant``; see `breedblup.reml.conventions`.

        Raises
        ------
        ModelError
            If there is no such convention.
        """
        return log_likelihood(self.point, convention)

    @cached_property
    def criteria(self) -> InformationCriteria:
        """AIC and BIC as lme4 and as ASReml define them."""
        return self._with_tables(information_criteria(fitted_likelihood(self)))

    @property
    def history_table(self) -> Any:
        """A row for each round: round, step, -2 log L, its change, gain promised, gradient, parameters, seconds."""
        return self._as_given(history_table(self.history, self.estimates.space.names))

    @cached_property
    def evaluation(self) -> Evaluation:
        """Breeding values and all other effects, solved at the estimates."""
        return self.evaluate()

    def evaluate(self, options: EvaluateOptions | None = None) -> Evaluation:
        """As `evaluate`, at the estimates; ``options`` are those of the fit where they have such, unless given.

        Raises
        ------
        NotConverged, ResourceError
            As `breedblup.evaluate` does.
        """
        if options is None:
            options = EvaluateOptions(missing_effects=self.options.missing_effects)
        return evaluate(self.model, self.problem.design.table, self.variances, self.relationships, options=options)

    @cached_property
    def heritability(self) -> RatioTable:
        """See `heritabilities`."""
        return self._with_tables(heritabilities(self.estimates, self.model, self.problem.design))

    @cached_property
    def proportions(self) -> RatioTable:
        """Shares of every term in the phenotypic variance."""
        return self._with_tables(proportions(self.estimates, self.model, self.problem.design))

    @cached_property
    def phenotypic_variance(self) -> RatioTable:
        """Of each trait."""
        return self._with_tables(phenotypic_variances(self.estimates, self.model, self.problem.design))

    @cached_property
    def correlations(self) -> CorrelationTable:
        """Of all effects and traits of every term, and of the residual."""
        return self._with_tables(correlations(self.estimates, self.model, self.problem.design))

    @cached_property
    def intraclass_correlation(self) -> RatioTable:
        """Of records of the same level, for every grouping."""
        return self._with_tables(intraclass_correlations(self.estimates, self.model, self.problem.design))

    @cached_property
    def repeatability(self) -> RatioTable:
        """Correlation of the records of an animal.

        Raises
        ------
        ModelError
            If it is not clear which factor holds the animals.
        """
        return self._with_tables(repeatabilities(self.estimates, self.model, self.problem.design))

    @cached_property
    def maternal_heritability(self) -> RatioTable:
        """Total maternal heritability (Willham 1972).

        Raises
        ------
        ModelError
            If the model has no direct and maternal effects.
        """
        return self._with_tables(total_maternal_heritabilities(self.estimates, self.model, self.problem.design))

    def repeatability_of(self, factor: str, *, points: Sequence[float] | None = None) -> RatioTable:
        """Correlation of the records of the same level of a factor, along a curve at points of its covariate.

        Raises
        ------
        ModelError
            If no random term has the levels of the factor, or as `along` does.
        """
        found = repeatabilities(self.estimates, self.model, self.problem.design, factor=factor, points=points)
        return self._with_tables(found)

    def along(
        self, points: Sequence[float], ratio: RatioName = "heritability", *, trait: str | None = None
    ) -> RatioTable:
        """A ratio, by default the heritability, at points of the covariate of a random regression.

        Parameters
        ----------
        points
            In the unit of the covariate.
        ratio
            What the attribute of the same name is without a curve: ``heritability``, ``proportions``, ``repeatability``,
            ``intraclass_correlation``, ``phenotypic_variance``.
        trait
            None for all.

        Raises
        ------
        ModelError
            If the model has no random regression, a point lies outside its range, or there is no such ratio.
        """
        if ratio not in RATIOS:
            raise ModelError(
                f"along: there is no ratio {ratio!r}{nearest(ratio, list(RATIOS))}; there are {name_some(RATIOS)}"
            )
        return self._with_tables(
            RATIOS[ratio](self.estimates, self.model, self.problem.design, trait=trait, points=points)
        )

    def covariances_along(self, points: Sequence[float], *, term: str | None = None) -> RatioTable:
        """Variances, covariances and correlations between points of the covariate of a random regression.

        Raises
        ------
        ModelError
            As `along` does.
        """
        return self._with_tables(curve_covariances(self.estimates, self.model, self.problem.design, points, term=term))

    @overload
    def derive(self, expressions: str) -> Derived: ...
    @overload
    def derive(self, expressions: list[str] | tuple[str, ...] | Mapping[str, str]) -> DerivedTable: ...
    def derive(self, expressions: str | list[str] | tuple[str, ...] | Mapping[str, str]) -> Derived | DerivedTable:
        """A function of the components with its standard error, ``"animal / (animal + residual)"``, or several.

        Raises
        ------
        ModelError
            If the expression cannot be read; the message shows where.
        """
        found = derive(self.estimates, expressions)
        return found if isinstance(found, Derived) else self._with_tables(found)

    def sample(self, expression: str, *, draws: int = 10_000, seed: int | None = None) -> Sampled:
        """The same by drawing from the asymptotic distribution of the estimates.

        Raises
        ------
        ModelError
            If the expression cannot be read, or nothing that it depends on is free.
        """
        return sample_derived(self.estimates, expression, draws=draws, seed=seed)

    @cached_property
    def fixed(self) -> Any:
        """term, level, trait, estimate, se, df (Satterthwaite), t, p, constrained."""
        return self._as_given(fixed_effects(self.point, self.estimates))

    @cached_property
    def wald(self) -> Any:
        """F test of every fixed term."""
        return self._as_given(wald_tests(self.point, self.estimates))

    def means(
        self, by: str | Sequence[str] = (), *, at: Mapping[str, float] | None = None, traits: Sequence[str] = ()
    ) -> PredictedMeans:
        """Predicted (marginal) means with standard errors, and their differences.

        Raises
        ------
        ModelError
            If a factor is not in the fixed part.
        """
        return self._with_tables(predicted_means(self.model, self.point, self.estimates, by, at=at, traits=traits))

    def contrasts(self, contrasts: Mapping[str, Mapping[Any, float]]) -> ContrastTests:
        """Combinations of fixed effects, tested: ``{"G02 - G03": {("gen", "G02"): 1, ("gen", "G03"): -1}}``.

        Raises
        ------
        ModelError
            If an effect is not in the fixed part.
        """
        return self._with_tables(contrast_tests(self.point, self.estimates, contrasts))

    def profile(self, component: str, *, level: float = 0.95, points: int = 8) -> Profile:
        """Profile likelihood of a component, ``"animal"``, or of a ratio of two, ``"animal / (animal + residual)"``.

        Raises
        ------
        ModelError
            If there is no such component, or it is not estimated.
        NotConverged
            If the others cannot be estimated beside it.
        """
        along = profile_component if component in self.estimates.space.names else profile_ratio
        refit = partial(lowest_with, self)
        return self._with_tables(
            along(self.estimates, self.minus2_log_likelihood, component, refit, level=level, points=points)
        )

    def predict(self, records: Any, *, random: bool = True) -> Prediction:
        """Fitted values for new records, with or without random effects.

        Raises
        ------
        RecordError
            If a class of a fixed effect is new.
        """
        return predict(self, records, random=random)

    def simulate(self, sets: int = 1, *, seed: int = 0, conditional: bool = False) -> SimulatedResponses:
        """Responses from the fitted model.

        Raises
        ------
        ModelError
            If ``sets`` is below 1.
        """
        return simulate(self, sets, seed=seed, conditional=conditional)

    def bootstrap(self, replicates: int = 200, *, seed: int = 0, expressions: Sequence[str] = ()) -> Bootstrap:
        """Parametric bootstrap of the components, and of functions of them.

        Raises
        ------
        ModelError
            If ``replicates`` is below 2, or an expression cannot be read.
        """
        return parametric_bootstrap(self, replicates, seed=seed, expressions=expressions)

    @cached_property
    def residuals(self) -> Residuals:
        """Conditional and marginal residuals."""
        return residuals_of(self.point)

    @cached_property
    def leverages(self) -> Leverages:
        """Of every record, by the selected inverse."""
        return leverages_of(self.point)

    @cached_property
    def linear_model(self) -> LinearModelSummary:
        """R², F and residual standard error of a model without random terms.

        Raises
        ------
        ModelError
            If the model has random terms, or several traits.
        """
        return linear_model_summary(self.point)

    def _as_given(self, frame: pl.DataFrame) -> Any:
        """A table in the library that the records came in."""
        return give_back(frame, self.problem.design.table.backend)

    def _with_tables(self, result: Result) -> Result:
        """A result whose tables are in that library."""
        return give_back_tables(result, self.problem.design.table.backend)

    def summary(self) -> str:
        """The fit for a reader."""
        return as_text(summary_sections(self, self._tables))

    def __str__(self) -> str:
        return self.summary()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For a notebook."""
        return as_html(summary_sections(self, self._tables))

    @cached_property
    def _tables(self) -> SummaryTables:
        return summary_tables(self)
