"""Fields of an ONNX file's messages, by the numbers of onnx.proto; `onnx_edit` takes messages apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .onnx_edit import Field, decode

VARINT, BYTES = 0, 2  # wire types
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE = 1, 5, 11, 12, 13
NODE_INPUT, NODE_OUTPUT, NODE_KIND, NODE_ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_INT, ATTRIBUTE_TYPE, INT_ATTRIBUTE = 1, 3, 20, 2
TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL = 8, 9, 13
VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TYPE_ELEMENT, TYPE_SHAPE, SHAPE_DIM, DIM_VALUE = 1, 2, 1, 1, 2, 1, 1
ELEMENTS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10}


def parts_of(fields: Iterable[Field], number: int) -> Iterator[bytes]:
    """The messages or strings in a field that repeats."""
    return (value for found, value, _ in fields if found == number and isinstance(value, bytes))


def names_in(message: bytes, number: int) -> list[str]:
    """Names in a field that repeats; an empty one stands for what is left out."""
    return [value.decode() for value in parts_of(decode(message), number) if value]


def name_of(message: bytes, number: int) -> str:
    """The name in a field."""
    return names_in(message, number)[0]


def weight_bytes(tensor: bytes) -> int:
    """Bytes of a weight, wherever they lie."""
    fields = decode(tensor)
    for entry in parts_of(fields, TENSOR_EXTERNAL):
        key, value = (part.decode() for _, part, _ in decode(entry) if isinstance(part, bytes))
        if key == "length":
            return int(value)
    return sum(len(raw) for raw in parts_of(fields, TENSOR_RAW))
