"""Reads `--precision`: one word for all blocks, or a word for each, and for parts of the language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec

from geopixel_edge.engine.manifest import BLOCKS, Dtype, Part, Precision
from geopixel_edge.engine.precision import PRECISIONS, TAKES_INT4, precision_of
from geopixel_edge.errors import ExportError

REST = "*"
# The recommended mix: where weights are read at every token int4 and int8, where masks are drawn float32.
MIX = "language_model=int4,language_model.head=int8,vision_encoder=int8,grounding_encoder=int8,pixel_decoder=fp32"
_WORDS: dict[str, Dtype] = {"fp32": "float32", "fp16": "float16", "int8": "int8", "int4": "int4"}
# What a part may be stored at, or for the cache: kept and attended with.
_PARTS: dict[str, tuple[str, ...]] = {
    "lora": ("int4", "int8"),
    "head": ("int4", "int8"),
    "embeddings": ("fp32", "fp16", "int8"),
    "kv": ("fp32", "fp16"),
}
assert _PARTS.keys() == set(get_args(Part))


def parse_precision(text: str) -> dict[str, Precision]:
    """The record of every block for "fp16", or "language_model=int4:64,vision_encoder=fp16,*=fp32".

    `int4` alone is the recommended mix. `*` stands for every block that is not named; without it these are fp32.
    `language_model.lora`, `.head`, `.embeddings` and `.kv` set what is stored or kept otherwise than the block. A word
    for all may come first, and what follows changes it: "int4,language_model.embeddings=int8". ExportError names what
    is wrong.
    """
    if not isinstance(text, str):
        raise ExportError(f"precision={text!r} is no text; give one of {', '.join(PRECISIONS)}, or block=word,...")
    first, *others = text.split(",")
    if "=" in first:
        named = _named(text, text.split(","))
    elif first == "int4":
        named = _named(MIX, MIX.split(",")) | _named(text, others)
    else:
        named = dict.fromkeys(BLOCKS, first) | _named(text, others)
    records = {block: _record(block, named.get(block, named.get(REST, "fp32"))) for block in BLOCKS}
    for name in (name for name in named if "." in name):
        block, _, part = name.partition(".")
        records[block] = _with_part(records[block], block, part, named[name])
    return records


def _named(text: str, parts: Sequence[str]) -> dict[str, str]:
    """Words by the block, part or `*` they are said of."""
    named: dict[str, str] = {}
    for part in parts:
        name, _, word = (piece.strip() for piece in part.partition("="))
        if name.partition(".")[0] not in (*BLOCKS, REST):
            raise ExportError(f"precision={text!r} names the block {name!r}; give one of {', '.join(BLOCKS)}, or *")
        if name in named:
            raise ExportError(f"precision={text!r} names {name} twice; name it once")
        named[name] = word
    return named


def _record(block: str, name: str) -> Precision:
    if name not in PRECISIONS:
        raise ExportError(f"precision={name!r} of {block} is unknown; give one of {', '.join(PRECISIONS)}")
    try:
        return precision_of(block, name)
    except KeyError:
        raise ExportError(
            f"precision={name!r} of {block}: its convolutions take no int4; give fp32, fp16 or int8"
        ) from None


def _with_part(record: Precision, block: str, part: str, word: str) -> Precision:
    """The record with one part at a word of its own."""
    name = f"{block}.{part}"
    if block not in TAKES_INT4 or part not in _PARTS:
        known = ", ".join(f"{block}.{part}" for block in TAKES_INT4 for part in _PARTS)
        raise ExportError(f"precision names the part {name!r}; give one of {known}")
    if word not in _PARTS[part]:
        raise ExportError(f"precision={word!r} of {name}: give one of {', '.join(_PARTS[part])}")
    if part in ("lora", "head") and record.weights not in ("int4", "int8"):
        raise ExportError(f"precision={word!r} of {name} needs {block} at int4 or int8, not {record.name}")
    if word == "int4" and record.weights != "int4":
        raise ExportError(f"precision={word!r} of {name} needs {block} at int4, whose blocks it takes over")
    parts: dict[Part, Dtype] = {**record.parts, part: _WORDS[word]}  # type: ignore[dict-item]
    return msgspec.structs.replace(record, parts=parts)


def stored_as(precision: Precision, name: str) -> Dtype:
    """What a weight of the language model is stored at: a word for partial LoRA, one for the head, one for the rest."""
    if "Plora" in name:
        return precision.parts.get("lora", precision.weights)
    return precision.parts.get("head", precision.weights) if name == "output.weight" else precision.weights


def quantisation(precisions: Mapping[str, Precision]) -> str:
    """What the manifest says of rounded weights, for people."""
    found = [
        _told(block, precision) for block, precision in precisions.items() if precision.weights in ("int8", "int4")
    ]
    if not found:
        return "none"
    if len(found) == len(precisions) and all(told.endswith(" int8") for told in found):
        return "weights int8, a scale per output channel"
    return f"weights of {', '.join(found)}; int8 with a scale per output channel"


def _told(block: str, precision: Precision) -> str:
    group = f" with a scale for each {precision.group} inputs" if precision.weights == "int4" else ""
    parts = "".join(f" ({part} {dtype})" for part, dtype in precision.parts.items())
    return f"{block} {precision.weights}{group}{parts}"
