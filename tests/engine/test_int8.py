"""int8 weights: as near as a scale per channel allows, a quarter of the bytes, widened when the engine is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from export.int8 import quantise, quantise_file
from export.publish import export_engine
from geopixel_edge import Pipeline
from geopixel_edge.engine.golden import verify

from ..conftest import CHECKPOINT

WEIGHTS = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(WEIGHTS, st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_every_weight_is_within_half_a_step(weight: np.ndarray, axis: int) -> None:
    numbers, scale = quantise(weight, axis)
    assert numbers.dtype == np.int8
    assert np.abs(numbers.astype(int)).max() <= 127
    shape = [-1 if index == axis else 1 for index in range(3)]
    steps = scale.reshape(shape)
    assert (np.abs(numbers * steps - weight) <= steps * 0.5001 + 1e-30).all()


def test_a_channel_of_zeros_stays_zero() -> None:
    numbers, scale = quantise(np.zeros((3, 2), np.float32), 0)
    assert not numbers.any()
    assert scale.tolist() == [1, 1, 1]


def graph_with(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], inputs: dict[str, tuple[int, ...]], outputs: list[str]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_products_and_convolutions_are_quantised_along_their_output_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # Channels of very different size: a wrong axis would lose the small ones.
    sizes = np.logspace(-4, 2, 48, dtype=np.float32)
    weights = {
        "a": rng.standard_normal((48, 48), np.float32) * sizes,  # MatMul: outputs along axis 1
        "b": rng.standard_normal((48, 48), np.float32) * sizes[:, None],  # Gemm with transB: along axis 0
        "c": rng.standard_normal((48, 8, 3, 3), np.float32) * sizes[:, None, None, None],
        "d": rng.standard_normal((8, 48, 3, 3), np.float32) * sizes[:, None, None],
        "e": rng.standard_normal((48, 48), np.float32) * sizes[:, None],  # transposed before its product
        "small": rng.standard_normal((4, 4), np.float32),
        "shared": rng.standard_normal((48, 48), np.float32),  # along two axes: left alone
    }
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["ya"]),
        helper.make_node("Gemm", ["x", "b"], ["yb"], transB=1),
        helper.make_node("Conv", ["i", "c"], ["yc"]),
        helper.make_node("ConvTranspose", ["i", "d"], ["yd"]),
        helper.make_node("Transpose", ["e"], ["et"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "et"], ["ye"]),
        helper.make_node("MatMul", ["x", "shared"], ["yf"]),
        helper.make_node("Gemm", ["x", "shared"], ["yg"], transB=1),
    ]
    inputs = {"x": (5, 48), "i": (1, 8, 6, 6)}
    outputs = ["ya", "yb", "yc", "yd", "ye", "yf", "yg"]
    plain, path = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    model = graph_with(nodes, weights, inputs, outputs)
    onnx.save(model, str(plain))
    onnx.save(model, str(path))
    quantise_file(path)
    kept = {tensor.name: tensor.data_type for tensor in onnx.load(str(path)).graph.initializer}
    assert {name for name, kind in kept.items() if kind == TensorProto.INT8} == {f"{name}.int8" for name in "abcde"}
    assert {"small", "shared"} <= set(kept)
    feeds = {name: rng.standard_normal(shape, np.float32) for name, shape in inputs.items()}
    exact, found = (ort.InferenceSession(str(file)).run(None, feeds) for file in (plain, path))
    for name, wanted, got in zip(outputs, exact, found, strict=True):
        channels = 0 if name in ("yc", "yd") else -1
        wanted, got = (
            np.moveaxis(value[0] if value.ndim == 4 else value, channels, 0).reshape(48, -1) for value in (wanted, got)
        )
        assert (np.abs(got - wanted).max(1) <= 0.06 * np.abs(wanted).max(1)).all(), name


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("int8") / "engine"
    export_engine(CHECKPOINT, target, "int8")
    return target


def test_the_reference_checkpoint_exports_and_gives_its_golden_values(engine: Path) -> None:
    pipeline = Pipeline(engine, device="cpu")
    assert "int8" in pipeline.engine.manifest.provenance.quantisation
    checks = {check.quantity: check for check in verify(pipeline.model)}
    assert all(check.passed for check in checks.values())
    assert 1e-4 < checks["logits"].distance < 5e-2  # near, and not float32


def test_nothing_large_stays_float32_but_position_tables(engine: Path) -> None:
    for path in sorted(engine.glob("*.onnx")):
        large = {
            tensor.name
            for tensor in onnx.load(str(path), load_external_data=False).graph.initializer
            if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) > 20_000
        }
        assert all("position" in name or name in ("cos", "sin") for name in large)


def test_weights_are_widened_at_load(engine: Path, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(str(engine / "language_model.onnx"), options)
    optimised = onnx.load(str(tmp_path / "optimised.onnx"), load_external_data=False)
    kinds = {node.op_type for node in optimised.graph.node}
    assert "DequantizeLinear" not in kinds
