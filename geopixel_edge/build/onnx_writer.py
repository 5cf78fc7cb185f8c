"""Writes an ONNX file whose weights stream to a data file beside it, one tensor in memory at a time.

ONNX files are protobuf messages; the few that a graph needs are put together here, so that the device needs no `onnx`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np

from ..arrays import Array
from ..engine.manifest import TensorSpec
from ..runtimes.onnx_edit import Field, encode

# ONNX Runtime maps external data into memory; offsets at page borders keep that possible.
_PAGE_BYTES = 4096
# Numbers of onnx.proto's data types.
TYPES = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float8": 17,
    "int4": 22,
}
_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_EXTERNAL = 1
CONTRIBUTED = "com.microsoft"
# Opset -> the least version of the file format that may carry it.
_FORMATS = {20: 9, 21: 10, 22: 10, 23: 11, 24: 12}
Attribute = int | float | Sequence[int]


def _text(number: int, value: str) -> Field:
    return number, value.encode(), _BYTES


def _whole(number: int, value: int) -> Field:
    return number, value & (2**64 - 1), _VARINT


def _message(number: int, *fields: Field) -> Field:
    return number, encode(fields), _BYTES


class GraphWriter:
    """Collects nodes; weights go to `<path>.data` at once. Use as a context manager, then `save`.

    `contributed` are operators of ONNX Runtime's own that the graph uses.
    """

    def __init__(self, path: Path, opset: int, contributed: Sequence[str] = ()) -> None:
        self.path = path
        self.data_path = path.with_name(path.name + ".data")
        self.opset, self.contributed = opset, frozenset(contributed)
        self._nodes: list[Field] = []
        self._initializers: list[Field] = []
        self._ends: list[Field] = []
        self.inputs: list[TensorSpec] = []
        self.outputs: list[TensorSpec] = []
        self._counter = 0

    def __enter__(self) -> GraphWriter:
        self._stream = self.data_path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Attribute) -> str:
        """Append a node with one output and return the output's name."""
        return self.ops(kind, *inputs, names=(name or self.fresh(kind),), **attributes)[0]

    def ops(self, kind: str, *inputs: str, names: Sequence[str], **attributes: Attribute) -> list[str]:
        """Append a node with the outputs `names`; an empty name is an input or output left out."""
        fields = [_text(1, one) for one in inputs] + [_text(2, one) for one in names]
        fields += [_text(3, f"n_{names[0]}"), _text(4, kind)]
        fields += [_message(5, *_attribute(key, value)) for key, value in attributes.items()]
        if kind in self.contributed:
            fields.append(_text(7, CONTRIBUTED))
        self._nodes.append(_message(1, *fields))
        return list(names)

    def take(self, node: bytes) -> None:
        """Append a node of another file as it is."""
        self._nodes.append((1, node, _BYTES))

    def take_constant(self, tensor: bytes) -> None:
        """A small constant of another file."""
        self._initializers.append((5, tensor, _BYTES))

    def take_ends(self, ends: Sequence[Field]) -> None:
        """Inputs and outputs of another file."""
        self._ends += ends

    def fresh(self, kind: str) -> str:
        """A name that no other value has."""
        self._counter += 1
        return f"{kind.lower()}_{self._counter}"

    def constant(self, name: str, value: Array, dtype: str = "") -> str:
        """A small constant stored in the graph itself; `dtype` where NumPy has none such, of the same bytes."""
        dims = [_whole(1, side) for side in value.shape]
        content = (9, np.ascontiguousarray(value).tobytes(), _BYTES)
        self._initializers.append(
            _message(5, *dims, _whole(2, TYPES[dtype or value.dtype.name]), _text(8, name), content)
        )
        return name

    def weight(self, name: str, value: Array, dtype: str = "", shape: Sequence[int] = ()) -> str:
        """A weight written to the data file now; only its place is kept.

        `dtype` and `shape` are the tensor's where NumPy has no such numbers: int4, two to a byte of `value`.
        """
        self._stream.write(b"\0" * (-self._stream.tell() % _PAGE_BYTES))
        place = {"location": self.data_path.name, "offset": self._stream.tell(), "length": value.nbytes}
        dims = [_whole(1, side) for side in shape or value.shape]
        external = [_message(13, _text(1, key), _text(2, str(entry))) for key, entry in place.items()]
        kind = _whole(2, TYPES[dtype or value.dtype.name])
        self._stream.write(np.ascontiguousarray(value).data)
        self._initializers.append(_message(5, *dims, kind, _text(8, name), *external, _whole(14, _EXTERNAL)))
        return name

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph input."""
        self.inputs.append(_spec(name, dtype, shape))
        return name

    def output(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare a graph output."""
        self.outputs.append(_spec(name, dtype, shape))
        return name

    def save(self, graph_name: str) -> None:
        """Write the graph file; the data file is complete already."""
        self._stream.flush()
        ends = [_message(11, *_value(one)) for one in self.inputs] + [
            _message(12, *_value(one)) for one in self.outputs
        ]
        graph = _message(7, *self._nodes, _text(2, graph_name), *self._initializers, *self._ends, *ends)
        opsets = [_message(8, _text(1, ""), _whole(2, self.opset))]
        if self.contributed:
            opsets.append(_message(8, _text(1, CONTRIBUTED), _whole(2, 1)))
        self.path.write_bytes(encode([_whole(1, _FORMATS[self.opset]), graph, *opsets]))


def _attribute(name: str, value: Attribute) -> list[Field]:
    if isinstance(value, float):
        return [_text(1, name), (2, struct.pack("<f", value), _FIXED32), _whole(20, 1)]
    if isinstance(value, int):
        return [_text(1, name), _whole(3, value), _whole(20, 2)]
    return [_text(1, name), *(_whole(8, one) for one in value), _whole(20, 7)]


def _spec(name: str, dtype: str, shape: Sequence[int | str]) -> TensorSpec:
    return msgspec.convert({"name": name, "dtype": dtype, "shape": list(shape)}, TensorSpec)


def _value(spec: TensorSpec) -> list[Field]:
    sides = [_message(1, _whole(1, side) if isinstance(side, int) else _text(2, side)) for side in spec.shape]
    tensor = _message(1, _whole(1, TYPES[spec.dtype]), _message(2, *sides))
    return [_text(1, spec.name), _message(2, tensor)]
