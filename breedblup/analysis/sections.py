"""Sections of a summary: a title, a table or facts, footnotes; laid out as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from textwrap import wrap
from typing import TypeGuard

from rich.cells import cell_len

WIDTH = 100
"""Columns of a summary; wider tables stay whole, text is wrapped."""

MOST_DECIMALS = 8
"""More are shown with an exponent."""

MOST_DIGITS = 9
"""Of a number with an exponent."""

ERROR_DIGITS = 3
"""Significant digits that every standard error has at least, and its estimate as many decimals."""

LARGE = 1e9
"""Numbers from here on have an exponent."""

SMALLEST_P = 2.2e-16


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a summary.

    Attributes
    ----------
    title
        Above it; empty for none.
    header
        Names of the columns; () for facts, whose rows are a label and a text.
    rows
        Cells as text, as many in each row as ``numeric`` has.
    numeric
        Which columns stand to the right.
    footnotes
        Sentences below.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    footnotes: tuple[str, ...] = ()

    @classmethod
    def of_facts(cls, title: str, facts: Sequence[tuple[str, str]], footnotes: Sequence[str] = ()) -> Section:
        """Labels and texts; an empty label goes on with the one before."""
        return cls(title, (), tuple(facts), (False, False), tuple(footnotes))


def as_text(sections: Sequence[Section]) -> str:
    """Sections below each other, with an empty line between."""
    return "\n\n".join("\n".join(_lines(section)) for section in sections)


def as_html(sections: Sequence[Section]) -> str:
    """Sections as plain tables; every text is escaped."""
    return "".join(_html(section) for section in sections)


def aligned(rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """Lines of a table, columns two blanks apart, also where letters are two cells wide; numbers stand to the right."""
    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for cell, width, right in zip(row, widths, numeric, strict=True):
            blanks = " " * (width - cell_len(cell))
            cells.append(blanks + cell if right else cell + blanks)
        lines.append("  ".join(cells).rstrip())
    return lines


def align_points(rows: Sequence[list[str]], columns: Sequence[int]) -> None:
    """Fill up numbers with blanks behind them, so that decimal points of a column stand below each other."""
    for column in columns:
        behind = [len(row[column].partition(".")[2]) + ("." in row[column]) for row in rows]
        plain = [bool(row[column]) and "e" not in row[column] for row in rows]
        most = max((length for length, one in zip(behind, plain, strict=True) if one), default=0)
        for row, length, one in zip(rows, behind, plain, strict=True):
            row[column] += " " * (most - length) if one else ""


def decimals_for(value: float | None, digits: int) -> int:
    """Decimals that show a number to some significant digits; below 0 where the last of them stands before the point."""
    if value is None or not isfinite(value) or value == 0.0:
        return digits - 1
    return digits - 1 - floor(log10(abs(value)))


def number(value: float | None, decimals: int) -> str:
    """A number with some decimals, with an exponent where these hide it, or it is very large; empty where there is none.

    With an exponent it has the same decimals, where these are not too many.
    """
    if value is None or value != value:
        return ""
    if not isfinite(value) or 0.0 < abs(value) < 10.0**-decimals / 2.0:
        return f"{value:.4g}"
    if value and (decimals > MOST_DECIMALS or abs(value) >= LARGE):
        return f"{value:.{min(max(floor(log10(abs(value))) + decimals, 0), MOST_DIGITS - 1)}e}"
    shown = f"{value:.{min(max(decimals, 0), MOST_DECIMALS)}f}"
    return shown[1:] if shown.startswith("-") and not float(shown) else shown


def significant(value: float | None, digits: int = 5) -> str:
    """A number to some significant digits."""
    return number(value, decimals_for(value, digits))


def with_errors(pairs: Sequence[tuple[float | None, float | None]]) -> list[tuple[str, str]]:
    """Estimates and their standard errors as cells: five digits of the largest error, and as many decimals of all others.

    Of small ones there are more: see `number_with_error`.
    """
    errors = [error for _, error in pairs if _is_error(error)]
    if not errors:
        return [(significant(estimate, 6), "") for estimate, _ in pairs]
    decimals = min(decimals_for(max(errors), 5), MOST_DECIMALS)
    return [number_with_error(estimate, error, decimals) for estimate, error in pairs]


def number_with_error(estimate: float | None, error: float | None, decimals: int) -> tuple[str, str]:
    """An estimate and its standard error with some decimals, or more: for three digits of the error, or else of the estimate."""
    own = error if _is_error(error) else estimate
    decimals = max(decimals, decimals_for(own, ERROR_DIGITS)) if own else decimals
    return number(estimate, decimals), number(error, decimals)


def _is_error(error: float | None) -> TypeGuard[float]:
    return error is not None and isfinite(error) and error > 0.0


def p_text(p: float | None) -> str:
    """A p-value as R prints it."""
    if p is None or p != p:
        return ""
    if p < SMALLEST_P:
        return f"<{SMALLEST_P:g}"
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.2e}"


def wrapped(label: str, text: str, indent: int) -> list[str]:
    """A label and a text behind it, wrapped to the width of a summary."""
    start = f"{label:<{indent}}"
    return wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * indent, break_on_hyphens=False) or [label]


def _lines(section: Section) -> list[str]:
    lines = [section.title] if section.title else []
    if section.header:
        lines += [f"  {line}" for line in aligned([section.header, *section.rows], section.numeric)]
    else:
        indent = max((cell_len(label) for label, _ in section.rows), default=0) + 4
        for label, text in section.rows:
            lines += wrapped(f"  {label}", text, indent)
    for note in section.footnotes:
        lines += wrapped("", note, 2)
    return lines


def _html(section: Section) -> str:
    title = f"<p><b>{html.escape(section.title)}</b></p>" if section.title else ""
    head = "".join(_cell("th", *pair) for pair in zip(section.header, section.numeric, strict=False))
    body = "".join(
        f"<tr>{''.join(_cell('td', *pair) for pair in zip(row, section.numeric, strict=True))}</tr>"
        for row in section.rows
    )
    table = f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>" if section.rows else ""
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in section.footnotes)
    return f"{title}{table}{notes}"


def _cell(kind: str, text: str, is_number: bool) -> str:
    return f'<{kind} style="text-align: {"right" if is_number else "left"}">{html.escape(text.strip())}</{kind}>'
