"""Products with packed genotypes beside the dense products that they replace: ``python benchmarks/genomic_products.py``.

G of 5,000 animals × 50,000 markers beside the symmetric product that it needs and PLINK 2; Zv and Z'w with one vector beside
float32 gemv and the stream of the packed bytes, with 16 vectors beside float32 gemm. Calls are drawn independently, with
frequencies of 0.05 to 0.95. Prints the tables and writes them to ``benchmarks/results/genomic_products.md``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from floor import Floors, machine_and_floors, measure_floors
from genomic_peer import plink_seconds
from measure import hold_pages, median_seconds
from numpy.typing import NDArray
from scipy.linalg import blas

from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.kernels.genotype_packing import add_animals

HERE = Path(__file__).parent
BLOCK = 500
"""Markers drawn at once."""

VECTORS = 16
SYRK_AIM, GEMM_AIM = 1.25, 0.5

Run = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """Animals and markers of each part; what is expanded to float32 is smaller."""

    g: tuple[int, int]
    products: tuple[int, int]
    expanded: tuple[int, int]

    @classmethod
    def scaled(cls, by: float) -> Sizes:
        """Those of the published table, all numbers times something."""
        sizes = [(5000, 50_000), (20_000, 50_000), (10_000, 20_000)]
        return cls(*((int(n * by), int(m * by)) for n, m in sizes))


def draw(animals: int, markers: int, missing: float, seed: int) -> Genotypes:
    """Independent calls, packed a block of markers at a time."""
    rng = np.random.default_rng(seed)
    limits = (256 * rng.uniform(0.05, 0.95, markers)).astype(np.uint8)
    packed = np.zeros((markers, -(-animals // 4)), dtype=np.uint8)
    for first in range(0, markers, BLOCK):
        limit = limits[first : first + BLOCK]
        one, other = (rng.integers(0, 256, (animals, limit.size), dtype=np.uint8) < limit for _ in range(2))
        calls = one.astype(np.int8) + other
        if missing:
            calls[rng.random(calls.shape, dtype=np.float32) < missing] = -1
        add_animals(calls, 0, packed[first : first + BLOCK])
    names = pl.DataFrame({"marker": [f"M{j}" for j in range(markers)]})
    return Genotypes.from_store([f"a{i}" for i in range(animals)], names, packed)


def standardised(genotypes: Genotypes, *, second: bool) -> CentredGenotypes:
    """Z of G by VanRaden's first method, or his second."""
    p = genotypes.frequencies
    variance = 2.0 * p * (1.0 - p)
    scale = 1.0 / np.sqrt(p.size * variance) if second else np.full(p.size, variance.sum() ** -0.5)
    return CentredGenotypes(genotypes, 2.0 * p, scale)


def g_table(sizes: Sizes, floors: Floors, repeats: int, patience: float) -> str:
    """G by each way, beside ssyrk and PLINK 2."""
    n, m = sizes.g
    expected = n * n * m / floors.syrk32
    alone = median_seconds(_symmetric_product(n, m), repeats)
    rows: list[tuple[str, float | None, str]] = [("float32 `ssyrk` alone, whole", alone, "")]
    rows.append(("the same by its floor", expected, ""))
    for missing, second, title in (
        (0.0, False, "VanRaden 1, no call missing"),
        (0.01, True, "VanRaden 2, 1 % of the calls missing"),
    ):
        z = standardised(draw(n, m, missing, 1), second=second)
        seconds = median_seconds(z.cross_product, repeats)
        rows.append((f"breedblup: {title}", seconds, f"{z.precision}; largest error {_error_of_g(z):.0e}"))
        if not second:
            with tempfile.TemporaryDirectory() as folder:
                peer, said = plink_seconds(Path(folder), z.genotypes, patience)
            verdict = _verdict("at most 1.25 times ssyrk", seconds <= SYRK_AIM * alone)
            faster = f"PLINK 2: not run ({said})" if peer is None else _verdict("faster than PLINK 2", seconds < peer)
    rows.append(("PLINK 2 `--make-rel square bin4`, reading and writing included", peer, said))
    lines = [
        f"| {what} | {'' if s is None else f'{s:.2f}'} | {'' if s is None else f'{s / alone:.2f}'} | {note} |"
        for what, s, note in rows
    ]
    head = f"## G, {n:,} × {m:,}\n\n{verdict}\n{faster}\n\n| | seconds | ÷ ssyrk | |\n| --- | ---: | ---: | --- |\n"
    return head + "\n".join(lines)


def _symmetric_product(n: int, m: int) -> Run:
    a = np.asfortranarray(np.random.default_rng(3).random((n, m), dtype=np.float32))
    return lambda: blas.ssyrk(1.0, a)


