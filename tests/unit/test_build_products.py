"""A traced block's int8 products in both forms: the same numbers, the same outputs, and only products changed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from export.int8 import quantise_file
from geopixel_edge.arrays import F32
from geopixel_edge.build.products import has_form, write_products
from geopixel_edge.engine.manifest import Form
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import EngineMismatchError

CHANNELS, WIDTH = 12, 100


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    """A convolution, a product of a width that fills no block, one whose weight two products read, and a Gemm."""
    random = np.random.default_rng(0)
    shapes = {"conv": (CHANNELS, 24, 3, 3), "wide": (CHANNELS, 200), "shared": (200, 200), "last": (200, WIDTH)}
    weights = [numpy_helper.from_array(random.standard_normal(s, np.float32), n) for n, s in shapes.items()]
    weights.append(numpy_helper.from_array(np.array([0, 12, -1]), "shape"))
    nodes = [
        helper.make_node("Conv", ["picture", "conv"], ["seen"]),
        helper.make_node("Reshape", ["seen", "shape"], ["channels"]),
        helper.make_node("Transpose", ["channels"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "wide"], ["a"]),
        helper.make_node("MatMul", ["a", "shared"], ["b"]),
        helper.make_node("MatMul", ["b", "shared"], ["c"]),
        helper.make_node("Squeeze", ["c"], ["flat"]),
        helper.make_node("Gemm", ["flat", "last"], ["out"]),
    ]
    ends = [
        helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, [1, 24, "h", "w"]),
        helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", WIDTH]),
    ]
    graph = helper.make_graph(nodes, "block", ends[:1], ends[1:], weights)
    path = tmp_path / "traced" / "block.onnx"
    path.parent.mkdir()
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    quantise_file(path)
    return path


def outputs(path: Path, precision: str) -> F32:
    settings = ort.SessionOptions()
    for name, value in PRECISIONS[precision].ort_options.items():
        settings.add_session_config_entry(name, value)
    session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(1).standard_normal((1, 24, 9, 11), np.float32)
    found: list[F32] = session.run(["out"], {"picture": picture})
    return found[0]


def initializers(path: Path) -> dict[str, np.ndarray]:
    return {one.name: numpy_helper.to_array(one, str(path.parent)) for one in onnx.load(str(path)).graph.initializer}


def test_only_products_become_the_runtimes_own(traced: Path, tmp_path: Path) -> None:
    ready = tmp_path / "block.onnx"
    write_products(traced, ready, "ready", PRECISIONS["int8"])
    before, after = (Counter(node.op_type for node in onnx.load(str(one)).graph.node) for one in (traced, ready))
    assert after - before == {"MatMulNBits": 1}
    assert before - after == {"MatMul": 1, "DequantizeLinear": 1}  # the shared weight, Conv and Gemm stay as they were


def test_both_forms_give_the_same(traced: Path, tmp_path: Path) -> None:
    expected = outputs(traced, "int8-widened")
    scale = np.abs(expected).max()
    for name, least, most in (("int8-exact", 0.0, 1e-6), ("int8", 1e-4, 2e-2)):
        write_products(traced, tmp_path / "block.onnx", "ready", PRECISIONS[name])
        assert least <= np.abs(outputs(tmp_path / "block.onnx", name) - expected).max() / scale <= most, name


def test_there_and_back_keeps_every_number(traced: Path, tmp_path: Path) -> None:
    ready, back, again = (tmp_path / name / "block.onnx" for name in ("ready", "back", "again"))
    steps: tuple[tuple[Path, Path, Form], ...] = (
        (traced, ready, "ready"),
        (ready, back, "portable"),
        (back, again, "ready"),
    )
    for source, target, form in steps:
        target.parent.mkdir()
        write_products(source, target, form, PRECISIONS["int8"])
    onnx.checker.check_model(str(back))
    before, after = initializers(traced), initializers(back)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    for name in ("block.onnx", "block.onnx.data"):
        assert (ready.parent / name).read_bytes() == (again.parent / name).read_bytes()


def test_a_file_of_another_kind_is_refused(traced: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(EngineMismatchError, match="is no ONNX file"):
        write_products(tmp_path / "text.onnx", tmp_path / "block.onnx", "ready", PRECISIONS["int8"])
    data = traced.with_name("block.onnx.data")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(EngineMismatchError, match="does not hold"):
        write_products(traced, tmp_path / "block.onnx", "ready", PRECISIONS["int8"])


def test_widened_weights_have_no_forms() -> None:
    assert {name for name in ("fp32", "fp16", "int8", "int8-exact", "int8-widened") if has_form(PRECISIONS[name])} == {
        "int8",
        "int8-exact",
    }
