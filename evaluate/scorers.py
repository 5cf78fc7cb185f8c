"""Scores for GeoPixel's two tasks, strict and without a dependency beyond NumPy.

Referring segmentation: over the questions whose object is there, P@0.5, P@0.7 (IoU at least the threshold), mIoU (mean
of the questions' IoU) and oIoU (all intersections over all unions). What an answer shows is the union of its masks; no
mask is IoU 0. Over the questions whose object is absent, the part refused: answered without any `[SEG]`.

Grounded conversation: mIoU and recall after a one-to-one matching of predicted to expected masks that makes the sum of
IoU largest. mIoU of a scene is that sum over the larger of both counts, so every mask left over counts as zero; a
scene with neither has 1. Recall is the part of all expected masks whose match has IoU of at least 0.5 and a phrase that
shares at least half of its words (F1, articles, quantities and plurals aside). AP50 is COCO's: one class, ranked by
score, 101 recall points, at most 100 masks a scene. An answer is well formed if every `<p> phrase </p>` is followed by
its one `[SEG]`, every `[SEG]` has a phrase and a mask, and it ended by itself.

A figure over nothing is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from geopixel_edge.masks import Mask
from synthetic.tags import phrases_of

from .metrics.matching import assign
from .metrics.similarity import shared_words

MATCH_IOU = 0.5
MATCH_WORDS = 0.5
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class Shown:
    """A predicted or expected mask with its phrase; `score` ranks predictions for AP50."""

    mask: Mask
    phrase: str = ""
    score: float = 1.0


@dataclass(frozen=True)
class Referring:
    """One question: what was shown for it, what should have been (None: the object is absent)."""

    predicted: tuple[Mask, ...]
    expected: Mask | None
    refused: bool  # the answer has no [SEG]

    @property
    def overlap(self) -> tuple[int, int]:
        """Pixels of intersection and union."""
        assert self.expected is not None
        if not self.predicted:
            return 0, self.expected.area_px
        shown = reduce(Mask.__or__, self.predicted)
        common = (shown & self.expected).area_px
        return common, shown.area_px + self.expected.area_px - common

    @property
    def iou(self) -> float:
        """Intersection over union; 0 without a mask."""
        common, union = self.overlap
        return common / union if union else 1.0


def score_referring(results: Sequence[Referring]) -> dict[str, float | None]:
    """p50, p70, oiou, miou over the objects that are there; absent_refused over those that are not."""
    there = [result for result in results if result.expected is not None]
    absent = [result for result in results if result.expected is None]
    ious = np.array([result.iou for result in there])
    common, union = (sum(result.overlap[part] for result in there) for part in (0, 1))
    return {
        "p50": _mean(ious >= 0.5),
        "p70": _mean(ious >= 0.7),
        "oiou": common / union if union else None,
        "miou": _mean(ious),
        "absent_refused": _mean(np.array([result.refused for result in absent])),
    }


@dataclass(frozen=True)
class Conversation:
    """One scene's description: what it showed, what it should have shown, and whether it was well formed."""

    predicted: tuple[Shown, ...]
    expected: tuple[Shown, ...]
    well_formed: bool


def score_conversations(results: Sequence[Conversation]) -> dict[str, float | None]:
    """ap50, miou, recall, well_formed."""
    means, hits, wanted = [], 0, 0
    for result in results:
        table = overlaps(result)
        pairs = assign(table)
        longer = max(table.shape)
        means.append(sum(float(table[pair]) for pair in pairs) / longer if longer else 1.0)
        wanted += len(result.expected)
        hits += sum(
            table[row, column] >= MATCH_IOU and same_thing(result.predicted[row].phrase, result.expected[column].phrase)
            for row, column in pairs
        )
    return {
        "ap50": average_precision(results),
        "miou": _mean(np.array(means)),
        "recall": hits / wanted if wanted else None,
        "well_formed": _mean(np.array([result.well_formed for result in results])),
    }


def overlaps(result: Conversation) -> NDArray[np.float64]:
    """IoU of every predicted with every expected mask, float64 (predicted, expected)."""
    table = np.zeros((len(result.predicted), len(result.expected)))
    for row, shown in enumerate(result.predicted):
        for column, wanted in enumerate(result.expected):
            table[row, column] = shown.mask.iou(wanted.mask)
    return table


def average_precision(results: Sequence[Conversation]) -> float | None:
    """COCO's average precision at IoU 0.5 over all scenes, masks of one class."""
    wanted = sum(len(result.expected) for result in results)
    if not wanted:
        return None
    scores: list[float] = []
    correct: list[bool] = []
    for result in results:
        order = np.argsort([-shown.score for shown in result.predicted], kind="stable")[:MAX_DETECTIONS]
        table, taken = overlaps(result), set[int]()
        for row in order.tolist():
            # The best free one that reaches 0.5; of equals the last, as in COCO.
            free = [column for column in range(table.shape[1]) if column not in taken]
            best = max(free, key=lambda column: (table[row, column], column), default=None)
            hit = best is not None and bool(table[row, best] >= MATCH_IOU)
            if hit and best is not None:
                taken.add(best)
            scores.append(result.predicted[row].score)
            correct.append(hit)
    ranked = np.array(correct, bool)[np.argsort(-np.array(scores), kind="stable")]
    hits = np.cumsum(ranked)
    precision = hits / np.arange(1, len(ranked) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / wanted, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())


def same_thing(said: str, expected: str) -> bool:
    """Whether two phrases share at least half of their words."""
    return shared_words(said, expected) >= MATCH_WORDS


def well_formed(response: str, masks: int, finish_reason: str) -> bool:
    """Whether the model's own string keeps to the format, has `masks` `[SEG]`, and ended with its end token."""
    try:
        phrases = phrases_of(response)
    except ValueError:
        return False
    return len(phrases) == masks and finish_reason == "eos"


def _mean(values: NDArray[np.generic]) -> float | None:
    return float(values.mean()) if len(values) else None
