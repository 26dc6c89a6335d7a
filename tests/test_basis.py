"""Functions of covariates: Legendre polynomials, B-splines, their limits, and covariances along a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import EXACT, expected
from hypothesis import given
from hypothesis import strategies as st

from breedblup.design.basis import (
    basis_values,
    coefficients_from,
    covariance_at,
    evaluate_basis,
    orthogonal_polynomials,
    refuse_outside,
    resolved,
)
from breedblup.errors import ModelError, RecordError
from breedblup.model import Basis

NAN = float("nan")
LEGENDRE = Basis("legendre", 2, 5.0, 305.0)
SPLINES = Basis("bspline", 3, 0.0, 10.0, (2.0, 3.0, 7.5))


def cox_de_boor(t: float, i: int, degree: int, knots: list[float]) -> float:
    """The recursion as de Boor (1978) writes it; the last interval is closed."""
    if degree == 0:
        last = t == knots[-1] and knots[i] < t == knots[i + 1]
        return float(knots[i] <= t < knots[i + 1] or last)
    value = 0.0
    if knots[i + degree] > knots[i]:
        value += (t - knots[i]) / (knots[i + degree] - knots[i]) * cox_de_boor(t, i, degree - 1, knots)
    if knots[i + degree + 1] > knots[i + 1]:
        share = (knots[i + degree + 1] - t) / (knots[i + degree + 1] - knots[i + 1])
        value += share * cox_de_boor(t, i + 1, degree - 1, knots)
    return value


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 19), unique=True, max_size=4).map(sorted),
    st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=5),
)
def test_b_splines_are_those_of_the_recursion(degree: int, inner: list[int], points: list[float]) -> None:
    knots = tuple(-5.0 + 0.5 * k for k in inner)
    basis = Basis("bspline", degree, -5.0, 5.0, knots)
    t = np.array([*points, *knots, -5.0, 5.0])
    values = basis_values(basis, t)
    all_knots = [-5.0] * (degree + 1) + list(knots) + [5.0] * (degree + 1)
    slow = [[cox_de_boor(point, i, degree, all_knots) for i in range(basis.size)] for point in t.tolist()]
    np.testing.assert_allclose(values, slow, atol=1e-12)
    np.testing.assert_allclose(values.sum(axis=1), 1.0, rtol=1e-12)
    assert values.min() >= 0.0
    assert values[-2, 0] == values[-1, -1] == 1.0


def test_legendre_is_orthonormal_on_its_limits() -> None:
    """By Gauss–Legendre quadrature, exact to degree 15; dt = 150 dx."""
    basis = Basis("legendre", 7, 5.0, 305.0)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    phi = basis_values(basis, 155.0 + 150.0 * nodes)
    np.testing.assert_allclose(phi.T * weights @ phi, np.eye(8), atol=1e-13)


def test_linear_is_the_covariate() -> None:
    np.testing.assert_array_equal(basis_values(Basis("linear"), [3.0, -1e6]), [[3.0], [-1e6]])


@pytest.mark.parametrize(
    ("basis", "points", "message"),
    [
        (LEGENDRE, [5.0, 306.0], r"306 lies outside the limits \(5, 305\) of a legendre basis of degree 2, which says nothing there -> choose points within"),
        (SPLINES, [-0.1], r"-0.1 lies outside the limits \(0, 10\) of a bspline basis of degree 3"),
        (LEGENDRE, [5.0, NAN], "a covariate is nan; its functions are known for finite numbers"),
        (Basis("legendre", 2), [5.0], "the limits of a legendre basis of degree 2 are not known -> give lower and upper"),
        (Basis("polynomial", 2), [5.0], "orthogonal polynomials are known for the records in use only, not at other points"),
    ],
)  # fmt: skip
def test_values_refused(basis: Basis, points: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        basis_values(basis, points)


def test_limits_are_declared_or_those_of_the_records() -> None:
    t = np.array([30.0, NAN, 200.0, 60.0])
    assert resolved(LEGENDRE, "dim", t) is LEGENDRE
    assert resolved(Basis("linear"), "dim", t) == Basis("linear")
    assert resolved(Basis("legendre", 3), "dim", t) == Basis("legendre", 3, 30.0, 200.0)
    assert resolved(Basis("bspline", 2, knots=(100.0,)), "dim", t) == Basis("bspline", 2, 30.0, 200.0, (100.0,))


@pytest.mark.parametrize(
    ("basis", "values", "message"),
    [
        (Basis("legendre", 2), [7.0, NAN, 7.0], r"leg\(dim, 2\): all values are 7; declare a range=\(lower, upper\)"),
        (Basis("legendre", 2), [NAN], r"leg\(dim, 2\): no record has a value; declare a range=\(lower, upper\)"),
        (Basis("bspline", 2, knots=(1.0, 20.0)), [2.0, 20.0], r"bspline\(dim, 2\): inner knots 1.0, 20.0 are not between 2 and 20, the range of the records -> move them"),
    ],
)  # fmt: skip
def test_limits_refused(basis: Basis, values: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolved(basis, "dim", np.array(values))


@pytest.mark.parametrize(
    ("basis", "values", "message"),
    [
        (LEGENDRE, [30.0, 306.0, NAN, 310.0], r"rows \[1, 3\]: dim is 306, outside the range \(5, 305\) of leg\(dim, 2\) -> widen the range, or correct the records"),
        (SPLINES, [-1.0], r"rows \[0\]: dim is -1, outside the range \(0, 10\) of bspline\(dim, 3\)"),
    ],
)  # fmt: skip
def test_values_outside_are_refused_by_their_places(basis: Basis, values: list[float], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        refuse_outside(basis, "dim", np.array(values), lambda rows: f"rows {rows.tolist()}")


def test_values_within_are_not_refused() -> None:
    refuse_outside(LEGENDRE, "dim", np.array([5.0, NAN, 305.0]), lambda rows: "nowhere")
    refuse_outside(Basis("legendre", 2), "dim", np.array([-1e9]), lambda rows: "nowhere")


@pytest.mark.parametrize("kind", ["linear", "polynomial", "legendre", "bspline"])
def test_missing_covariates_contribute_nothing_and_decide_nothing(kind: Any) -> None:
    basis = Basis(kind, 1 if kind == "linear" else 2)
    known = np.array([3.0, 4.5, 9.0, 11.0])
    x = np.array([3.0, NAN, 4.5, 9.0, NAN, 11.0])
    columns, without = evaluate_basis(basis, "age", x), evaluate_basis(basis, "age", known)
    np.testing.assert_array_equal(columns.values[~np.isnan(x)], without.values)
    np.testing.assert_array_equal(columns.values[np.isnan(x)], 0.0)
    assert columns.values.shape == (6, basis.size)
    assert len(columns.coefficients) == basis.size
    assert (columns.basis, columns.notes) == (without.basis, without.notes)


def test_columns_are_named_and_their_making_is_noted() -> None:
    x = np.array([0.0, 1.0, 4.0, 10.0])
    assert evaluate_basis(Basis("linear"), "age", x).coefficients == ("",)
    polynomial = evaluate_basis(Basis("polynomial", 2), "age", x)
    np.testing.assert_array_equal(polynomial.values, orthogonal_polynomials(x, 2))
    assert (polynomial.coefficients, polynomial.basis) == (("1", "2"), Basis("polynomial", 2))
    assert polynomial.notes == ("age: orthogonal polynomials over the records in use",)
    legendre = evaluate_basis(Basis("legendre", 1), "age", x)
    assert (legendre.coefficients, legendre.basis) == (("0", "1"), Basis("legendre", 1, 0.0, 10.0))
    assert legendre.notes == ("leg(age, 1): normalised Legendre polynomials on (0, 10), range from the records in use",)
    splines = evaluate_basis(SPLINES, "age", x)
    np.testing.assert_array_equal(splines.values, basis_values(SPLINES, x))
    assert splines.coefficients == tuple("0123456")
    assert splines.notes == ("bspline(age, 3): B-splines on (0, 10) with inner knots 2, 3, 7.5, range from the model",)


def test_covariance_function_of_mrode() -> None:
    case = expected("mrode_covfunction")
    given, wanted, tolerance = case["inputs"], case["expected"], case["tolerance"]["abs"]
    ages = given["ages"]
    basis = Basis("legendre", 2, ages[0], ages[-1])
    np.testing.assert_allclose(basis_values(basis, ages), wanted["Phi"], atol=tolerance)
    coefficients = coefficients_from(basis, given["G"], ages)
    np.testing.assert_allclose(coefficients, wanted["C"], atol=tolerance)
    at = covariance_at(basis, coefficients, [90.0, 200.0])
    np.testing.assert_allclose(
        at[[0, 1, 0], [0, 1, 1]], [wanted[k] for k in ("var90", "var200", "cov90_200")], atol=tolerance
    )
    np.testing.assert_allclose(at[[1, 0], [1, 1]], [218.50, 129.71], atol=case["tolerance"]["published_abs"])


@given(st.integers(0, 10_000), st.sampled_from([LEGENDRE, SPLINES, Basis("linear")]))
def test_coefficients_give_back_their_covariances(seed: int, basis: Basis) -> None:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(basis.size, basis.size))
    points = (
        np.linspace(6.0, 9.5, basis.size) if basis is not SPLINES else np.array([0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0])
    )
    covariance = covariance_at(basis, half @ half.T, points)
    again = covariance_at(basis, coefficients_from(basis, covariance, points), points)
    np.testing.assert_allclose(again, covariance, rtol=1e-7, atol=1e-7 * np.abs(covariance).max())


@pytest.mark.parametrize(
    ("matrix", "points", "message"),
    [
        (np.eye(3), [5.0, 60.0], "2 points are given for 3 functions of the basis; give as many as functions"),
        (np.eye(2), [5.0, 60.0, 70.0], "the covariance matrix is 2 x 2; there are 3 points, which need 3 x 3"),
        (4.0, [5.0, 60.0, 70.0], "the covariance matrix is a single number; there are 3 points"),
        (np.eye(3), [5.0, 60.0, 60.0], "the functions of the basis depend on each other at these points -> choose distinct points"),
    ],
)  # fmt: skip
def test_coefficients_refused(matrix: Any, points: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        coefficients_from(LEGENDRE, matrix, points)


def test_coefficients_of_another_order_are_refused() -> None:
    with pytest.raises(
        ModelError,
        match="the covariance matrix of the coefficients is 2 x 2; there are 3 functions of the basis, which need 3 x 3",
    ):
        covariance_at(LEGENDRE, np.eye(2), [60.0])
    assert covariance_at(LEGENDRE, np.eye(3), 155.0)[0, 0] == pytest.approx(0.5 + 5 / 8, rel=EXACT)
