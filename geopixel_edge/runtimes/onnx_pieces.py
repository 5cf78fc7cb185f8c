"""A large ONNX file cut into pieces that follow each other, so that one after the other fits in memory.

Like onnx_edit.py it understands a few fields of the format and passes on all others, and needs no `onnx`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Array
from .onnx_edit import Field, decode, encode
from .onnx_fields import (
    BYTES,
    DIM_VALUE,
    ELEMENTS,
    GRAPH_INITIALIZER,
    GRAPH_INPUT,
    GRAPH_NODE,
    GRAPH_OUTPUT,
    GRAPH_VALUE,
    MODEL_GRAPH,
    NODE_INPUT,
    NODE_OUTPUT,
    SHAPE_DIM,
    TENSOR_NAME,
    TYPE_ELEMENT,
    TYPE_SHAPE,
    TYPE_TENSOR,
    VALUE_NAME,
    VALUE_TYPE,
    VARINT,
    name_of,
    names_in,
    parts_of,
    weight_bytes,
)


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
        self._graph = decode(next(parts_of(self._model, MODEL_GRAPH)))
        self._weights = {name_of(data, TENSOR_NAME): data for data in parts_of(self._graph, GRAPH_INITIALIZER)}
        self._inputs = {name_of(data, VALUE_NAME): data for data in parts_of(self._graph, GRAPH_INPUT)}
        self._outputs = {name_of(data, VALUE_NAME): data for data in parts_of(self._graph, GRAPH_OUTPUT)}
        self.pieces = self._cut(limit_bytes)
        self._name_borders()

    def _cut(self, limit_bytes: int) -> list[Piece]:
        pieces, seen = [Piece()], set[str]()
        for node in parts_of(self._graph, GRAPH_NODE):
            names = {name for name in names_in(node, NODE_INPUT) if name in self._weights}
            more = sum(weight_bytes(self._weights[name]) for name in names - seen)
            if pieces[-1].nodes and pieces[-1].weight_bytes + more > limit_bytes:
                pieces.append(Piece())
                seen.clear()
                more = sum(weight_bytes(self._weights[name]) for name in names)
            pieces[-1].nodes.append(node)
            pieces[-1].weights += sorted(names - seen)
            pieces[-1].weight_bytes += more
            seen |= names
        return pieces

    def _name_borders(self) -> None:
        """From the last piece to the first: what of each is read later."""
        wanted = set(self._outputs)
        for piece in reversed(self.pieces):
            made = {name for node in piece.nodes for name in names_in(node, NODE_OUTPUT)}
            read = {name for node in piece.nodes for name in names_in(node, NODE_INPUT)}
            piece.outputs = tuple(sorted(made & wanted))
            piece.inputs = tuple(sorted(read - made - self._weights.keys()))
            wanted |= set(piece.inputs)

    def model(self, piece: Piece, given: Mapping[str, Array]) -> bytes:
        """An ONNX model of one piece, for inputs of the dtypes and shapes that `given` has."""
        fields: list[Field] = [one for one in self._graph if one[0] not in _REBUILT]
        fields += [(GRAPH_NODE, node, BYTES) for node in piece.nodes]
        fields += [(GRAPH_INITIALIZER, self._weights[name], BYTES) for name in piece.weights]
        fields += [(GRAPH_INPUT, self._inputs.get(name) or _value(name, given[name]), BYTES) for name in piece.inputs]
        fields += [
            (GRAPH_OUTPUT, self._outputs.get(name) or encode([(VALUE_NAME, name.encode(), BYTES)]), BYTES)
            for name in piece.outputs
        ]
        graph = encode(fields)
        return encode((number, graph if number == MODEL_GRAPH else value, kind) for number, value, kind in self._model)


_REBUILT = (GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE)


def _value(name: str, given: Array) -> bytes:
    sides = [(SHAPE_DIM, encode([(DIM_VALUE, side, VARINT)]), BYTES) for side in np.shape(given)]
    element: Field = (TYPE_ELEMENT, ELEMENTS[given.dtype.name], VARINT)
    tensor = encode([element, (TYPE_SHAPE, encode(sides), BYTES)])
    return encode([(VALUE_NAME, name.encode(), BYTES), (VALUE_TYPE, encode([(TYPE_TENSOR, tensor, BYTES)]), BYTES)])
