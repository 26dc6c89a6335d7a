"""A pedigree in a few lines, as it is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from breedblup.kernels.description import count_generations, trace_one_deeper

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree


def percent(share: float) -> str:
    """``12.3 %``."""
    return f"{100.0 * share:.1f} %"


def coefficient(value: float) -> str:
    """Four decimals, or two digits where these would show little."""
    return f"{value:.4f}" if value == 0 or value >= 0.001 else f"{value:.2g}"


def pedigree_lines(pedigree: Pedigree) -> list[str]:
    """Counts, parents, known ancestors, generations, inbreeding, births, sexes, warnings: what is quick to find."""
    report = pedigree.report
    lines = [
        f"Pedigree {pedigree.name}: {report.animals:,} animals, {report.founders:,} founders",
        f"rows read {report.rows:,}, merged {report.merged_rows:,}, parents added as founders {report.added_parents:,}"
        + (f", identical twins {report.twins:,}" if report.twins else ""),
        _parents(pedigree),
        _known_parents(pedigree),
    ]
    lines += () if pedigree.groups is None else pedigree.groups.made
    if not pedigree.of_sires and len(pedigree):
        lines += [_known_ancestors(pedigree), _generations(pedigree), _inbreeding(pedigree.inbreeding)]
    lines += [*_births(pedigree), *_sexes(pedigree), *(f"warning: {warning}" for warning in report.warnings)]
    return [lines[0], *(f"  {line}" for line in lines[1:])]


def _second(pedigree: Pedigree) -> str:
    return "maternal grandsire" if pedigree.of_sires else "dam"


def _parents(pedigree: Pedigree) -> str:
    """Numbers of sires and dams, and the largest family of each."""
    numbers, largest = [], []
    for role, parent in (("sire", pedigree.sire), (_second(pedigree), pedigree.dam)):
        offspring = np.bincount(parent[parent >= 0], minlength=1)
        numbers.append(f"{role}s {np.count_nonzero(offspring):,}")
        if offspring.any():
            at = int(offspring.argmax())
            largest.append(f"{offspring[at]:,} ({role} {pedigree.ids[at]})")
    return ", ".join(numbers) + (f"; most offspring {', '.join(largest)}" if largest else "")


def _known_parents(pedigree: Pedigree) -> str:
    sire, dam, second = pedigree.sire >= 0, pedigree.dam >= 0, _second(pedigree)
    both, one, other = (int(np.count_nonzero(known)) for known in (sire & dam, sire & ~dam, dam & ~sire))
    return f"parents: both known of {both:,}, sire only {one:,}, {second} only {other:,}"


def _known_ancestors(pedigree: Pedigree) -> str:
    """Share known of each of the first three generations of ancestors."""
    known = np.zeros(len(pedigree))
    trace_one_deeper(pedigree.sire, pedigree.dam, known)
    parts, before = [], 1.0
    for name in ("parents", "grandparents", "great-grandparents"):
        trace_one_deeper(pedigree.sire, pedigree.dam, known)
        mean = float(known.mean())
        parts.append(f"{name} {percent(mean - before)}")
        before = mean
    return f"known: {', '.join(parts)}"


def _generations(pedigree: Pedigree) -> str:
    n = len(pedigree)
    most, full, equivalent = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32), np.empty(n)
    count_generations(pedigree.sire, pedigree.dam, most, full, equivalent)
    return (
        f"generations: at most {most.max()}, all ancestors known of at most {full.max()}, "
        f"complete equivalents mean {equivalent.mean():.2f}, largest {equivalent.max():.2f}"
    )


def _inbreeding(f: NDArray[np.float64]) -> str:
    inbred = int(np.count_nonzero(f > 0))
    mean, largest = coefficient(float(f.mean())), coefficient(float(f.max()))
    return f"inbreeding mean {mean}, largest {largest}, inbred {inbred:,} ({percent(inbred / f.size)})"


def _births(pedigree: Pedigree) -> list[str]:
    if pedigree.birth is None:
        return []
    unknown = pedigree.birth.null_count()
    if unknown == len(pedigree):
        return ["births: none is known"]
    return [
        f"born {pedigree.birth.min()!s} to {pedigree.birth.max()!s}" + (f", unknown of {unknown:,}" if unknown else "")
    ]


def _sexes(pedigree: Pedigree) -> list[str]:
    if pedigree.sex is None:
        return []
    unknown, males, females = np.bincount(pedigree.sex, minlength=3).tolist()
    return [f"males {males:,}, females {females:,}" + (f", sex unknown of {unknown:,}" if unknown else "")]
