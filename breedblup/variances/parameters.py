"""ParameterSpace: the covariance matrices of a model as one vector θ, with what may be varied in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.model import Model
from breedblup.variances.blocks import MatrixBlock, NeverTogether, Parameter, blocks_of, check_zeros
from breedblup.variances.boundary import free_directions, singular_matrices, statuses
from breedblup.variances.components import VarianceComponents
from breedblup.variances.restrictions import Restrictions, position, restrictions_of
from breedblup.variances.structures import Bound, Structure, Tie

__all__ = ["MatrixBlock", "Parameter", "ParameterSpace"]

FloatVector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ParameterSpace:
    """Every element of the lower triangles that is not a structural zero, fixed and tied ones among them.

    Elements stand block by block, row by row. θ is feasible where every matrix is positive semi-definite, those of
    residuals positive definite, and bounds, ties and fixed values hold: a convex set, reduced rank apart.

    Attributes
    ----------
    blocks
        A matrix for each random term in the order of the model, then that of the residual or those of its classes.
    parameters
        The elements, p of them.
    bounds, ties
        As given.
    restrictions
        Bounds, ties and fixed values as an affine map.
    """

    blocks: tuple[MatrixBlock, ...]
    parameters: tuple[Parameter, ...]
    bounds: tuple[Bound, ...]
    ties: tuple[Tie, ...]
    restrictions: Restrictions

    @classmethod
    def of(
        cls,
        model: Model,
        residual_classes: Sequence[str] = (),
        structures: Mapping[str, Structure] | None = None,
        bounds: Sequence[Bound] = (),
        ties: Sequence[Tie] = (),
        never_together: NeverTogether | None = None,
    ) -> ParameterSpace:
        """The parameters of a model.

        Parameters
        ----------
        model
            Its random terms, traits and residual.
        residual_classes
            Levels of the residual classes, where the model has them.
        structures
            By key of a random term, ``"residual"`` (all classes) or ``"residual H1"`` (one); `Unstructured` elsewhere.
        bounds, ties
            Of elements by name.
        never_together
            T x T, True for traits that no record has together, or one such matrix for some of the classes: residual
            covariances that no record informs are structural zeros.

        Raises
        ------
        ModelError
            A key or name is unknown, a structure does not fit its matrix, or bounds and ties contradict each other.
        """
        blocks = blocks_of(model, residual_classes, structures, never_together)
        parameters = tuple(parameter for block in blocks for parameter in block.parameters)
        return cls(blocks, parameters, tuple(bounds), tuple(ties), restrictions_of(blocks, tuple(bounds), tuple(ties)))

    @property
    def size(self) -> int:
        """Number of parameters p."""
        return len(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """``animal``, ``animal[2,1]``, ``residual``, ``residual H1[2,2]``."""
        return tuple(parameter.name for parameter in self.parameters)

    def index_of(self, name: str) -> int:
        """Position of a parameter; `ModelError`, with the nearest name, where there is none."""
        return position(name, self.names, "variances")

    def matrix(self, theta: FloatVector, block: MatrixBlock) -> FloatVector:
        """The covariance matrix (c x c) of a block at θ."""
        return block.filled(theta[block.slice])

    def pack(self, variances: VarianceComponents) -> FloatVector:
        """θ (p,) of variances; `ModelError` where a covariance is not zero that the structure has as zero."""
        theta = np.zeros(self.size)
        for block in self.blocks:
            matrix = variances.residual_matrix(block.level) if block.is_residual else variances.matrix(block.key)
            check_zeros(block, matrix, f"the variance of {block.name!r}")
            theta[block.slice] = matrix[block.elements]
        return theta

    def unpack(self, theta: FloatVector) -> VarianceComponents:
        """The variances at θ; `ModelError` where a matrix is no covariance matrix."""
        random = {block.key: self.matrix(theta, block) for block in self.blocks if not block.is_residual}
        residuals = [block for block in self.blocks if block.is_residual]
        if residuals[0].level is None:
            return VarianceComponents(random, residual=self.matrix(theta, residuals[0]))
        return VarianceComponents(random, {block.level or "": self.matrix(theta, block) for block in residuals})

    def from_matrices(self, derivatives: Sequence[FloatVector]) -> FloatVector:
        """df/dθ (p,) of symmetric Γ (c x c), one a block, with df = tr(Γ dG): elements off the diagonal count twice."""
        gradient = np.empty(self.size)
        for block, derivative in zip(self.blocks, derivatives, strict=True):
            rows, columns = block.elements
            gradient[block.slice] = np.where(rows == columns, 1.0, 2.0) * derivative[rows, columns]
        return gradient

    def free_basis(self, theta: FloatVector) -> FloatVector:
        """Directions (p, m) in which θ may move both ways and stay what it is.

        Ties and fixed values hold, elements at a bound stay there, a singular matrix keeps its rank (the tangent space of
        the matrices of its rank, to first order), and a variance of zero stays zero with all of its covariances.
        Columns are scaled to the parameters' sizes, not orthonormal.
        """
        return free_directions(self.blocks, self.restrictions, theta)

    def status(self, theta: FloatVector) -> tuple[str, ...]:
        """What each parameter is at θ: ``free``, ``fixed``, ``tied``, ``bound`` (at a limit) or ``boundary``.

        ``boundary`` is a variance of zero and its covariances. Elements of a matrix with a correlation of ±1, or of
        otherwise reduced rank, are free: they vary with the rank held; `singular` names these matrices.
        """
        return statuses(self.blocks, self.restrictions, theta)

    def singular(self, theta: FloatVector) -> tuple[str, ...]:
        """A sentence for each matrix that is singular at θ unasked: variances of zero, correlations of ±1, its rank."""
        return singular_matrices(self.blocks, theta)
