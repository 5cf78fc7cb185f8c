"""A traced block's ONNX file, taken apart into nodes and weights, each kept as it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineMismatchError
from ..runtimes.onnx_edit import Field, decode
from .onnx_reader import attribute_of, bytes_of, signed, stored_of
from .onnx_writer import TYPES, GraphWriter

_DTYPES = {number: name for name, number in TYPES.items()}
_GRAPH, _OPSET, _FUNCTION = 7, 8, 25
_NODE, _NAME, _INITIALIZER, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_BYTES, _INTEGERS = 2, 8


@dataclass(frozen=True, eq=False)
class TracedNode:
    """An operator with the names it reads and gives; an empty one is left out."""

    data: bytes

    @cached_property
    def _fields(self) -> list[Field]:
        return decode(self.data)

    def _names(self, number: int) -> tuple[str, ...]:
        return tuple(bytes_of(value).decode() for found, value, _ in self._fields if found == number)

    @cached_property
    def kind(self) -> str:
        """The operator's name."""
        return next(iter(self._names(4)), "")

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it reads."""
        return self._names(1)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""
        return self._names(2)

    def attribute(self, name: str, default: int | None = None) -> int | float:
        """A number among its attributes, else `default`; EngineMismatchError where there is neither."""
        found = dict(attribute_of(bytes_of(value)) for number, value, _ in self._fields if number == 5)
        if name in found:
            return found[name]
        if default is None:
            raise EngineMismatchError(f"{self.kind} has no {name}; export the engine again")
        return default

    def integers(self, name: str) -> tuple[int, ...]:
        """The whole numbers of an attribute; empty when it has none of that name."""
        for data in (decode(bytes_of(value)) for number, value, _ in self._fields if number == 5):
            if _field(data, 1) == name.encode():
                return tuple(signed(int(value)) for number, value, _ in data if number == _INTEGERS)
        return ()


class TracedGraph:
    """Nodes in order and weights by name. EngineMismatchError for a file that is none, or holds functions."""

    def __init__(self, path: Path) -> None:
        self._path, self._data = path, path.with_name(path.name + ".data")
        try:
            model = decode(path.read_bytes())
            graph = decode(bytes_of(next(value for number, value, _ in model if number == _GRAPH)))
            self.nodes = [TracedNode(bytes_of(value)) for number, value, _ in graph if number == _NODE]
            tensors = [bytes_of(value) for number, value, _ in graph if number == _INITIALIZER]
            self._tensors = {bytes_of(_field(decode(one), 8)).decode(): one for one in tensors}
            self.opset = max(int(_field(decode(bytes_of(value)), 2)) for number, value, _ in model if number == _OPSET)
        except (ValueError, StopIteration) as error:
            raise EngineMismatchError(f"{path} is no ONNX file ({error}); export the engine again") from None
        if any(number == _FUNCTION for number, _, _ in model):
            raise EngineMismatchError(f"{path} holds functions, which this version does not rewrite; export again")
        self.name = next((bytes_of(value).decode() for number, value, _ in graph if number == _NAME), path.stem)
        self.ends = [one for one in graph if one[0] in (_INPUT, _OUTPUT)]
        results = (decode(bytes_of(value)) for number, value, _ in self.ends if number == _OUTPUT)
        self.results = [bytes_of(_field(one, 1)).decode() for one in results]

    @property
    def names(self) -> set[str]:
        """Of all weights and constants."""
        return set(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a weight."""
        return tuple(int(value) for number, value, _ in decode(self._tensors[name]) if number == 1)

    def value(self, name: str) -> Any:
        """A weight; of a large one, mapped memory."""
        fields = decode(self._tensors[name])
        dtype = _DTYPES.get(int(_field(fields, 2)), "")
        place = stored_of(fields, self._data.name)
        try:
            if place is not None:
                return np.memmap(self._data, dtype, "r", place[0], self.shape(name))
            return np.frombuffer(bytes_of(_field(fields, 9)), dtype).reshape(self.shape(name))
        except (ValueError, TypeError, OSError, StopIteration) as error:
            raise EngineMismatchError(f"{self._path} does not hold {name} ({error}); export again") from None

    def tensor(self, name: str) -> bytes:
        """A weight as the file describes it: itself, or where it lies in the data file."""
        return self._tensors[name]

    def copy(self, name: str, writer: GraphWriter) -> None:
        """Write a weight to another file as it is."""
        if stored_of(decode(self._tensors[name]), self._data.name) is None:
            writer.take_constant(self._tensors[name])
        else:
            writer.weight(name, self.value(name))


def _field(fields: list[Field], number: int) -> int | bytes:
    return next(value for found, value, _ in fields if found == number)
