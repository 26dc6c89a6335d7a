"""PLINK 2 for `genomic_products.py`: installed by the package manager where it is missing, run in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from floor import THREADS

from breedblup.genotypes import Genotypes

MAGIC = bytes([0x6C, 0x1B, 0x01])
INSTALLING = 600
"""Seconds to wait for an installation."""


def plink_seconds(folder: Path, genotypes: Genotypes, patience: float) -> tuple[float | None, str]:
    """Seconds of one G by PLINK 2 and its version; None and the reason where there is none."""
    if patience <= 0:
        return None, "not asked for"
    try:
        _install()
        version = _run(["plink2", "--version"], INSTALLING).strip()
        stem = folder / "calls"
        _write(stem, genotypes)
        command = ["plink2", "--bfile", str(stem), "--make-rel", "square", "bin4", "--threads", str(THREADS)]
        start = time.perf_counter()
        _run([*command, "--out", str(folder / "g")], patience)
        return time.perf_counter() - start, version
    except subprocess.TimeoutExpired as late:
        return None, f"no result within {late.timeout:.0f} s"
    except subprocess.CalledProcessError as failure:
        lines = [line.strip() for line in (failure.stderr or failure.stdout or "").splitlines()]
        said = [line for line in lines if re.search("[A-Za-z]", line)]
        return (
            None,
            f"{Path(failure.cmd[0]).name} ended with {failure.returncode}: {said[-1] if said else 'no message'}",
        )
    except OSError as error:
        return None, str(error)


def _install() -> None:
    """Through sudo where there is one."""
    if shutil.which("plink2"):
        return
    apt = [*(["sudo", "-n"] if shutil.which("sudo") else []), "apt-get"]
    _run([*apt, "update"], INSTALLING)
    _run([*apt, "install", "-y", "--no-install-recommends", "plink2"], INSTALLING)


def _run(command: Sequence[str], patience: float) -> str:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", timeout=patience, env=environment)
    return done.stdout


def _write(stem: Path, genotypes: Genotypes) -> None:
    """.bed, .bim and .fam of a whole store."""
    with stem.with_suffix(".bed").open("wb") as bed:
        bed.write(MAGIC)
        genotypes.packed.tofile(bed)
    markers = genotypes.markers["marker"]
    bim = "".join(f"1\t{marker}\t0\t{place + 1}\tA\tG\n" for place, marker in enumerate(markers))
    stem.with_suffix(".bim").write_text(bim, encoding="utf-8")
    fam = "".join(f"{name}\t{name}\t0\t0\t0\t-9\n" for name in genotypes.ids)
    stem.with_suffix(".fam").write_text(fam, encoding="utf-8")
