"""VarianceComponents: variances of the random terms and of the residual, checked once and never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from breedblup.errors import ModelError, name_some, nearest
from breedblup.model import Model
from breedblup.variances.agreement import check_components, check_residual
from breedblup.variances.matrices import (
    FloatMatrix,
    covariance,
    covariance_root,
    residual_classes,
    residual_covariance,
)


class VarianceComponents:
    """A covariance matrix per random term, and that of the residual or of each of its classes.

    Parameters
    ----------
    components
        A number or a matrix for the key of each random term (`Model.keys`: ``"animal"``, ``"ide(animal)"``). Order of a
        matrix (`Model.coordinates`): effect or coefficient outer, trait inner. Symmetric and positive semi-definite;
        variances of zero, correlations of 1 and other singular matrices are values (`root`).
    residual
        A number or a matrix, traits in the order of the model, positive definite; or one for each residual class.

    Raises
    ------
    ModelError
        A component is no covariance matrix; the message names it, and its smallest eigenvalue where that is negative.

    Examples
    --------
    >>> variances = VarianceComponents({"animal": 20.0, "ide(animal)": 12.0}, residual=28.0)
    >>> variances["animal"], variances.residual
    (20.0, 28.0)
    >>> VarianceComponents({"animal": 20.0}, residual={"H1": 28.0, "H2": 35.0}).residual_classes
    ('H1', 'H2')
    """

    __slots__ = ("_by_class", "_matrices", "_residuals")
    _matrices: dict[str, FloatMatrix]
    _residuals: dict[str, FloatMatrix]
    _by_class: bool

    def __init__(self, components: Mapping[str, ArrayLike], residual: ArrayLike | Mapping[str, ArrayLike]) -> None:
        if not isinstance(components, Mapping):
            raise ModelError(f"variances must be a table of a number or matrix per random term, found {components!r}")
        matrices = {}
        for key, value in components.items():
            if not isinstance(key, str) or not key.strip():
                raise ModelError(f"the key of a variance is the name of a random term, found {key!r}")
            matrices[key] = covariance(value, repr(key))
        residuals = residual_classes(residual) if isinstance(residual, Mapping) else {"": residual_covariance(residual)}
        object.__setattr__(self, "_matrices", matrices)
        object.__setattr__(self, "_residuals", residuals)
        object.__setattr__(self, "_by_class", isinstance(residual, Mapping))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name!r} cannot be set: variances are never changed, make new ones")

    def __reduce__(self) -> tuple[type[VarianceComponents], tuple[dict[str, FloatMatrix], Any]]:
        return VarianceComponents, (self._matrices, self._residuals if self._by_class else self._residuals[""])

    @property
    def residual(self) -> float | FloatMatrix | dict[str, float | FloatMatrix]:
        """The residual variance: a float for one trait, else the matrix; a dictionary of these where it has classes."""
        if self._by_class:
            return {level: _plain(matrix) for level, matrix in self._residuals.items()}
        return _plain(self._residuals[""])

    @property
    def residual_classes(self) -> tuple[str, ...]:
        """The classes of the residual, in the order in which they were given; () where it has none."""
        return tuple(self._residuals) if self._by_class else ()

    def residual_matrix(self, level: str | None = None) -> FloatMatrix:
        """The residual covariance matrix (T x T), always 2-D; where there are classes, that of one of them.

        Raises
        ------
        ModelError
            There are classes and none is named, or there is none of this name.
        """
        if level is None and not self._by_class:
            return self._residuals[""]
        given = self.residual_classes
        if level is None:
            raise ModelError(f"the residual has the classes {name_some(given)}; name one of them")
        if level not in given:
            known = f"{nearest(level, given)}; given are {name_some(given) or 'none'}"
            raise ModelError(f"no residual variance is given for the class {level!r}{known}")
        return self._residuals[level]

    def root(self, key: str) -> FloatMatrix:
        """A root Λ of the covariance matrix of a random term: G₀ = ΛΛ', of full column rank.

        The lower Cholesky factor where G₀ is positive definite. Otherwise its columns are eigenvectors: those of the
        correlation matrix whose eigenvalues are above 1e-10 of the largest, scaled by √eigenvalue, and each row by its
        standard deviation. The term is then fitted as u = (Λ ⊗ I)v, var(v) = I ⊗ K, with as many effects a level as
        the rank of G₀.

        Returns
        -------
        NDArray
            c x r, r the rank of G₀, 0 where all variances are 0; read-only. Rows of effects without variance are 0.
        """
        return covariance_root(self.matrix(key))

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
            and self._by_class == other._by_class
            and self._residuals.keys() == other._residuals.keys()
            and all(np.array_equal(matrix, other._residuals[level]) for level, matrix in self._residuals.items())
        )

    def __hash__(self) -> int:
        return hash((frozenset(self._matrices), frozenset(matrix.tobytes() for matrix in self._residuals.values())))

    def check(self, model: Model) -> None:
        """Whether these are the variances of a model: a matrix of the right order for each random term and no other.

        Raises
        ------
        ModelError
            A term has no variance, a variance has no term, a matrix has another order than the model needs, effects
            that are uncorrelated in the model have a covariance, or only one of the two has residual classes.
        """
        check_components(self._matrices, model)
        check_residual(self._residuals, self._by_class, model)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists as TOML has them: ``{"random": {"animal": 20.0}, "residual": 28.0}``."""
        random = {key: _listed(matrix) for key, matrix in self._matrices.items()}
        residuals = {level: _listed(matrix) for level, matrix in self._residuals.items()}
        return {"random": random, "residual": residuals if self._by_class else residuals[""]}

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
        names = {level: f"residual {level}" if self._by_class else "residual" for level in self._residuals}
        parts = [*self._matrices.items(), *((names[level], matrix) for level, matrix in self._residuals.items())]
        if all(len(matrix) == 1 for _, matrix in parts):
            return _scalar_table([(name, float(matrix[0, 0])) for name, matrix in parts], shares=not self._by_class)
        blocks = []
        for name, matrix in parts:
            cells = [[f"{value:.6g}" for value in row] for row in matrix]
            width = max(len(cell) for row in cells for cell in row)
            blocks += [f"  {name}", *("    " + "  ".join(cell.rjust(width) for cell in row) for row in cells)]
        return "\n".join(["VarianceComponents", *blocks])


def _scalar_table(rows: list[tuple[str, float]], *, shares: bool) -> str:
    """Term and variance, one row each, with its share of the total where there is one total."""
    total = sum(value for _, value in rows)
    width = max(len(name) for name, _ in rows)
    lines = [f"  {'':<{width}}  {'variance':>12}" + (f"  {'proportion':>10}" if shares else "")]
    lines += [
        f"  {name:<{width}}  {value:>12.6g}" + (f"  {value / total:>10.4f}" if shares else "") for name, value in rows
    ]
    return "\n".join(["VarianceComponents", *lines])


def _plain(matrix: FloatMatrix) -> float | FloatMatrix:
    return float(matrix[0, 0]) if len(matrix) == 1 else matrix


def _listed(matrix: FloatMatrix) -> Any:
    return matrix.tolist() if len(matrix) > 1 else float(matrix[0, 0])
