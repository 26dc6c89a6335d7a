"""The command line: `breedblup check`, `breedblup run`, `breedblup reml` and `breedblup predict`.

Standard output is data (the table of `check`, the folder of `run`, the summary of `reml`, the predictions of `predict`), standard
error is the log. Exit codes::

    0    done, or published
    2    wrong usage of the command
    20   the input, the configuration, the model or the place for the results is refused
    30   not converged; nothing is published
    40   not enough memory, disk or time
    50   a fault of breedblup's own
    60   stopped on request (SIGINT, SIGTERM, SIGHUP)
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer
from numba.core import event
from polars.exceptions import PanicException
from rich.console import Console

from breedblup.adjustment.markers.prediction import MissingMarkers
from breedblup.analysis import Monitor
from breedblup.errors import BreedblupError, NotConverged, ResourceError
from breedblup.genotypes.matching import Flips, Palindromes, UnknownAlleles
from breedblup.io.genotypes.plink import PlinkIds
from breedblup.io.genotypes.reading import GenotypeFormat
from breedblup.io.genotypes.vcf import Multiallelic
from breedblup.report.text import describe_prepared
from breedblup.run.config import read_config
from breedblup.run.estimation import run_estimation
from breedblup.run.genotype_input import GenotypeFile
from breedblup.run.pipeline import check_evaluation, run_evaluation
from breedblup.run.prediction import PredictionTask, predict_published, refuse_occupied, write_predictions

REFUSED, NOT_CONVERGED, NO_RESOURCES, OWN_FAULT, STOPPED = 20, 30, 40, 50, 60

ROUNDS_LOGGED = 20
"""First rounds of REML that are all logged."""

_log = logging.getLogger("breedblup")

app = typer.Typer(
    name="breedblup",
    help="Breeding values (BLUP) from pedigrees and records.",
    epilog="Example: breedblup check evaluation.toml && breedblup run evaluation.toml",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigurationFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Configuration of the evaluation, such as evaluation.toml.")
]


class Stopped(BaseException):
    """The process was asked to end (SIGTERM, SIGHUP)."""


def _print_version(asked: bool) -> None:
    if asked:
        print(f"breedblup {version('breedblup')}")
        raise typer.Exit


@app.callback()
def options(
    version_asked: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command(epilog="Example: breedblup check evaluation.toml")
def check(file: ConfigurationFile) -> None:
    """Read and check everything, and print the plan.

    The tables show terms, levels, equations, columns set to zero, non-zeros, memory, the method and why, and the variances
    by row with their sum beside the variance of each trait. Nothing is solved or written.
    """
    with exit_codes():
        print("\n".join(describe_prepared(*check_evaluation(read_config(file)))), flush=True)


@app.command(epilog="Example: breedblup run evaluation.toml --replace")
def run(
    file: ConfigurationFile,
    replace: Annotated[bool, typer.Option("--replace", help="Replace results that are in the folder already.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Publish here, not in the folder that the configuration names.")
    ] = None,
) -> None:
    """Evaluate, publish, and print the folder with the results.

    The folder appears as a whole when all is done. An existing one is left alone unless --replace is given.
    """
    with exit_codes() as console, rounds_shown(console) as monitor:
        config = read_config(file)
        if folder is not None:
            config = dataclasses.replace(config, folder=folder.resolve())
        print(run_evaluation(config, replace=replace, monitor=monitor), flush=True)


@app.command(epilog="Example: breedblup reml evaluation.toml --folder results/variances")
def reml(
    file: ConfigurationFile,
    replace: Annotated[bool, typer.Option("--replace", help="Replace results that are in the folder already.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Publish here, not in the folder that the configuration names.")
    ] = None,
) -> None:
    """Estimate the variances by REML or ML, publish them, and print the summary.

    Those of the configuration are where the first round begins; they can be left out. The folder appears as a whole when all
    is done; variances.toml in it is a section that `breedblup run` reads.
    """
    with exit_codes() as console, rounds_shown(console) as monitor:
        config = read_config(file)
        if folder is not None:
            config = dataclasses.replace(config, reml=dataclasses.replace(config.reml, folder=folder.resolve()))
        print(run_estimation(config, replace=replace, monitor=monitor), flush=True)


@app.command(epilog="Example: breedblup predict results/2026-04 new.bed --output new.csv")
def predict(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that `breedblup run` published.")],
    genotypes: Annotated[Path, typer.Argument(metavar="GENOTYPES", help="Genotypes of the new animals.")],
    output: Annotated[Path | None, typer.Option("--output", help="Write to this file, not to standard output.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file of --output.")] = False,
    term: Annotated[str | None, typer.Option("--term", help="Random term, where several rest on genotypes.")] = None,
    flips: Annotated[Flips, typer.Option("--flips", help="Markers that count the other allele.")] = "repair",
    palindromes: Annotated[
        Palindromes, typer.Option("--palindromes", help="A/T and C/G markers whose strand is in doubt.")
    ] = "refuse",
    unknown_alleles: Annotated[
        UnknownAlleles, typer.Option("--unknown-alleles", help="Genotypes of which no alleles are known.")
    ] = "refuse",
    missing_markers: Annotated[
        MissingMarkers, typer.Option("--missing-markers", help="Markers that the new genotypes lack.")
    ] = "error",
    genotype_format: Annotated[
        GenotypeFormat | None, typer.Option("--format", help="Of the genotypes; else told by the name of the file.")
    ] = None,
    marker_map: Annotated[Path | None, typer.Option("--map", help="Markers and alleles of genotypes as text.")] = None,
    missing: Annotated[list[str] | None, typer.Option("--missing", help="Code of a missing call in text.")] = None,
    ids: Annotated[PlinkIds, typer.Option("--ids", help="What PLINK's animals are called.")] = "iid",
    multiallelic: Annotated[
        Multiallelic, typer.Option("--multiallelic", help="Sites of several ALT alleles of VCF.")
    ] = "refuse",
) -> None:
    """Predict breeding values of newly genotyped animals from the marker effects of published results, as CSV.

    Markers are found by name; those that count the other allele are repaired, which the log says. Nothing is evaluated anew.
    """
    with exit_codes():
        file = GenotypeFile(genotypes, genotype_format, marker_map, tuple(missing or ()), ids, multiallelic)
        if output is not None:
            refuse_occupied(output, replace=replace)
        task = PredictionTask(results, file, term, flips, palindromes, unknown_alleles, missing_markers)
        table = predict_published(task)
        if output is None:
            print(table.write_csv(), end="", flush=True)
        else:
            write_predictions(table, output, replace=replace)
            _log.info("written %s", output)


@contextmanager
def exit_codes() -> Iterator[Console]:
    """Log to standard error; end with the exit code of what happened, with a traceback only for our own faults."""
    console = _LogConsole(stderr=True, no_color=True)
    handler = _Log(console)
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with event.install_listener("numba:compile", _Compiling()):
            yield console
    except BrokenPipeError:  # the reader of standard output, such as head, has gone
        _discard(sys.stdout)
    except BreedblupError as error:
        _end(str(error), _exit_code(error))
    except MemoryError:
        _end("the memory of the machine does not suffice; see what `breedblup check` plans", NO_RESOURCES)
    except (KeyboardInterrupt, Stopped):
        _end("stopped on request; nothing is published", STOPPED)
    except (Exception, PanicException) as fault:  # the latter is polars' and no Exception
        _log.exception("what went wrong:")
        _end(f"a fault of breedblup itself ({type(fault).__name__}); please report it with the log above", OWN_FAULT)
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
        _log.removeHandler(handler)


@contextmanager
def rounds_shown(console: Console) -> Iterator[Monitor]:
    """Rounds of an iteration: a line that is rewritten on a terminal; in a log at every power of two, the first of REML all."""
    status = console.status("") if console.is_terminal else None

    def show(stage: str, facts: Mapping[str, Any]) -> None:
        if stage != "round":
            if status is not None:
                status.stop()
            return
        number = facts["round"]
        line = f"round {number}{_progress(facts)}"
        if status is not None:
            status.update(line)
            status.start()
        elif number & (number - 1) == 0 or (number <= ROUNDS_LOGGED and "minus2_log_l" in facts):
            _log.info("%s", line)

    try:
        yield show
    finally:
        if status is not None:
            status.stop()


def _progress(facts: Mapping[str, Any]) -> str:
    """How far a round has come: of PCG, or of REML."""
    if "minus2_log_l" in facts:
        return f", -2 log L {facts['minus2_log_l']:.6f}, a further round promises {facts['gain']:.1e}"
    return "" if facts["error"] is None else f", error about {facts['error']:.1e} genetic SD"


class _Compiling(event.Listener):
    """Says once why a first run takes long."""

    said = False

    def on_start(self, event: event.Event) -> None:
        """Something is compiled that was not found compiled."""
        if not self.said:
            self.said = True
            _log.info("compiling, once after installing: each part when it is first used, about a minute in all")

    def on_end(self, event: event.Event) -> None:
        """Nothing to say."""


class _LogConsole(Console):
    """Standard error; where its reader, such as head, has gone, the run goes on without a log."""

    def on_broken_pipe(self) -> None:
        """Write no more; the console of rich would end the process."""
        self.quiet = True
        _discard(sys.stderr)


class _Log(logging.Handler):
    """Log lines: time and message, the level only where it is not the usual one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, above what is being rewritten."""
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        text = f"{datetime.fromtimestamp(record.created):%Y-%m-%d %H:%M:%S} {level}{record.getMessage()}"
        if record.exc_info is not None:
            text = f"{text}\n{''.join(traceback.format_exception(record.exc_info[1]))}"
        self._console.out(text, highlight=False)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _exit_code(error: BreedblupError) -> int:
    """Exit code of an error that was raised on purpose."""
    if isinstance(error, NotConverged):
        return NOT_CONVERGED
    return NO_RESOURCES if isinstance(error, ResourceError) else REFUSED


def _end(message: str, code: int) -> NoReturn:
    """Say what is wrong and end with a code."""
    try:
        print(f"error: {message}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _discard(sys.stderr)
    raise typer.Exit(code) from None


def _discard(stream: TextIO) -> None:
    """Let what is still written to a stream without a reader vanish."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main() -> None:
    """Entry of the command `breedblup`."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of any script on a terminal that lacks their letters
    app(prog_name="breedblup")
