"""Effective population size, from rates of inbreeding and of coancestry and from numbers of parents: Ne = 1 / (2 ΔF)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError
from breedblup.kernels.description import add_to_parents, relationship_columns
from breedblup.pedigree.completeness import equivalent_generations
from breedblup.pedigree.intervals import generation_interval
from breedblup.pedigree.reference import Reference, ReferenceChoice, reference_population

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

BLOCK = 4
"""Columns of A among a reference's ancestors that are found in one pass."""

GENERATIONS_OF_PERIOD = 3.0
"""Generation intervals that a regression on birth years spans."""

SHORTEST_PERIOD = 3
"""Birth years that a regression on them has at least."""

_SCHEMA = {"method": pl.String, "based_on": pl.String, "rate": pl.Float64, "ne": pl.Float64, "se": pl.Float64}

Row = tuple[str, str, float | None, float | None, float | None]


def effective_population_sizes(
    pedigree: Pedigree,
    reference: ReferenceChoice = None,
    *,
    years: tuple[int, int] | None = None,
    sampled: int | None = 100,
    seed: int = 1,
) -> pl.DataFrame:
    """Effective population size by six methods.

    Parameters
    ----------
    reference
        Animals whose individual rates are averaged, and whose parents are counted (`reference_population`).
    years
        First and last birth year of the regressions on birth year; by default the last three generation intervals, three
        years at least, up to the latest birth in the reference.
    sampled
        Animals of the reference, drawn without replacement, whose coancestries with all others of it are found; None, or as
        many as there are, for all pairs. Each four are one pass over the pedigree of the reference.
    seed
        Of that draw.

    Returns
    -------
    polars.DataFrame
        ``method``, ``based_on`` (in words), ``rate`` per generation, ``ne``, ``se`` of ``ne``. Methods:

        - ``individual inbreeding``: mean of 1 - (1 - F)^(1/(t-1)) over animals of t > 1 complete equivalent generations
          (Gutiérrez et al. 2008, 2009); its standard error is theirs.
        - ``inbreeding by generation``: regression of log(1 - F) on t, over the reference and all its ancestors.
        - ``inbreeding by year``: regression of log(1 - F) on birth year (Pérez-Enciso 1995), times the generation interval.
        - ``individual coancestry``: mean of 1 - (1 - c)^(2/(tᵢ+tⱼ)) over pairs of different animals (Cervantes et al. 2011); its
          standard error is that of the draw, null where all pairs were taken.
        - ``coancestry by year``: regression on birth year of log(1 - c), with c the mean coancestry between different animals
          born in a year, times the generation interval.
        - ``numbers of parents``: 4 M F / (M + F) (Wright 1931).

        ``ne`` is null where the rate is not above 0, and both where there are no data for the method.

    Raises
    ------
    PedigreeError
        If the reference cannot be used, ``sampled`` is below 1, or ``years`` end before they begin.
    """
    _refuse_options(pedigree, years, sampled)
    chosen = reference_population(pedigree, reference)
    t = equivalent_generations(pedigree)
    period, interval = _period(pedigree, chosen, years)
    rows = [
        _by_individuals(pedigree.inbreeding[chosen.rows], t[chosen.rows]),
        _by_generations(pedigree.inbreeding[chosen.lineage], t[chosen.lineage]),
        _inbreeding_by_year(pedigree, period, interval),
        _by_coancestry(chosen, t[chosen.rows], sampled, seed),
        _coancestry_by_year(pedigree, period, interval),
        _by_parents(chosen),
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _refuse_options(pedigree: Pedigree, years: tuple[int, int] | None, sampled: int | None) -> None:
    if sampled is not None and sampled < 1:
        raise PedigreeError(
            f"{pedigree.name}: {sampled} sampled animals are asked for -> give 1 or more, or None for all"
        )
    if years is not None and years[0] > years[1]:
        raise PedigreeError(
            f"{pedigree.name}: the years {years[0]} to {years[1]} are none -> give the first year first"
        )


def _size(rate: float | None) -> float | None:
    return 1.0 / (2.0 * rate) if rate is not None and rate > 0 else None


def _row(method: str, based_on: str, rate: float | None, rate_se: float | None = None) -> Row:
    """Ne and, by the delta method, its standard error."""
    size = _size(rate)
    se = None if size is None or rate_se is None else 2.0 * size**2 * rate_se
    return method, based_on, rate, size, se


def _log_left(loss: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 - loss), -inf where all is lost."""
    with np.errstate(divide="ignore"):
        return np.log1p(-np.minimum(loss, 1.0))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Slope of the regression of y on x; None where x does not vary or y is not finite."""
    if x.size < 2 or not np.isfinite(y).all():
        return None
    centred = x - x.mean()
    spread = float(centred @ centred)
    return float(centred @ y) / spread if spread > 1e-12 * x.size else None


def _by_individuals(f: NDArray[np.float64], t: NDArray[np.float64]) -> Row:
    """Individual increases in inbreeding."""
    used = t > 1.0
    left, t = _log_left(f[used]), t[used]
    based_on = f"{t.size:,} of the reference with more than one equivalent generation"
    if not t.size:
        return _row("individual inbreeding", based_on, None)
    increase = -np.expm1(left / (t - 1.0))
    se = float(increase.std(ddof=1)) / np.sqrt(t.size) if t.size > 1 else None
    return _row("individual inbreeding", based_on, float(increase.mean()), se)


def _by_generations(f: NDArray[np.float64], t: NDArray[np.float64]) -> Row:
    """Regression on equivalent generations."""
    slope = _slope(t, _log_left(f))
    rate = None if slope is None else -float(np.expm1(slope))
    return _row("inbreeding by generation", f"{t.size:,} animals: the reference and its ancestors", rate)


def _period(
    pedigree: Pedigree, chosen: Reference, years: tuple[int, int] | None
) -> tuple[tuple[int, int] | None, float | None]:
    """First and last year of the regressions, and the generation interval in years."""
    interval = generation_interval(pedigree)
    born = pedigree.birth_years()
    if born is None or interval is None or interval <= 0:
        return None, None
    if years is not None:
        return years, interval
    last = int(born[chosen.rows].max())
    if last < 0:
        return None, None
    return (last + 1 - max(SHORTEST_PERIOD, int(np.ceil(GENERATIONS_OF_PERIOD * interval))), last), interval


def _per_generation(slope: float | None, interval: float | None) -> float | None:
    """Rate per generation from the yearly slope of the logarithm."""
    return None if slope is None or interval is None else -float(np.expm1(slope * interval))


def _spanned(what: str, period: tuple[int, int] | None, interval: float | None) -> str:
    if period is None:
        return "births or generation intervals are not known"
    return f"{what} {period[0]} to {period[1]}, generation interval {interval:.2f} years"


def _inbreeding_by_year(pedigree: Pedigree, period: tuple[int, int] | None, interval: float | None) -> Row:
    slope = None
    if period is not None:
        years = pedigree.birth_years()
        assert years is not None
        born = np.flatnonzero((years >= period[0]) & (years <= period[1]) & (years >= 0))
        slope = _slope(years[born].astype(np.float64), _log_left(pedigree.inbreeding[born]))
    rate = _per_generation(slope, interval)
    return _row("inbreeding by year", _spanned("animals born", period, interval), rate)


def _coancestry_by_year(pedigree: Pedigree, period: tuple[int, int] | None, interval: float | None) -> Row:
    """One pass over the pedigree of the animals born in each year."""
    slope = None
    if period is not None:
        years = pedigree.birth_years()
        assert years is not None
        found = []
        for year in range(max(period[0], 0), period[1] + 1):
            if np.count_nonzero(years == year) > 1:
                cohort = reference_population(pedigree, (year, year))
                found.append((float(year), _between_animals(pedigree, cohort)))
        if found:
            year_of, coancestry = np.array(found).T
            slope = _slope(year_of, _log_left(coancestry))
    rate = _per_generation(slope, interval)
    return _row("coancestry by year", _spanned("cohorts", period, interval), rate)


def _between_animals(pedigree: Pedigree, cohort: Reference) -> float:
    """Mean coancestry between different animals: 1'A1 less the diagonal."""
    counts = np.zeros(cohort.lineage.size)
    counts[cohort.members] = 1.0
    add_to_parents(cohort.sire, cohort.dam, counts)
    number = len(cohort)
    own = number + float(pedigree.inbreeding[cohort.rows].sum())
    return max(0.0, (float(cohort.variance @ counts**2) - own) / (2.0 * number * (number - 1)))


def _by_coancestry(chosen: Reference, t: NDArray[np.float64], sampled: int | None, seed: int) -> Row:
    """Individual increases in coancestry of some animals of the reference with all others of it."""
    number = len(chosen)
    every = sampled is None or sampled >= number
    drawn = np.arange(number)
    if sampled is not None and not every:
        drawn = np.sort(np.random.default_rng(seed).choice(number, sampled, replace=False))
    based_on = f"all pairs of {number:,} animals of the reference"
    if not every:
        based_on = f"{drawn.size:,} animals drawn from the reference (seed {seed}), each with the {number - 1:,} others"
    if number < 2:
        return _row("individual coancestry", based_on, None)
    means = np.concatenate([_increases(chosen, t, drawn[k : k + BLOCK]) for k in range(0, drawn.size, BLOCK)])
    se = None
    if not every and drawn.size > 1:
        se = float(means.std(ddof=1)) * np.sqrt((1.0 - drawn.size / number) / drawn.size)
    return _row("individual coancestry", based_on, float(means.mean()), se)


def _increases(chosen: Reference, t: NDArray[np.float64], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each animal drawn the mean of its increases in coancestry with the others."""
    block = np.zeros((chosen.lineage.size, drawn.size))
    block[chosen.members[drawn], np.arange(drawn.size)] = 1.0
    relationship_columns(chosen.sire, chosen.dam, chosen.variance, block)
    coancestry = 0.5 * block[chosen.members]
    depth = t[:, None] + t[drawn]
    increase = -np.expm1(_log_left(coancestry) * 2.0 / np.where(depth > 0, depth, 1.0))
    increase[drawn, np.arange(drawn.size)] = 0.0
    means: NDArray[np.float64] = increase.sum(axis=0) / (len(chosen) - 1)
    return means


def _by_parents(chosen: Reference) -> Row:
    """4 M F / (M + F) of the parents of the reference."""
    sires, dams = (np.unique(parent[chosen.members]) for parent in (chosen.sire, chosen.dam))
    males, females = int(np.count_nonzero(sires >= 0)), int(np.count_nonzero(dams >= 0))
    size = 4.0 * males * females / (males + females) if males and females else None
    based_on = f"{males:,} sires and {females:,} dams of the reference"
    return "numbers of parents", based_on, None if size is None else 1.0 / (2.0 * size), size, None
