"""Variances of the random terms and of the residual, checked once and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breedblup.errors import ModelError, name_some, nearest
from breedblup.model import Model

FloatMatrix: TypeAlias = NDArray[np.float64]

# On the scale of correlations: rounding of a matrix that was made as LL' stays near 1e-16, a matrix that was printed
# with five digits misses by 1e-5, and such a miss is the user's to mend.
_TOLERANCE = 1e-10


class VarianceComponents:
    """A covariance matrix per random term, and that of the residual.

    Parameters
    ----------
    components
        A number or a matrix for the key of each random term (``"animal"``, ``"ide(animal)"``). Order of a matrix:
        effect or coefficient outer, trait inner. Symmetric and positive semi-definite; a variance of zero is a value.
    residual
        A number or a matrix, positive definite.

    Raises
    ------
    ModelError
        A component is no covariance matrix; the message names it, and its smallest eigenvalue where that is negative.

    Examples
    --------
    >>> variances = VarianceComponents({"animal": 20.0, "ide(animal)": 12.0}, residual=28.0)
    >>> variances["animal"], variances.residual
    (20.0, 28.0)
    """

    __slots__ = ("_matrices", "_residual")
    _matrices: dict[str, FloatMatrix]
    _residual: FloatMatrix

    def __init__(self, components: Mapping[str, ArrayLike], residual: ArrayLike) -> None:
        if not isinstance(components, Mapping):
            raise ModelError(f"variances must be a table of a number or matrix per random term, found {components!r}")
        matrices = {}
        for key, value in components.items():
            if not isinstance(key, str) or not key.strip():
                raise ModelError(f"the key of a variance is the name of a random term, found {key!r}")
            matrices[key] = _covariance(value, repr(key))
        residual_matrix = _covariance(residual, "the residual")
        _check_positive(residual_matrix)
        object.__setattr__(self, "_matrices", matrices)
        object.__setattr__(self, "_residual", residual_matrix)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name!r} cannot be set: variances are never changed, make new ones")

    def __reduce__(self) -> tuple[type[VarianceComponents], tuple[dict[str, FloatMatrix], FloatMatrix]]:
        return VarianceComponents, (self._matrices, self._residual)

    @property
    def residual(self) -> float | FloatMatrix:
        """The residual variance: a float for one trait, else the matrix."""
        return _plain(self._residual)

    def residual_matrix(self) -> FloatMatrix:
        """The residual covariance matrix, always 2-D."""
        return self._residual

    def matrix(self, key: str) -> FloatMatrix:
        """The covariance matrix of a random term, always 2-D; `ModelError` where none was given."""
        if key not in self._matrices:
            hint = nearest(key, list(self._matrices))
            raise ModelError(f"no variance is given for {key!r}{hint}; given are {name_some(self._matrices) or 'none'}")
        return self._matrices[key]

    def __getitem__(self, key: str) -> float | FloatMatrix:
        return _plain(self.matrix(key))

    def keys(self) -> tuple[str, ...]:
        """The random terms, in the order in which they were given."""
        return tuple(self._matrices)

    def __iter__(self) -> Iterator[str]:
        return iter(self._matrices)

    def __len__(self) -> int:
        return len(self._matrices)

    def __contains__(self, key: object) -> bool:
        return key in self._matrices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VarianceComponents):
            return NotImplemented
        return (
            self._matrices.keys() == other._matrices.keys()
            and all(np.array_equal(matrix, other._matrices[key]) for key, matrix in self._matrices.items())
            and np.array_equal(self._residual, other._residual)
        )

    def __hash__(self) -> int:
        return hash((frozenset(self._matrices), self._residual.tobytes()))

    def check(self, model: Model) -> None:
        """Whether these are the variances of a model: a matrix of the right order for each random term and no other.

        Raises
        ------
        ModelError
            A term has no variance, a variance has no term, or a matrix has another order than the model needs.
        """
        wanted = [term.key for term in model.random]
        for key in self._matrices:
            if key not in wanted:
                known = name_some(wanted) or "none"
                raise ModelError(f"the model has no random term {key!r}{nearest(key, wanted)} (it has {known})")
        for key in wanted:
            if key not in self._matrices:
                raise ModelError(f"no variance is given for the random term {key!r}; add it to the variances")
        order = len(model.traits)
        named = [(repr(key), matrix) for key, matrix in self._matrices.items()] + [("the residual", self._residual)]
        for what, matrix in named:
            if len(matrix) != order:
                raise ModelError(
                    f"the matrix of {what} is {len(matrix)} x {len(matrix)}; the model has {order} "
                    f"trait{'s' * (order > 1)} and needs {order} x {order}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists as TOML has them: ``{"random": {"animal": 20.0}, "residual": 28.0}``."""
        random = {key: _listed(matrix) for key, matrix in self._matrices.items()}
        return {"random": random, "residual": _listed(self._residual)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> VarianceComponents:
        """The variances that `to_dict` wrote; `ModelError` where a key is unknown or missing."""
        known = ("random", "residual")
        for key in plain:
            if key not in known:
                raise ModelError(
                    f"variances: unknown key {key!r}{nearest(str(key), known)}; known are {name_some(known)}"
                )
        for key in known:
            if key not in plain:
                raise ModelError(f"variances: the key {key!r} is missing")
        return cls(plain["random"], residual=plain["residual"])

    def __repr__(self) -> str:
        parts = [*self._matrices.items(), ("residual", self._residual)]
        if all(len(matrix) == 1 for _, matrix in parts):
            return _scalar_table([(name, float(matrix[0, 0])) for name, matrix in parts])
        blocks = []
        for name, matrix in parts:
            cells = [[f"{value:.6g}" for value in row] for row in matrix]
            width = max(len(cell) for row in cells for cell in row)
            blocks += [f"  {name}", *("    " + "  ".join(cell.rjust(width) for cell in row) for row in cells)]
        return "\n".join(["VarianceComponents", *blocks])


def _scalar_table(rows: list[tuple[str, float]]) -> str:
    """Term, variance and its share of the total, one row each."""
    total = sum(value for _, value in rows)
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value:>12.6g}  {value / total:>10.4f}" for name, value in rows]
    return "\n".join(["VarianceComponents", f"  {'':<{width}}  {'variance':>12}  {'proportion':>10}", *lines])


