"""The run record, and the files of results."""

import errno
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from breedblup.errors import InputError
from breedblup.run import manifest, results
from breedblup.solvers.records import PcgRound


def test_what_json_does_not_know(tmp_path):
    content = {
        "nan": float("nan"), "inf": np.float64("inf"), "numpy": np.int32(3), "tuple": (1, True, None),
        "path": Path("a/ä"), 5: [{"x": np.float64(0.1)}],
    }  # fmt: skip
    manifest.write_manifest(tmp_path / "run.json", content)
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "nan": None, "inf": None, "numpy": 3, "tuple": [1, True, None], "path": "a/ä", "5": [{"x": 0.1}],
    }  # fmt: skip
    assert "ä" in text


def test_stages_end_one_another():
    meter = manifest.StageMeter()
    meter.begin("a")
    meter.begin("b")
    assert [stage["stage"] for stage in meter.stages()] == ["a"]
    meter.end()
    meter.end()
    assert [stage["stage"] for stage in meter.stages()] == ["a", "b"]
    assert all(stage["seconds"] >= 0 for stage in meter.stages())


def test_changed_and_vanished_files(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("1")
    files = {"first": tmp_path / "a.csv", "second": tmp_path / "b.csv"}
    before = manifest.fingerprints(files)
    manifest.refuse_changed(before, manifest.fingerprints(files))
    (tmp_path / "a.csv").write_text("2")
    (tmp_path / "b.csv").unlink()
    with pytest.raises(
        InputError, match=r"^'a\.csv', 'b\.csv': changed while the evaluation ran; nothing is published;"
    ):
        manifest.refuse_changed(before, manifest.fingerprints(files))


def test_a_file_of_several_roles_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("1")
    read = []
    plain = manifest.fingerprint
    monkeypatch.setattr(manifest, "fingerprint", lambda path: read.append(path) or plain(path))
    marks = manifest.fingerprints({"first": tmp_path / "a.csv", "second": tmp_path / "a.csv"})
    assert marks["first"] == marks["second"]
    assert read == [tmp_path / "a.csv"]


def test_a_criterion_that_is_computed_late():
    rounds = [PcgRound(number, 0.1, 0.01, 1.0, None, None if number < 300 else 0.5) for number in range(1, 301)]
    table = results.convergence_table(rounds)
    assert table["round"].to_list() == list(range(1, 301))
    assert table["error_bound"].null_count() == 299
    assert table.schema["error_estimate"] == pl.Float64


def test_names_of_files():
    assert results.file_names(["ide(animal)", "herd:year", "herd_year", "牛舎"]) == [
        "random_ide_animal", "random_herd_year", "random_herd_year_3", "random_牛舎",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_full_disk_is_told_by_its_number(form, tmp_path):
    (tmp_path / f"ebv.{form}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        results.write_tables(tmp_path, {"ebv": pl.DataFrame({"a": range(100_000)})}, form)
    assert caught.value.errno == errno.ENOSPC


def test_an_error_without_a_number(monkeypatch, tmp_path):
    def fail(frame, path):
        raise pl.exceptions.ComputeError("no reason")

    monkeypatch.setattr(pl.DataFrame, "write_csv", fail)
    with pytest.raises(OSError, match=r"^no reason$"):
        results.write_tables(tmp_path, {"ebv": pl.DataFrame({"a": [1]})}, "csv")


def test_paths_that_the_locale_cannot_spell(tmp_path):
    manifest.write_manifest(tmp_path / "run.json", {"folder": "/tmp/\udcc3\udcbc"})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"folder": "/tmp/\udcc3\udcbc"}
