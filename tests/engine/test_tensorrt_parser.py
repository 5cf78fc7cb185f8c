"""What TensorRT's parser and builder take, and what they refuse: the reasons behind the portable form's rules.

A refusal that is gone after an upgrade fails here, and the rule may go with it.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from geopixel_edge.build.composed import ComposedGraph
from geopixel_edge.build.forms import sizes_of, write_block
from geopixel_edge.build.matrices import Dense, Matrix, Quantised
from geopixel_edge.build.onnx_dims import fixed
from geopixel_edge.build.onnx_reader import EngineWeights
from geopixel_edge.build.portable import PortableGraph
from geopixel_edge.build.tensorrt_block import Outcome, Request
from geopixel_edge.build.tensorrt_child import run
from geopixel_edge.build.tensorrt_profiles import fixed_dims, profiles_of
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.manifest import BlockSpec, TensorSpec
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import ExportError
from geopixel_edge.memory.plan import Dims

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="TensorRT-RTX has wheels for Linux on x86-64"
)
DIMS = Dims(capacity=1024, batch=8)


def built(
    model: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], sm: int = 86, **more: Any
) -> Outcome:
    request = Request(
        runtime="tensorrt-rtx",
        model=str(model),
        plan=str(model.with_suffix(".plan")),
        inputs=inputs,
        outputs=outputs,
        sm=sm,
        **more,
    )
    return run(request, model.stem, "TensorRT-RTX", lambda: None)


def built_decoder(model: Path, spec: BlockSpec) -> Outcome:
    more: dict[str, Any] = {
        "fixed": fixed_dims("language_model", DIMS),
        "profiles": profiles_of("language_model", DIMS),
    }
    return built(model, spec.inputs, spec.outputs, **more)


# --- The language model ----------------------------------------------------------------------------------------------


class Widened(EngineWeights):
    """The same weights as float32."""

    def matrix(self, name: str) -> Matrix:
        found = super().matrix(name)
        return Dense(found.widened()) if isinstance(found, Quantised) else found


def test_quantised_weights_are_not_widened(tmp_path: Path) -> None:
    engine, sizes = Engine(BUNDLED), {}
    source = engine.path(engine.manifest.blocks["language_model"].files[0])
    for kind, precision in ((EngineWeights, "int8-widened"), (Widened, "fp32")):
        place = tmp_path / precision
        place.mkdir()
        weights = kind(source)
        writer = PortableGraph(
            place / "language_model.onnx", sizes_of(engine.manifest, weights.epsilon), PRECISIONS[precision], weights
        )
        writer.write()
        spec = engine.manifest.blocks["language_model"]
        graph = writer.graph
        more: dict[str, Any] = {
            "fixed": fixed_dims("language_model", DIMS),
            "profiles": profiles_of("language_model", DIMS),
        }
        built(graph.path, tuple(graph.inputs), tuple(graph.outputs), **more)
        sizes[precision] = (graph.path.with_suffix(".plan").stat().st_size, graph.data_path.stat().st_size)
        assert spec.precision.widened
    (plan8, data8), (plan32, data32) = sizes["int8-widened"], sizes["fp32"]
    assert data32 > 2.5 * data8
    assert plan32 - plan8 > 0.8 * (data32 - data8)


def test_the_form_of_older_parsers_holds_what_they_know(tmp_path: Path) -> None:
    engine = Engine(BUNDLED)
    spec = write_block(engine, "language_model", tmp_path, ComposedGraph, "portable", lambda *told: None)
    model = onnx.load(str(tmp_path / "language_model.onnx"), load_external_data=False)
    assert [opset.version for opset in model.opset_import] == [20]
    onnx.checker.check_model(str(tmp_path / "language_model.onnx"))
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"Attention", "TensorScatter", "RotaryEmbedding", "RMSNormalization", "ScatterND", "If"}
    outcome = built_decoder(tmp_path / "language_model.onnx", spec)
    assert "KV_CACHE_UPDATE" not in outcome.layers
    assert outcome.layers["SOFTMAX"] == engine.manifest.sizes.layers


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("ready", "does not parse language_model.onnx: GroupQueryAttention "),
        ("unfixed", "does not parse language_model.onnx: TensorScatter "),
    ],
)
def test_what_it_takes_of_no_decoder(form: str, told: str, tmp_path: Path) -> None:
    """ONNX Runtime's own operators, and a cache whose length is a symbol."""
    engine = Engine(BUNDLED)
    spec = engine.manifest.blocks["language_model"]
    path = engine.path(spec.files[0])
    if form == "unfixed":
        spec = write_block(engine, "language_model", tmp_path, PortableGraph, "portable", lambda *told: None)
        path = tmp_path / spec.files[0].path
    with pytest.raises(ExportError, match=told):
        built(path, spec.inputs, spec.outputs, profiles=profiles_of("language_model", DIMS))


