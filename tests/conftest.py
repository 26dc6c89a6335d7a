"""Where the reference cases are, and how closely numbers have to agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same examples on every machine
settings.load_profile("repeatable")

HERE = Path(__file__).parent
REFS = HERE / "refs"
"""Cases that may be copied; each has a README with its source."""

SHARED_REFS = HERE.parent.parent / "shared" / "refs"
"""All cases, where the folder is there; data of other packages are read from here only."""

EXACT = 1e-10
"""Direct algebra, relative."""

ITERATIVE = 1e-8
"""Solutions of an iteration stopped at a thousandth of this."""


def expected_in(folder: Path) -> dict[str, Any]:
    """``expected.json`` of a case."""
    content: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return content


def expected(case: str) -> dict[str, Any]:
    """``expected.json`` of a case that is copied here."""
    return expected_in(REFS / case)


def shared_case(case: str) -> Path:
    """Folder of a case that may not be copied; skips, with the reason, where the folder of all cases is absent."""
    folder = SHARED_REFS / case
    if not folder.is_dir():
        pytest.skip(f"{case}: data of another package, read from shared/refs, which is not there")
    return folder
