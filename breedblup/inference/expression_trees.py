"""Trees of operations on variance components: values, and derivatives by forward differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError

FloatVector: TypeAlias = NDArray[np.float64]


class _Operation(NamedTuple):
    """A value from arguments, and its derivative by each of them."""

    value: Callable[..., Any]
    slopes: Callable[..., tuple[Any, ...]]


_OPERATIONS = {
    "+": _Operation(np.add, lambda a, b: (1.0, 1.0)),
    "-": _Operation(np.subtract, lambda a, b: (1.0, -1.0)),
    "*": _Operation(np.multiply, lambda a, b: (b, a)),
    "/": _Operation(np.divide, lambda a, b: (1.0 / b, -a / b**2)),
    "**": _Operation(np.power, lambda a, b: (b * np.power(a, b - 1.0), np.power(a, b) * np.log(a))),
    "negative": _Operation(np.negative, lambda a: (-1.0,)),
    "sqrt": _Operation(np.sqrt, lambda a: (0.5 / np.sqrt(a),)),
    "log": _Operation(np.log, lambda a: (1.0 / a,)),
    "exp": _Operation(np.exp, lambda a: (np.exp(a),)),
    "abs": _Operation(np.abs, lambda a: (np.sign(a) if a else np.float64(np.nan),)),
}

FUNCTIONS = ("sqrt", "log", "exp", "abs")
"""Functions that an expression may call; log is the natural logarithm."""


class Node(NamedTuple):
    """An operation on arguments; without arguments a number, or a component where ``component`` is not -1."""

    operation: str
    arguments: tuple[Node, ...]
    start: int
    end: int
    number: float = 0.0
    component: int = -1


class Linearised(NamedTuple):
    """A function of the parameters at a point: its value, and its derivatives (p,)."""

    value: float
    gradient: FloatVector


def values_of(node: Node, theta: FloatVector) -> Any:
    """Values of a node at parameters (..., p)."""
    if node.component >= 0:
        return theta[..., node.component]
    if not node.arguments:
        return np.float64(node.number)
    return _OPERATIONS[node.operation].value(*(values_of(argument, theta) for argument in node.arguments))


def linearised(node: Node, theta: FloatVector, text: str) -> tuple[np.float64, FloatVector]:
    """Value and derivatives (p,) of a node at parameters (p,); refuses a value that is not finite, showing its text."""
    if node.component >= 0:
        gradient = np.zeros(theta.size)
        gradient[node.component] = 1.0
        return np.float64(theta[node.component]), gradient
    if not node.arguments:
        return np.float64(node.number), np.zeros(theta.size)
    arguments = [linearised(argument, theta, text) for argument in node.arguments]
    numbers = [value for value, _ in arguments]
    operation = _OPERATIONS[node.operation]
    value = np.float64(operation.value(*numbers))
    if not np.isfinite(value):
        shown, part = " and ".join(f"{number:g}" for number in numbers), text[node.start : node.end]
        fail(text, node.start, f"{part!r} has no finite value at the estimates: {node.operation} of {shown}")
    gradient = np.zeros(theta.size)
    for slope, (_, inner) in zip(operation.slopes(*numbers), arguments, strict=True):
        at = inner != 0.0
        gradient[at] += slope * inner[at]
    return value, gradient


def components_of(node: Node) -> set[int]:
    """The parameters that a tree names."""
    own = {node.component} if node.component >= 0 else set()
    return own.union(*(components_of(argument) for argument in node.arguments))


def fail(text: str, position: int, message: str) -> NoReturn:
    """Refuse an expression, with a mark under the place."""
    shown = "".join(" " if character.isspace() else character for character in text)
    raise ModelError(f"expression, column {position + 1}: {message}\n    {shown}\n    {' ' * position}^")
