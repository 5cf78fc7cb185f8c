"""ONNX files that name other weights than the manifest lists for their block: refused before ONNX Runtime sees them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from geopixel_edge.engine.directory import Engine
from geopixel_edge.errors import EngineError, EngineMismatchError, EnginePathError
from geopixel_edge.runtimes import onnx as runtime
from geopixel_edge.runtimes.devices import place
from geopixel_edge.runtimes.loading import load_block
from tests.support.engines import linked, put, sign

BLOCK = "pixel_decoder"


@pytest.fixture
def root(engine_fp32: Path, tmp_path: Path) -> Path:
    return linked(engine_fp32, tmp_path)


def refused(root: Path, kind: type[EngineError], *fragments: str) -> None:
    sign(root)
    with pytest.raises(EngineError) as caught:
        load_block(Engine(root), BLOCK, place("cpu").device, 1)
    assert type(caught.value) is kind, repr(caught.value)
    for fragment in (repr(BLOCK), *fragments):
        assert fragment in str(caught.value)


def edit_graph(root: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(str(root / f"{BLOCK}.onnx"), load_external_data=False)
    change(model)
    put(root, f"{BLOCK}.onnx", model.SerializeToString())


def read_from(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location

    return change


@pytest.fixture
def elsewhere(root: Path, tmp_path: Path) -> dict[str, str]:
    """Places with the right weights that must not be read."""
    data = (root / f"{BLOCK}.onnx.data").read_bytes()
    put(tmp_path, "outside.data", data)
    put(root, "unlisted.data", data)
    (root / "link.data").symlink_to(tmp_path / "outside.data")
    (root / "links").symlink_to(tmp_path)
    places = {"absolute": str(tmp_path / "outside.data"), "parent": "../outside.data", "link": "link.data"}
    return {
        **places,
        "directory link": "links/outside.data",
        "unlisted": "unlisted.data",
        "dot": "./unlisted.data",
        "another block's": "vision_encoder.onnx.data",
        "device": "/dev/zero",
        "empty": "",
        "long": "x" * 300,
        "itself": f"../engine/{BLOCK}.onnx.data",
    }


OUTSIDE = ("absolute", "parent", "link", "directory link", "device")
INSIDE = ("unlisted", "dot", "another block's", "empty", "long", "itself")


@pytest.mark.parametrize("place", [*OUTSIDE, *INSIDE])
def test_weights_from_elsewhere_are_never_read(
    root: Path, elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    edit_graph(root, read_from(elsewhere[place]))
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: pytest.fail("ONNX Runtime saw the file"))
    refused(root, EnginePathError, "not the block's")


@pytest.mark.parametrize("place", OUTSIDE)
def test_onnx_runtime_itself_refuses_what_lies_outside(
    root: Path, elsewhere: dict[str, str], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    edit_graph(root, read_from(elsewhere[place]))
    monkeypatch.setattr(runtime, "check_locations", lambda *_: None)
    refused(root, EngineMismatchError)


def test_one_odd_location_among_many(root: Path) -> None:
    put(root, "other.data", b"")

    def hide(model: onnx.ModelProto) -> None:
        tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="offset", value="0")
        tensor.external_data.add(key="location", value="other.data")
        model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))

    edit_graph(root, hide)
    refused(root, EnginePathError)


def test_own_weights_in_a_directory_of_their_own(root: Path) -> None:
    (root / "blocks").mkdir()
    for end in ("", ".data"):
        os.rename(root / f"{BLOCK}.onnx{end}", root / "blocks" / f"{BLOCK}.onnx{end}")

    def move(manifest: dict[str, Any]) -> None:
        for file in manifest["blocks"][BLOCK]["files"]:
            file["path"] = f"blocks/{file['path']}"

    sign(root, move)
    load_block(Engine(root), BLOCK, place("cpu").device, 1)
