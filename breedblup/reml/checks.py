"""What variances cannot be estimated from: refused before the first round, each with its reason and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.errors import ModelError, RecordError, counted, name_some
from breedblup.reml.moments import Moments
from breedblup.variances.blocks import RESIDUAL, NeverTogether, Parameter
from breedblup.variances.parameters import ParameterSpace

EXPLAINED = 1e-10
"""A trait whose standard deviation after fixed effects is below this share of its largest value is explained by them: what
rounding leaves is 1e-13 to 1e-11."""

LEAST_SD, MOST_SD = 1e-60, 1e60
"""Standard deviations of a trait in its unit: their fourth powers have to be numbers, with room."""

MOST_MEAN = 1e9
"""A mean of so many standard deviations leaves rounding in the likelihood that can be seen (1e-5 of -2 log L at 1e10)."""

COLLINEAR = 1e-12
"""1 - r² of two traits, or the least eigenvalue of the correlations of several, that is rounding."""

DEPENDENT = 1e-11
"""Share of a sum of squares that is left of a derivative of V after others, below which it depends on them."""

NOTHING = 1e-14
"""The same where it is left after fixed effects: there they are projected out twice."""

PART = 1e-3
"""Least coefficient, relative to the largest, with which a parameter takes part in a dependency."""


def never_together(design: Design) -> NeverTogether | None:
    """Pairs of traits (T × T, True) that no record has together, by residual class where there are classes.

    Their residual covariance tells nothing about the records and is fixed at 0. None where each pair is together somewhere.
    """
    observed = design.observed
    if design.residual_levels is None or design.residual_codes is None:
        apart = _apart(observed)
        return apart if apart.any() else None
    by_class = {
        level: _apart(observed[design.residual_codes == code])
        for code, level in enumerate(design.residual_levels.to_list())
    }
    found: Mapping[str, NDArray[np.bool_]] = {level: apart for level, apart in by_class.items() if apart.any()}
    return found or None


def never_together_notes(design: Design) -> tuple[str, ...]:
    """Which residual covariances are 0 for want of records that have both traits."""
    found = never_together(design)
    if found is None:
        return ()
    matrices = found if isinstance(found, Mapping) else {"": found}
    notes = []
    for level, apart in matrices.items():
        where = f" of class {level!r}" if level else ""
        for t, s in np.argwhere(np.tril(apart)):
            notes.append(
                f"residual covariance of {design.traits[s]} and {design.traits[t]} set to 0: no record{where} has both"
            )
    return tuple(notes)


def _apart(observed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    counts = observed.astype(np.int64).T @ observed.astype(np.int64)
    apart: NDArray[np.bool_] = counts == 0
    np.fill_diagonal(apart, False)
    return apart


def check_estimable(design: Design, space: ParameterSpace, moments: Moments, rank: int) -> None:
    """Refuse records that tell nothing, or not enough, of the variances of a model.

    Parameters
    ----------
    rank
        Estimated fixed effects, those of fixed groups of unknown parents among them.

    Raises
    ------
    RecordError
        If a trait is constant, its fixed effects explain it completely, two traits are multiples of each other, or a residual
        class has a single record.
    ModelError
        If there are fewer values than parameters, or parameters that no records of this kind could tell apart: a term with one
        level, one with a level for each record, one that fixed effects or another term repeat.
    """
    for t in range(len(design.traits)):
        _check_trait(design, moments, t)
    _check_enough(design, space, rank)
    _check_levels(design, space)
    _check_classes(design, space)
    _check_collinear(design, moments)
    _check_told_apart(design, space, moments)


def _check_trait(design: Design, moments: Moments, t: int) -> None:
    """Refuse a trait that does not vary, or that its fixed effects explain."""
    name, where = design.traits[t], design.table.name
    values = design.y[design.observed[:, t], t]
    if np.ptp(values) == 0:
        raise RecordError(
            f"{where}: {_all_of(values.size)} of {name!r} {'are' if values.size > 1 else 'is'} {values[0]:g}; a trait that does "
            "not vary has no variances -> correct the records, or leave the trait out"
        )
    _check_scale(f"{where}: {name!r}", values)
    if moments.degrees[t] <= 0:
        raise RecordError(
            f"{where}: {name!r} has {counted(values.size, 'value')} and as many fixed effects, which leave nothing for variances "
            "-> give more records, or fewer fixed effects"
        )
    if np.sqrt(moments.variance[t]) <= EXPLAINED * np.abs(values).max():
        raise RecordError(
            f"{where}: the fixed effects explain {name!r} completely, which leaves nothing for variances -> leave out the "
            "covariate or the classes that repeat it"
        )


def _check_scale(trait: str, values: NDArray[np.float64]) -> None:
    """Refuse a trait in a unit, or so far from zero, that variances overflow or have no digits."""
    largest = np.abs(values).max()
    sd, mean = float(np.std(values / largest) * largest), float(np.mean(values / largest) * largest)
    if not LEAST_SD <= sd <= MOST_SD:
        raise RecordError(
            f"{trait} has a standard deviation of {sd:.3g}, whose fourth power is beyond the range of numbers -> give it in "
            "another unit"
        )
    if abs(mean) > MOST_MEAN * sd:
        raise RecordError(
            f"{trait} has a mean of {mean:.6g} and a standard deviation of {sd:.3g}: its digits do not suffice for variances -> "
            "subtract a constant near the mean from all values"
        )


def _all_of(number: int) -> str:
    return f"all {number:,} values" if number > 1 else "the only value"


def _check_enough(design: Design, space: ParameterSpace, rank: int) -> None:
    """As many values beyond the fixed effects as there are parameters."""
    free = space.restrictions.roots
    values = int(np.count_nonzero(design.observed))
    if values - rank < free.size:
        names = [space.names[i] for i in free]
        raise ModelError(
            f"{design.table.name}: {counted(values, 'value')} less {counted(rank, 'fixed effect')} leave {values - rank} for "
            f"{counted(free.size, 'variance parameter')} ({name_some(names)}) -> give more records, or a model with fewer effects"
        )


def _check_levels(design: Design, space: ParameterSpace) -> None:
    """Refuse a random term of which the records have a single level."""
    for term in design.random:
        if not _estimated(space, term.name):
            continue
        seen = np.unique(np.concatenate([np.unique(link.codes[link.codes >= 0]) for link in term.links]))
        if seen.size < 2:
            level = f", {term.levels[int(seen[0])]!r}," if seen.size else ""
            raise ModelError(
                f"{design.table.name}: the records have {'a single level' if seen.size else 'no level'}{level} of the random "
                f"term {term.name!r}, which tells nothing of a variance -> leave it out, or make it a fixed effect"
            )


def _check_classes(design: Design, space: ParameterSpace) -> None:
    """Refuse a residual class with a single value of a trait."""
    if design.residual_levels is None or design.residual_codes is None:
        return
    for code, level in enumerate(design.residual_levels.to_list()):
        if not _estimated(space, RESIDUAL, level):
            continue
        numbers = np.count_nonzero(design.observed[design.residual_codes == code], axis=0)
        for t in np.flatnonzero(numbers < 2):
            found = f"{numbers[t]} value" + ("s" if numbers[t] == 0 else "")
            raise RecordError(
                f"{design.table.name}: residual class {level!r} has {found} of {design.traits[t]!r}, which tells nothing of a "
                "variance -> join it with another class, or leave its records out"
            )


def _estimated(space: ParameterSpace, key: str, level: str | None = None) -> bool:
    """Whether any element of a covariance matrix is free, or free with another."""
    of_block = [i for i, one in enumerate(space.parameters) if one.key == key and one.level == level]
    return bool(of_block) and not bool(space.restrictions.fixed[of_block].all())


def _check_collinear(design: Design, moments: Moments) -> None:
    """Refuse traits that are multiples of each other: the likelihood grows without bound towards a correlation of ±1."""
    for t, s in _pairs(len(design.traits)):
        both = design.observed[:, t] & design.observed[:, s]
        if np.count_nonzero(both) < 3:
            continue
        a, b = (design.y[both, one] - design.y[both, one].mean() for one in (t, s))
        raw = float(a @ b) ** 2 / max(float(a @ a) * float(b @ b), np.finfo(float).tiny)
        if 1.0 - max(raw, moments.correlation[t, s] ** 2) <= COLLINEAR:
            raise RecordError(
                f"{design.table.name}: {design.traits[t]!r} is a multiple of {design.traits[s]!r} in every record that has both "
                "(correlation ±1), so that their covariance matrices have no estimate -> leave one of the two out"
            )
    if len(design.traits) > 2 and np.linalg.eigvalsh(moments.correlation)[0] <= COLLINEAR and design.observed.all():
        raise RecordError(
            f"{design.table.name}: after fixed effects one of {name_some(design.traits)} is a combination of the others in every "
            "record, so that their covariance matrices have no estimate -> leave one of them out"
        )


def _pairs(size: int) -> Iterator[tuple[int, int]]:
    return ((t, s) for t in range(size) for s in range(t))


def _check_told_apart(design: Design, space: ParameterSpace, moments: Moments) -> None:
    """Refuse parameters whose derivatives of V depend on each other after fixed effects."""
    basis, roots = space.restrictions.basis, space.restrictions.roots
    traces = basis.T @ moments.traces @ basis
    sizes = np.sqrt((basis**2).T @ moments.sizes**2)
    elements = [space.parameters[root] for root in roots]
    variances_first = sorted(
        range(roots.size), key=lambda i: (elements[i].key != RESIDUAL, elements[i].row != elements[i].column)
    )
    kept: list[int] = []
    for i in variances_first:
        own = elements[i]
        if traces[i, i] <= NOTHING * sizes[i] ** 2 or sizes[i] == 0:
            raise ModelError(f"{design.table.name}: {_unseen(design, own, seen=sizes[i] > 0)}")
        scale = np.sqrt(traces[kept, kept])
        among = traces[np.ix_(kept, kept)] / np.outer(scale, scale)
        with_them = traces[kept, i] / (scale * np.sqrt(traces[i, i]))
        weights = np.linalg.solve(among, with_them) if kept else with_them
        if 1.0 - weights @ with_them <= DEPENDENT:
            others = [kept[k] for k in np.flatnonzero(np.abs(weights) > PART * np.abs(weights).max())]
            raise ModelError(f"{design.table.name}: {_alike(design, own, [elements[k] for k in others])}")
        kept.append(i)


def _unseen(design: Design, parameter: Parameter, *, seen: bool) -> str:
    """A parameter on which the likelihood does not depend."""
    what = _worded(design, parameter)
    if parameter.row != parameter.column:
        return (
            f"the records tell nothing of {what}: no two records that are related have its two effects -> give its matrix "
            f"another structure: structures={{{parameter.key!r}: Diagonal()}}"
        )
    if not seen:
        return f"no record depends on {what} -> leave the effect out, or correct its covariate or weights"
    return (
        f"{what} cannot be estimated: fixed effects explain all that its levels could -> leave out that fixed effect, or the "
        "random term"
    )


def _alike(design: Design, parameter: Parameter, others: list[Parameter]) -> str:
    """Parameters of which the likelihood sees a sum only."""
    what = f"{_worded(design, parameter)} and {' and '.join(_worded(design, one) for one in others)}"
    keys = {one.key for one in (parameter, *others)}
    term = next((term for term in design.random if term.name == parameter.key), None)
    if RESIDUAL in keys and term is not None and _once(term, parameter.row, design.observed):
        return (
            f"{what} cannot be told apart: each level of {parameter.key!r} has one record -> leave {parameter.key!r} out, or "
            "give it a relationship"
        )
    if RESIDUAL not in keys and len(keys) > 1:
        return f"{what} cannot be told apart: they group the records alike -> leave one of the terms out"
    return f"{what} cannot be told apart by these records -> leave one of them out, or give one a FixedValue"


def _once(term: DesignTerm, coordinate: int, observed: NDArray[np.bool_]) -> bool:
    return bool(term.recorded(coordinate, observed).max(initial=0) <= 1)


def _worded(design: Design, parameter: Parameter) -> str:
    """``the variance of 'litter'``, ``the covariance 'animal[2,1]' of direct and maternal``."""
    term = next((term for term in design.random if term.name == parameter.key), None)
    rows = design.traits if term is None else tuple(str(one) for one in term.coordinates)
    if parameter.row != parameter.column:
        return f"the covariance {parameter.name!r} ({rows[parameter.column]} with {rows[parameter.row]})"
    of_row = f" ({rows[parameter.row]})" if len(rows) > 1 else ""
    return f"the variance {parameter.name!r}{of_row}"
