"""Products in float8 (E4M3), rows and weights, for GPUs that multiply it: compute capability 8.9 and newer.

A float8 number has three bits behind the point at every size from 2^-6 to 448, so that one scale, a power of two, does
for a weight, and one for the rows of a product, which are cut where they are more than ROOM times as loud as was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..errors import ExportError, RuntimeUnavailableError
from ..runtimes.onnx_once import run_once
from .onnx_writer import GraphWriter
from .traced import TracedGraph, TracedNode

LARGEST = 448.0
ROOM = 4.0
# Partial LoRA is small and the head's rounding would choose other tokens: they stay as they are.
_LEFT = ("Plora_", "output.weight")
_NARROWEST = 16
_LEAST_POWER = -24  # of two; float16 has no smaller number
_ZERO = "float8.zero"
_INPUT, _FLOAT = 11, 1  # of onnx.proto


def products(graph: TracedGraph) -> list[TracedNode]:
    """Matrix products of rows with a weight (inputs, outputs) of float16 or float32 that become float8's."""
    return [
        node
        for node in graph.nodes
        if node.kind == "MatMul"
        and node.inputs[1] in graph.names
        and not any(part in node.inputs[1] for part in _LEFT)
        and len(graph.shape(node.inputs[1])) == 2
        and min(graph.shape(node.inputs[1])) >= _NARROWEST
        and graph.value(node.inputs[1]).dtype in (np.float16, np.float32)
    ]


def scale_for(loudest: float) -> float:
    """The least power of two that float16 has by which numbers up to `loudest` have to be divided to be float8's."""
    return 2.0 ** max(_LEAST_POWER, math.ceil(math.log2(loudest / LARGEST))) if loudest > 0 else 1.0


def to_float8(values: Array, scale: float) -> Array:
    """Bytes of values / scale, each the nearest number of E4M3; RuntimeUnavailableError without ml_dtypes."""
    try:
        import ml_dtypes
    except ImportError:
        raise RuntimeUnavailableError("float8 needs ml_dtypes; run `pip install 'geopixel-edge[float8]'`") from None
    cut = np.clip(np.asarray(values, np.float32) / np.float32(scale), -LARGEST, LARGEST)
    return cut.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)


def write_probe(source: Path, target: Path) -> list[str]:
    """Write to `target` a graph that gives, of each product's rows in `source`, the largest number; their names.

    Its weights are those in the data file of `source`.
    """
    graph = TracedGraph(source)
    rows = list(dict.fromkeys(node.inputs[0] for node in products(graph)))
    with GraphWriter(target, graph.opset) as writer:
        for node in graph.nodes:
            writer.take(node.data)
        for name in graph.names:
            writer.take_constant(graph.tensor(name))
        writer.take_ends([end for end in graph.ends if end[0] == _INPUT])
        for name in rows:
            wide = writer.op("Cast", name, to=_FLOAT, name=f"{name}.wide")
            writer.op("ReduceMax", writer.op("Abs", wide, name=f"{name}.size"), name=_probed(name), keepdims=0)
            writer.output(_probed(name), "float32", ())
        writer.save(graph.name)
    return rows


def loudest_in(probe: Path, source: Path, rows: list[str], feeds: Mapping[str, Array]) -> dict[str, float]:
    """The largest number of each product's rows for these inputs of the block in `source`, by its probe."""
    found = run_once(probe.read_bytes(), source.parent, [_probed(name) for name in rows], feeds)
    return {name: float(value) for name, value in zip(rows, found, strict=True)}


def write_float8(source: Path, target: Path, loudest: Mapping[str, float]) -> None:
    """Write the block in `source` to `target` with its products in float8; `loudest` by the name of their rows.

    ExportError for rows that nothing was measured of, or that were not finite.
    """
    graph = TracedGraph(source)
    changed = {node.outputs[0]: node for node in products(graph)}
    weights, rounded = {node.inputs[1] for node in changed.values()}, set[str]()
    others = {name for node in graph.nodes if node.outputs[0] not in changed for name in node.inputs}
    with GraphWriter(target, graph.opset) as writer:
        writer.constant(_ZERO, np.zeros((), np.uint8), "float8")
        for node in graph.nodes:
            if node.outputs[0] not in changed:
                writer.take(node.data)
                continue
            rows, weight = node.inputs
            dtype = graph.value(weight).dtype
            if f"{rows}.float8" not in rounded:
                rounded.add(_rounded_rows(writer, rows, loudest.get(rows, math.nan), dtype))
            if f"{weight}.wide" not in rounded:
                rounded.add(_rounded_weight(writer, weight, graph.value(weight)))
            writer.op("MatMul", f"{rows}.wide", f"{weight}.wide", name=node.outputs[0])
        for name in sorted(graph.names - (weights - others)):
            graph.copy(name, writer)
        writer.take_ends(graph.ends)
        writer.save(graph.name)


def _rounded_rows(writer: GraphWriter, rows: str, loudest: float, dtype: np.dtype[np.generic]) -> str:
    if not math.isfinite(loudest):
        raise ExportError(f"the rows {rows} of a product are {loudest} on the golden picture; export the engine again")
    scale = writer.constant(f"{rows}.scale", np.array(scale_for(ROOM * loudest), dtype))
    name = writer.op("QuantizeLinear", rows, scale, _ZERO, name=f"{rows}.float8")
    writer.op("DequantizeLinear", name, scale, _ZERO, name=f"{rows}.wide")
    return name


def _rounded_weight(writer: GraphWriter, weight: str, values: Array) -> str:
    scale = scale_for(float(np.abs(values).max()))
    numbers = writer.weight(f"{weight}.float8", to_float8(values, scale), "float8", values.shape)
    place = writer.constant(f"{weight}.scale", np.array(scale, values.dtype))
    return writer.op("DequantizeLinear", numbers, place, _ZERO, name=f"{weight}.wide")


def _probed(name: str) -> str:
    return f"{name}.loudest"
