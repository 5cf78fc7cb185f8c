"""A float16 block whose arithmetic is float32: the same weights and operators without what float16 rounds away.

How float16 rounds differs between releases and processors by more than one wrong weight does, so that the second golden
record (probes.py) could not tell them apart. The ONNX file is edited in memory; the package needs no `onnx` for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import onnxruntime as ort

from ..engine import BlockSpec, Engine, TensorSpec
from ..errors import EngineMismatchError, RuntimeUnavailableError
from .onnx import _ERRORS, OnnxBlock, _reason

# (field, value): a whole number (wire type 0) or bytes (wire type 2); ONNX uses the other two for single floats.
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
_INT_ATTRIBUTE, _FLOAT, _FLOAT16 = 2, 1, 10


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

    ValueError when the bytes are no protobuf message.
    """
    return encode((number, _graph(value) if number == _MODEL_GRAPH and isinstance(value, bytes) else value, kind)
                  for number, value, kind in decode(model))  # fmt: skip


def _graph(data: bytes) -> bytes:
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
    to = encode([(_ATTRIBUTE_NAME, b"to", _BYTES), (_ATTRIBUTE_INT, _FLOAT, _VARINT),
                 (_ATTRIBUTE_TYPE, _INT_ATTRIBUTE, _VARINT)])  # fmt: skip
    return encode([(_NODE_INPUT, source, _BYTES), (_NODE_OUTPUT, target, _BYTES), (_NODE_KIND, b"Cast", _BYTES),
                   (_NODE_ATTRIBUTE, to, _BYTES)])  # fmt: skip


def _node(data: bytes) -> bytes:
    """A node; a cast to float16 becomes one to float32."""
    is_cast = (_NODE_KIND, b"Cast", _BYTES) in decode(data)
    return _replace(data, (_NODE_ATTRIBUTE,), _ATTRIBUTE_INT) if is_cast else data


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


class WideBlock(OnnxBlock):
    """A float16 block on the CPU in float32, its borders and KV cache included; otherwise as OnnxBlock."""

    def _open(
        self, path: Path, options: ort.SessionOptions, chosen: list[tuple[str, dict[str, str]]], device: str
    ) -> ort.InferenceSession:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        try:
            return ort.InferenceSession(widen(path.read_bytes()), options, providers=chosen, enable_fallback=0)
        except _ERRORS as error:
            raise EngineMismatchError(f"block {self.block!r} does not load in float32: {_reason(error)}") from None


def load_wide(engine: Engine, block: str, threads: int | None) -> WideBlock:
    """One float16 block for the CPU; RuntimeUnavailableError when it is for another runtime."""
    spec = engine.manifest.blocks[block]
    if spec.runtime != "onnx":
        raise RuntimeUnavailableError(f"block {block!r} is for runtime {spec.runtime!r}, which has no float32 form")

    def wide(tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(
            msgspec.structs.replace(one, dtype="float32") if one.dtype == "float16" else one for one in tensors
        )

    widened: BlockSpec = msgspec.structs.replace(spec, inputs=wide(spec.inputs), outputs=wide(spec.outputs))
    return WideBlock(engine.path(spec.files[0]), widened, block, "cpu", threads)
