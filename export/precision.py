"""Reads `--precision`: one word for all blocks, or a word for each."""

from __future__ import annotations

from collections.abc import Mapping

from geopixel_edge.engine.manifest import BLOCKS, Precision
from geopixel_edge.engine.precision import PRECISIONS, precision_of
from geopixel_edge.errors import ExportError

REST = "*"


def parse_precision(text: str) -> dict[str, Precision]:
    """The record of every block for "fp16", or "language_model=int8,vision_encoder=fp16,*=fp32".

    `*` stands for every block that is not named; without it these are fp32. ExportError names what is wrong.
    """
    if not isinstance(text, str):
        raise ExportError(f"precision={text!r} is no text; give one of {', '.join(PRECISIONS)}, or block=word,...")
    if "=" not in text:
        return {block: _record(block, text) for block in BLOCKS}
    named: dict[str, str] = {}
    for part in text.split(","):
        block, _, name = (piece.strip() for piece in part.partition("="))
        if block not in (*BLOCKS, REST):
            raise ExportError(f"precision={text!r} names the block {block!r}; give one of {', '.join(BLOCKS)}, or *")
        if block in named:
            raise ExportError(f"precision={text!r} names {block} twice; name it once")
        named[block] = name
    return {block: _record(block, named.get(block, named.get(REST, "fp32"))) for block in BLOCKS}


def _record(block: str, name: str) -> Precision:
    if name not in PRECISIONS:
        raise ExportError(f"precision={name!r} of {block} is unknown; give one of {', '.join(PRECISIONS)}")
    return precision_of(block, name)


def quantisation(precisions: Mapping[str, Precision]) -> str:
    """What the manifest says of rounded weights, for people."""
    rounded = [block for block, precision in precisions.items() if precision.weights == "int8"]
    if not rounded:
        return "none"
    where = "" if len(rounded) == len(precisions) else f" of {', '.join(rounded)}"
    return f"weights int8{where}, a scale per output channel"
