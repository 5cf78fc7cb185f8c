"""Changes to an ONNX file, made in memory: float32 arithmetic on other weights, and outputs that are hidden.

ONNX files are protobuf messages. Only the few fields named here are understood and all others pass through, so that the
package needs neither `onnx` nor `protobuf`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

# (number, value, wire type) of one protobuf field; the value is a whole number for wire type 0, else bytes.
Field = tuple[int, int | bytes, int]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TYPE = 1, 3, 20
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_VALUE_TYPE, _TYPE_TENSOR, _TYPE_ELEMENT = 2, 1, 1
_VALUE_NAME = 1
_INT_ATTRIBUTE, _FLOAT, _FLOAT16 = 2, 1, 10
_LEVEL, _EXACT = b"accuracy_level", 1


def decode(data: bytes) -> list[Field]:
    """The fields of one protobuf message in order: (number, value, wire type); ValueError when it is none."""
    fields: list[Field] = []
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            number, place = _varint(data, place)
            fields.append((key >> 3, number, kind))
            continue
        if kind == _BYTES:
            size, place = _varint(data, place)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if place + size > len(data):
            raise ValueError("it ends early")
        fields.append((key >> 3, data[place : place + size], kind))
        place += size
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a number does not end")


def encode(fields: Iterable[Field]) -> bytes:
    """The inverse of `decode`."""
    parts = []
    for number, value, kind in fields:
        parts.append(_number(number << 3 | kind))
        if isinstance(value, int):
            parts.append(_number(value))
        else:
            parts += [_number(len(value)), value] if kind == _BYTES else [value]
    return b"".join(parts)


def _number(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def widen(model: bytes) -> bytes:
    """An ONNX model with float16 weights, cast to float32 as they are read, and nothing of float16 behind them.

    Activations are not rounded either, as `exact` does it. ValueError when the bytes are no protobuf message.
    """
    return exact(_in_graph(model, _widened))


def exact(model: bytes) -> bytes:
    """An ONNX model whose `MatMulNBits` take activations as they are. ValueError as above."""

    def changed(graph: bytes) -> bytes:
        return encode(
            (number, _exact_node(value) if number == _GRAPH_NODE and isinstance(value, bytes) else value, kind)
            for number, value, kind in decode(graph)
        )

    return _in_graph(model, changed)


def expose(model: bytes) -> tuple[bytes, list[str]]:
    """An ONNX model with float32 outputs more, and their names: whatever `GatherND` chooses from.

    That is how the pixel decoder takes one of its masks; all of them are seen then. ValueError as above.
    """
    names: list[bytes] = []

    def exposed(graph: bytes) -> bytes:
        fields = decode(graph)
        nodes = [decode(value) for number, value, _ in fields if number == _GRAPH_NODE and isinstance(value, bytes)]
        for node in nodes:
            if (_NODE_KIND, b"GatherND", _BYTES) in node:
                names.append(
                    next(value for number, value, _ in node if number == _NODE_INPUT and isinstance(value, bytes))
                )
        return encode([*fields, *((_GRAPH_OUTPUT, _float_value(name), _BYTES) for name in names)])

    changed = _in_graph(model, exposed)
    return changed, [name.decode() for name in names]


def _in_graph(model: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return encode(
        (number, change(value) if number == _MODEL_GRAPH and isinstance(value, bytes) else value, kind)
        for number, value, kind in decode(model)
    )


def _float_value(name: bytes) -> bytes:
    """A float32 tensor of any shape."""
    tensor = encode([(_TYPE_ELEMENT, _FLOAT, _VARINT)])
    return encode([(_VALUE_NAME, name, _BYTES), (_VALUE_TYPE, encode([(_TYPE_TENSOR, tensor, _BYTES)]), _BYTES)])


def _widened(data: bytes) -> bytes:
    casts: list[Field] = []
    rest: list[Field] = []
    for number, value, kind in decode(data):
        if number == _GRAPH_VALUE or not isinstance(value, bytes):
            continue  # types of inner values, which the runtime infers itself
        if number == _GRAPH_INITIALIZER and (_TENSOR_TYPE, _FLOAT16, _VARINT) in (fields := decode(value)):
            name = next(part for field, part, _ in fields if field == _TENSOR_NAME and isinstance(part, bytes))
            half = name + b".half"
            value = encode((field, half if field == _TENSOR_NAME else part, wire) for field, part, wire in fields)
            casts.append((_GRAPH_NODE, _cast(half, name), _BYTES))
        elif number == _GRAPH_NODE:
            value = _node(value)
        elif number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
            value = _replace(value, (_VALUE_TYPE, _TYPE_TENSOR), _TYPE_ELEMENT)
        rest.append((number, value, kind))
    return encode([*casts, *rest])


def _cast(source: bytes, target: bytes) -> bytes:
    to = encode(
        [
            (_ATTRIBUTE_NAME, b"to", _BYTES),
            (_ATTRIBUTE_INT, _FLOAT, _VARINT),
            (_ATTRIBUTE_TYPE, _INT_ATTRIBUTE, _VARINT),
        ]
    )
    return encode(
        [
            (_NODE_INPUT, source, _BYTES),
            (_NODE_OUTPUT, target, _BYTES),
            (_NODE_KIND, b"Cast", _BYTES),
            (_NODE_ATTRIBUTE, to, _BYTES),
        ]
    )


def _node(data: bytes) -> bytes:
    """A node; a cast to float16 becomes one to float32."""
    is_cast = (_NODE_KIND, b"Cast", _BYTES) in decode(data)
    return _replace(data, (_NODE_ATTRIBUTE,), _ATTRIBUTE_INT) if is_cast else data


def _exact_node(data: bytes) -> bytes:
    """A node; the accuracy level of a `MatMulNBits` becomes the one that rounds nothing."""
    fields = decode(data)
    if (_NODE_KIND, b"MatMulNBits", _BYTES) not in fields:
        return data
    return encode(
        (number, _exact_level(value) if number == _NODE_ATTRIBUTE else value, kind) for number, value, kind in fields
    )


def _exact_level(value: int | bytes) -> int | bytes:
    fields = decode(value) if isinstance(value, bytes) else []
    if (_ATTRIBUTE_NAME, _LEVEL, _BYTES) not in fields:
        return value
    return encode((number, _EXACT if number == _ATTRIBUTE_INT else part, kind) for number, part, kind in fields)


def _replace(data: bytes, path: tuple[int, ...], last: int) -> bytes:
    """The message with float16's number made float32's in field `last` of what lies at `path`."""
    changed: list[Field] = []
    for number, value, kind in decode(data):
        if path and number == path[0] and isinstance(value, bytes):
            value = _replace(value, path[1:], last)
        elif not path and number == last and value == _FLOAT16:
            value = _FLOAT
        changed.append((number, value, kind))
    return encode(changed)