def _error_of_g(z: CentredGenotypes) -> float:
    """Largest difference from float64 among some animals, over the mean of the diagonal."""
    some = np.arange(0, len(z), max(1, len(z) // 100))
    dense = z.dense_of(some, 0, z.scale.size)
    wanted = dense @ dense.T
    found = z.cross_product()[np.ix_(some, some)]
    return float(np.abs(found - wanted).max() / wanted.diagonal().mean())


def vector_table(sizes: Sizes, floors: Floors, repeats: int) -> str:
    """One vector: packed beside expanded, and bytes beside the stream."""
    n, m = sizes.expanded
    expanded = _expanded(n, m)
    v, w = _vectors(n, m, 1, np.float32)
    gemv = _both_dense(expanded, v[:, 0], w[:, 0], repeats)
    lines = [_vector_row("float32 `gemv`, expanded", n, m, gemv, 4.0, floors)]
    verdicts: list[str] = []
    for (animals, markers), missing in ((sizes.expanded, 0.0), (sizes.products, 0.0), (sizes.products, 0.01)):
        z = standardised(draw(animals, markers, missing, 2), second=True)
        effects, values = (x[:, 0] for x in _vectors(animals, markers, 1, np.float64))
        own = _both_products(z, effects, values, repeats)
        lines.append(_vector_row(f"packed, {missing:.0%} missing, float64", animals, markers, own, 0.25, floors))
        if not verdicts:
            for name, mine, theirs in zip(("Zv", "Z'w"), own, gemv, strict=True):
                verdicts.append(_verdict(f"{name} faster than gemv", mine < theirs))
    columns = "| | animals | markers | Zv ms | GB/s | of stream | Z'w ms | GB/s | of stream |\n"
    rule = "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    return "## One vector\n\n" + "\n".join(verdicts) + "\n\n" + columns + rule + "\n".join(lines)


def _vector_row(what: str, n: int, m: int, seconds: Sequence[float], each: float, floors: Floors) -> str:
    cells = [f"{1e3 * s:.1f} | {n * m * each / s / 1e9:.1f} | {n * m * each / s / floors.stream:.2f}" for s in seconds]
    return f"| {what} | {n:,} | {m:,} | {' | '.join(cells)} |"


def block_table(sizes: Sizes, repeats: int) -> str:
    """Several vectors: tiles into BLAS beside float32 gemm on expanded genotypes."""
    n, m = sizes.expanded
    expanded, z = _expanded(n, m), standardised(draw(n, m, 0.0, 2), second=True)
    lines, verdicts = [], []
    for k in (2, 4, VECTORS, 64):
        v, w = _vectors(n, m, k, np.float32)
        gemm = _both_dense(expanded, v, w, repeats)
        cells = [f"{1e3 * s:.0f}" for s in gemm]
        for dtype in (np.float32, np.float64):
            effects, values = v.astype(dtype), w.astype(dtype)
            seconds = _both_products(z, effects, values, repeats)
            ratios = [a / b for a, b in zip(gemm, seconds, strict=True)]
            cells += [f"{1e3 * s:.0f} ({r:.2f})" for s, r in zip(seconds, ratios, strict=True)]
            if k == VECTORS:
                name = np.dtype(dtype).name
                verdicts.append(
                    _verdict(f"{k} vectors in {name}: half of float32 gemm's speed", min(ratios) >= GEMM_AIM)
                )
        lines.append(f"| {k} | {' | '.join(cells)} |")
    head = f"## Several vectors, {n:,} × {m:,}: milliseconds (speed over that of float32 gemm)\n\n" + "\n".join(
        verdicts
    )
    columns = "\n\n| vectors | gemm Zv | gemm Z'w | float32 Zv | float32 Z'w | float64 Zv | float64 Z'w |\n"
    return head + columns + "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n" + "\n".join(lines)


def _both_products(z: CentredGenotypes, v: NDArray[Any], w: NDArray[Any], repeats: int) -> list[float]:
    """Seconds of Zv and Z'w."""
    runs = lambda: z.multiply(v), lambda: z.multiply_transposed(w)
    return [median_seconds(run, repeats) for run in runs]


def _both_dense(expanded: NDArray[np.float32], v: NDArray[Any], w: NDArray[Any], repeats: int) -> list[float]:
    """Seconds of both products with expanded genotypes, markers × animals."""
    return [median_seconds(run, repeats) for run in (lambda: expanded.T @ v, lambda: expanded @ w)]


def _expanded(n: int, m: int) -> NDArray[np.float32]:
    """Markers × animals in float32, which a dense product would hold."""
    return np.random.default_rng(4).random((m, n), dtype=np.float32)


def _vectors(n: int, m: int, k: int, dtype: type[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((n, k)).astype(dtype)


def _verdict(aim: str, met: bool) -> str:
    return f"- {aim}: {'met' if met else '**missed**'}"


def heading(floors: Floors, repeats: int) -> str:
    """The machine and its floors in this run."""
    return f"""# Products with genotypes

Written by `python benchmarks/genomic_products.py`; medians of {repeats} repeats, five times as many of products with vectors;
kernels warm, wall time.

{machine_and_floors(floors)}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Products with packed genotypes beside dense ones.")
    parser.add_argument("--scale", type=float, default=1.0, help="animals and markers times this")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=float, default=600.0, help="seconds that PLINK 2 may take; 0: not run")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "genomic_products.md")
    options = parser.parse_args(arguments)
    sizes = Sizes.scaled(options.scale)
    floors = measure_floors()
    hold_pages(4 * 2**30 if options.scale >= 1 else 2**26)
    parts: list[Callable[[], str]] = [
        lambda: heading(floors, options.repeats),
        lambda: g_table(sizes, floors, options.repeats, options.patience),
        lambda: vector_table(sizes, floors, 5 * options.repeats),
        lambda: block_table(sizes, 5 * options.repeats),
    ]
    texts: list[str] = []
    for part in parts:
        start = time.perf_counter()
        texts.append(part())
        print(f"\n{texts[-1]}\n({time.perf_counter() - start:.0f} s)", flush=True)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("\n\n".join(texts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
