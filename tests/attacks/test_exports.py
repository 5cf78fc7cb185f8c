"""Exports that cannot or must not end well: what was there stays whole, and nothing half-written is left beside it."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from export import publish
from export.__main__ import main
from export.checkpoint import Checkpoint
from export.publish import export_engine
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.engine.manifest import Manifest
from geopixel_edge.errors import ExportError
from tests.support.checkpoints import SOURCE
from tests.support.fakes import make_engine

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def snapshot(root: Path) -> dict[str, tuple[int, int, bytes | str]]:
    """Everything below `root`: identity, mode and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: bytes | str = b"" if not path.is_file() else path.read_bytes()
        content = os.readlink(path) if path.is_symlink() else content
        found[str(path.relative_to(root))] = (status.st_ino, status.st_mode, content)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An export whose blocks are noise, so that it takes no time."""

    def write_all(checkpoint: Checkpoint, root: Path, precisions: Any, form: Any) -> Manifest:
        shutil.copytree(make_engine(tmp_path / f"noise-{time.monotonic_ns()}", seed=2), root, dirs_exist_ok=True)
        return read_manifest(root)

    monkeypatch.setattr(publish, "write_all", write_all)
    monkeypatch.setattr(publish, "measure_all", lambda root: {})
    monkeypatch.setattr(publish, "check_engine", lambda root: [])


def refused(place: Path, target: Path, *fragments: str, overwrite: bool = False) -> None:
    before = snapshot(place)
    with pytest.raises(ExportError) as caught:
        export_engine(SOURCE, target, overwrite=overwrite)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert len(str(caught.value)) < 700
    assert snapshot(place) == before


# --- The target -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n" * 300, "deep/" + "n" * 300, "n" * 300 + "/engine", "nul\0byte"])
def test_names_that_can_be_no_path_are_told_before_anything_is_written(place: Path, name: str) -> None:
    refused(place, place / name, "engine_dir=")


def occupy(place: Path, what: str) -> Path:
    target = place / "engine"
    if what == "file":
        target.write_text("mine")
    elif what == "pipe":
        os.mkfifo(target)
    elif what == "dangling link":
        target.symlink_to(place / "nowhere")
    elif what == "link to an engine":
        make_engine(place / "elsewhere")
        target.symlink_to(place / "elsewhere" / "engine")
    elif what == "empty directory":
        target.mkdir()
    elif what == "another directory":
        target.mkdir()
        (target / "manifest.json").write_text('{"name": "a web application"}')
    else:
        make_engine(place)
        if what == "engine and a note":
            (target / "golden" / "note.txt").write_text("mine")
        elif what == "engine and a link":
            (target / "link").symlink_to(place)
        elif what == "damaged engine":
            (target / "manifest.sha256").write_text("")
    return target


OCCUPIED = [
    "file",
    "pipe",
    "dangling link",
    "link to an engine",
    "empty directory",
    "another directory",
    "engine and a note",
    "engine and a link",
    "damaged engine",
]


@pytest.mark.parametrize("what", [*OCCUPIED, "engine"])
def test_what_exists_is_not_touched(instant: None, place: Path, what: str) -> None:
    refused(place, occupy(place, what), "exists", "engine_dir=")


@pytest.mark.parametrize("what", OCCUPIED)
def test_overwrite_replaces_a_whole_engine_and_nothing_else(instant: None, place: Path, what: str) -> None:
    refused(place, occupy(place, what), "engine", overwrite=True)


def test_overwrite_replaces_an_engine(instant: None, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = occupy(place, "engine")
    old = Engine(target).manifest
    assert main([str(SOURCE), str(target), "--overwrite"]) == 0
    assert f"published {target}" in capsys.readouterr().out
    assert Engine(target).manifest.tokenizer != old.tokenizer
    assert [path.name for path in place.iterdir()] == ["engine"]
    assert main([str(SOURCE), str(target)]) == ExportError.exit_code
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["absent/engine", "file/engine", "a\0b", "x" * 300, ".", "..", "here/..", ""])
def test_a_place_that_is_none(instant: None, place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (place / "file").touch()
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    refused(place, place / name if name.endswith("engine") else Path(name), "engine" if "engine" in name else "")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_parent_that_cannot_be_written_in(
    instant: None, place: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def denied(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    refused(place, place / "engine", str(place), os.strerror(code))


def test_a_target_that_appears_meanwhile_is_not_replaced(
    instant: None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(root: Path) -> list[Any]:
        make_engine(place)
        return []

    monkeypatch.setattr(publish, "check_engine", check)
    with pytest.raises(ExportError, match="exists"):
        export_engine(SOURCE, place / "engine")
    assert read_manifest(place / "engine").provenance.source_name == "noise"
    assert [path.name for path in place.iterdir()] == ["engine"]


@pytest.mark.parametrize("precision", ["int3", "", None])
def test_an_unknown_precision(instant: None, place: Path, precision: Any) -> None:
    with pytest.raises(ExportError, match="precision="):
        export_engine(SOURCE, place / "engine", precision)


# --- Failure on the way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(
    "step", ["check_room", "write_all", "measure_all", "check_engine", "write_manifest", "publish"]
)
@pytest.mark.parametrize("fault", [NO_SPACE, MemoryError(), RuntimeError("odd\nsizes"), KeyboardInterrupt()])
def test_a_step_that_fails(
    instant: None,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    existing: bool,
    step: str,
    fault: BaseException,
) -> None:
    target = occupy(place, "engine") if existing else place / "engine"
    before = snapshot(place)

    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(publish, step, fail)
    interrupted = isinstance(fault, KeyboardInterrupt)
    assert main([str(SOURCE), str(target), "--overwrite"]) == (130 if interrupted else ExportError.exit_code)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "nothing was published" in line
    assert snapshot(place) == before


@pytest.mark.parametrize("fault", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_an_engine_is_put_back_when_its_replacement_cannot_be_moved(
    instant: None, place: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    target, rename = occupy(place, "engine"), Path.rename
    before = snapshot(place)

    def once(self: Path, to: Path) -> Path:
        if "partial" in self.name and "replaced" not in self.name:
            raise fault
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises((ExportError, KeyboardInterrupt)):
        export_engine(SOURCE, target, overwrite=True)
    assert snapshot(place) == before
    Engine(target)
