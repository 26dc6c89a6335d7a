"""The order of imports: data flows left to right, an import may only look left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "breedblup"

ORDER = (
    "errors frames kernels solvers pedigree genotypes relationship formula model variances edits design mme simulation plan "
    "reml reliability inference evaluation analysis adjustment validation comparison gates report io run cli __init__ __main__"
).split()

OPTIONAL = {"matplotlib", "cyvcf2"}
"""Extras, imported where they are used."""

FILES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_layers(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "breedblup" else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = (name or "").split(".")
            if parts[0] == "breedblup" and len(parts) > 1:
                found.add(parts[1])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_look_left(path: Path) -> None:
    own = layer(path)
    assert own in ORDER, f"{own} has no place in the order"
    for other in imported_layers(path) - {own}:
        if other == "__version__":
            continue
        assert ORDER.index(other) < ORDER.index(own), f"{own} imports {other}, which stands to its right"


def is_optional(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether only extras of the package are imported, which may be missing."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return all(name.split(".")[0] in OPTIONAL for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_stand_at_the_top(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = [
                n.lineno for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom) and not is_optional(n)
            ]
            assert not inside, f"{path.name}:{inside} imports inside {node.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_bears_the_name_of_its_module(path: Path) -> None:
    names = {path.stem, path.parent.name}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            assert node.name not in names - {"main"}


def test_only_io_opens_input_files() -> None:
    readers = ("open", "read_csv", "scan_csv", "read_parquet", "read_text", "read_bytes")
    for path in FILES:
        if layer(path) in ("io", "run", "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert name not in readers, f"{path}:{node.lineno} reads a file"
