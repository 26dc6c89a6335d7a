"""Every reference case has a test, or a line in `docs/limitations.md` that says why it has none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import HERE, REFS, SHARED_REFS

SECTION = "## Reference cases not yet reproduced\n"
LINE = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)


def cases_in(folder: Path) -> set[str]:
    """Folders of cases."""
    return {path.name for path in folder.iterdir() if path.is_dir()}


def cases_with_a_test(cases: set[str]) -> set[str]:
    """Cases whose name stands in quotes in a test."""
    sources = [path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py") if path.name != Path(__file__).name]
    quoted = set(re.findall(r"[\"'](\w+)[\"']", "\n".join(sources)))
    return cases & quoted


def cases_put_off() -> dict[str, str]:
    """Case and reason of each line of the section."""
    text = (HERE.parent / "docs" / "limitations.md").read_text(encoding="utf-8")
    assert text.count(SECTION) == 1
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    lines = LINE.findall(section)
    assert len(lines) == len(dict(lines)), "a case stands there twice"
    return dict(lines)


def assert_accounted_for(cases: set[str]) -> None:
    tested, put_off = cases_with_a_test(cases), cases_put_off()
    forgotten = sorted(cases - tested - put_off.keys())
    assert not forgotten, f"neither a test nor a line in docs/limitations.md: {forgotten}"
    stale = sorted(tested & put_off.keys())
    assert not stale, f"stale lines in docs/limitations.md, there are tests: {stale}"


def test_each_reason_says_what_is_missing() -> None:
    put_off = cases_put_off()
    for case, reason in put_off.items():
        assert re.fullmatch(r"not yet: \w.{3,}", reason), f"{case}: {reason!r}"


def test_cases_copied_here() -> None:
    cases = cases_in(REFS)
    assert "mrode_animal" in cases
    assert_accounted_for(cases)
    copied_in_vain = sorted(cases & cases_put_off().keys())
    assert not copied_in_vain, f"copied and not used: {copied_in_vain}"


def test_all_cases() -> None:
    if not SHARED_REFS.is_dir():
        pytest.skip("the folder of all reference cases, shared/refs, is not beside this checkout")
    cases = cases_in(SHARED_REFS)
    assert cases_in(REFS) <= cases
    unknown = sorted(cases_put_off().keys() - cases)
    assert not unknown, f"lines in docs/limitations.md for cases that do not exist: {unknown}"
    assert_accounted_for(cases)
