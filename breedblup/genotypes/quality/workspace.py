"""The workspace of a quality control: what is still kept, what was found, and how many were left after each step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted, name_some
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.planes import of_rows
from breedblup.genotypes.quality.thresholds import GenotypeQuality, Severity

FOUND = {"name": pl.String, "why": pl.String, "value": pl.Float64, "threshold": pl.Float64, "outcome": pl.String}
"""Columns of what was found; the first is called ``animal`` or ``marker`` in the result."""

STEPS = {"step": pl.String, "animals": pl.Int64, "markers": pl.Int64}


@dataclass(slots=True)
class Workspace:
    """Masks of what is kept, changed step by step."""

    genotypes: Genotypes
    quality: GenotypeQuality
    animals: NDArray[np.bool_]
    markers: NDArray[np.bool_]
    autosomal: NDArray[np.bool_]
    found: dict[str, list[pl.DataFrame]] = field(default_factory=lambda: {"animals": [], "markers": []})
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    present: Genotypes | None = None
    exact_tests: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    @classmethod
    def of(cls, genotypes: Genotypes, quality: GenotypeQuality) -> Workspace:
        """Everything kept."""
        n, m = genotypes.shape
        if n == 0 or m == 0:
            raise GenotypeError(
                f"{genotypes.source}: {counted(n, 'animal')} and {counted(m, 'marker')} "
                "-> quality control needs one of each at least"
            )
        others = [*quality.x_chromosome, *quality.not_autosomal]
        autosomal = ~genotypes.markers["chromosome"].is_in(others).fill_null(False).to_numpy()
        made = cls(genotypes, quality, np.ones(n, dtype=np.bool_), np.ones(m, dtype=np.bool_), autosomal)
        made.steps.append(("read", n, m))
        return made

    def kept(self, markers: NDArray[np.bool_] | None = None) -> Genotypes:
        """Animals that are kept, at the markers that are kept, or at some of these; counted once for the same animals."""
        if self.present is None or len(self.present) > int(self.animals.sum()):
            self.present = self.genotypes if self.animals.all() else of_rows(self.genotypes, self.animals)
            self.present.counts.flags.writeable = False
        return self.present.at_markers(self.markers if markers is None else self.markers & markers)

    def apply(
        self,
        kind: str,
        numbers: NDArray[np.integer],
        why: str,
        values: NDArray[np.float64],
        threshold: float,
        severity: Severity,
    ) -> None:
        """List animals or markers (``kind``) by number, and exclude them or stop where that is asked for."""
        if not numbers.size:
            return
        source = self.genotypes.ids if kind == "animals" else self.genotypes.markers["marker"]
        names = source.gather(numbers)
        limit = "" if np.isnan(threshold) else f" (threshold {threshold:g})"
        if severity == "stop":
            raise GenotypeError(
                f"{self.genotypes.source}: {why}{limit}: {kind} {name_some(names.to_list())} "
                "-> correct the calls, or let the severity of this check be 'exclude' or 'report'"
            )
        outcome = "excluded" if severity == "exclude" else "reported"
        rows = pl.DataFrame({"name": names, "value": np.asarray(values, dtype=np.float64)}).with_columns(
            pl.lit(why).alias("why"), pl.lit(float(threshold)).alias("threshold"), pl.lit(outcome).alias("outcome")
        )
        self.found[kind].append(rows.select(*FOUND))
        if severity == "exclude":
            mask = self.animals if kind == "animals" else self.markers
            mask[numbers] = False
            if not mask.any():
                raise GenotypeError(
                    f"{self.genotypes.source}: none of the {kind} is left after {why!r}{limit} "
                    "-> correct the calls, or change the threshold or the severity of this check"
                )

    def end_step(self, name: str) -> None:
        """Count what is kept."""
        self.steps.append((name, int(self.animals.sum()), int(self.markers.sum())))

    def table(self, kind: str) -> pl.DataFrame:
        """All that was found of animals or markers, in the order of the steps."""
        whole = pl.concat([pl.DataFrame(schema=FOUND), *self.found[kind]])
        return whole.rename({"name": kind.removesuffix("s")}).fill_nan(None)