def _plain(matrix: FloatMatrix) -> float | FloatMatrix:
    return float(matrix[0, 0]) if len(matrix) == 1 else matrix


def _listed(matrix: FloatMatrix) -> Any:
    return matrix.tolist() if len(matrix) > 1 else float(matrix[0, 0])


def _covariance(value: ArrayLike, what: str) -> FloatMatrix:
    """A read-only covariance matrix, or a message that says why it is none."""
    matrix = _square(value, what)
    if not np.isfinite(matrix).all():
        raise ModelError(f"the variance of {what} is not finite: {_shown(matrix)}")
    diagonal = matrix.diagonal()
    if (diagonal < 0).any():
        at = int(np.argmin(diagonal))
        number = f" (row {at + 1} of its matrix)" if len(matrix) > 1 else ""
        raise ModelError(f"variance of {what}{number} is {diagonal[at]:g}; a variance cannot be negative")
    scale = np.sqrt(diagonal)
    asymmetry = np.abs(matrix - matrix.T) - _TOLERANCE * np.outer(scale, scale)
    if (asymmetry > 0).any():
        i, j = divmod(int(np.argmax(asymmetry)), len(matrix))
        raise ModelError(
            f"the matrix of {what} is not symmetric: row {i + 1}, column {j + 1} is {matrix[i, j]:g}, "
            f"row {j + 1}, column {i + 1} is {matrix[j, i]:g}"
        )
    matrix = (matrix + matrix.T) / 2 if len(matrix) > 1 else matrix
    smallest = _smallest_correlation_eigenvalue(matrix)
    if smallest < -_TOLERANCE:
        raise ModelError(
            f"the matrix of {what} is not positive semi-definite: its smallest eigenvalue is "
            f"{np.linalg.eigvalsh(matrix)[0]:.6g} ({smallest:.4g} on the scale of correlations)"
        )
    matrix.flags.writeable = False
    return matrix


def _square(value: ArrayLike, what: str) -> FloatMatrix:
    """A copy of the value as a square float matrix."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise ModelError(f"the variance of {what} must be a number or a square matrix, found {value!r}")
    matrix = np.array(array, dtype=np.float64, order="C", ndmin=2) + 0.0  # -0 becomes 0: equal values, equal bytes
    if array.ndim not in (0, 2) or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        shape = " x ".join(str(length) for length in array.shape)
        raise ModelError(f"the variance of {what} must be a number or a square matrix, found an array of shape {shape}")
    return matrix


def _smallest_correlation_eigenvalue(matrix: FloatMatrix) -> float:
    """The eigenvalue that decides, free of the units of the traits."""
    scale = np.sqrt(matrix.diagonal())
    scale = np.where(scale > 0, scale, 1.0)
    return float(np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0])


def _check_positive(matrix: FloatMatrix) -> None:
    """Refuse a residual without variance of its own."""
    if len(matrix) == 1:
        if matrix[0, 0] == 0:
            raise ModelError("the residual variance is 0; it must be positive")
        return
    if _smallest_correlation_eigenvalue(matrix) <= _TOLERANCE:
        raise ModelError(
            f"the matrix of the residual is not positive definite: its smallest eigenvalue is "
            f"{np.linalg.eigvalsh(matrix)[0]:.6g}; every trait needs residual variance of its own"
        )


def _shown(matrix: FloatMatrix) -> str:
    return f"{matrix[0, 0]:g}" if len(matrix) == 1 else str(matrix.tolist())
