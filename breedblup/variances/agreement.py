"""Whether variances are those of a model: keys, orders of matrices, uncorrelated effects, residual classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from breedblup.errors import ModelError, name_some
from breedblup.model import Coordinate, Model
from breedblup.variances.matrices import FloatMatrix, residual_name


def check_components(matrices: Mapping[str, FloatMatrix], model: Model) -> None:
    """A matrix of the right order for each random term, and no other."""
    for key in matrices:
        model.coordinates(key)
    for key, term in zip(model.keys, model.random, strict=True):
        if key not in matrices:
            raise ModelError(f"no variance is given for the random term {key!r}; add it to the variances")
        rows = model.coordinates(key)
        _check_order(matrices[key], repr(key), [str(row) for row in rows])
        if not term.correlated:
            _check_uncorrelated(matrices[key], key, rows)


def check_residual(residuals: Mapping[str, FloatMatrix], by_class: bool, model: Model) -> None:
    """A row for each trait; classes where the model has them and only there."""
    classes = ":".join(model.residual.classes)
    if classes and not by_class:
        raise ModelError(
            f"the model has a residual variance for each class of {classes!r}; give one for each: "
            "residual={class: variance}"
        )
    if by_class and not classes:
        raise ModelError(
            f"residual variances are given for the classes {name_some(residuals)}; the model has no residual "
            "classes: name the factor, or give one residual variance"
        )
    for level, matrix in residuals.items():
        _check_order(matrix, residual_name(level, by_class), model.traits)


def _check_order(matrix: FloatMatrix, what: str, rows: Sequence[str]) -> None:
    """Refuse a matrix of another size than its rows need."""
    found, wanted = len(matrix), len(rows)
    if found != wanted:
        needs = f"{wanted} x {wanted}, in this order" if wanted > 1 else "1 x 1, one number"
        raise ModelError(f"the matrix of {what} is {found} x {found}; the model needs {needs}: {', '.join(rows)}")


def _check_uncorrelated(matrix: FloatMatrix, key: str, rows: Sequence[Coordinate]) -> None:
    """Refuse a covariance between effects that ``||`` keeps apart."""
    for i, j in zip(*np.nonzero(np.tril(matrix)), strict=True):
        if rows[i].effect != rows[j].effect:
            raise ModelError(
                f"the effects of {key!r} are uncorrelated (||), but the covariance of {str(rows[j])!r} and "
                f"{str(rows[i])!r} (row {i + 1}, column {j + 1}) is {matrix[i, j]:g}; make it 0, or write | in the model"
            )
