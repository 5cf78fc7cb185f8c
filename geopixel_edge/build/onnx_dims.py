"""Symbolic dimensions of an ONNX file made numbers, in memory: TensorRT parses no cache of unknown length."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..runtimes.onnx_edit import Field, decode, encode

_GRAPH, _ENDS = 7, (11, 12, 13)  # inputs, outputs, values between them
_TO_SIDES = (2, 1, 2, 1)  # type, tensor, shape, dimension
_NUMBER, _SYMBOL, _VARINT = 1, 2, 0


def fixed(model: bytes, dims: Mapping[str, int]) -> bytes:
    """The model with the numbers of `dims` for their symbols. ValueError when the bytes are no protobuf message."""
    return _changed(model, (_GRAPH,), lambda graph: _ends(graph, dims))


def _ends(graph: bytes, dims: Mapping[str, int]) -> bytes:
    fields = [
        (number, _changed(value, _TO_SIDES, lambda side: _side(side, dims)), kind)
        if number in _ENDS and isinstance(value, bytes)
        else (number, value, kind)
        for number, value, kind in decode(graph)
    ]
    return encode(fields)


def _side(side: bytes, dims: Mapping[str, int]) -> bytes:
    fields = decode(side)
    symbol = next((value.decode() for number, value, _ in fields if number == _SYMBOL and isinstance(value, bytes)), "")
    return encode([(_NUMBER, dims[symbol], _VARINT)]) if symbol in dims else side


def _changed(data: bytes, path: tuple[int, ...], change: Callable[[bytes], bytes]) -> bytes:
    """The message with `change` made to what lies at `path`."""
    if not path:
        return change(data)
    fields: list[Field] = [
        (number, _changed(value, path[1:], change), kind)
        if number == path[0] and isinstance(value, bytes)
        else (number, value, kind)
        for number, value, kind in decode(data)
    ]
    return encode(fields)
