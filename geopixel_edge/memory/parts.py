"""The language model in two parts that take turns, each smaller than the whole, and with a cache half as large."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..engine.manifest import BlockSpec, Manifest, Sizes, Term
from ..engine.names import IMAGE_ROWS, LOGITS
from ..runtimes.cut import WHOLE, Cut
from .capacity import cache_dtype

HALF = "float16"
# What reads an image needs no output head; what reads text and writes needs no partial LoRA, which acts on image rows.
PARTS: dict[str, Cut] = {"reading": Cut(without=(LOGITS,)), "writing": Cut(empty=(IMAGE_ROWS,))}
# ONNX Runtime 1.32 keeps attention's scores where its cache is of float16, and none where it is of float32: bytes for
# each head, row and position, with what the keys are widened to (measured: 137 for 32 heads, 256 rows, 8192 positions).
_SCORE_BYTES = 4.3


@dataclass(frozen=True)
class Way:
    """How the language model is loaded and what its cache holds. `split`: in two parts that take turns."""

    split: bool = False
    half: bool = False

    def cut(self, part: str) -> Cut:
        """What is loaded to read images, or to write ("reading", "writing")."""
        return replace(PARTS[part] if self.split else WHOLE, half_cache=self.half)

    def kv_dtype(self, manifest: Manifest) -> str:
        """Of the numbers in the cache."""
        return HALF if self.half else cache_dtype(manifest)


def ways(manifest: Manifest) -> list[Way]:
    """The ways that an engine allows: those that change no number first, then those with a rounded cache."""
    spec = manifest.blocks["language_model"]
    can_change = spec.runtime == "onnx" and manifest.form == "ready" and spec.footprint is not None
    halves = (False, True) if can_change and cache_dtype(manifest) == "float32" else (False,)
    splits = (False, True) if can_change and spared_bytes(spec, "writing") else (False,)
    return [Way(split, half) for half in halves for split in splits]


def spared_bytes(spec: BlockSpec, part: str) -> int:
    """Of the block's weights, those that a part does without; 0 where that was not measured."""
    return spec.footprint.spared.get(part, 0) if spec.footprint is not None else 0


def score_terms(way: Way, sizes: Sizes) -> tuple[Term, ...]:
    """What a run takes more than the footprint says."""
    return (Term(bytes=_SCORE_BYTES * sizes.heads, dims=("B", "S", "capacity")),) if way.half else ()
