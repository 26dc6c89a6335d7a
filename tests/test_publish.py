"""Results appear as a whole or not at all, whatever happens while they are written."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from breedblup.errors import PublishError, ResourceError
from breedblup.run.publish import MANIFEST, prepare_target, publish_folder

RECORD = '{"files": {"ebv.csv": {}}}'


def writer(text):
    def write(folder):
        (folder / "ebv.csv").write_text(text)
        (folder / MANIFEST).write_text(RECORD)

    return write


def content(parent):
    """Every file below a folder with what it holds."""
    return {str(place.relative_to(parent)): place.read_text() for place in parent.rglob("*") if place.is_file()}


def published(text, name="2026"):
    return {f"{name}/ebv.csv": text, f"{name}/{MANIFEST}": RECORD}


def test_new_folder_below_one_that_is_made(tmp_path):
    publish_folder(tmp_path / "results" / "2026", "run", writer("new"))
    assert content(tmp_path / "results") == published("new")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "2026").mkdir()
    publish_folder(tmp_path / "2026", "run", writer("new"))
    assert content(tmp_path) == published("new")
    assert [place.name for place in tmp_path.iterdir()] == ["2026"]


def test_replaced_only_when_told(tmp_path):
    publish_folder(tmp_path / "2026", "run", writer("old"))
    with pytest.raises(PublishError, match=r"2026: there are results already; .* ask to --replace them$"):
        publish_folder(tmp_path / "2026", "run", writer("new"))
    assert content(tmp_path) == published("old")
    publish_folder(tmp_path / "2026", "run", writer("new"), replace=True)
    assert content(tmp_path) == published("new")
    assert [place.name for place in tmp_path.iterdir()] == ["2026"]


def test_what_is_no_result_is_never_touched(tmp_path):
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026" / "thesis.tex").write_text("ten years")
    with pytest.raises(PublishError, match=r"2026: the folder holds no run\.json, so no results; nothing in it is"):
        publish_folder(tmp_path / "2026", "run", writer("new"), replace=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "2026")
    for name in ("file", "link"):
        with pytest.raises(PublishError, match=rf"{name}: a file or a link is in the way; remove it, or name"):
            publish_folder(tmp_path / name, "run", writer("new"), replace=True)
    assert content(tmp_path)["2026/thesis.tex"] == "ten years"
    with pytest.raises(PublishError, match=r"the folder above it cannot be made: (File exists|Not a directory)"):
        publish_folder(tmp_path / "file" / "2026", "run", writer("new"))


def test_what_was_added_to_a_result_is_not_lost(tmp_path):
    publish_folder(tmp_path / "2026", "run", writer("old"))
    (tmp_path / "2026" / "notes.txt").write_text("mine")
    with pytest.raises(
        PublishError, match=r"2026: 'notes\.txt' would be lost with the earlier results; move it elsewhere$"
    ):
        publish_folder(tmp_path / "2026", "run", writer("new"), replace=True)
    assert content(tmp_path) == published("old") | {"2026/notes.txt": "mine"}
    for record in ("[]", "{", '{"files": 3}'):
        (tmp_path / "2026" / MANIFEST).write_text(record)
        with pytest.raises(PublishError, match=r"the folder holds no run\.json"):
            publish_folder(tmp_path / "2026", "run", writer("new"), replace=True)


@pytest.mark.parametrize(("earlier", "command"), [("run", "reml"), ("reml", "run"), (None, "reml")])
@pytest.mark.parametrize("replace", [True, False])
def test_results_of_another_command_are_never_replaced(tmp_path, earlier, command, replace):
    """A folder without a command in its record is one of `run`, from before there was `reml`."""

    def write(folder):
        writer("old")(folder)
        if earlier is not None:
            (folder / MANIFEST).write_text(f'{{"command": "{earlier}", "files": {{"ebv.csv": {{}}}}}}')

    publish_folder(tmp_path / "2026", earlier or "run", write)
    before = content(tmp_path)
    said = (
        rf"2026: it holds what `breedblup {earlier or 'run'}` published, which `breedblup {command}` never replaces; name "
        "another folder$"
    )
    with pytest.raises(PublishError, match=said):
        prepare_target(tmp_path / "2026", command, replace=replace)
    with pytest.raises(PublishError, match=said):
        publish_folder(tmp_path / "2026", command, writer("new"), replace=replace)
    assert content(tmp_path) == before


@pytest.mark.parametrize("wrong", [RuntimeError("bug"), KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_a_failing_writer_leaves_the_old_result(tmp_path, wrong):
    publish_folder(tmp_path / "2026", "run", writer("old"))

    def write(folder):
        writer("half")(folder)
        raise wrong

    with pytest.raises((RuntimeError, KeyboardInterrupt, PublishError)) as caught:
        publish_folder(tmp_path / "2026", "run", write, replace=True)
    if isinstance(wrong, OSError):
        assert "2026: the results cannot be written: Input/output error; nothing is published" in str(caught.value)
    assert content(tmp_path) == published("old")


def test_a_full_disk_is_a_lack_of_resources(tmp_path):
    def write(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ResourceError, match=r"2026: the results cannot be written: No space left on device; nothing"):
        publish_folder(tmp_path / "2026", "run", write)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_renaming_puts_the_old_result_back(tmp_path, monkeypatch):
    publish_folder(tmp_path / "2026", "run", writer("old"))
    rename = Path.rename

    def failing(place, target):
        if ".partial-" in place.name:
            raise KeyboardInterrupt
        return rename(place, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        publish_folder(tmp_path / "2026", "run", writer("new"), replace=True)
    assert content(tmp_path) == published("old")


KILLED = """
import os, signal, sys
from pathlib import Path
from breedblup.run.publish import publish_folder
from tests.test_publish import writer
folder, when = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename
def dying(place, target):
    if when in place.name or when in Path(target).name:
        if when == ".replaced-":
            rename(place, target)
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(place, target)
Path.rename = dying
publish_folder(folder, "run", writer("new"), replace=True)
"""


@pytest.mark.parametrize("when", [".partial-", ".replaced-"])
def test_a_killed_run_loses_nothing_and_is_named_by_the_next(tmp_path, when, caplog):
    publish_folder(tmp_path / "2026", "run", writer("old"))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "2026"), when]
    killed = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    prepare_target(tmp_path / "2026", "run", replace=True)
    assert "put back from .2026.replaced-" in caplog.text
    assert "an interrupted run left '.2026.partial-" in caplog.text
    assert (tmp_path / "2026" / "ebv.csv").read_text() == "old"


def test_a_leftover_beside_a_whole_result_is_named(tmp_path, caplog):
    publish_folder(tmp_path / "2026", "run", writer("old"))
    for name in (".2026.partial-12", ".2026.replaced-12", ".2027.partial-3"):
        (tmp_path / name).mkdir()
    prepare_target(tmp_path / "2026", "run", replace=True)
    assert "an interrupted run left '.2026.partial-12', '.2026.replaced-12'; delete what no run is using" in caplog.text
    assert "2027" not in caplog.text


def test_a_parent_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # root may write anywhere, so its refusal is played
    with pytest.raises(PublishError, match=r"2026: no permission to write in .*; change it, or name another folder$"):
        prepare_target(tmp_path / "2026", "run")
