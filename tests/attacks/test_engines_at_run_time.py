"""Engines whose hashes fit but whose blocks are not what they should be: a typed error at loading or running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from geopixel_edge.engine.directory import Engine
from geopixel_edge.errors import (
    EngineError,
    EngineMismatchError,
    GeoPixelError,
    InferenceError,
    RuntimeUnavailableError,
)
from geopixel_edge.families import family_of
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.runtimes import onnx as runtime
from geopixel_edge.runtimes.devices import place
from geopixel_edge.runtimes.loading import load_block
from tests.engine.test_session import RED_CAR, SQUARE
from tests.support.engines import linked, put, sign

BLOCK = "pixel_decoder"
FLIPS = 40


@pytest.fixture
def root(engine_fp32: Path, tmp_path: Path) -> Path:
    return linked(engine_fp32, tmp_path)


def load_checked(root: Path, block: str) -> None:
    engine = Engine(root)
    family_of(engine.manifest.family).check_block(engine.manifest, block)
    load_block(engine, block, place("cpu").device, 1)


def refused(root: Path, kind: type[GeoPixelError], *fragments: str, block: str = BLOCK) -> None:
    with pytest.raises(GeoPixelError) as caught:
        load_checked(root, block)
    assert type(caught.value) is kind, repr(caught.value)
    assert all(fragment in str(caught.value) for fragment in (repr(block), *fragments)), str(caught.value)
    assert len(str(caught.value)) < 800
    assert "\n" not in str(caught.value)


def edit_graph(root: Path, change: Callable[[onnx.ModelProto], object], block: str = BLOCK) -> None:
    model = onnx.load(str(root / f"{block}.onnx"), load_external_data=False)
    change(model)
    put(root, f"{block}.onnx", model.SerializeToString())


# --- Blocks that are another's ----------------------------------------------------------------------------------


def test_two_blocks_swapped(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def swap(manifest: dict[str, Any], *fields: str) -> None:
        one, two = manifest["blocks"][BLOCK], manifest["blocks"]["vision_encoder"]
        for field in fields:
            one[field], two[field] = two[field], one[field]

    sign(root, lambda manifest: swap(manifest, "files"))
    refused(root, EngineMismatchError, "'views'", "put together")
    refused(root, EngineMismatchError, "'views'", "put together", block="vision_encoder")
    with pytest.raises(EngineMismatchError):
        Pipeline(root, device="cpu")
    sign(root, lambda manifest: swap(manifest, "inputs", "outputs"))
    refused(root, EngineMismatchError, "another")
    assert capfd.readouterr() == ("", "")


def rename_input(model: onnx.ModelProto) -> None:
    old, new = "seg_hidden", "state"
    model.graph.input[0].name = new
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def retype(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def reshape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 65


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [(rename_input, "name", "state"), (retype, "dtype", "float16"), (reshape, "shape", ["n", 65])],
)
def test_another_signature(root: Path, change: Callable[[onnx.ModelProto], None], field: str, value: Any) -> None:
    edit_graph(root, change)
    sign(root)
    refused(root, EngineMismatchError)
    sign(root, lambda manifest: manifest["blocks"][BLOCK]["inputs"][0].update({field: value}))
    refused(root, EngineMismatchError)


@pytest.mark.parametrize("field", ["hidden", "tile_px", "layers", "kv_heads", "vocabulary", "mask_px", "grounding_px"])
def test_sizes_that_are_not_the_blocks(root: Path, field: str) -> None:
    sign(root, lambda manifest: manifest["sizes"].update({field: 2 * manifest["sizes"][field]}))
    with pytest.raises(EngineError):
        Pipeline(root, device="cpu")


@pytest.mark.parametrize("name", ["tensorrt-99", "ONNX", " "])
def test_an_unknown_runtime(root: Path, name: str) -> None:
    sign(root, lambda manifest: manifest["blocks"][BLOCK].update(runtime=name))
    refused(root, RuntimeUnavailableError, name)


# --- Files that are no graphs -----------------------------------------------------------------------------------


def test_files_that_hold_no_graph(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole, rng = (root / f"{BLOCK}.onnx").read_bytes(), np.random.default_rng(5)
    for bad in (b"", b"\0" * 99, rng.bytes(5000), whole[: len(whole) // 2], whole[:-1], whole + b"\0", whole * 2):
        put(root, f"{BLOCK}.onnx", bad)
        sign(root)
        refused(root, EngineMismatchError)
    for size in (0, 1, 100_000):
        put(root, f"{BLOCK}.onnx", whole)
        put(root, f"{BLOCK}.onnx.data", bytes(size))
        sign(root)
        refused(root, EngineMismatchError, "load")
    assert capfd.readouterr() == ("", "")


def test_bit_flips_in_a_graph_load_or_are_refused(root: Path) -> None:
    whole, rng = (root / f"{BLOCK}.onnx").read_bytes(), np.random.default_rng(6)
    spec = Engine(root).manifest.blocks[BLOCK]
    outcomes: set[str] = set()
    for _ in range(FLIPS):
        bad = bytearray(whole)
        bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        put(root, f"{BLOCK}.onnx", bytes(bad))
        try:
            runtime.OnnxRunner(root / f"{BLOCK}.onnx", spec, BLOCK, place("cpu").device, 1)
            outcomes.add("loaded")  # a letter of a name, a number of an attribute
        except EngineError as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"loaded", "EngineMismatchError", "EnginePathError"}
    assert "EngineMismatchError" in outcomes


def test_a_file_in_another_format_of_onnx_runtime(root: Path, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "block.ort")
    options.log_severity_level = 4
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(str(root / f"{BLOCK}.onnx"), options, providers=["CPUExecutionProvider"])
    put(root, "block.ort", (tmp_path / "block.ort").read_bytes())
    put(root, f"{BLOCK}.onnx", (tmp_path / "block.ort").read_bytes())
    sign(root)
    refused(root, EngineMismatchError)
    sign(root, lambda manifest: manifest["blocks"][BLOCK]["files"][0].update(path="block.ort"))
    refused(root, EngineMismatchError)


# --- Runs -------------------------------------------------------------------------------------------------------


def test_a_graph_that_gives_other_shapes_than_it_says(root: Path) -> None:
    spec = Engine(root).manifest.blocks["vision_encoder"]
    size = [
        helper.make_node("Shape", ["views"], ["first"], start=0, end=1),
        helper.make_node("Add", ["first", "one"], ["more"]),
        helper.make_node("Concat", ["more", "rest"], ["shape"], axis=0),
        helper.make_node("Expand", ["zero", "shape"], ["tokens"]),
        helper.make_node("Expand", ["zero", "two"], ["separators"]),
    ]
    constants = {"one": [1], "rest": spec.outputs[0].shape[1:], "two": spec.outputs[1].shape}
    tensors = [onnx.numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    tensors.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
    inputs, outputs = (
        [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.shape)) for t in side]
        for side in (spec.inputs, spec.outputs)
    )
    graph = helper.make_graph(size, "g", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    put(root, "vision_encoder.onnx", model.SerializeToString())
    sign(root)
    block = load_block(Engine(root), "vision_encoder", place("cpu").device, 1)
    sides = [int(side) for side in spec.inputs[0].shape[1:]]
    views = np.zeros((2, *sides), np.float32)
    with pytest.raises(InferenceError, match=r"tokens.*shape"):
        block.run({"views": block.device.put(views)})


@pytest.mark.parametrize("block", ["vision_encoder", "language_model", "grounding_encoder", BLOCK])
def test_weights_that_are_not_finite(root: Path, block: str) -> None:
    weights = onnx.load(str(root / f"{block}.onnx"), load_external_data=False).graph.initializer
    data = bytearray((root / f"{block}.onnx.data").read_bytes())
    for weight in weights:
        place = {entry.key: entry.value for entry in weight.external_data}
        if place and weight.data_type == TensorProto.FLOAT:
            start, size = int(place.get("offset", 0)), 4 * int(np.prod(weight.dims))
            data[start : start + size] = np.full(size // 4, np.nan, np.float32).tobytes()
    put(root, f"{block}.onnx.data", bytes(data))
    sign(root)
    pipeline = Pipeline(root, device="cpu")
    with pytest.raises(InferenceError, match="not finite"):  # the third token is [SEG]
        pipeline(SQUARE, RED_CAR, hd_num=1, max_new_tokens=3)


def test_feeds_of_another_shape_and_a_cache_without_memory(pipeline: Pipeline) -> None:
    decoder = pipeline.model.residency.load(frozenset({BLOCK}))[BLOCK]
    feeds = {"seg_hidden": decoder.device.zeros("float32", (1, 3))}
    with pytest.raises(InferenceError, match=BLOCK):
        decoder.run(feeds)
    with pytest.raises(InferenceError, match="memory"):
        pipeline.model.new_cache(2**61)
