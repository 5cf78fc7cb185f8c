"""The engine directory: written, read back, verified."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from geopixel_edge.engine.digests import describe_file, sha256_of
from geopixel_edge.engine.directory import Engine, read_manifest, write_manifest
from geopixel_edge.engine.manifest import BLOCKS
from geopixel_edge.errors import EngineSchemaError
from tests.support.fakes import SIZES, make_engine


def test_a_whole_engine_opens_by_any_kind_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_engine(tmp_path)
    for given in (root, str(root)):
        engine = Engine(given)
        assert engine.manifest.sizes == SIZES
        assert set(engine.manifest.blocks) == set(BLOCKS)
    monkeypatch.chdir(tmp_path)
    engine = Engine("engine")
    monkeypatch.chdir("/")
    path = engine.path(engine.manifest.tokenizer)
    assert path.is_absolute()
    assert path.read_bytes() == (root / "tokenizer.model").read_bytes()


def test_every_file_is_vouched_for(tmp_path: Path) -> None:
    root = make_engine(tmp_path)
    listed = {spec.path for spec in read_manifest(root).files()}
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert listed == there - {"manifest.json", "manifest.sha256"}


def test_the_manifest_is_json_people_can_read_and_sha256sum_can_check(tmp_path: Path) -> None:
    root = make_engine(tmp_path)
    text = (root / "manifest.json").read_text()
    assert json.loads(text)["sizes"]["tile_px"] == 56
    assert text.count("\n") > 100
    command = ["sha256sum", "-c", "manifest.sha256"]
    check = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr


def test_writing_the_same_manifest_gives_the_same_bytes(tmp_path: Path) -> None:
    root = make_engine(tmp_path)
    before = (root / "manifest.json").read_bytes()
    write_manifest(root, read_manifest(root))
    assert (root / "manifest.json").read_bytes() == before


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    root = make_engine(tmp_path)
    manifest = read_manifest(root)
    blocks = {name: block for name, block in manifest.blocks.items() if name != "pixel_decoder"}
    with pytest.raises(EngineSchemaError, match="'pixel_decoder' is missing"):
        write_manifest(root, msgspec.structs.replace(manifest, blocks=blocks))
    with pytest.raises(EngineSchemaError, match="heads"):
        write_manifest(root, msgspec.structs.replace(manifest, sizes=msgspec.structs.replace(SIZES, heads=-4)))
    assert Engine(root).manifest == manifest


def test_digests_are_those_of_hashlib(tmp_path: Path) -> None:
    data = os.urandom((8 << 20) + 17)
    (tmp_path / "large.bin").write_bytes(data)
    assert sha256_of(tmp_path / "large.bin") == hashlib.sha256(data).hexdigest()
    spec = describe_file(tmp_path, "large.bin")
    assert (spec.path, spec.bytes, spec.sha256) == ("large.bin", len(data), hashlib.sha256(data).hexdigest())


def test_the_engine_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    root = make_engine(tmp_path)
    (tmp_path / "current").symlink_to(root)
    assert Engine(tmp_path / "current").manifest.family == "geopixel"
