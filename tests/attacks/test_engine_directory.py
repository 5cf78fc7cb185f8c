"""Damaged, incomplete and hostile engine directories: each refused with its own error before a runtime sees a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopixel_edge.engine.directory import Engine, read_manifest, write_manifest
from geopixel_edge.errors import EngineCorruptError, EngineError, EngineNotFoundError, EnginePathError
from tests.support.fakes import make_engine

FLIPS = 200


def refused(root: object, kind: type[EngineError], *fragments: str) -> None:
    with pytest.raises(EngineError) as caught:
        Engine(root)  # type: ignore[arg-type]
    assert type(caught.value) is kind, repr(caught.value)
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 3000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_engine(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "absent", EngineNotFoundError, "absent", "export")
    (tmp_path / "file").touch()
    refused(tmp_path / "file", EngineNotFoundError)
    refused(tmp_path, EngineNotFoundError, "manifest.json", "copy the directory whole")
    refused("a\0b", EngineNotFoundError)


@pytest.mark.parametrize("value", [None, 3, b"engine", ["engine"], 1.5])
def test_no_path_at_all(value: object) -> None:
    refused(value, EngineError, "engine_dir=")


def test_half_copied(root: Path) -> None:
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        data = path.read_bytes()
        path.unlink()
        expected = EngineNotFoundError if path.name.startswith("manifest") else EngineCorruptError
        refused(root, expected, path.name, "copy")
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(EngineError):
            Engine(root)
        path.write_bytes(data + b"\0")
        with pytest.raises(EngineError):
            Engine(root)
        path.write_bytes(data)
    Engine(root)


def test_a_wrong_hash(root: Path) -> None:
    path = root / "pixel_decoder" / "pixel_decoder.onnx"
    path.write_bytes(bytes(len(path.read_bytes())))
    refused(root, EngineCorruptError, "pixel_decoder.onnx", "SHA-256")


def test_blocks_swapped_with_each_other(root: Path) -> None:
    first, second = root / "vision_encoder/vision_encoder.onnx", root / "pixel_decoder/pixel_decoder.onnx"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    refused(root, EngineCorruptError, "SHA-256")


def test_random_bit_flips_in_every_file(root: Path) -> None:
    rng = np.random.default_rng(11)
    genuine = read_manifest(root)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for turn in range(FLIPS):
        path = root / "manifest.json" if turn % 2 else files[turn // 2 % len(files)]
        data = path.read_bytes()
        bad = bytearray(data)
        bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        with pytest.raises(EngineError):
            Engine(root)
        path.write_bytes(data)
    assert Engine(root).manifest == genuine


@pytest.mark.parametrize("name", ["tokenizer.model", "golden", "manifest.json", "manifest.sha256", "language_model"])
def test_a_symbolic_link_out_or_in(root: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / f"outside_{name}"
    shutil.move(root / name, outside)
    (root / name).symlink_to(outside)
    refused(root, EnginePathError, name, "symbolic link", "cp -L")


@pytest.mark.parametrize("name", ["tokenizer.model", "manifest.json", "manifest.sha256"])
def test_a_pipe_a_device_or_a_directory_in_place_of_a_file(root: Path, name: str) -> None:
    expected = EngineNotFoundError if name.startswith("manifest") else EngineCorruptError
    (root / name).unlink()
    os.mkfifo(root / name)
    refused(root, expected, name)
    (root / name).unlink()
    (root / name).mkdir()
    refused(root, expected, name)


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.model"])
def test_a_file_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    opened = Path.open

    def denied(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    refused(root, EngineError, "Permission denied", "permissions")


def test_a_file_that_changes_after_opening_is_noticed(root: Path, tmp_path: Path) -> None:
    opened = Engine(root)
    path = root / "tokenizer.model"
    path.rename(tmp_path / "kept.model")
    path.symlink_to(tmp_path / "kept.model")
    with pytest.raises(EnginePathError):
        opened.path(opened.manifest.tokenizer)
    path.unlink()
    with pytest.raises(EngineCorruptError):
        opened.path(opened.manifest.tokenizer)


def test_an_engine_rewritten_with_its_own_manifest_still_opens(root: Path) -> None:
    write_manifest(root, read_manifest(root))
    Engine(root)
