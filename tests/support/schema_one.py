"""Engines as versions before 0.2 wrote them: a manifest of schema 1, and a language model of one sequence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import onnx
from onnx import helper, numpy_helper

from geopixel_edge.engine import CHECKSUM_NAME, MANIFEST_NAME
from geopixel_edge.engine.digests import describe_file, sha256_of
from geopixel_edge.engine.directory import read_manifest

from .engines import linked, put

CONVERTED = Path(__file__).parents[1] / "data" / "schema-1" / "tokenizer.json"


def one_sequence(data: bytes) -> bytes:
    """A language model's graph as it was: no batch axis, logits of the last row, hidden states of all rows."""
    model = onnx.load_from_string(data)
    graph = model.graph
    for value in (*graph.input, *graph.output):
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param == "B":
                side.dim_value = 1
    inputs = {value.name: value for value in graph.input}
    graph.input.remove(inputs["output_rows"])
    hidden, logits = graph.output[1], graph.output[0]
    assert (hidden.name, logits.name) == ("hidden", "logits")
    width = hidden.type.tensor_type.shape.dim[1].dim_value
    for node in graph.node:
        node.output[:] = [f"{name}_rows" if name in ("hidden", "logits") else name for name in node.output]
    constants = {"zero": 0, "one": 1, "axes": [0], "last": [-1], "end": [2**62]}
    graph.initializer.extend(numpy_helper.from_array(_int64(value), f"old_{name}") for name, value in constants.items())
    before = [
        helper.make_node("Shape", ["position_ids"], ["old_shape"], start=1, end=2),
        helper.make_node("Squeeze", ["old_shape", "old_axes"], ["old_count"]),
        helper.make_node("Range", ["old_zero", "old_count", "old_one"], ["output_rows"]),
    ]
    for place, node in enumerate(before):
        graph.node.insert(place, node)
    graph.node.extend(
        [
            helper.make_node("Unsqueeze", ["hidden_rows", "old_axes"], ["hidden"]),
            helper.make_node("Slice", ["logits_rows", "old_last", "old_end", "old_axes"], ["logits"]),
        ]
    )
    hidden.CopyFrom(helper.make_tensor_value_info("hidden", onnx.TensorProto.FLOAT, [1, "S", width]))
    logits.type.tensor_type.shape.dim[0].dim_value = 1
    return model.SerializeToString()


def _int64(value: object) -> Any:
    import numpy as np

    return np.array(value, np.int64)


def as_schema_one(source: Path, parent: Path, precision: str = "fp32") -> Path:
    """`parent/engine`: the engine in `source` as it would have been written before."""
    root = linked(source, parent)
    put(root, "language_model.onnx", one_sequence((root / "language_model.onnx").read_bytes()))
    put(root, CONVERTED.name, CONVERTED.read_bytes())
    new = read_manifest(root)
    graph = onnx.load(str(root / "language_model.onnx"), load_external_data=False).graph
    old: dict[str, Any] = msgspec.to_builtins(new)
    (root / new.tokenizer.path).unlink()
    old.update(schema_version=1, precision=precision, tokenizer=_file(root, CONVERTED.name))
    del old["tokens"]["added"], old["form"]
    old.pop("pixel_percentiles", None), old.pop("scene_window_px", None)
    for name, block in old["blocks"].items():
        for field in ("footprint", "dims", "options"):
            block.pop(field, None)
        block["precision"] = precision
        block["files"] = [_file(root, file["path"]) for file in block["files"]]
        if name == "language_model":
            block["inputs"], block["outputs"] = ([_tensor(one) for one in side] for side in (graph.input, graph.output))
    for spec in (old["embeddings"]["file"], *old["golden"]):
        spec.pop("chunks", None)
    for name in (MANIFEST_NAME, CHECKSUM_NAME):
        (root / name).unlink()
    (root / MANIFEST_NAME).write_text(json.dumps(old, indent=1))
    (root / CHECKSUM_NAME).write_text(f"{sha256_of(root / MANIFEST_NAME)}  {MANIFEST_NAME}\n")
    return root


def _file(root: Path, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = msgspec.to_builtins(describe_file(root, name))
    del spec["chunks"]
    return spec


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [side.dim_value if side.HasField("dim_value") else side.dim_param for side in tensor.shape.dim]
    return {"name": value.name, "dtype": helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, "shape": shape}
