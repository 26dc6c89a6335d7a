"""The public surface: sorted, documented, its errors named; and every message of the package is matched by a test."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE

import breedblup as bb
from breedblup import errors

PACKAGE = HERE.parent / "breedblup"
SHORTEST = 12
"""Letters of a message's constant part that tell it from others."""

STRETCH = 15
"""Letters of it that have to stand in a test."""

ERRORS = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}

PUBLIC = [(name, getattr(bb, name)) for name in bb.__all__]


def own_methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class of this package defines itself."""
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        function = getattr(function, "func", function)  # cached_property
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


def test_all_is_sorted_and_whole() -> None:
    assert bb.__all__ == sorted(bb.__all__)
    assert len(set(bb.__all__)) == len(bb.__all__)
    imported = {
        alias.asname or alias.name
        for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(bb.__all__)


def test_every_error_is_public() -> None:
    assert {name for name in bb.__all__ if name in ERRORS} == ERRORS
    for name in ERRORS:
        assert issubclass(getattr(bb, name), bb.BreedblupError)
        assert name in str(errors.__doc__), f"{name} does not stand in the tree of errors"


@pytest.mark.parametrize(("name", "thing"), PUBLIC, ids=bb.__all__)
def test_every_public_name_is_documented(name: str, thing: Any) -> None:
    assert thing.__module__.startswith("breedblup.")
    assert getattr(importlib.import_module(thing.__module__), name) is thing
    members = own_methods(thing) if inspect.isclass(thing) else ()
    for what, documented in [(name, thing), *((f"{name}.{member}", function) for member, function in members)]:
        text = inspect.getdoc(documented)
        assert text, f"{what} has no docstring"
        assert not text.startswith(f"{name}("), f"{what} has only the docstring that dataclass made"
        first = text.splitlines()[0]
        assert first.endswith((".", "::", ":")), f"{what}: the first line is no sentence: {first}"


def errors_raised_in(tree: ast.AST) -> set[str]:
    """Kinds of the errors of ours that are raised."""
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    called = [call.func for call in raised if isinstance(call, ast.Call)]
    return {function.id for function in called if isinstance(function, ast.Name)} & ERRORS


PUBLIC_FUNCTIONS = [(name, thing) for name, thing in PUBLIC if inspect.isfunction(thing)] + [
    (f"{name}.{member}", function)
    for name, thing in PUBLIC
    if inspect.isclass(thing)
    for member, function in own_methods(thing)
]


@pytest.mark.parametrize(("name", "function"), PUBLIC_FUNCTIONS, ids=[name for name, _ in PUBLIC_FUNCTIONS])
def test_docstrings_name_the_errors_that_are_raised(name: str, function: Any) -> None:
    raised = errors_raised_in(ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))))
    text = str(inspect.getdoc(function))
    for kind in sorted(raised):
        known = {parent.__name__ for parent in getattr(errors, kind).__mro__} & ERRORS
        assert any(parent in text for parent in known), f"{name} raises {kind}; its docstring does not say so"


# --- messages ---------------------------------------------------------------------------------------------------------


def constant_parts(message: ast.expr) -> list[str]:
    """The constant parts of a message that are long enough to tell it from others."""
    parts = [node.value for node in ast.walk(message) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [part.strip() for part in parts if len(part.strip()) >= SHORTEST]


def messages() -> Iterator[tuple[str, list[str]]]:
    """Where each message stands, and its constant parts; formulas hand theirs to functions called ``fail``."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ERRORS or called.strip("_") == "fail":
                parts = [part for argument in node.args for part in constant_parts(argument)]
                if parts:
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", parts


def strings_of_tests() -> str:
    """Every text in the tests, without what regular expressions escape; adjacent literals are one text."""
    texts = []
    for path in HERE.glob("test_*.py"):
        if path.name == Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("\0".join(str(v.value) if isinstance(v, ast.Constant) else "" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return re.sub(r"\\(\W)", r"\1", "\n".join(texts))


def is_matched(part: str, tests: str) -> bool:
    """Whether a test holds a stretch of the message that is long enough."""
    length = min(len(part), STRETCH)
    return any(part[k : k + length] in tests for k in range(len(part) - length + 1))


def test_every_message_is_matched_by_a_test() -> None:
    tests = strings_of_tests()
    found = list(messages())
    assert len(found) > 50
    missing = [f"{place}: {parts[0]!r}" for place, parts in found if not any(is_matched(part, tests) for part in parts)]
    assert not missing, "messages that no test matches:\n" + "\n".join(missing)
