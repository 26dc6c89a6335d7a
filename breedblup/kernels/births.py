"""Years of birth that were not recorded, from those of relatives."""

from __future__ import annotations

import numpy as np

from breedblup.kernels import kernel


@kernel
def guess_birth_years(sire, dam, age, years):  # type: ignore[no-untyped-def]
    """Fill unknown ``years`` (-1): ``age`` before the earliest offspring, else ``age`` after the youngest parent.

    What offspring say is never taken to lie before a parent's recorded year.
    Offspring first, so that a guess serves its own parents; then parents first.
    """
    n = sire.size
    latest = np.full(n, -1, dtype=years.dtype)
    for i in range(n - 1, -1, -1):
        if years[i] < 0 and latest[i] >= 0:
            years[i] = latest[i]
            for parent in (sire[i], dam[i]):
                if parent >= 0 and years[parent] > years[i]:
                    years[i] = years[parent]
        if years[i] < 0:
            continue
        for parent in (sire[i], dam[i]):
            if parent >= 0 and (latest[parent] < 0 or years[i] - age < latest[parent]):
                latest[parent] = max(years[i] - age, 0)
    for i in range(n):
        if years[i] >= 0:
            continue
        for parent in (sire[i], dam[i]):
            if parent >= 0 and years[parent] >= 0:
                years[i] = max(years[i], years[parent] + age)
