"""What the solvers refuse, and how they say it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sksparse import cholmod

from breedblup.errors import ModelError, NotPositiveDefinite, NumericalError, ResourceError
from breedblup.solvers import cholesky
from breedblup.solvers.cholesky import analyse
from breedblup.solvers.pcg import PcgOptions, solve_pcg
from breedblup.solvers.preconditioners import block_diagonal, diagonal
from breedblup.solvers.rank import dependent_columns

SOUND = csr_array(np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]]))
INDEFINITE = csr_array(np.array([[4.0, 1.0, 0.0], [1.0, -3.0, 1.0], [0.0, 1.0, 2.0]]))
RHS = np.array([1.0, 2.0, 3.0])


class Substitute:
    """CHOLMOD's analysis with some of its methods replaced."""

    def __init__(self, analysis: Any, **methods: Any) -> None:
        self._analysis = analysis
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._analysis, name)


def test_factor_of_an_indefinite_matrix() -> None:
    with pytest.raises(NotPositiveDefinite, match="equation 1 has a non-positive pivot") as caught:
        analyse(INDEFINITE).factorise(INDEFINITE)
    assert caught.value.equation == 1


def test_factor_that_memory_does_not_hold() -> None:
    def no_memory(matrix: Any) -> None:
        raise cholmod.CholmodOutOfMemoryError("out of memory")

    symbolic = analyse(SOUND)
    starved = replace(symbolic, _analysis=Substitute(symbolic._analysis, cholesky=no_memory))
    with pytest.raises(ResourceError, match="no memory for a factor of 5 entries -> solve by pcg"):
        starved.factorise(SOUND)


def test_an_ordering_that_does_not_repeat_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cholmod.analyze

    def turned_round(matrix: Any, *, mode: str, **options: Any) -> Any:
        analysis = real(matrix, mode=mode, **options)
        if mode == "simplicial":
            return analysis
        return Substitute(analysis, P=lambda: analysis.P()[::-1])

    monkeypatch.setattr(cholesky, "SUPERNODAL_FROM", 0.0)
    assert analyse(SOUND).mode == "supernodal"
    monkeypatch.setattr(cholmod, "analyze", turned_round)
    with pytest.raises(NumericalError, match="the second ordering of a pattern differs from the first"):
        analyse(SOUND)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, r"tolerance is 0\.0; it has to be positive"),
        ({"tolerance": float("nan")}, r"tolerance is nan; it has to be positive"),
        ({"criterion": "residual"}, r"criterion is 'residual'; it is one of error, relative_residual, squared_"),
        ({"maximum_rounds": 0}, r"maximum_rounds is 0; it has to be 1 or more"),
    ],
)
def test_options_of_pcg(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PcgOptions(**options)


def test_pcg_on_what_is_not_finite() -> None:
    with pytest.raises(NumericalError, match="round 0: the right-hand side is not finite"):
        solve_pcg(SOUND, np.array([1.0, np.nan, 0.0]), diagonal(SOUND))
    broken = SOUND.copy()
    broken.data[1] = np.inf
    with pytest.raises(NumericalError, match="round 1: the product with the matrix is not finite"):
        solve_pcg(broken, RHS, diagonal(SOUND))
    with pytest.raises(NumericalError, match=r"round \d: the error bound is not finite"):
        solve_pcg(SOUND, RHS, diagonal(SOUND), error_bound=lambda x, residual: float("nan"))


def test_pcg_on_what_is_not_positive_definite() -> None:
    opposite = csr_array(-SOUND.toarray())
    with pytest.raises(NotPositiveDefinite, match=r"round 1: the matrix is not positive definite \(p'Ap = -"):
        solve_pcg(opposite, RHS, diagonal(SOUND))


def test_blocks_of_an_indefinite_matrix() -> None:
    with pytest.raises(
        NotPositiveDefinite, match="equation 1 has a non-positive pivot in its diagonal block"
    ) as caught:
        block_diagonal(INDEFINITE, np.array([0, 2, 3]))
    assert caught.value.equation == 1


def test_dependent_columns_that_cannot_be_found() -> None:
    order = np.arange(3)
    message = r"the factor that finds dependent columns among 3 would have 5 entries \(0\.00 GiB\), more than 4 -> "
    with pytest.raises(ResourceError, match=message):
        dependent_columns(SOUND, order, limit=4)
    broken = SOUND.copy()
    broken.data[1] = np.nan
    with pytest.raises(NumericalError, match="the matrix whose rank is asked for holds values that are not finite"):
        dependent_columns(broken, order)