def test_symbols_become_numbers(tmp_path: Path) -> None:
    write_block(Engine(BUNDLED), "language_model", tmp_path, PortableGraph, "portable", lambda *told: None)
    path = tmp_path / "language_model.onnx"
    before = onnx.load(str(path), load_external_data=False)
    after = onnx.load_from_string(fixed(path.read_bytes(), {"capacity": 640}))
    assert after.graph.node == before.graph.node
    halved = onnx.load_from_string(fixed(path.read_bytes(), {}, ("inputs_embeds",)))
    kinds = {one.name: one.type.tensor_type.elem_type for one in halved.graph.input}
    assert kinds.pop("inputs_embeds") == TensorProto.FLOAT16
    assert kinds == {
        one.name: one.type.tensor_type.elem_type for one in before.graph.input if one.name != "inputs_embeds"
    }
    for one, other in zip(
        [*before.graph.input, *before.graph.output], [*after.graph.input, *after.graph.output], strict=True
    ):
        sides = [
            640 if side.dim_param == "capacity" else side.dim_param or side.dim_value
            for side in one.type.tensor_type.shape.dim
        ]
        assert [side.dim_param or side.dim_value for side in other.type.tensor_type.shape.dim] == sides
        assert one.type.tensor_type.elem_type == other.type.tensor_type.elem_type


# --- Single operators ------------------------------------------------------------------------------------------------


def attention(*inputs: str, outputs: tuple[str, ...] = ("y",), **attributes: Any) -> onnx.ModelProto:
    """An `Attention` of 2 heads over 8 positions; `inputs` beyond q, k, v are declared as they are named."""
    shapes = {
        "q": (1, 2, 4, 16),
        "k": (1, 2, 8, 16),
        "v": (1, 2, 8, 16),
        "past_k": (1, 2, 4, 16),
        "past_v": (1, 2, 4, 16),
    }
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, shapes[name])
        for name in ("q", "k", "v", *inputs)
        if name in shapes
    ]
    if "lengths" in inputs:
        values.append(helper.make_tensor_value_info("lengths", TensorProto.INT64, (1,)))
    node = helper.make_node("Attention", ["q", "k", "v", *inputs], list(outputs), **attributes)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in outputs]
    return model_of([node], values, ends)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "one", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=12)


def refused(model: onnx.ModelProto, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match=told):
        built(path, (), ())


def test_attention_that_keeps_its_own_cache_is_refused(tmp_path: Path) -> None:
    model = attention("", "past_k", "past_v", outputs=("y", "present_k", "present_v"))
    refused(model, "Attention", tmp_path)


def test_lengths_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    """TensorRT drops them with a warning, and attends to what lies behind them."""
    refused(attention("", "", "", "lengths"), r"would drop the inputs \['lengths'\]", tmp_path)


def fp8_product() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, (4, 32)) for name in "xy")
    scale = numpy_helper.from_array(np.array(0.5, np.float16), "scale")
    zero = helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, (), b"\0", raw=True)
    weight = helper.make_tensor("w", TensorProto.FLOAT8E4M3FN, (32, 32), bytes([0x38]) * 1024, raw=True)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale"], ["x16"]),
        helper.make_node("DequantizeLinear", ["w", "scale"], ["w16"]),
        helper.make_node("MatMul", ["x16", "w16"], ["y"]),
    ]
    return model_of(nodes, [x], [y], [scale, zero, weight])


def test_fp8_is_for_newer_gpus(tmp_path: Path) -> None:
    ends = tuple(TensorSpec(name=name, dtype="float16", shape=(4, 32)) for name in "xy")
    path = tmp_path / "model.onnx"
    path.write_bytes(fp8_product().SerializeToString())
    with pytest.raises(ExportError, match=r"builds no plan.*fp8"):
        built(path, ends[:1], ends[1:], 86)
    assert built(path, ends[:1], ends[1:], 89).layers["MATRIX_MULTIPLY"] == 1


def test_an_operator_it_does_not_know_is_refused(tmp_path: Path) -> None:
    """One that only a plugin could be ends the parsing; a plugin that is parsed is refused by `_check`."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (4,)) for name in "xy")
    model = model_of([helper.make_node("Strange", ["x"], ["y"], domain="")], [x], [y])
    refused(model, r"does not parse model.onnx: Strange ", tmp_path)
