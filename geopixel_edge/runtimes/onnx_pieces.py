"""A large ONNX file cut into pieces that follow each other, so that one after the other fits in memory.

Like onnx_edit.py it understands a few fields of the format and passes on all others, and needs no `onnx`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Array
from .onnx_edit import Field, decode, encode

_VARINT, _BYTES = 0, 2
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL = 8, 9, 13
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TYPE_ELEMENT, _TYPE_SHAPE, _SHAPE_DIM, _DIM_VALUE = 1, 2, 1, 1, 2, 1, 1
_ELEMENTS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10}


@dataclass
class Piece:
    """Nodes that follow each other: what they read from before them, what others read of them, their weights."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    weights: list[str] = field(default_factory=list)
    weight_bytes: int = 0
    nodes: list[bytes] = field(default_factory=list)


class Pieces:
    """The pieces of a model, in order; each has at most `limit_bytes` of weights, or one node."""

    def __init__(self, model: bytes, limit_bytes: int) -> None:
        self._model = decode(model)
        self._graph = decode(next(_bytes(self._model, _MODEL_GRAPH)))
        self._weights = {_name(data, _TENSOR_NAME): data for data in _bytes(self._graph, _GRAPH_INITIALIZER)}
        self._inputs = {_name(data, _VALUE_NAME): data for data in _bytes(self._graph, _GRAPH_INPUT)}
        self._outputs = {_name(data, _VALUE_NAME): data for data in _bytes(self._graph, _GRAPH_OUTPUT)}
        self.pieces = self._cut(limit_bytes)
        self._name_borders()

    def _cut(self, limit_bytes: int) -> list[Piece]:
        pieces, seen = [Piece()], set[str]()
        for node in _bytes(self._graph, _GRAPH_NODE):
            names = {name for name in _names(node, _NODE_INPUT) if name in self._weights}
            more = sum(_size(self._weights[name]) for name in names - seen)
            if pieces[-1].nodes and pieces[-1].weight_bytes + more > limit_bytes:
                pieces.append(Piece())
                seen.clear()
                more = sum(_size(self._weights[name]) for name in names)
            pieces[-1].nodes.append(node)
            pieces[-1].weights += sorted(names - seen)
            pieces[-1].weight_bytes += more
            seen |= names
        return pieces

    def _name_borders(self) -> None:
        """From the last piece to the first: what of each is read later."""
        wanted = set(self._outputs)
        for piece in reversed(self.pieces):
            made = {name for node in piece.nodes for name in _names(node, _NODE_OUTPUT)}
            read = {name for node in piece.nodes for name in _names(node, _NODE_INPUT)}
            piece.outputs = tuple(sorted(made & wanted))
            piece.inputs = tuple(sorted(read - made - self._weights.keys()))
            wanted |= set(piece.inputs)

    def model(self, piece: Piece, given: Mapping[str, Array]) -> bytes:
        """An ONNX model of one piece, for inputs of the dtypes and shapes that `given` has."""
        fields: list[Field] = [one for one in self._graph if one[0] not in _REBUILT]
        fields += [(_GRAPH_NODE, node, _BYTES) for node in piece.nodes]
        fields += [(_GRAPH_INITIALIZER, self._weights[name], _BYTES) for name in piece.weights]
        fields += [(_GRAPH_INPUT, self._inputs.get(name) or _value(name, given[name]), _BYTES) for name in piece.inputs]
        fields += [
            (_GRAPH_OUTPUT, self._outputs.get(name) or encode([(_VALUE_NAME, name.encode(), _BYTES)]), _BYTES)
            for name in piece.outputs
        ]
        graph = encode(fields)
        return encode((number, graph if number == _MODEL_GRAPH else value, kind) for number, value, kind in self._model)


_REBUILT = (_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE)


def _bytes(fields: Iterable[Field], number: int) -> Iterator[bytes]:
    return (value for found, value, _ in fields if found == number and isinstance(value, bytes))


def _names(message: bytes, number: int) -> list[str]:
    """Names in a field that repeats; an empty one stands for what is left out."""
    return [value.decode() for value in _bytes(decode(message), number) if value]


def _name(message: bytes, number: int) -> str:
    return _names(message, number)[0]


def _size(tensor: bytes) -> int:
    """Bytes of a weight, wherever they lie."""
    fields = decode(tensor)
    for entry in _bytes(fields, _TENSOR_EXTERNAL):
        key, value = (part.decode() for _, part, _ in decode(entry) if isinstance(part, bytes))
        if key == "length":
            return int(value)
    return sum(len(raw) for raw in _bytes(fields, _TENSOR_RAW))


def _value(name: str, given: Array) -> bytes:
    sides = [(_SHAPE_DIM, encode([(_DIM_VALUE, side, _VARINT)]), _BYTES) for side in np.shape(given)]
    element: Field = (_TYPE_ELEMENT, _ELEMENTS[given.dtype.name], _VARINT)
    tensor = encode([element, (_TYPE_SHAPE, encode(sides), _BYTES)])
    return encode(
        [(_VALUE_NAME, name.encode(), _BYTES), (_VALUE_TYPE, encode([(_TYPE_TENSOR, tensor, _BYTES)]), _BYTES)]
    )
