"""A block of ONNX Runtime's of which a part is loaded, or whose cache is of float16; the file stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from ..engine.manifest import BlockSpec
from ..engine.names import PAST, PRESENT
from ..errors import EngineMismatchError
from . import Device
from .cut import Cut
from .onnx import OnnxRunner, Providers
from .onnx_edit import Field, decode, encode
from .onnx_fields import (
    ATTRIBUTE_INT,
    ATTRIBUTE_NAME,
    ATTRIBUTE_TYPE,
    BYTES,
    ELEMENTS,
    GRAPH_INITIALIZER,
    GRAPH_INPUT,
    GRAPH_NODE,
    GRAPH_OUTPUT,
    GRAPH_VALUE,
    INT_ATTRIBUTE,
    MODEL_GRAPH,
    NODE_ATTRIBUTE,
    NODE_INPUT,
    NODE_KIND,
    NODE_OUTPUT,
    TENSOR_NAME,
    TYPE_ELEMENT,
    TYPE_TENSOR,
    VALUE_NAME,
    VALUE_TYPE,
    VARINT,
    name_of,
    parts_of,
    weight_bytes,
)

_ATTENTION = b"GroupQueryAttention"
_SCATTER, _RESHAPED = b"ScatterND", (b"Unsqueeze", b"Cast", b"Identity")
# Inputs of the attention operator that have its cache's dtype: q, k, v or all in one, and the rotary tables.
_OF_CACHE_DTYPE = (0, 1, 2, 7, 8)


class CutRunner(OnnxRunner):
    """As OnnxRunner, of a file that is cut in memory as it is opened."""

    def __init__(self, path: Path, spec: BlockSpec, block: str, device: Device, threads: int | None, cut: Cut) -> None:
        self._cut = cut
        super().__init__(path, cut.spec(spec), block, device, threads)

    def _open(self, path: Path, options: ort.SessionOptions, chosen: Providers) -> ort.InferenceSession:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        return super()._open(path, options, chosen)

    def _model(self, path: Path) -> str | bytes:
        try:
            return cut_model(path.read_bytes(), self._cut)
        except (ValueError, StopIteration, IndexError) as error:
            raise EngineMismatchError(
                f"block {self.block!r} is no ONNX file ({error}); export the engine again"
            ) from None


@dataclass
class _Node:
    """One operator; an empty name stands for an input or output that is left out."""

    kind: bytes
    inputs: list[str]
    outputs: list[str]
    rest: list[Field]

    @classmethod
    def of(cls, message: bytes) -> _Node:
        fields = decode(message)
        rest = [one for one in fields if one[0] not in (NODE_INPUT, NODE_OUTPUT)]
        inputs, outputs = ([name.decode() for name in parts_of(fields, number)] for number in (NODE_INPUT, NODE_OUTPUT))
        return cls(next(parts_of(fields, NODE_KIND)), inputs, outputs, rest)

    def message(self) -> bytes:
        inputs = [(NODE_INPUT, name.encode(), BYTES) for name in self.inputs]
        outputs = [(NODE_OUTPUT, name.encode(), BYTES) for name in self.outputs]
        return encode([*inputs, *outputs, *self.rest])


def cut_model(model: bytes, cut: Cut) -> bytes:
    """The ONNX model as it is to be opened; ValueError when the bytes are no protobuf message."""
    return _in_graph(model, lambda graph: encode(_cut_graph(decode(graph), cut)))


def left_out_bytes(model: bytes, cut: Cut) -> int:
    """Bytes of the weights that the cut model does without."""
    whole, left = (
        sum(map(weight_bytes, parts_of(fields, GRAPH_INITIALIZER)))
        for graph in parts_of(decode(model), MODEL_GRAPH)
        for fields in (decode(graph), _cut_graph(decode(graph), cut))
    )
    return whole - left


def _in_graph(model: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return encode(
        (number, change(value) if number == MODEL_GRAPH and isinstance(value, bytes) else value, kind)
        for number, value, kind in decode(model)
    )


def _cut_graph(graph: list[Field], cut: Cut) -> list[Field]:
    nodes = [_Node.of(message) for message in parts_of(graph, GRAPH_NODE)]
    if cut.half_cache:
        nodes = [one for node in nodes for one in _halved(node)]
    _pass_by(nodes, set(cut.empty))
    outputs = [one for one in parts_of(graph, GRAPH_OUTPUT) if name_of(one, VALUE_NAME) not in cut.without]
    kept, wanted = _needed(nodes, {name_of(one, VALUE_NAME) for one in outputs})
    inputs = parts_of(graph, GRAPH_INPUT)
    if cut.half_cache:
        inputs, outputs = map(_half, inputs), [_half(one) for one in outputs]
    weights = (one for one in parts_of(graph, GRAPH_INITIALIZER) if name_of(one, TENSOR_NAME) in wanted)
    rebuilt = (
        (GRAPH_NODE, (node.message() for node in kept)),
        (GRAPH_INITIALIZER, weights),
        (GRAPH_INPUT, inputs),
        (GRAPH_OUTPUT, outputs),
    )
    fields = [one for one in graph if one[0] not in (*(number for number, _ in rebuilt), GRAPH_VALUE)]
    return [*fields, *((number, message, BYTES) for number, messages in rebuilt for message in messages)]


def _pass_by(nodes: Iterable[_Node], empty: set[str]) -> None:
    """Let what scatters no rows into a tensor be that tensor."""
    same: dict[str, str] = {}
    for node in nodes:
        node.inputs = [same.get(name, name) for name in node.inputs]
        if node.kind in _RESHAPED and node.inputs[0] in empty:
            empty.update(node.outputs)
        elif node.kind == _SCATTER and node.inputs[1] in empty:
            same[node.outputs[0]] = node.inputs[0]


def _needed(nodes: list[_Node], outputs: set[str]) -> tuple[list[_Node], set[str]]:
    """The nodes that outputs come of, in order, and every name that is read."""
    kept, wanted = [], set(outputs)
    for node in reversed(nodes):
        if wanted.intersection(node.outputs) - {""}:
            kept.append(node)
            wanted.update(node.inputs)
    return kept[::-1], wanted


def _halved(node: _Node) -> Iterable[_Node]:
    """Attention in float16, between casts."""
    if node.kind != _ATTENTION:
        return [node]
    before = []
    for place in _OF_CACHE_DTYPE:
        if place < len(node.inputs) and (name := node.inputs[place]):
            node.inputs[place] = half = f"{node.outputs[0]}.input_{place}.half"
            before.append(_cast(name, half, "float16"))
    wide, node.outputs[0] = node.outputs[0], f"{node.outputs[0]}.half"
    return [*before, node, _cast(node.outputs[0], wide, "float32")]


def _cast(source: str, target: str, dtype: str) -> _Node:
    to = encode(
        [
            (ATTRIBUTE_NAME, b"to", BYTES),
            (ATTRIBUTE_INT, ELEMENTS[dtype], VARINT),
            (ATTRIBUTE_TYPE, INT_ATTRIBUTE, VARINT),
        ]
    )
    return _Node(b"Cast", [source], [target], [(NODE_KIND, b"Cast", BYTES), (NODE_ATTRIBUTE, to, BYTES)])


def _half(value: bytes) -> bytes:
    """The declaration of a tensor, float16 where it is the cache's."""
    if not name_of(value, VALUE_NAME).startswith((PAST, PRESENT)):
        return value
    return _changed(value, (VALUE_TYPE, TYPE_TENSOR), TYPE_ELEMENT, ELEMENTS["float16"])


def _changed(message: bytes, path: tuple[int, ...], last: int, new: int) -> bytes:
    """The message with another number in field `last` of what lies at `path`."""
    return encode(
        (
            number,
            _changed(value, path[1:], last, new)
            if path and number == path[0] and isinstance(value, bytes)
            else (new if not path and number == last else value),
            kind,
        )
        for number, value, kind in decode(message)
    )
