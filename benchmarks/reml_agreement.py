"""Our estimates beside lme4's: likelihood, variances, fixed effects in lme4's coding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
from measure import Measured
from reml_fixed import in_coding


class Pair(NamedTuple):
    """One figure by both programs, and their difference relative to its scale."""

    kind: str
    name: str
    own: float
    peer: float
    difference: float


def pairs(own: Measured, peer: Measured, records: pl.DataFrame) -> list[Pair]:
    """REML criterion, then variances, then fixed effects and their standard errors.

    The scale of a (co)variance is √(v_i v_j) by lme4, and where that is zero the residual variance; that of a fixed effect
    the larger of its absolute value and its standard error; else the figure itself.
    """
    criterion = own["criterion"], peer["criterion"]
    found = [Pair("criterion", "REML criterion", *criterion, abs(criterion[0] / criterion[1] - 1.0))]
    found += _variances(own, peer)
    coded = np.array(peer["coded"], dtype=float).reshape(-1, len(peer["names"]))
    estimates, errors = in_coding(own["fixed"], records, np.ravel(peer["rows"]).tolist(), coded)
    given = np.ravel(peer["estimate"]), np.ravel(peer["error"])
    for k, name in enumerate(peer["names"]):
        theirs, error = float(given[0][k]), float(given[1][k])
        scale = max(abs(theirs), error)
        found.append(Pair("fixed", name, float(estimates[k]), theirs, abs(estimates[k] - theirs) / scale))
        found.append(Pair("error", name, float(errors[k]), error, abs(errors[k] / error - 1.0)))
    return found


def _variances(own: Measured, peer: Measured) -> Iterator[Pair]:
    residual = float(peer["residual"][0][0])
    theirs = {_same_key(key): np.atleast_2d(matrix) for key, matrix in peer["variances"].items()}
    for key, matrix in own["variances"].items():
        other, ours = theirs[_same_key(key)], np.atleast_2d(matrix)
        for i, j in zip(*np.tril_indices(len(ours)), strict=True):
            scale = float(np.sqrt(other[i, i] * other[j, j])) or residual
            name = key if len(ours) == 1 else f"{key}[{i + 1},{j + 1}]"
            values = float(ours[i, j]), float(other[i, j])
            yield Pair("variance", name, *values, abs(values[0] - values[1]) / scale)
    estimate = float(own["residual"][0][0])
    yield Pair("variance", "residual", estimate, residual, abs(estimate / residual - 1.0))


def _same_key(key: str) -> tuple[str, ...]:
    """lme4 writes cask:batch for what we call batch:cask."""
    return tuple(sorted(key.split(":")))


def largest(found: list[Pair], kind: str) -> float:
    """Largest difference of a kind."""
    return max((pair.difference for pair in found if pair.kind == kind), default=0.0)


def variance_difference(own: Measured, peer: Measured) -> float:
    """Largest difference of the variances alone: what a program tells that gives nothing else."""
    return max(pair.difference for pair in _variances(own, peer))
