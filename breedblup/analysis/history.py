"""The rounds of an estimation as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from breedblup.reml.fit import RemlRound

HISTORY_COLUMNS = {
    "round": pl.Int64, "step": pl.String, "minus2_log_l": pl.Float64, "lower_by": pl.Float64, "gain": pl.Float64,
    "change": pl.Float64, "gradient": pl.Float64,
}  # fmt: skip
"""Columns of every history; parameters and seconds follow."""


def history_table(history: Sequence[RemlRound], names: Sequence[str]) -> pl.DataFrame:
    """One row for each round.

    Returns
    -------
    polars.DataFrame
        ``round``; ``step``: what was done from there; ``minus2_log_l`` at the parameters of the round; ``lower_by``: by how much
        that is lower than in the round before; ``gain``, ``change``, ``gradient``: the criteria (see `RemlRound`); a column for
        each parameter by its name; ``seconds`` of each part: ``seconds assembly``, … .
    """
    parts = list(dict.fromkeys(part for one in history for part in one.seconds))
    rows: list[dict[str, Any]] = []
    before = None
    for one in history:
        row: dict[str, Any] = {column: getattr(one, column, None) for column in HISTORY_COLUMNS}
        row["lower_by"] = None if before is None else before - one.minus2_log_l
        row |= dict(zip(names, one.theta.tolist(), strict=True))
        row |= {f"seconds {part}": one.seconds.get(part, 0.0) for part in parts}
        rows.append(row)
        before = one.minus2_log_l
    schema = HISTORY_COLUMNS | dict.fromkeys([*names, *(f"seconds {part}" for part in parts)], pl.Float64)
    return pl.DataFrame(rows, schema=schema)
