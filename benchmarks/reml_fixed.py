"""Fixed effects of a fit in a form that another program's can be brought to, and the way from ours to theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import breedblup as bb
from breedblup.evaluation.tables import fixed_table

MOST = 100
"""Fixed effects of which the errors' covariance is told."""

Matrix = NDArray[np.float64]


def fixed_effects(fit: bb.RemlFit) -> dict[str, Any] | None:
    """Estimates by term and level, with the covariance of their errors; None where they are many."""
    point, size = fit.point, fit.point.layout.fixed_size
    if not 0 < size <= MOST:
        return None
    table = fixed_table(point.layout, fit.problem.constraints, point.x, None)
    asked = np.eye(point.layout.size, size)
    covariance = point.factor.solve(asked)[:size]
    return {
        "term": table["term"].to_list(),
        "level": table["level"].to_list(),
        "estimate": table["estimate"].to_list(),
        "constrained": table["constrained"].to_list(),
        "covariance": covariance.tolist(),
    }


def in_coding(
    fixed: Mapping[str, Any], records: pl.DataFrame, rows: Sequence[int], coded: Matrix
) -> tuple[Matrix, Matrix]:
    """Estimates and standard errors in another coding of the same fixed part.

    Parameters
    ----------
    rows
        Records that between them have every fixed part there is.
    coded
        X of these records in the other coding, of full column rank.
    """
    ours = _columns(fixed, records[list(rows)])
    across = np.linalg.pinv(coded) @ ours
    covariance = across @ np.array(fixed["covariance"]) @ across.T
    return across @ np.array(fixed["estimate"]), np.sqrt(np.diag(covariance))


def _columns(fixed: Mapping[str, Any], records: pl.DataFrame) -> Matrix:
    """X of some records over our effects, zero where an effect is constrained."""
    columns = np.zeros((records.height, len(fixed["term"])))
    for k, (term, level) in enumerate(zip(fixed["term"], fixed["level"], strict=True)):
        if fixed["constrained"][k]:
            continue
        if term == "(Intercept)":
            columns[:, k] = 1.0
        elif level:
            columns[:, k] = (
                records.select(pl.concat_str(term.split(":"), separator=":")).to_series() == level
            ).to_numpy()
        else:
            columns[:, k] = records[term].to_numpy()
    return columns
