"""Which files an ONNX file reads its weights from: found by walking every tensor it can hold, before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..engine.manifest import BlockSpec
from ..errors import EngineMismatchError, EnginePathError
from .onnx_edit import decode

# Field numbers of onnx.proto: message -> field -> the message it holds. Tensors lie nowhere else.
_HOLDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2
_MOST_NESTED = 64


def locations(data: bytes, message: str = "model", depth: int = 0) -> Iterator[str]:
    """The location of every external tensor; ValueError when `data` is no protobuf message or is nested too deep."""
    if depth > _MOST_NESTED:
        raise ValueError(f"nested more than {_MOST_NESTED} deep")
    if message == "entry":
        parts = {number: value for number, value, _ in decode(data)}
        if parts.get(_KEY) == b"location":
            value = parts.get(_VALUE, b"")
            yield value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
        return
    holds = _HOLDS[message]
    for number, value, _ in decode(data):
        if number in holds and isinstance(value, bytes):
            yield from locations(value, holds[number], depth + 1)


def check_locations(path: Path, spec: BlockSpec, block: str) -> None:
    """EnginePathError unless the file reads its weights from the block's own, verified files only.

    ONNX Runtime refuses what lies outside the directory, but reads what the manifest does not list.
    """
    here = PurePosixPath(spec.files[0].path).parent
    own = [PurePosixPath(file.path) for file in spec.files[1:]]
    names = {str(file.relative_to(here)) for file in own if file.is_relative_to(here)}
    try:
        strange = set(locations(path.read_bytes())) - names
    except ValueError as error:
        raise EngineMismatchError(f"block {block!r} does not load: {path} is no ONNX file ({error})") from None
    if strange:
        raise EnginePathError(
            f"block {block!r}: {path} reads weights from a file that is not the block's; do not use it"
        )
