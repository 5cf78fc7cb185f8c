"""Engines that were built elsewhere, on the first machine that can run them: verified, and marked so for good."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from geopixel_edge import cli
from geopixel_edge.engine import CHECKSUM_NAME, MANIFEST_NAME, directory
from geopixel_edge.engine.directory import Engine, read_manifest, replace_manifest
from geopixel_edge.engine.first_load import verified_here
from geopixel_edge.errors import EngineCorruptError, EngineMismatchError
from geopixel_edge.pipeline import Pipeline

from ..support.engines import linked, sign
from ..support.fake_trt import Context, FakeTrt
from ..support.tensorrt_engines import NEW

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def foreign(engines: dict[str, Path], tmp_path: Path) -> Path:
    """An engine that was built on another machine for this one's GPU."""
    root = linked(engines[NEW], tmp_path)

    def unverified(manifest: dict[str, Any]) -> None:
        for block in manifest["blocks"].values():
            block["plan"]["verified"] = False

    sign(root, unverified)
    assert not read_manifest(root).verified
    return root


def planted(patch: pytest.MonkeyPatch) -> None:
    """Views arrive as zeros."""
    read = Context.read
    patch.setattr(Context, "read", lambda self, name: read(self, name) * (name != "views"))


def test_the_first_load_verifies_and_says_so(
    foreign: Path, trt: FakeTrt, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    with Pipeline(foreign, device="cuda") as pipe:
        assert pipe.engine.manifest.verified
        assert pipe.engine.digest == Engine(foreign).digest, "a pickled Pipeline finds the same engine"
    assert "met its golden values on this GPU" in caplog.text
    assert read_manifest(foreign).verified
    assert not list(foreign.glob(".*partial*"))
    planted(monkeypatch)
    Pipeline(foreign, device="cuda").close()  # not verified a second time


def test_one_that_fails_stays_as_it_is(foreign: Path, trt: FakeTrt, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in foreign.iterdir() if path.is_file()}
    planted(monkeypatch)
    with pytest.raises(EngineMismatchError, match=r"built on another machine and does not give .*: image_tokens \d.*"):
        Pipeline(foreign, device="cuda")
    assert {path.name: path.read_bytes() for path in foreign.iterdir() if path.is_file()} == before


def test_the_verb_marks_it_or_says_why_not(
    foreign: Path, trt: FakeTrt, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with monkeypatch.context() as patch:
        planted(patch)
        assert cli.main(["verify", str(foreign), "--device", "cuda"]) == 4
    told = capsys.readouterr().out
    assert "FAILED" in told
    assert "goes on saying that it is not verified" in told
    assert not read_manifest(foreign).verified
    assert cli.main(["verify", str(foreign), "--device", "cuda", "--json"]) == 0
    told_json = json.loads(capsys.readouterr().out)
    assert (told_json["passed"], told_json["verified"]) == (True, True)
    assert read_manifest(foreign).verified


def test_a_directory_that_cannot_be_written_is_used_all_the_same(
    foreign: Path, trt: FakeTrt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(root: Path, manifest: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(directory, "replace_manifest", refused)
    Pipeline(foreign, device="cuda").close()
    assert "passed, and cannot be marked as verified: OSError" in caplog.text
    assert not read_manifest(foreign).verified


@pytest.mark.parametrize("step", range(7))
def test_a_kill_at_any_moment_leaves_a_whole_engine(step: int, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each of the three files that are put in place."""

    class Killed(BaseException):
        pass

    seen = 0
    write, replace = Path.write_bytes, Path.replace

    def counted(action: Any) -> Any:
        def run(self: Path, argument: Any) -> Any:
            nonlocal seen
            if seen == step:
                raise Killed
            seen += 1
            return action(self, argument)

        return run

    monkeypatch.setattr(Path, "write_bytes", counted(write))
    monkeypatch.setattr(Path, "replace", counted(replace))
    wanted = verified_here(read_manifest(foreign))
    if step < 6:
        with pytest.raises(Killed):
            replace_manifest(foreign, wanted)
    else:
        replace_manifest(foreign, wanted)
    assert read_manifest(foreign).verified == (step >= 4)
    Engine(foreign)
    monkeypatch.undo()
    replace_manifest(foreign, wanted)
    assert read_manifest(foreign).verified
    assert (foreign / CHECKSUM_NAME).read_text().count(MANIFEST_NAME) == 1
    assert os.listdir(foreign).count(MANIFEST_NAME) == 1


@pytest.mark.parametrize("extra", ["\n", "x", f"{'0' * 64}  other.json\n", f"{'0' * 64}  {MANIFEST_NAME}\n" * 2])
def test_a_checksum_file_holds_nothing_else(extra: str, foreign: Path) -> None:
    path = foreign / CHECKSUM_NAME
    data = path.read_text() + extra
    path.unlink()
    path.write_text(data)
    with pytest.raises(EngineCorruptError, match=r"is not what manifest\.sha256 vouches for"):
        read_manifest(foreign)
