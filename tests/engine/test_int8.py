"""int8 weights: as near as a scale per channel allows, a quarter of the bytes; what ONNX Runtime makes of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from export.checkpoint import Checkpoint
from export.golden import reference_values
from export.int8 import MIN_NUMBERS, quantise, quantise_file
from export.precision import parse_precision
from export.publish import export_engine
from export.rounded import RoundedCheckpoint
from geopixel_edge import Pipeline
from geopixel_edge.arrays import F32
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.golden import compare, verify
from geopixel_edge.engine.manifest import BLOCKS
from geopixel_edge.engine.precision import EXACT, QUANTISED, WIDENED
from geopixel_edge.model import Model

from ..conftest import CHECKPOINT
from ..support.engines import linked, sign

NOISE = 2e-5  # float32's; measured: 3e-6
ENCODED = ("image_tokens", "image_embed", "high_res1")  # `high_res0` lies before the first large product
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
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine at `int8`: the weights of products stay int8 in memory."""
    target = tmp_path_factory.mktemp("int8") / "engine"
    export_engine(CHECKPOINT, target, "int8", form="portable")
    return target


@pytest.fixture(scope="module")
def widened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine at `int8-widened`: all weights become float32 when they are loaded."""
    target = tmp_path_factory.mktemp("widened") / "engine"
    export_engine(CHECKPOINT, target, "int8-widened", form="portable")
    return target


@pytest.fixture(params=["kept", pytest.param("widened", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest) -> Path:
    root: Path = request.getfixturevalue(request.param)
    return root


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


def optimised(root: Path, folder: Path) -> onnx.GraphProto:
    """The language model as ONNX Runtime holds it with the settings of the engine's manifest."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    for name, value in read_manifest(root).blocks["language_model"].session_options.items():
        options.add_session_config_entry(name, value)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(str(root / "language_model.onnx"), options)
    return onnx.load(str(folder / "optimised.onnx"), load_external_data=False).graph


def large_floats(graph: onnx.GraphProto) -> set[str]:
    """Names of the float32 tensors that could be weights; scales are not."""
    return {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) >= MIN_NUMBERS
    } - {tensor.name for tensor in graph.initializer if ".scale" in tensor.name}


def matrices(root: Path) -> int:
    """How many int8 weights the language model's file holds."""
    graph = onnx.load(str(root / "language_model.onnx"), load_external_data=False).graph
    return sum(tensor.data_type == TensorProto.INT8 for tensor in graph.initializer)


@pytest.mark.long
def test_weights_are_widened_at_load(widened: Path, tmp_path: Path) -> None:
    assert [dict(block.session_options) for block in read_manifest(widened).blocks.values()] == [WIDENED] * len(BLOCKS)
    graph = optimised(widened, tmp_path)
    assert not {"DequantizeLinear", "MatMulNBits"} & {node.op_type for node in graph.node}
    assert len(large_floats(graph) - {"cos", "sin"}) > 0.8 * matrices(widened)  # the smallest are not `large`


def test_weights_stay_int8_in_memory(kept: Path, tmp_path: Path) -> None:
    settings = {name: dict(block.session_options) for name, block in read_manifest(kept).blocks.items()}
    assert settings == {**dict.fromkeys(BLOCKS, QUANTISED), "pixel_decoder": WIDENED}
    graph = optimised(kept, tmp_path)
    products = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(products) == matrices(kept) > 40
    assert not {"DequantizeLinear", "MatMul", "Gemm"} & {node.op_type for node in graph.node}
    kinds = {(one.name, one.i) for node in products for one in node.attribute if one.name in ("bits", "accuracy_level")}
    assert kinds == {("bits", 8), ("accuracy_level", 4)}
    assert large_floats(graph) == {"cos", "sin"}


@pytest.fixture(scope="module")
def torchs(kept: Path) -> dict[str, F32]:
    """What torch gives on the golden question with the weights that an int8 engine stores."""
    return reference_values(
        RoundedCheckpoint(Checkpoint(CHECKPOINT), parse_precision("int8")), read_manifest(kept).tokens
    )[0]


@pytest.mark.long
def test_widened_weights_give_what_torch_gives_with_them(widened: Path, torchs: dict[str, F32]) -> None:
    assert max(compare(Model.open(widened, "cpu"), torchs).values()) < NOISE


def test_rounded_activations_are_all_that_int8_adds(kept: Path, torchs: dict[str, F32], tmp_path: Path) -> None:
    found = compare(Model.open(kept, "cpu"), torchs)
    assert found["views"] < NOISE
    assert all(1e-4 < found[name] < 5e-2 for name in (*ENCODED, "logits"))
    exact = linked(kept, tmp_path)

    def round_nothing(manifest: dict[str, Any]) -> None:
        for block in set(BLOCKS) - {"pixel_decoder"}:
            manifest["blocks"][block]["precision"].update(ort_options=EXACT)

    sign(exact, round_nothing)
    assert max(compare(Model.open(exact, "cpu"), torchs).values()) < NOISE
