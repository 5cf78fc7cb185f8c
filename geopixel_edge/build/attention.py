"""Attention of a traced block in either form; the numbers are the same but for the order of sums.

Portable: products, a softmax, and the transpositions between them. Ready: `MultiHeadAttention`, which keeps no scores:
of ViT-L at 560 px these are 0.16 GB a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .onnx_writer import GraphWriter
from .traced import TracedGraph, TracedNode

KIND = "MultiHeadAttention"
_ROLES = ("query", "key", "value")
_HEADS_FIRST, _KEYS_LAST, _SWAPPED = (0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1)
# How rows become (n, heads, rows, size), and keys (n, heads, size, rows): as torch traces it, and in the portable form.
_SPLIT = ("Reshape", _HEADS_FIRST)
_KEYS = (("Reshape", _HEADS_FIRST, "Reshape", _SWAPPED, "Reshape"), ("Reshape", _KEYS_LAST))


@dataclass(frozen=True)
class Rows:
    """A value by name, and the shape (n, rows, heads, size) that it is taken as; n or rows may be -1."""

    name: str
    shape: tuple[int, int, int, int]


@dataclass(frozen=True)
class Attention:
    """Queries, keys and values; the products of query and key are scaled. `output` names (n, rows, heads, size)."""

    rows: tuple[Rows, Rows, Rows]
    scale: float
    output: str

    def write_ready(self, writer: GraphWriter) -> None:
        """As one operator, which gives (n, rows, heads * size): the same numbers in the same order."""
        taken = []
        for role, one in zip(_ROLES, self.rows, strict=True):
            *outer, heads, size = one.shape
            shape = writer.constant(f"{self.output}.{role}.shape", np.array([*outer, heads * size], np.int64))
            taken.append(writer.op("Reshape", one.name, shape, name=f"{self.output}.{role}"))
        writer.op(KIND, *taken, name=self.output, num_heads=self.rows[0].shape[2], scale=self.scale)

    def write_portable(self, writer: GraphWriter) -> None:
        """As standard operators."""
        own, taken = self.output, []
        for role, one in zip(_ROLES, self.rows, strict=True):
            shape = writer.constant(f"{own}.{role}.shape", np.array(one.shape, np.int64))
            apart = writer.op("Reshape", one.name, shape, name=f"{own}.{role}.heads")
            order = _KEYS_LAST if role == "key" else _HEADS_FIRST
            taken.append(writer.op("Transpose", apart, name=f"{own}.{role}", perm=order))
        query, key, value = taken
        scale = writer.constant(f"{own}.scale", np.array(self.scale, np.float32))
        scores = writer.op("MatMul", writer.op("Mul", query, scale, name=f"{own}.scaled"), key, name=f"{own}.scores")
        weights = writer.op("Softmax", scores, name=f"{own}.weights", axis=-1)
        mixed = writer.op("MatMul", weights, value, name=f"{own}.mixed")
        writer.op("Transpose", mixed, name=own, perm=_HEADS_FIRST)


def fused(graph: TracedGraph) -> dict[str, Attention]:
    """Each `MultiHeadAttention` that `Attention` wrote, by its output."""
    shaped = {node.outputs[0]: node for node in graph.nodes if node.kind == "Reshape"}

    def rows(node: TracedNode, name: str) -> Rows:
        reshape, heads = shaped[name], int(node.attribute("num_heads"))
        count, length, width = (int(side) for side in graph.value(reshape.inputs[1]))
        return Rows(reshape.inputs[0], (count, length, heads, width // heads))

    return {
        node.outputs[0]: Attention(
            (rows(node, node.inputs[0]), rows(node, node.inputs[1]), rows(node, node.inputs[2])),
            float(node.attribute("scale")),
            node.outputs[0],
        )
        for node in graph.nodes
        if node.kind == KIND
    }


def spelled_out(graph: TracedGraph) -> dict[str, Attention]:
    """Each attention that is written as products around a softmax, by its output; others are left as they are."""
    finder = _Finder(graph)
    found = (finder.around(node) for node in graph.nodes if node.kind == "Softmax")
    return {one.output: one for one in found if one is not None}


def live(graph: TracedGraph, replaced: Mapping[str, Attention]) -> Iterator[TracedNode]:
    """The nodes that something needs once each of these attentions is one node, the last of its own, in order."""
    needed, kept = set(graph.results), []
    for node in reversed(graph.nodes):
        if needed.isdisjoint(node.outputs):
            continue
        kept.append(node)
        one = replaced.get(node.outputs[0])
        needed.update(node.inputs if one is None else (rows.name for rows in one.rows))
    return reversed(kept)


class _Finder:
    def __init__(self, graph: TracedGraph) -> None:
        self._graph = graph
        self._makers = {name: node for node in graph.nodes for name in node.outputs}
        self._readers: dict[str, list[TracedNode]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)

    def around(self, softmax: TracedNode) -> Attention | None:
        """The attention whose softmax this is; None where its neighbours are others."""
        scores, mixed = self._maker(softmax.inputs[0], "MatMul"), self._reader(softmax.outputs[0], "MatMul")
        joined = mixed and self._reader(mixed.outputs[0], "Transpose")
        if not (scores and mixed and joined) or joined.integers("perm") != _HEADS_FIRST:
            return None
        if mixed.inputs[0] != softmax.outputs[0] or softmax.attribute("axis", -1) not in (-1, 3):
            return None
        (query_name, first), (key_name, second) = (self._unscaled(name) for name in scores.inputs)
        query, value = self._rows(query_name, _SPLIT), self._rows(mixed.inputs[1], _SPLIT)
        key = self._rows(key_name, _KEYS[0]) or self._rows(key_name, _KEYS[1])
        if not (query and key and value) or len({one.shape[2:] for one in (query, key, value)}) != 1:
            return None
        return Attention((query, key, value), float(np.float32(first * second)), joined.outputs[0])

    def _maker(self, name: str, kind: str) -> TracedNode | None:
        node = self._makers.get(name)
        return node if node is not None and node.kind == kind else None

    def _reader(self, name: str, kind: str) -> TracedNode | None:
        """The only one that reads a value."""
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].kind == kind else None

    def _unscaled(self, name: str) -> tuple[str, float]:
        """What a value is without a constant factor, and that factor."""
        node, graph = self._maker(name, "Mul"), self._graph
        if node is None or node.inputs[1] not in graph.names or graph.shape(node.inputs[1]) not in ((), (1,)):
            return name, 1.0
        return node.inputs[0], float(graph.value(node.inputs[1]).reshape(()))

    def _rows(self, name: str, steps: tuple[str | tuple[int, ...], ...]) -> Rows | None:
        """What a value was before these steps, the first of which splits it by a constant; None for other steps."""
        shape: tuple[int, ...] = ()
        for step in reversed(steps):
            node = self._maker(name, "Reshape" if step == "Reshape" else "Transpose")
            if node is None or (step != "Reshape" and node.integers("perm") != step):
                return None
            name = node.inputs[0]
            if step == "Reshape":
                target = node.inputs[1]
                shape = tuple(map(int, self._graph.value(target))) if target in self._graph.names else ()
        return Rows(name, shape) if len(shape) == 4 and min(shape[2:]) > 0 else None
