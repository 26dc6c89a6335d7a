"""One timed fit by statsmodels, printed as JSON: ``python benchmarks/peer_statsmodels.py FOLDER CASE FORMULA MODEL``.

MODEL is JSON: ``groups``, ``effects``, ``components`` and ``key`` of `reml_data.Statsmodels`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import statsmodels
from measure import peak_bytes
from statsmodels.regression.mixed_linear_model import MixedLM

TINY, SHORT, FITS = 2000, 1.0, 5
"""Records to warm up with; a fit of fewer seconds is repeated so often."""


def records_of(folder: Path, name: str) -> pd.DataFrame:
    """Classes as text, numbers as numbers, as the Parquet file has them."""
    return pd.read_parquet(folder / f"{name}_full.parquet")


def fitted(records: pd.DataFrame, formula: str, told: dict[str, Any]) -> Any:
    """Model matrices and estimates."""
    groups = told["groups"].split(":")
    of_records = (
        pd.Series("all", index=records.index) if groups == [""] else records[groups].astype(str).agg(":".join, axis=1)
    )
    model = MixedLM.from_formula(
        formula,
        records,
        groups=of_records,
        re_formula=told["effects"] or "0",
        vc_formula=told["components"] or None,
    )
    return model.fit(reml=True)


def measure(folder: Path, name: str, formula: str, told: dict[str, Any]) -> dict[str, Any]:
    """Warm up on some records, then fit all."""
    warnings.simplefilter("ignore")
    records = records_of(folder, name)
    fitted(records.head(TINY), formula, told)
    seconds: list[float] = []
    result = None
    while not seconds or (seconds[0] < SHORT and len(seconds) < FITS):
        start = time.perf_counter()
        result = fitted(records, formula, told)
        seconds.append(time.perf_counter() - start)
    assert result is not None
    variances = {key: [[float(value)]] for key, value in zip(result.model.exog_vc.names, result.vcomp, strict=True)}
    if told["effects"]:
        variances[told["key"]] = result.cov_re.to_numpy().tolist()
    return {
        "total": statistics.median(seconds),
        "peak": peak_bytes(),
        "variances": variances,
        "residual": [[float(result.scale)]],
        "version": [statsmodels.__version__],
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))))
