"""The check `round-trip`: an engine is asked for each phrase; where it shows something else, people look again.

What is asked is "the red ships" for "two red ships-3", as referring questions are. All masks count whose phrases say as
much or more, since words alone cannot tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import manifest_digest
from geopixel_edge.errors import GeoPixelError, ResourceError
from geopixel_edge.masks import Mask
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.session import OpenedImage

from .groups import union
from .items import Item
from .records import Finding, Sentence, told

LEAST_IOU = 0.3  # of what the engine shows with what the phrase is of
_NUMBERED = re.compile(r"-\d+$")
_STARTS = re.compile(r"(?:an?|the|one|two|three|four|several|many|numerous|some|all|group|of)\s+", re.IGNORECASE)


class RoundTrip:
    """An engine that segments phrases; `fingerprint` is the digest of its manifest."""

    def __init__(self, engine: str) -> None:
        """`engine`: a directory, or "bundled". EngineError for one that fails its check."""
        path = BUNDLED if engine == "bundled" else Path(engine)
        self._pipeline = Pipeline(path)
        self.fingerprint = f"engine sha256:{manifest_digest(path)}"

    def check(self, item: Item, sentences: Sequence[Sentence]) -> list[Sentence]:
        """The sentences, with a finding where the engine shows less than LEAST_IOU of what one of its phrases is of, or
        refuses the phrase."""
        called = [
            (_asked(phrase), mask)
            for one in told(sentences)
            for phrase, mask in zip(one.phrases, one.masks, strict=True)
        ]
        if not called:
            return list(sentences)
        found: dict[str, str] = {}
        with self._pipeline.open(item.image) as opened:
            for asked in dict.fromkeys(phrase for phrase, _ in called):
                own = [mask for phrase, mask in called if _words(asked) <= _words(phrase)]
                if reason := _differs(opened, asked, own):
                    found[asked] = reason
        return [_reviewed(one, found) for one in sentences]

    def close(self) -> None:
        """Free the engine."""
        self._pipeline.close()


def _asked(phrase: str) -> str:
    """What a phrase is of, as a question has it."""
    bare = _NUMBERED.sub("", phrase)
    while start := _STARTS.match(bare):
        bare = bare[start.end() :]
    return f"the {bare}"


def _words(asked: str) -> frozenset[str]:
    """The words of a question, singular and plural alike."""
    return frozenset(word.rstrip("s") for word in asked.lower().split())


def _differs(opened: OpenedImage, asked: str, own: Sequence[Mask]) -> str:
    """Why what the engine shows is not what it was asked for; empty where it is."""
    try:
        shown = [region.mask for region in opened.segment(asked)]
    except ResourceError:
        raise
    except GeoPixelError as error:
        return f"the engine refuses {asked!r} ({error})"
    iou = union(shown).iou(union(own)) if shown else 0.0
    return f"the engine shows {asked!r} elsewhere, IoU {iou:.2f}" if iou < LEAST_IOU else ""


def _reviewed(sentence: Sentence, found: dict[str, str]) -> Sentence:
    reasons = list(dict.fromkeys(found[name] for phrase in sentence.phrases if (name := _asked(phrase)) in found))
    if sentence.state == "drop" or not reasons:
        return sentence
    return sentence.found(Finding("round-trip", "; ".join(reasons), "review"))
