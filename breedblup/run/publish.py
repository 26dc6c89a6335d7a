"""Results appear as a whole or not at all.

A folder of results is written aside, in the same parent folder, flushed to the disk and then renamed. An existing one
is replaced only when that was asked for: it is renamed aside first and removed when the new one is in its place, and
renamed back when anything goes wrong in between. What a killed run leaves behind can be told by its name::

    .2026-04.partial-1234      an unfinished result; may be deleted
    .2026-04.replaced-1234     the previous result; put back by the next run when 2026-04 itself is missing
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from breedblup.errors import PublishError, ResourceError, name_some

MANIFEST = "run.json"
"""The record that every folder of results holds, with its ``files``; a folder with others is never removed."""

Command: TypeAlias = Literal["run", "reml"]
"""What publishes a folder of results."""

_log = logging.getLogger("breedblup")


def prepare_target(folder: Path, command: Command, *, replace: bool = False) -> None:
    """Refuse early a place where results cannot be published, and see to what an interrupted run left.

    Raises
    ------
    PublishError
        If ``folder`` exists and ``replace`` is not asked for, or holds no results, or those of another command than
        ``command``; or if its parent cannot be written.
    """
    _make_parent(folder)
    _restore_replaced(folder)
    _refuse_occupied(folder, command, replace)
    left = sorted(place.name for kind in ("partial", "replaced") for place in _aside(folder, kind))
    if left:
        _log.warning("%s: an interrupted run left %s; delete what no run is using", folder.parent, name_some(left))


def publish_folder(folder: Path, command: Command, write: Callable[[Path], None], *, replace: bool = False) -> None:
    """Let ``write`` fill a folder aside with what ``command`` publishes, then put it in the place of ``folder`` in one step.

    Raises
    ------
    PublishError
        If ``folder`` is in the way or the results cannot be written; ``folder`` is then as it was.
    ResourceError
        If the disk is full; likewise.
    """
    _make_parent(folder)
    _refuse_occupied(folder, command, replace)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir()
        write(partial)
        _flush(partial)
        _swap(partial, folder, command, replace)
        _flush_folder(folder.parent)
    except OSError as wrong:
        message = f"{folder}: the results cannot be written: {wrong.strerror or wrong}; nothing is published"
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(message) from wrong
        raise PublishError(message) from wrong
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_parent(folder: Path) -> None:
    """Make the folder above the results; refuse one that cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise PublishError(f"{folder}: the folder above it cannot be made: {wrong.strerror}") from None
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise PublishError(f"{folder}: no permission to write in {folder.parent}; change it, or name another folder")


def _swap(partial: Path, folder: Path, command: Command, replace: bool) -> None:
    """Rename the finished folder into its place; a previous one is removed last, or put back."""
    _refuse_occupied(folder, command, replace)
    if not folder.exists():
        partial.rename(folder)
        return
    replaced = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
    try:
        folder.rename(replaced)
        partial.rename(folder)
    except BaseException:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _refuse_occupied(folder: Path, command: Command, replace: bool) -> None:
    """Refuse a target that is something else than nothing, an empty folder or, with ``replace``, its own earlier results."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise PublishError(f"{folder}: a file or a link is in the way; remove it, or name another folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    found = _results_in(folder)
    if found is None:
        raise PublishError(
            f"{folder}: the folder holds no {MANIFEST}, so no results; nothing in it is touched, name another"
        )
    written, by = found
    if by != command:
        raise PublishError(
            f"{folder}: it holds what `breedblup {by}` published, which `breedblup {command}` never replaces; name another "
            "folder"
        )
    if not replace:
        raise PublishError(f"{folder}: there are results already; name another folder, or ask to --replace them")
    foreign = sorted(place.name for place in folder.iterdir() if place.name not in written)
    if foreign:
        raise PublishError(f"{folder}: {name_some(foreign)} would be lost with the earlier results; move it elsewhere")


def _results_in(folder: Path) -> tuple[set[str], str] | None:
    """Names of the files that a run wrote, as its record lists them, and its command; None without a record.

    Records of version 0.1 before there was `reml` do not say the command.
    """
    try:
        record = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {MANIFEST, *record["files"]}, record.get("command", "run")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _aside(folder: Path, kind: str) -> list[Path]:
    """Folders that interrupted runs left beside ``folder``."""
    start = f".{folder.name}.{kind}-"
    return [place for place in folder.parent.iterdir() if place.name.startswith(start)]


def _restore_replaced(folder: Path) -> None:
    """Put a previous result back whose replacement was interrupted between the two renamings."""
    replaced = _aside(folder, "replaced")
    if replaced and not folder.exists():
        latest = max(replaced, key=lambda place: place.stat().st_mtime_ns)
        latest.rename(folder)
        _log.warning("%s: put back from %s, where an interrupted run left it", folder, latest.name)


def _flush(folder: Path) -> None:
    """Have the disk hold every file of a folder, and the folder."""
    for place in folder.iterdir():
        with place.open("rb") as file:
            os.fsync(file.fileno())
    _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
