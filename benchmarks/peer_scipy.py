"""Records → EBVs as a user would write it with SciPy: one timed run, printed as JSON.

``python benchmarks/peer_scipy.py FOLDER RTOL`` leaves the EBVs in FOLDER. ``python benchmarks/peer_scipy.py FOLDER
calibrate ERROR`` prints the RTOL that brings them within ERROR of those in FOLDER/reference.npy: the peer gets for
nothing what its user would have to find out.

Ids are coded by polars, matrices are NumPy's and SciPy's, and inbreeding is a compiled loop (Meuwissen & Luo 1992): no
loop of Python's stands in the way. Animals have to come parents before offspring, as they do here.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import polars as pl
import scipy.sparse as sp
from evaluation_data import RECORDS, Stopwatch, read_frames
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

Codes = NDArray[np.int32]
Vector = NDArray[np.float64]


@numba.njit(cache=True)
def meuwissen_luo(sire: Codes, dam: Codes, f: Vector, mendelian: Vector) -> None:
    """Inbreeding and Mendelian sampling variances: trace each animal's ancestors, sum their shares from young to old."""
    share = np.zeros(sire.size)
    seen = np.full(sire.size, -1, np.int32)
    traced = np.empty(sire.size, np.int32)
    for i in range(sire.size):
        s, d = sire[i], dam[i]
        mendelian[i] = 0.5 - 0.25 * ((f[s] if s >= 0 else -1.0) + (f[d] if d >= 0 else -1.0))
        if s < 0 or d < 0:
            continue
        if s == sire[i - 1] and d == dam[i - 1]:
            f[i] = f[i - 1]
            continue
        traced[0] = i
        count, k = 1, 0
        while k < count:
            for parent in (sire[traced[k]], dam[traced[k]]):
                if parent >= 0 and seen[parent] != i:
                    seen[parent] = i
                    traced[count] = parent
                    count += 1
            k += 1
        traced[:count].sort()
        share[i] = 1.0
        f[i] = -1.0
        for k in range(count - 1, -1, -1):
            j = traced[k]
            f[i] += share[j] * share[j] * mendelian[j]
            for parent in (sire[j], dam[j]):
                if parent >= 0:
                    share[parent] += 0.5 * share[j]
            share[j] = 0.0


def code(values: pl.Series, ids: pl.Series) -> Codes:
    """Position of each text id among ``ids``, −1 where it is null."""
    keys = pl.DataFrame({"id": ids, "code": np.arange(len(ids), dtype=np.int32)})
    found = pl.DataFrame({"id": values}).join(keys, on="id", how="left", maintain_order="left")
    return found["code"].fill_null(-1).to_numpy()


def a_inverse(sire: Codes, dam: Codes, mendelian: Vector) -> sp.csr_array:
    """Henderson's rules as triplets: q q'/D for every animal, with q = 1 for itself and −½ for its parents."""
    n = sire.size
    members = ((np.arange(n, dtype=np.int32), 1.0), (sire, -0.5), (dam, -0.5))
    rows, columns, values = [], [], []
    for a, q in members:
        for b, p in members:
            known = (a >= 0) & (b >= 0)
            rows.append(a[known])
            columns.append(b[known])
            values.append(q * p / mendelian[known])
    triplets = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sp.coo_array(triplets, shape=(n, n)).tocsr()


def equations(group: Codes, animal: Codes, y: Vector, penalty: sp.csr_array) -> tuple[sp.csr_array, Vector]:
    """W'W + λA⁻¹ and W'y with W = [X Z]; groups as sparse dummies, no intercept."""
    n, groups, animals = y.size, int(group.max()) + 1, penalty.shape[0]
    one, record = np.ones(n), np.arange(n)
    x = sp.csr_array((one, (record, group)), shape=(n, groups))
    z = sp.csr_array((one, (record, animal)), shape=(n, animals))
    w = sp.hstack([x, z], format="csr")
    lhs = w.T @ w + sp.block_diag([sp.csr_array((groups, groups)), penalty], format="csr")
    return lhs.tocsr(), w.T @ y


