"""The variance components of a fit as sections of its summary: variances, standard deviations, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from breedblup.analysis.sections import WIDTH, Section, align_points, number_with_error, significant, with_errors
from breedblup.reml.estimates import Estimates
from breedblup.variances import MatrixBlock

STATUS = {
    "boundary": "boundary: a variance of zero, at the edge of what a variance can be; it has no standard error",
    "bound": "bound: at a limit that was given; it has no standard error",
    "fixed": "fixed: as it was given, not estimated",
    "tied": "tied: a multiple of another parameter",
}
"""What is said of a parameter that is not free."""

_Matrix = NDArray[np.float64]


def variance_sections(
    estimates: Estimates, labels: Mapping[str, Sequence[str]], proportions: Mapping[tuple[str, int], float]
) -> list[Section]:
    """Variances with their roots, standard errors and shares; correlations in the corner, or apart where they are many.

    Parameters
    ----------
    labels
        What the rows of the matrix of a key are called.
    proportions
        Share of the phenotypic variance, by name of the matrix and row; only where it is the same for all records.
    """
    space = estimates.space
    matrices = [space.matrix(estimates.theta, block) for block in space.blocks]
    rows: list[list[str]] = []
    for block, matrix in zip(space.blocks, matrices, strict=True):
        rows += _variance_rows(block, matrix, estimates, labels[block.key], proportions)
    align_points(rows, (2, 3, 4))
    corners = [
        row for block, matrix in zip(space.blocks, matrices, strict=True) for row in _correlations(block, matrix)
    ]
    width = max(block.order for block in space.blocks) - 1
    header: tuple[str, ...] = ("term", "effect", "variance", "SD", "SE", "share", "")
    numeric: tuple[bool, ...] = (False, False, True, True, True, True, False)
    empty = [k for k in (6, 5, 1) if not any(row[k] for row in rows)]
    for k in empty:
        header, numeric = header[:k] + header[k + 1 :], numeric[:k] + numeric[k + 1 :]
        rows = [row[:k] + row[k + 1 :] for row in rows]
    notes = [STATUS[one] for one in STATUS if one in estimates.status]
    wide = sum(max(map(cell_len, column)) + 2 for column in zip(header, *rows, strict=True)) + 7 * width > WIDTH
    if width == 0 or wide:
        table = Section("Variances", header, tuple(map(tuple, rows)), numeric, tuple(notes))
        apart = zip(space.blocks, matrices, strict=True)
        return [table, *(_apart(block, matrix, labels[block.key]) for block, matrix in apart if block.order > 1)]
    full = [(*row, *corner, *[""] * (width - len(corner))) for row, corner in zip(rows, corners, strict=True)]
    named = (*header, "correlations", *[""] * (width - 1))
    return [Section("Variances", named, tuple(full), numeric + (False,) * width, tuple(notes))]


def _variance_rows(
    block: MatrixBlock, matrix: _Matrix, estimates: Estimates, labels: Sequence[str],
    proportions: Mapping[tuple[str, int], float],
) -> list[list[str]]:  # fmt: skip
    """A row for each variance of a block."""
    errors = estimates.standard_errors[block.slice]
    status = estimates.status[block.slice]
    elements = list(zip(*(index.tolist() for index in block.elements), strict=True))
    at = [elements.index((i, i)) for i in range(block.order)]
    found = []
    for i, cells in enumerate(with_errors([(float(matrix[i, i]), float(errors[k])) for i, k in enumerate(at)])):
        deviation = float(np.sqrt(matrix[i, i]))
        share = proportions.get((block.name, i))
        words = dict.fromkeys(one for (row, _), one in zip(elements, status, strict=True) if row == i and one != "free")
        found.append([
            block.name if i == 0 else "", labels[i], cells[0], significant(deviation), cells[1],
            "" if share is None else number_with_error(share, None, 4)[0], ", ".join(words),
        ])  # fmt: skip
    return found


def _correlations(block: MatrixBlock, matrix: _Matrix) -> list[list[str]]:
    """Lower triangle of the correlations, empty where a covariance is zero by structure or a variance is zero."""
    deviations = np.sqrt(matrix.diagonal())
    shown = []
    for i in range(block.order):
        cells = []
        for j in range(i):
            scale = deviations[i] * deviations[j]
            cells.append(f"{matrix[i, j] / scale:6.3f}" if block.mask[i, j] and scale > 0.0 else "")
        shown.append(cells)
    return shown


def _apart(block: MatrixBlock, matrix: _Matrix, labels: Sequence[str]) -> Section:
    """Correlations of a large matrix, its rows numbered; columns that do not fit go on below."""
    cells = [[*row, " 1"] for row in _correlations(block, matrix)]
    names = [f"[{i + 1}] {label}" for i, label in enumerate(labels)]
    across = max((WIDTH - 4 - max(map(cell_len, names))) // 8, 1)
    rows: list[tuple[str, ...]] = []
    for first in range(0, block.order, across):
        last = min(first + across, block.order)
        rows.append(("", *(f"[{j + 1}]" for j in range(first, last)), *[""] * (across - last + first)))
        for i in range(first, block.order):
            mine = cells[i][first:last]
            rows.append((names[i], *mine, *[""] * (across - len(mine))))
    header, *body = rows
    return Section(f"Correlations of {block.name}", header, tuple(body), (False, *[True] * across))
