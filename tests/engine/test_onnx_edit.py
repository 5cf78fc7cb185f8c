"""Edits of ONNX files in memory: float32 arithmetic on float16 weights, and the masks behind a choice of one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.golden import DRIFT
from geopixel_edge.engine.manifest import BLOCKS
from geopixel_edge.engine.probes import LOUDNESS, drift, numbers, probe
from geopixel_edge.errors import EngineMismatchError
from geopixel_edge.model import Model
from geopixel_edge.runtimes.onnx_edit import decode, encode, expose, widen
from geopixel_edge.runtimes.probed import load_probed

from ..support.engines import linked, put, sign


@pytest.mark.parametrize("block", BLOCKS)
def test_decoding_and_encoding_gives_the_same_bytes(block: str) -> None:
    data = (BUNDLED / f"{block}.onnx").read_bytes()
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"\x3a", "a number does not end"),
        (b"\x3a\x05abc", "it ends early"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a number does not end"),
        (b"\x3b", "wire type 3"),
    ],
)
def test_bytes_that_are_no_message_are_refused(bad: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(bad)


def half_product() -> onnx.ModelProto:
    """float16 inside, with intermediate results beyond its range; float32 at its borders."""
    weight = np.array([[300, 2], [300, 1 / 3]], np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", borders[:1], borders[1:], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_widened_model_computes_in_float32_with_float16_weights() -> None:
    model = half_product()
    wide = onnx.load_from_string(widen(model.SerializeToString()))
    onnx.checker.check_model(wide)
    x = np.array([[1000.123, 7.77]], np.float32)
    (found,) = ort.InferenceSession(wide.SerializeToString()).run(None, {"x": x})
    weight = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float32)
    np.testing.assert_allclose(found, x @ weight, rtol=1e-6)
    assert found[0, 0] > np.finfo(np.float16).max


def test_what_a_choice_is_made_from_becomes_an_output() -> None:
    data = (BUNDLED / "pixel_decoder.onnx").read_bytes()
    changed, names = expose(data)
    before, after = onnx.load_from_string(data).graph, onnx.load_from_string(changed).graph
    assert [value.name for value in after.output] == [*(value.name for value in before.output), *names]
    assert len(names) == 2
    assert expose((BUNDLED / "vision_encoder.onnx").read_bytes())[1] == []


def test_every_mask_of_every_state_is_seen() -> None:
    engine = Engine(BUNDLED)
    block = load_probed(engine, "pixel_decoder", 2)
    shapes = {tensor.name: tensor.shape for tensor in block.spec.inputs if tensor.name != "seg_hidden"}
    feeds = {name: numbers(3, *(int(side) for side in shape)) for name, shape in shapes.items()}
    feeds["seg_hidden"] = numbers(4, 3, engine.manifest.sizes.hidden)
    masks, iou = block.all_choices(feeds)
    side = engine.manifest.sizes.mask_px
    assert (masks.shape, iou.shape) == ((12, side, side), (12,))
    chosen = block.run({name: block.device.put(value) for name, value in feeds.items()})
    for one, score in zip(chosen["low_res_masks"].numpy(), chosen["iou"].numpy(), strict=True):
        assert score in iou
        assert (masks == one).all(axis=(1, 2)).sum() == 1


def test_a_fault_behind_a_mask_that_is_not_chosen_moves_the_record(tmp_path: Path) -> None:
    root = shutil.copytree(BUNDLED, tmp_path / "engine")  # onnx reads no weights from hard links
    untouched = probe(Model.open(root, "cpu", 2))
    model = onnx.load(str(root / "pixel_decoder.onnx"))
    for mask in (1, 2, 3):
        name = f"module.output_hypernetworks_mlps.{mask}.layers.2.bias"
        bias = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * np.float32(1.1), name))
    for suffix in ("", ".data"):
        (root / f"pixel_decoder.onnx{suffix}").unlink()
    onnx.save_model(
        model, str(root / "pixel_decoder.onnx"), save_as_external_data=True, location="pixel_decoder.onnx.data"
    )
    sign(root)
    moved = probe(Model.open(root, "cpu", 2))
    names = [f"low_res_masks.run_{run}" for run in range(len(LOUDNESS))]
    assert min(drift(moved[name], untouched[name]) for name in names) > DRIFT
    assert np.array_equal(moved["iou.run_0"], untouched["iou.run_0"])


def test_a_graph_that_cannot_be_edited_is_the_engines_fault(tmp_path: Path) -> None:
    root = linked(BUNDLED, tmp_path)
    put(root, "pixel_decoder.onnx", (root / "pixel_decoder.onnx").read_bytes()[:5000])
    sign(root)
    with pytest.raises(EngineMismatchError, match=r"does not load: .* is no ONNX file"):
        load_probed(Engine(root), "pixel_decoder", 1)
