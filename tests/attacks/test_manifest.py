"""Manifests that lie: a checksum made to fit, fields out of range, paths that leave the directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopixel_edge import limits
from geopixel_edge.engine import directory as engine_module
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.manifest import CHUNK_BYTES
from geopixel_edge.errors import EngineCorruptError, EngineError, EnginePathError, EngineSchemaError
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


def put(root: Path, data: bytes) -> None:
    """Write manifest bytes with a checksum that fits them, as somebody who means harm would."""
    (root / "manifest.json").write_bytes(data)
    (root / "manifest.sha256").write_bytes(engine_module._checksum_line(data))


def edit(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((root / "manifest.json").read_text())
    change(manifest)
    put(root, json.dumps(manifest).encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_engine(tmp_path)


def test_bit_flips_in_a_manifest_whose_checksum_was_made_to_fit(root: Path) -> None:
    data = (root / "manifest.json").read_bytes()
    rng = np.random.default_rng(12)
    outcomes = set()
    for _ in range(FLIPS):
        bad = bytearray(data)
        bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        put(root, bytes(bad))
        try:
            Engine(root)
            outcomes.add("opened")  # a digit of a size or a letter of a name
        except EngineError as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"opened", "EngineSchemaError", "EngineCorruptError", "EnginePathError"}
    assert len(outcomes) >= 3


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hostname",
        "../tokenizer.model",
        "golden/../../x",
        "golden/..",
        "..",
        ".",
        "",
        "./tokenizer.model",
        "golden//case.npz",
        "golden/",
        "/",
        "a\\b",
        "..\\x",
        "C:/x",
        "C:x",
        "\\\\host\\x",
        "a\0b",
        "a\nb",
        "tokenizer.model\n",
        "~/x",
        "golden/\u2025/x",
        "x" * 5000,
        ".hidden",
        "a/.git/x",
        "tokenizer.model ",
        "nul:",
        "-rf",
    ],
)
def test_a_path_outside_the_directory(root: Path, path: str) -> None:
    edit(root, lambda manifest: manifest["tokenizer"].update(path=path))
    refused(root, EngineCorruptError if path.startswith("xxx") else EnginePathError)


@pytest.mark.parametrize("version", [0, 3, 99, -1, 2**62])
def test_a_schema_from_another_time(root: Path, version: int) -> None:
    put(root, json.dumps({"schema_version": version, "new": {"deep": [1]}}).encode())
    (root / "manifest.sha256").unlink()
    refused(root, EngineSchemaError, str(version), "upgrade")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"schema_version": "1"}',
        b"[" * 200_000,
        b'{"schema_version":1,"x":' + b"[" * 200_000,
        b'{"schema_version":1}',
        b'{"schema_version":1',
        b"\0" * 100,
        b'{"schema_version": 1, "family": "\xff"}',
        b'{"schema_version": 1.0}',
        b'{"schema_version": true}',
        b'{"schema_version": ' + b"9" * 5000 + b"}",
        '{"schema_version": 1}'.encode("utf-16"),
        b'{"schema_version": 1, "schema_version": 1}',
    ],
    ids=range(18),
)
def test_a_manifest_that_is_none(root: Path, data: bytes) -> None:
    put(root, data)
    refused(root, EngineSchemaError, "manifest.json")


def test_a_huge_manifest(root: Path) -> None:
    os.truncate(root / "manifest.json", limits.MAX_MANIFEST_BYTES + 1)
    refused(root, EngineSchemaError, str(limits.MAX_MANIFEST_BYTES))


def set_at(*keys: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: Any) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = to

    return change


def footprint(**term: object) -> dict[str, object]:
    return {"weights_bytes": 1, "workspace": [term]}


VISION = ("blocks", "vision_encoder")
ADDED = {"text": "<more>", "id": 15, "lstrip": True, "rstrip": True, "special": False}
FAULTY: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("unknown field", lambda m: m.update(extra=1)),
    ("unknown field below", lambda m: m["sizes"].update(extra=1)),
    ("missing field", lambda m: m.pop("tokens")),
    ("missing block", lambda m: m["blocks"].pop("pixel_decoder")),
    ("unknown block", lambda m: m["blocks"].update(other=m["blocks"]["pixel_decoder"])),
    ("block without file", set_at(*VISION, "files", to=[])),
    ("file listed twice", lambda m: m["golden"].append(m["tokenizer"])),
    ("input named twice", set_at(*VISION, "inputs", to=[{"name": "x", "dtype": "bool", "shape": []}] * 2)),
    ("NaN", set_at("sizes", "hidden", to=float("nan"))),
    ("infinity", set_at("preprocessing", "vision", "std", to=[float("inf"), 1, 1])),
    ("zero deviation", set_at("preprocessing", "vision", "std", to=[0.0, 0.5, 0.5])),
    ("four channels", set_at("preprocessing", "grounding", "mean", to=[0.5] * 4)),
    ("negative size", set_at("sizes", "layers", to=-1)),
    ("zero size", set_at("sizes", "kv_heads", to=0)),
    ("huge size", set_at("sizes", "vocabulary", to=2**40)),
    ("fractional size", set_at("sizes", "heads", to=4.5)),
    ("text for a size", set_at("sizes", "heads", to="4")),
    ("heads not divided", set_at("sizes", "kv_heads", to=3)),
    ("negative bytes", set_at("tokenizer", "bytes", to=-1)),
    ("short digest", set_at("tokenizer", "sha256", to="ab")),
    ("capital digest", lambda m: m["tokenizer"].update(sha256=m["tokenizer"]["sha256"].upper())),
    ("digest with a newline", lambda m: m["tokenizer"].update(sha256=m["tokenizer"]["sha256"] + "\n")),
    ("pad value", set_at("preprocessing", "pad_value", to=256)),
    ("token outside the vocabulary", set_at("tokens", "seg", to=16)),
    ("tokens sharing an id", set_at("tokens", "seg", to=2)),
    ("unknown dtype", lambda m: m["blocks"]["vision_encoder"]["inputs"][0].update(dtype="object")),
    ("negative distance", set_at("distance", "pixel_decoder", to=-1e-6)),
    ("negative dimension", lambda m: m["blocks"]["vision_encoder"]["inputs"][0].update(shape=[-1])),
    ("unknown family", set_at("family", to="lisa")),
    ("precision of all blocks", lambda m: m.update(precision="fp32")),
    ("precision by name", set_at(*VISION, "precision", to="fp32")),
    ("no precision", lambda m: m["blocks"]["vision_encoder"].pop("precision")),
    ("unnamed precision", set_at(*VISION, "precision", "name", to="")),
    ("unknown weights", set_at(*VISION, "precision", "weights", to="int3")),
    ("unknown arithmetic", set_at(*VISION, "precision", "compute", to="complex64")),
    ("numbers of no bytes", set_at(*VISION, "precision", "bytes_per_number", to=0)),
    ("numbers of many bytes", set_at(*VISION, "precision", "bytes_per_number", to=9)),
    ("negative group", set_at(*VISION, "precision", "group", to=-32)),
    ("negative tolerance", set_at(*VISION, "precision", "tolerance", to=-1.0)),
    ("setting that is no text", set_at(*VISION, "precision", "ort_options", to={"a": 1})),
    ("option that is no text", set_at(*VISION, "options", to={"a": None})),
    ("options in a list", set_at(*VISION, "options", to=["a"])),
    ("dimension of nothing", set_at(*VISION, "dims", to={"n": 0})),
    ("huge dimension", set_at(*VISION, "dims", to={"n": 2**40})),
    ("footprint without workspace", set_at(*VISION, "footprint", to={"weights_bytes": 1})),
    ("negative weights", set_at(*VISION, "footprint", to={"weights_bytes": -1, "workspace": []})),
    ("negative workspace", set_at(*VISION, "footprint", to=footprint(bytes=-1.0, dims=[]))),
    ("workspace by a nameless dimension", set_at(*VISION, "footprint", to=footprint(bytes=1.0, dims=[""]))),
    ("an input of no NumPy dtype", set_at(*VISION, "inputs", 0, "dtype", to="bfloat16")),
    ("chunks of a small file", lambda m: m["tokenizer"].update(chunks=[m["tokenizer"]["sha256"]] * 2)),
    ("large file without chunks", lambda m: m["tokenizer"].update(bytes=CHUNK_BYTES + 1, chunks=[])),
    ("too few chunks", lambda m: m["tokenizer"].update(bytes=2 * CHUNK_BYTES + 1, chunks=["0" * 64] * 2)),
    ("chunk that is no digest", lambda m: m["tokenizer"].update(chunks=["ab"])),
    ("added token twice", lambda m: m["tokens"].update(added=[ADDED, ADDED])),
]


@pytest.mark.parametrize(("fault", "change"), FAULTY, ids=[fault for fault, _ in FAULTY])
def test_a_faulty_field(root: Path, fault: str, change: Callable[[dict[str, Any]], object]) -> None:
    edit(root, change)
    refused(root, EngineSchemaError, "manifest.json", "export again")


def test_a_field_given_twice(root: Path) -> None:
    data = (root / "manifest.json").read_bytes()
    put(root, data.replace(b'"family": "geopixel"', b'"family": "geopixel", "family": "geopixel"'))
    refused(root, EngineSchemaError, "twice")
    put(root, data.replace(b'"vision_encoder": {', b'"vision_encoder": 1, "vision_encoder": {'))
    refused(root, EngineSchemaError, "twice")


def test_fields_of_schema_2_that_say_nothing_wrong(root: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        block = manifest["blocks"]["vision_encoder"]
        block.update(footprint=footprint(bytes=1.5, dims=["n", "n"]), dims={"n": 10}, options={"a": "b"})
        manifest["tokenizer"]["chunks"] = [manifest["tokenizer"]["sha256"]]
        manifest["tokens"]["added"] = [ADDED]

    edit(root, change)
    block = Engine(root).manifest.blocks["vision_encoder"]
    assert block.footprint is not None
    assert (block.footprint.workspace[0].dims, block.dims, block.options) == (("n", "n"), {"n": 10}, {"a": "b"})
