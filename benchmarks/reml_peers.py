"""lme4 and statsmodels for `reml.py`: installed where they are missing, run in processes of their own.

A peer that cannot be had, or does not end, is told as ``failed`` with the reason. Neither is a dependency of breedblup: lme4
is the package of the Debian distribution, statsmodels goes to a temporary folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Measured
from reml_data import RemlCase

HERE = Path(__file__).parent
LME4, STATSMODELS = HERE / "peer_lme4.R", HERE / "peer_statsmodels.py"
PACKAGE = "r-cran-lme4"
INSTALLING = 600
"""Seconds to wait for an installation."""

RANDOM_TERM = re.compile(r"\s*\+\s*\([^)]*\|[^)]*\)")


@dataclass(frozen=True)
class Peers:
    """What can be run.

    Attributes
    ----------
    lme4, statsmodels
        Why a program cannot be run; empty where it can.
    libraries
        Folder with statsmodels.
    patience
        Seconds after which a fit is given up.
    """

    lme4: str
    statsmodels: str
    libraries: Path
    patience: float

    @classmethod
    def installed(cls, libraries: Path, patience: float) -> Peers:
        """Install what is missing."""
        return cls(_reason(_install_lme4), _reason(lambda: _install_statsmodels(libraries)), libraries, patience)

    @classmethod
    def none(cls) -> Peers:
        """Where none is asked for."""
        return cls("not asked for", "not asked for", Path(), 0.0)

    def export(self, folder: Path, names: Sequence[str]) -> str:
        """Write lme4's data to FOLDER/NAME.csv; give why not, or nothing."""
        if self.lme4:
            return self.lme4
        return _reason(lambda: _run(["Rscript", str(LME4), "export", str(folder), *names], self.patience))

    def run_lme4(self, folder: Path, name: str, case: RemlCase) -> Measured:
        """One timed fit."""
        factors = case.factors or ("g",)
        command = ["Rscript", str(LME4), "fit", str(folder), name, case.formulas[0], ",".join(factors)]
        return {"failed": self.lme4} if self.lme4 else _measured(command, self.patience)

    def run_statsmodels(self, folder: Path, name: str, case: RemlCase) -> Measured | None:
        """One timed fit; None where the model is not one for it."""
        if case.statsmodels is None:
            return None
        if self.statsmodels:
            return {"failed": self.statsmodels}
        fixed = RANDOM_TERM.sub("", case.formulas[0])
        command = [sys.executable, str(STATSMODELS), str(folder), name, fixed, json.dumps(case.statsmodels._asdict())]
        return _measured(command, self.patience, {"PYTHONPATH": str(self.libraries)})


def _measured(command: Sequence[str], patience: float, environment: Mapping[str, str] | None = None) -> Measured:
    """The JSON in the last line of output, or why there is none."""
    found: list[Measured] = []

    def run() -> None:
        found.append(json.loads(_run(command, patience, environment).splitlines()[-1]))

    reason = _reason(run)
    return {"failed": reason} if reason else found[0]


def _reason(action: Callable[[], object]) -> str:
    """What stopped an action, in one line; empty where nothing did."""
    try:
        action()
    except subprocess.TimeoutExpired as late:
        return f"no result within {late.timeout:.0f} s"
    except subprocess.CalledProcessError as failure:
        lines = (failure.stderr or failure.stdout or "").splitlines()
        said = [line.strip() for line in lines if re.search("[A-Za-z]", line)]
        return f"{Path(failure.cmd[0]).name} ended with {failure.returncode}: {said[-1] if said else 'no message'}"
    except OSError as error:
        return str(error)
    return ""


def _run(command: Sequence[str], patience: float, environment: Mapping[str, str] | None = None) -> str:
    """Output of a command."""
    given = os.environ | dict(environment or {})
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", timeout=patience, env=given)
    return done.stdout


def _install_lme4() -> None:
    """By the package manager, unless R has it; through sudo where there is one."""
    if shutil.which("Rscript") and not _reason(lambda: _run(["Rscript", "-e", "library(lme4)"], INSTALLING)):
        return
    apt = [*(["sudo", "-n"] if shutil.which("sudo") else []), "apt-get"]
    _run([*apt, "update"], INSTALLING)
    _run([*apt, "install", "-y", "--no-install-recommends", PACKAGE], INSTALLING, {"DEBIAN_FRONTEND": "noninteractive"})
    _run(["Rscript", "-e", "library(lme4)"], INSTALLING)


def _install_statsmodels(folder: Path) -> None:
    """Into a folder, with all that it needs, unless this Python has it."""
    if not _reason(lambda: _run([sys.executable, "-c", "import statsmodels, pyarrow"], INSTALLING)):
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    _run([*pip, "statsmodels", "pyarrow"], INSTALLING)
