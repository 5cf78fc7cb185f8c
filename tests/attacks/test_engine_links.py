"""Engines whose files are links: a content-addressed cache is followed, everything else is refused by its own error."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import Pipeline
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.errors import EngineCorruptError, EngineError, EngineNotFoundError, EnginePathError

TOKENIZER = read_manifest(BUNDLED).tokenizer.path
PIXELS = np.random.default_rng(4).integers(0, 255, (50, 70, 3), np.uint8)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """The bundled engine as a hub's client keeps it: every file a relative link to a file named by its digest."""
    repository = tmp_path / "models--somebody--engine"
    root = repository / "snapshots" / "0123abcd"
    (repository / "blobs").mkdir(parents=True)
    for source in sorted(path for path in BUNDLED.rglob("*") if path.is_file()):
        blob = repository / "blobs" / hashlib.sha256(source.read_bytes()).hexdigest()
        shutil.copy(source, blob)
        link = root / source.relative_to(BUNDLED)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return root


def refused(root: Path, kind: type[EngineError], *fragments: str) -> None:
    with pytest.raises(EngineError) as caught:
        Engine(root)
    assert type(caught.value) is kind, repr(caught.value)
    assert all(fragment in str(caught.value) for fragment in fragments), str(caught.value)


def test_a_cache_of_links_answers_as_the_files_do(snapshot: Path, tmp_path: Path) -> None:
    wanted = Pipeline(device="cpu")(PIXELS, "Where?", hd_num=1, max_new_tokens=4).token_ids
    assert Pipeline(snapshot, device="cpu")(PIXELS, "Where?", hd_num=1, max_new_tokens=4).token_ids == wanted
    door = tmp_path / "latest"
    door.symlink_to(snapshot)  # the folder itself may be reached through any link
    assert Engine(door).digest == Engine(BUNDLED).digest


def test_a_link_to_a_link_is_followed(snapshot: Path) -> None:
    link = snapshot / TOKENIZER
    blob = link.resolve()
    moved = blob.rename(blob.with_name("moved"))
    blob.symlink_to(moved.name)
    Engine(snapshot)


@pytest.mark.parametrize("name", [TOKENIZER, "golden/arrays.npz", "vision_encoder.onnx.data"])
def test_the_file_behind_a_link_must_be_the_manifest_s(snapshot: Path, name: str) -> None:
    blob = (snapshot / name).resolve()
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(snapshot, EngineCorruptError, Path(name).name, "SHA-256")
    blob.write_bytes(data[:-1])
    refused(snapshot, EngineCorruptError, Path(name).name, "bytes")
    blob.unlink()
    refused(snapshot, EngineCorruptError, Path(name).name, "copy")


def test_a_manifest_behind_a_link_is_checked_as_ever(snapshot: Path) -> None:
    blob = (snapshot / "manifest.json").resolve()
    data = blob.read_bytes()
    blob.write_bytes(data.replace(b'"int8"', b'"fp32"'))
    refused(snapshot, EngineCorruptError, "manifest.sha256")
    blob.unlink()
    refused(snapshot, EngineNotFoundError, "manifest.json")


@pytest.mark.parametrize("target", ["a directory", "a pipe", "a device", "itself", "another file"])
def test_a_link_to_what_is_no_such_file(snapshot: Path, tmp_path: Path, target: str) -> None:
    link = snapshot / TOKENIZER
    link.unlink()
    place = tmp_path / "place"
    if target == "a directory":
        place.mkdir()
    elif target == "a pipe":
        os.mkfifo(place)
    elif target == "another file":
        place.write_text("short")
    names = {"itself": link, "a device": Path("/dev/zero")}
    link.symlink_to(os.path.relpath(names.get(target, place), link.parent))
    refused(snapshot, EngineCorruptError, TOKENIZER, "copy")


@pytest.mark.parametrize("name", [TOKENIZER, "manifest.json", "golden"])
def test_absolute_links_and_linked_folders_name_the_remedy_for_a_folder(
    snapshot: Path, tmp_path: Path, name: str
) -> None:
    link = snapshot / name
    if link.is_dir():
        shutil.move(link, tmp_path / name)
        link.symlink_to(os.path.relpath(tmp_path / name, link.parent))
    else:
        target = link.resolve()
        link.unlink()
        link.symlink_to(target)
    refused(snapshot, EnginePathError, "symbolic link", "cp -L -r")
