"""Attention of a traced block in both forms: one operator or many, the same numbers, and nothing else is touched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from geopixel_edge.arrays import F32
from geopixel_edge.build.products import write_products
from geopixel_edge.engine.manifest import Form
from geopixel_edge.engine.precision import PRECISIONS

HEADS, SIZE, TILE, KEYS = 3, 8, 5, 7
INT8 = PRECISIONS["int8"]


def block(path: Path, **changed: Any) -> Path:
    """Queries of a picture (n, 5, 5, 24), keys and values of rows (n, 7, 24), as torch's exporter writes it."""
    how = {"scale": 0.6, "axis": -1, "order": [0, 2, 1, 3], "also": False, "heads_of_values": HEADS, **changed}
    node, width = helper.make_node, HEADS * SIZE
    shapes = {
        "queries": [-1, TILE * TILE, HEADS, SIZE],
        "rows": [-1, KEYS, HEADS, SIZE],
        "values": [-1, KEYS, how["heads_of_values"], width // how["heads_of_values"]],
        "picture": [-1, TILE, TILE, width],
        "flat": [-1],
    }
    constants = [numpy_helper.from_array(np.array(shape, np.int64), name) for name, shape in shapes.items()]
    constants += [numpy_helper.from_array(np.float32(how["scale"]), "scale")]
    constants += [numpy_helper.from_array(np.array([at], np.int64), f"at{at}") for at in range(5)]
    nodes = [
        node("Reshape", ["q", "queries"], ["q4"]),
        node("Transpose", ["q4"], ["qh"], perm=how["order"]),
        node("Reshape", ["k", "rows"], ["k4"]),
        node("Transpose", ["k4"], ["kh"], perm=[0, 2, 1, 3]),
        node("Reshape", ["v", "values"], ["v4"]),
        node("Transpose", ["v4"], ["vh"], perm=[0, 2, 1, 3]),
        node("Shape", ["kh"], ["sides"]),
        node("Slice", ["sides", "at0", "at2"], ["outer"]),
        node("Slice", ["sides", "at2", "at3"], ["length"]),
        node("Slice", ["sides", "at3", "at4"], ["size"]),
        node("Concat", ["flat", "length", "size"], ["three"], axis=0),
        node("Reshape", ["kh", "three"], ["k3"]),
        node("Transpose", ["k3"], ["kt"], perm=[0, 2, 1]),
        node("Concat", ["outer", "size", "length"], ["four"], axis=0),
        node("Reshape", ["kt", "four"], ["keys"]),
        node("Mul", ["qh", "scale"], ["qs"]),
        node("Mul", ["keys", "scale"], ["ks"]),
        node("MatMul", ["qs", "ks"], ["scores"]),
        node("Softmax", ["scores"], ["weights"], axis=how["axis"]),
        node("MatMul", ["weights", "vh"], ["mixed"]),
        node("Transpose", ["mixed"], ["joined"], perm=[0, 2, 1, 3]),
        node("Reshape", ["joined", "picture"], ["out"]),
    ]
    if how["also"]:
        nodes += [node("ReduceSum", ["scores"], ["sum"]), node("Identity", ["weights"], ["seen"])]
    kind, names = onnx.TensorProto.FLOAT, ["out", *(["sum", "seen"] if how["also"] else [])]
    ends = [helper.make_tensor_value_info("q", kind, ["n", TILE, TILE, width])]
    ends += [helper.make_tensor_value_info(name, kind, ["n", KEYS, width]) for name in "kv"]
    results = [helper.make_tensor_value_info(name, kind, [f"{name}_{axis}" for axis in "abcd"]) for name in names]
    graph = helper.make_graph(nodes, "block", ends, results, constants)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    return path


def outputs(path: Path, count: int = 2) -> list[F32]:
    random = np.random.default_rng(0)
    feeds = {"q": random.standard_normal((count, TILE, TILE, HEADS * SIZE), np.float32)}
    feeds |= {name: random.standard_normal((count, KEYS, HEADS * SIZE), np.float32) for name in "kv"}
    found: list[F32] = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)
    return found


def kinds(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def written(source: Path, folder: Path, form: Form) -> Path:
    folder.mkdir()
    write_products(source, folder / source.name, form, INT8)
    return folder / source.name


@pytest.mark.parametrize("count", [1, 3])
def test_it_becomes_one_operator_and_many_again(tmp_path: Path, count: int) -> None:
    traced = block(tmp_path / "traced" / "block.onnx")
    ready = written(traced, tmp_path / "ready", "ready")
    portable = written(ready, tmp_path / "portable", "portable")
    assert kinds(ready) == {"Reshape": 4, "MultiHeadAttention": 1}
    assert kinds(portable) == {"Reshape": 4, "Transpose": 4, "Mul": 1, "MatMul": 2, "Softmax": 1}
    onnx.checker.check_model(str(portable), full_check=True)
    (expected,) = outputs(traced, count)
    for path in (ready, portable):
        (found,) = outputs(path, count)
        assert found.shape == expected.shape == (count, TILE, TILE, HEADS * SIZE)
        assert np.abs(found - expected).max() < 2e-6
    again = written(written(portable, tmp_path / "again", "ready"), tmp_path / "back", "portable")
    for name in ("block.onnx", "block.onnx.data"):
        assert (again.parent.parent / "again" / name).read_bytes() == (ready.parent / name).read_bytes()
        assert (again.parent / name).read_bytes() == (portable.parent / name).read_bytes()


@pytest.mark.parametrize(
    "changed", [{"axis": 1}, {"order": [0, 2, 3, 1]}, {"heads_of_values": 2 * HEADS}], ids=["axis", "order", "heads"]
)
def test_what_is_something_else_stays(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Those that ONNX Runtime could not even run are compared by their operators."""
    traced = block(tmp_path / "traced" / "block.onnx", **changed)
    ready = written(traced, tmp_path / "ready", "ready")
    assert kinds(ready) == kinds(traced)


def test_what_others_read_of_it_is_still_made(tmp_path: Path) -> None:
    traced = block(tmp_path / "traced" / "block.onnx", also=True)
    ready = written(traced, tmp_path / "ready", "ready")
    assert kinds(ready)["Softmax"] == 1
    for one, other in zip(outputs(ready), outputs(traced), strict=True):
        assert np.array_equal(one, other)
