"""An ONNX file's borders changed in memory: symbols made numbers, since TensorRT parses no cache of unknown length."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ..runtimes.onnx_edit import Field, decode, encode

_GRAPH, _INPUT, _ENDS = 7, 11, (11, 12, 13)  # inputs, outputs, values between them
_NAME, _TO_TENSOR, _TYPE, _HALF = 1, (2, 1), 1, 10
_TO_SIDES = (2, 1, 2, 1)  # type, tensor, shape, dimension
_NUMBER, _SYMBOL, _VARINT = 1, 2, 0


def fixed(model: bytes, dims: Mapping[str, int], halves: Collection[str] = ()) -> bytes:
    """The model with the numbers of `dims` for their symbols, and float16 inputs `halves`, which it casts itself.

    ValueError when the bytes are no protobuf message.
    """

    def ends(graph: bytes) -> bytes:
        fields: list[Field] = []
        for number, value, kind in decode(graph):
            if number in _ENDS and isinstance(value, bytes):
                value = _changed(value, _TO_SIDES, lambda side: _side(side, dims))
                if number == _INPUT and _text(decode(value), _NAME) in halves:
                    value = _changed(value, _TO_TENSOR, _halved)
            fields.append((number, value, kind))
        return encode(fields)

    return _changed(model, (_GRAPH,), ends)


def _halved(tensor: bytes) -> bytes:
    return encode([(number, _HALF if number == _TYPE else value, kind) for number, value, kind in decode(tensor)])


def _text(fields: list[Field], wanted: int) -> str:
    return next((value.decode() for number, value, _ in fields if number == wanted and isinstance(value, bytes)), "")


def _side(side: bytes, dims: Mapping[str, int]) -> bytes:
    fields = decode(side)
    symbol = _text(fields, _SYMBOL)
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