def jacobi(lhs: sp.csr_array) -> LinearOperator:
    """The diagonal preconditioner."""
    scale = 1.0 / lhs.diagonal()
    return LinearOperator(lhs.shape, matvec=lambda r: scale * r, dtype=np.float64)


def assemble(
    pedigree: pl.DataFrame, records: pl.DataFrame, watch: Stopwatch
) -> tuple[sp.csr_array, Vector, sp.csr_array]:
    """Every stage up to the solution: equations, right-hand side, A⁻¹."""
    with watch.stage("pedigree: ids to codes"):
        sire, dam = (code(pedigree[parent], pedigree["animal"]) for parent in ("sire", "dam"))
    with watch.stage("inbreeding"):
        f, mendelian = np.zeros(sire.size), np.empty(sire.size)
        meuwissen_luo(sire, dam, f, mendelian)
    with watch.stage("A⁻¹"):
        inverse = a_inverse(sire, dam, mendelian)
    with watch.stage("records: ids to codes"):
        animal = code(records["animal"], pedigree["animal"])
        group = code(records["contemporary_group"], records["contemporary_group"].unique())
        y = records["y"].to_numpy()
    with watch.stage("equations"):
        lhs, rhs = equations(group, animal, y, RECORDS.residual_variance / RECORDS.genetic_variance * inverse)
    return lhs, rhs, inverse


def run(pedigree: pl.DataFrame, records: pl.DataFrame, rtol: float) -> tuple[dict[str, Any], Vector]:
    """Frames to EBVs: what was measured, and the EBVs."""
    watch = Stopwatch()
    lhs, rhs, inverse = assemble(pedigree, records, watch)
    with watch.stage("solve"):
        x, info = cg(lhs, rhs, rtol=rtol, atol=0.0, M=jacobi(lhs), callback=lambda _: watch.round())
    with watch.stage("tables"):
        ebv = pl.DataFrame({"animal": pedigree["animal"], "ebv": x[-pedigree.height :]})
    if info != 0:
        raise RuntimeError(f"cg stopped with {info}")
    size = {"equations": rhs.size, "nonzeros": lhs.nnz}
    whole = {f"all_{name}": count for name, count in size.items()}
    measured = watch.report(**size, **whole, inverse_nonzeros=inverse.nnz, rtol=rtol)
    return measured, ebv["ebv"].to_numpy()


def calibrate(pedigree: pl.DataFrame, records: pl.DataFrame, reference: Vector, error: float) -> float:
    """The rtol at which `cg` ends with the first round whose largest error of an EBV is at most ``error``."""
    lhs, rhs, _ = assemble(pedigree, records, Stopwatch())
    size = np.linalg.norm(rhs)
    lowest = math.inf

    def look(x: Vector) -> None:
        nonlocal lowest
        relative = float(np.linalg.norm(rhs - lhs @ x) / size)
        is_lowest, lowest = relative < lowest, min(lowest, relative)
        if is_lowest and np.abs(x[-reference.size :] - reference).max() <= error:
            raise StopIteration

    try:
        cg(lhs, rhs, rtol=1e-15, atol=0.0, M=jacobi(lhs), callback=look)
    except StopIteration:
        return 1.001 * lowest  # the residual that `cg` updates differs from b - A x in its last digits
    raise RuntimeError(f"cg did not come within {error:g} of the reference")


def main() -> None:
    """Warm up on the tiny data, then run on the full."""
    folder = Path(sys.argv[1])
    tiny, full = (read_frames(folder, size) for size in ("tiny", "full"))
    if sys.argv[2] == "calibrate":
        print(json.dumps(calibrate(*full, np.load(folder / "reference.npy"), float(sys.argv[3]))))
        return
    run(*tiny, 1e-6)
    measured, ebv = run(*full, float(sys.argv[2]))
    np.save(folder / "scipy.npy", ebv)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
