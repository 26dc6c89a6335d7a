"""Every kernel of the road from a pedigree to the solution, beside what the machine could do: ``python benchmarks/kernels.py``.

Each kernel is measured by a script of its own, ``kernel_NAME.py``, one process a size, so that peak memory is that of the kernel.
The
floors are measured in the same run. Prints the tables and writes them to ``benchmarks/results/kernels.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kernel_a_inverse
import kernel_assembly
import kernel_inbreeding
import kernel_pcg
import kernel_reading
import kernel_relatives
import kernel_selected_inverse
from floor import Floors, machine_and_floors, measure_floors
from measure import run_in_child

HERE = Path(__file__).parent

Rows = Callable[[Any, Floors], str]

KERNELS: dict[str, tuple[str, Rows, Sequence[str]]] = {
    "reading": ("Read, check and code a pedigree", kernel_reading.rows, ("1e5", "1e6", "1e7")),
    "inbreeding": ("Inbreeding", kernel_inbreeding.rows, ("1e5", "1e6", "1e7")),
    "a_inverse": ("A⁻¹ as CSR, products with A⁻¹ and A", kernel_a_inverse.rows, ("1e5", "1e6", "1e7")),
    "assembly": ("Assembly of the equations", kernel_assembly.rows, ("1e5", "1e6", "1e7")),
    "pcg": ("A round of PCG", kernel_pcg.rows, ("1e5", "1e6", "1e7")),
    "selected_inverse": ("Selected inverse", kernel_selected_inverse.rows, ("1e4", "1e5")),
    "relatives": ("Relationships on demand, added animals", kernel_relatives.rows, ("1e5", "1e6")),
}
"""Title, table and sizes of each."""


def heading(repeats: int, floors: Floors) -> str:
    """The machine and its floors in this run."""
    return f"""# Kernels

Written by `python benchmarks/kernels.py`; `benchmarks/README.md` says how to read it. Medians of {repeats} repeats, kernels warm
(fewer where a table says so); the population of `breedblup.simulation`, 20 years unless a table says otherwise.

{machine_and_floors(floors)}"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Kernels beside the floors of the machine.")
    parser.add_argument("--kernels", nargs="+", default=list(KERNELS), choices=list(KERNELS), help="which of them")
    parser.add_argument("--largest", default="1e7", help="leave out sizes above this")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "kernels.md")
    options = parser.parse_args()
    floors = measure_floors()
    parts = [heading(options.repeats, floors)]
    print(parts[0], flush=True)
    for name in options.kernels:
        title, rows, sizes = KERNELS[name]
        runs = [
            run_in_child(HERE / f"kernel_{name}.py", size, str(options.repeats))
            for size in sizes
            if float(size) <= float(options.largest)
        ]
        parts.append(f"## {title}\n\n{rows(runs, floors)}")
        print(f"\n{parts[-1]}", flush=True)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
