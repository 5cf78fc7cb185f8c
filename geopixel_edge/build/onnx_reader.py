"""Reads back what a decoder's ONNX file holds: its weights by name, one at a time, and its operators' attributes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import EngineMismatchError
from ..runtimes.onnx_edit import Field, decode
from .matrices import Dense, Matrix, Quantised, per_channel, unpack_portable, unpack_ready
from .onnx_writer import TYPES

_NAMES = {number: name for name, number in TYPES.items()}
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
Attributes = Mapping[str, int | float]


@dataclass(frozen=True)
class Stored:
    """Where a weight lies: its dtype and shape, and its place in the data file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


class EngineWeights:
    """The weights of a language model of either form. EngineMismatchError for a file of another kind."""

    def __init__(self, path: Path) -> None:
        self._path, self._data = path, path.with_name(path.name + ".data")
        try:
            graph = next(value for number, value, _ in decode(path.read_bytes()) if number == _GRAPH)
            fields = decode(bytes_of(graph))
        except (ValueError, StopIteration) as error:
            raise EngineMismatchError(f"{path} is no ONNX file ({error}); export the engine again") from None
        self._stored: dict[str, Stored] = {}
        self._attributes: dict[str, Attributes] = {}  # by the input that is a weight
        for number, value, _ in fields:
            if number == _INITIALIZER:
                self._add(decode(bytes_of(value)))
            elif number == _NODE:
                node = decode(bytes_of(value))
                attributes = dict(attribute_of(bytes_of(part)) for field, part, _ in node if field == 5)
                self._attributes |= {bytes_of(part).decode(): attributes for field, part, _ in node if field == 1}

    def _add(self, tensor: list[Field]) -> None:
        place = stored_of(tensor, self._data.name)
        if place is not None:
            name = next(bytes_of(value).decode() for number, value, _ in tensor if number == 8)
            dtype = _NAMES.get(next((int(value) for number, value, _ in tensor if number == 2), 0), "")
            shape = tuple(int(value) for number, value, _ in tensor if number == 1)
            self._stored[name] = Stored(dtype, shape, *place)

    @property
    def epsilon(self) -> float:
        """Of the norms."""
        return float(self._attribute("layers.0.attention_norm.weight", "epsilon"))

    @property
    def stored_bytes(self) -> dict[str, int]:
        """The size of every weight in the data file, by its name there."""
        return {name: one.length for name, one in self._stored.items()}

    def plain(self, name: str, dtype: str) -> Array:
        """A norm's weight, or a rotary table."""
        return self._read(name).astype(dtype, copy=False)

    def matrix(self, name: str) -> Matrix:
        """A linear layer's weight (outputs, inputs), with the numbers and scales that the file has."""
        if name in self._stored:
            return Dense(self._read(name).T)
        if (stored := f"{name}.int8") in self._stored:
            return Quantised(np.ascontiguousarray(self._read(stored).T), self._read(f"{name}.scale")[:, None], 8, 0)
        if (stored := f"{name}.int4") in self._stored:
            inputs, outputs = self._stored[stored].shape
            block = int(self._attribute(stored, "block_size"))
            return unpack_portable(self._read(stored), self._read(f"{name}.scale"), block, outputs, inputs)
        for bits in (4, 8):
            if (stored := f"{name}.bits{bits}") in self._stored:
                inputs = int(self._attribute(stored, "K"))
                matrix = unpack_ready(self._read(stored), self._read(f"{name}.scales"), bits, inputs)
                return per_channel(matrix) if bits == 8 else matrix
        raise self._missing(name)

    def _attribute(self, name: str, attribute: str) -> int | float:
        try:
            return self._attributes[name][attribute]
        except KeyError:
            raise self._missing(f"{name}'s {attribute}") from None

    def _read(self, name: str) -> Any:
        if name not in self._stored:
            raise self._missing(name)
        one = self._stored[name]
        kind, shape = ("uint8", (one.length,)) if one.dtype == "int4" else (one.dtype, one.shape)
        try:
            return np.memmap(self._data, kind, "r", one.offset, shape)
        except (ValueError, TypeError, OSError) as error:
            raise EngineMismatchError(f"{self._data} does not hold {name} ({error}); export again") from None

    def _missing(self, name: str) -> EngineMismatchError:
        return EngineMismatchError(f"{self._path} has no {name}, which its graph needs; export the engine again")


def stored_of(tensor: list[Field], location: str) -> tuple[int, int] | None:
    """Offset and length of a tensor in the data file `location`; None for one that is not there."""
    place = {}
    for number, value, _ in tensor:
        if number == 13:
            entry = {field: bytes_of(part).decode() for field, part, _ in decode(bytes_of(value))}
            place[entry[1]] = entry.get(2, "")
    return (int(place["offset"]), int(place["length"])) if place.get("location") == location else None


def bytes_of(value: int | bytes) -> bytes:
    """The value of a field that holds bytes; ValueError for another."""
    if isinstance(value, int):
        raise ValueError(f"{value} where a message should be")
    return value


def attribute_of(data: bytes) -> tuple[str, int | float]:
    """Name and number of an attribute; 0 for one of another kind."""
    fields = {number: value for number, value, _ in decode(data)}
    name = bytes_of(fields[1]).decode()
    if (single := fields.get(2)) is not None:
        return name, float(struct.unpack("<f", bytes_of(single))[0])
    number = fields.get(3, 0)
    return name, signed(number) if isinstance(number, int) else 0


def signed(number: int) -> int:
    """A whole number as the file means it: negative ones are stored as 64 bits without a sign."""
    return number - 2**64 if number >= 2**63 else number
