"""How severe each fault of a pedigree is, and what was made of those that were found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, counted

Severity = Literal["error", "warn", "repair"]

REPAIR_COLUMNS = {"animal": pl.String, "role": pl.String, "parent": pl.String, "rule": pl.String, "where": pl.String}

SHOWN = 10
"""Offenders that a message names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class PedigreeRules:
    """Severity of each rule: ``error`` refuses, ``warn`` counts and goes on, ``repair`` sets the parent missing.

    Attributes
    ----------
    own_parent, loop, conflicting_duplicate
        An animal that is its own parent, its own ancestor, or has two rows that differ. There is no A for these as they
        stand, so ``warn`` is refused.
    sire_and_dam
        An animal that is sire of some and dam of others. A is well defined; a repair removes the rarer role (that of dam
        where they are equal).
    identical_duplicate
        Rows that repeat each other are used once; nothing is there to repair.
    born_after
        A parent born after its offspring: a later year, or not an earlier day where dates are given.
    sex_role
        A sire recorded as female or a dam as male.
    """

    own_parent: Severity = "error"
    loop: Severity = "error"
    conflicting_duplicate: Severity = "error"
    sire_and_dam: Severity = "warn"
    identical_duplicate: Severity = "warn"
    born_after: Severity = "warn"
    sex_role: Severity = "warn"

    def __post_init__(self) -> None:
        for rule in fields(self):
            severity = getattr(self, rule.name)
            if severity not in ("error", "warn", "repair"):
                raise ModelError(f"pedigree rule {rule.name!r} is {severity!r}; it can be 'error', 'warn' or 'repair'")
            if severity == "warn" and rule.name in ("own_parent", "loop", "conflicting_duplicate"):
                raise ModelError(f"pedigree rule {rule.name!r} cannot be 'warn': no A exists; use 'error' or 'repair'")
        if self.identical_duplicate == "repair":
            raise ModelError("pedigree rule 'identical_duplicate' cannot be 'repair': use 'error' or 'warn'")


@dataclass(frozen=True, slots=True)
class PedigreeReport:
    """What was read and what was made of it.

    Attributes
    ----------
    rows, animals, founders
        Rows read; animals after merging duplicates and adding parents; animals without known parents.
    merged_rows
        Rows that repeated another one.
    added_parents
        Parents without a row of their own, added as founders.
    warnings
        One line for each rule that warned or repaired, with its offenders.
    repairs
        One row for each parent that was set missing: animal, role, parent, rule, where.
    twins
        Identical twins and clones, which are no animals of their own.
    """

    rows: int
    animals: int
    founders: int
    merged_rows: int
    added_parents: int
    warnings: tuple[str, ...]
    repairs: pl.DataFrame = field(repr=False)
    twins: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, what broke it, and the (animal, role) links that a repair would cut; role 0 is sire, 1 dam."""

    rule: str
    what: str
    offenders: tuple[str, ...]
    count: int
    animals: NDArray[np.int32]
    roles: NDArray[np.int8]
    advice: str

    def line(self) -> str:
        """What it is, the first offenders, how many more."""
        more = f" and {self.count - SHOWN} more" if self.count > SHOWN else ""
        return f"{self.what}: {'; '.join(self.offenders[:SHOWN])}{more}"


@dataclass(slots=True)
class Findings:
    """The workspace in which findings gather by severity while a pedigree is read."""

    rules: PedigreeRules
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    repairs: list[pl.DataFrame] = field(default_factory=list)

    def refuse(self, finding: Finding) -> None:
        """Gather a finding that is an error."""
        self.errors.append(f"{finding.line()} -> {finding.advice}, or set rule {finding.rule} to 'repair'")

    def settle(
        self,
        finding: Finding | None,
        ids: pl.Series,
        parents: tuple[NDArray[np.int32], NDArray[np.int32]],
        where: Callable[[int], str],
    ) -> None:
        """Apply the severity of a finding; a repair cuts links in ``parents`` and lists them."""
        if finding is None:
            return
        severity: Severity = getattr(self.rules, finding.rule)
        if severity == "error":
            self.refuse(finding)
            return
        if severity == "warn":
            self.warnings.append(finding.line())
            return
        self.warnings.append(f"{finding.line()} [{counted(finding.animals.size, 'parent')} set missing]")
        rows = []
        for animal, role in zip(finding.animals.tolist(), finding.roles.tolist(), strict=True):
            parent = int(parents[role][animal])
            if parent >= 0:
                rows.append((ids[animal], ("sire", "dam")[role], ids[parent], finding.rule, where(animal)))
                parents[role][animal] = -1
        self.repairs.append(pl.DataFrame(rows, schema=REPAIR_COLUMNS, orient="row"))

    def repair_table(self) -> pl.DataFrame:
        """All repairs so far."""
        return pl.concat([pl.DataFrame(schema=REPAIR_COLUMNS), *self.repairs])
