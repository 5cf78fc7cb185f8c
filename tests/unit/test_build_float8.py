"""Products in float8: every number by the nearest of E4M3, one scale a weight and one for rows, and what stays."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from geopixel_edge.arrays import F32, Array
from geopixel_edge.build.float8 import LARGEST, ROOM, loudest_in, scale_for, to_float8, write_float8, write_probe
from geopixel_edge.errors import ExportError

WIDTH = 64


def block(path: Path) -> Path:
    """Two products of the same rows, one after them, the head, partial LoRA, and one weight that an Add reads, too."""
    random = np.random.default_rng(0)
    names = ("a", "b", "c", "output.weight", "x.Plora_A.weight", "seen")
    weights = [numpy_helper.from_array(random.standard_normal((WIDTH, WIDTH), np.float32) / 8, name) for name in names]
    nodes = [helper.make_node("MatMul", ["rows", name], [f"{name}.out"]) for name in ("a", "b", "x.Plora_A.weight")]
    nodes += [
        helper.make_node("Sum", ["a.out", "b.out", "x.Plora_A.weight.out"], ["sum"]),
        helper.make_node("MatMul", ["sum", "c"], ["c.out"]),
        helper.make_node("MatMul", ["c.out", "seen"], ["seen.out"]),
        helper.make_node("Add", ["seen.out", "seen"], ["added"]),
        helper.make_node("MatMul", ["added", "output.weight"], ["out"]),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [WIDTH, WIDTH]) for name in ("rows", "out")]
    graph = helper.make_graph(nodes, "block", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path.parent.mkdir()
    onnx.save_model(model, str(path), save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)
    return path


def run(path: Path, rows: F32) -> F32:
    found: list[F32] = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"rows": rows})
    return found[0]


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    return block(tmp_path / "traced" / "block.onnx")


@pytest.fixture
def rows() -> F32:
    return np.random.default_rng(1).standard_normal((WIDTH, WIDTH), np.float32)


def probed(traced: Path, rows: Array, folder: Path) -> dict[str, float]:
    folder.mkdir()
    names = write_probe(traced, folder / "probe.onnx")
    return loudest_in(folder / "probe.onnx", traced, names, {"rows": rows})


def test_numbers_are_the_nearest_and_the_largest_is_kept() -> None:
    codes = np.array([code for code in range(256) if code & 127 != 127], np.uint8)
    exact = codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    assert np.array_equal(to_float8(exact * 4, 4.0).view(ml_dtypes.float8_e4m3fn).astype(np.float32), exact)
    assert to_float8(np.array([1e9, -1e9], np.float32), 1.0).view(ml_dtypes.float8_e4m3fn).tolist() == [448, -448]
    for loudest in (1e-4, 0.3, 448.0, 449.0, 7e4):
        scale = scale_for(loudest)
        assert math.log2(scale).is_integer()
        assert LARGEST / 2 < loudest / scale <= LARGEST
    assert scale_for(0.0) == 1.0
    assert scale_for(1e-9) == 2.0**-24  # and not 0 in float16
    assert np.float16(scale_for(1e-9)) > 0


def test_the_probe_sees_the_loudest_of_each_products_rows(traced: Path, rows: F32, tmp_path: Path) -> None:
    found = probed(traced, rows, tmp_path / "probe")
    assert found.keys() == {"rows", "sum", "c.out"}
    assert found["rows"] == np.abs(rows).max()
    weights = {
        one.name: numpy_helper.to_array(one, str(traced.parent)) for one in onnx.load(str(traced)).graph.initializer
    }
    total = rows @ (weights["a"] + weights["b"] + weights["x.Plora_A.weight"])
    assert found["sum"] == pytest.approx(np.abs(total).max(), rel=1e-5)


def test_products_are_float8_and_the_rest_stays(traced: Path, rows: F32, tmp_path: Path) -> None:
    target = tmp_path / "float8" / "block.onnx"
    target.parent.mkdir()
    write_float8(traced, target, probed(traced, rows, tmp_path / "probe"))
    onnx.checker.check_model(str(target), full_check=True)
    model = onnx.load(str(target))
    kinds = Counter(node.op_type for node in model.graph.node)
    # Rows are rounded once for both products that read them.
    assert (kinds["QuantizeLinear"], kinds["DequantizeLinear"], kinds["MatMul"]) == (3, 3 + 4, 6)
    stored = {one.name: one.data_type for one in model.graph.initializer}
    assert {name for name, kind in stored.items() if kind == onnx.TensorProto.FLOAT8E4M3FN} == {
        *(f"{name}.float8" for name in ("a", "b", "c", "seen")),
        "float8.zero",
    }
    assert {"output.weight", "x.Plora_A.weight", "seen"} <= stored.keys()
    assert stored.keys().isdisjoint({"a", "b", "c"})
    expected, found = run(traced, rows), run(target, rows)
    error = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    assert 0.01 < error < 0.08  # three bits: 2.6 % of rows and of weights, over three products in turn


def test_rows_four_times_as_loud_are_not_cut_and_louder_ones_are(traced: Path, rows: F32, tmp_path: Path) -> None:
    """What was measured lies within a factor of two of ROOM times itself."""
    target = tmp_path / "float8" / "block.onnx"
    target.parent.mkdir()
    write_float8(traced, target, probed(traced, rows, tmp_path / "probe"))

    def error(factor: float) -> float:
        expected, found = run(traced, factor * rows), run(target, factor * rows)
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    assert error(ROOM) < 0.08
    assert error(8 * ROOM) > 0.2


def test_rows_of_which_nothing_is_known_are_refused(traced: Path, tmp_path: Path) -> None:
    target = tmp_path / "float8" / "block.onnx"
    target.parent.mkdir()
    for loudest in ({}, {"rows": math.inf}):
        with pytest.raises(ExportError, match=r"rows rows of a product are (nan|inf) on the golden picture"):
            write_float8(traced, target, loudest)
