"""RS-GCG as it should be: every miss and every false alarm counts, and no figure depends on an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .coco import in_order, precision_curve
from .grounding import Floats, Judged
from .matching import assign, pair_up
from .published import LEAST_IOU, LEAST_SIMILARITY
from .similarity import Similarity


@dataclass(frozen=True)
class StrictImage:
    """One image: `miou` 0..1, the (predicted, true) pairs that count as found, and the IoU each true mask got."""

    miou: float
    found: tuple[tuple[int, int], ...]
    wanted: int
    shown: int
    truth_iou: tuple[float, ...]
    truth_found: tuple[bool, ...]


def judge(one: Judged, similarity: Similarity) -> StrictImage:
    """mIoU by the one-to-one assignment of the largest sum, over the larger count; recall by the largest number."""
    iou = one.overlaps.iou(empty=1.0)
    shown, wanted = iou.shape
    pairs = assign(iou)
    got = dict.fromkeys(range(wanted), 0.0) | {column: float(iou[row, column]) for row, column in pairs}
    total = sum(got.values()) / max(shown, wanted) if max(shown, wanted) else 1.0
    found = pair_up((iou >= LEAST_IOU) & _similar(one, iou, similarity))
    hit = {column for _, column in found}
    return StrictImage(
        total, tuple(found), wanted, shown, tuple(got.values()), tuple(column in hit for column in range(wanted))
    )


def _similar(one: Judged, iou: Floats, similarity: Similarity) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """bool (predicted, true), asked only where the masks agree; a mask without a phrase is like no other."""
    said, wanted = one.predicted.phrases, one.truth.phrases
    near = np.zeros(iou.shape, bool)
    places = [
        (row, column)
        for row, column in np.argwhere(iou >= LEAST_IOU).tolist()
        if row < len(said) and column < len(wanted)
    ]
    values = similarity([(wanted[column], said[row]) for row, column in places]) if places else np.zeros(0)
    for place, value in zip(places, values, strict=True):
        near[place] = value >= LEAST_SIMILARITY
    return near


@dataclass(frozen=True)
class Ranked:
    """One image's predictions, the best-ranked first: score, and whether each hits a true mask at IoU 0.5."""

    scores: tuple[float, ...]
    hit: tuple[bool, ...]
    wanted: int


def rank(one: Judged, own_scores: bool) -> Ranked:
    """Each prediction takes the best free truth, in the order of its score; all of an image count."""
    iou = one.overlaps.iou(empty=1.0)
    scores = one.predicted.scores if own_scores else (1.0,) * len(iou)
    order = np.argsort(-np.array(scores, np.float64), kind="stable")
    free, hit = np.ones(iou.shape[1], bool), []
    for row in order.tolist():
        columns = np.flatnonzero(free & (iou[row] >= LEAST_IOU))
        best = int(columns[::-1][np.argmax(iou[row, columns[::-1]])]) if len(columns) else -1
        hit.append(best >= 0)
        if best >= 0:
            free[best] = False
    return Ranked(tuple(float(scores[row]) for row in order.tolist()), tuple(hit), iou.shape[1])


def ranked(judged: Sequence[Judged], own_scores: bool) -> list[Ranked]:
    """Of every image, in the order of their ids."""
    return [rank(one, own_scores) for one in in_order(judged)]


def precision_at_recall(images: Sequence[Ranked]) -> Floats | None:
    """float64 (101,), the curve whose mean is AP50; None where nothing is wanted."""
    wanted = sum(one.wanted for one in images)
    if not wanted:
        return None
    scores = np.array([score for one in images for score in one.scores])
    hit = np.array([hit for one in images for hit in one.hit], bool)[np.argsort(-scores, kind="stable")]
    return precision_curve(hit, ~hit, wanted)


def average_precision(images: Sequence[Ranked]) -> float | None:
    """AP at IoU 0.5 over all images; None where nothing is wanted."""
    curve = precision_at_recall(images)
    return None if curve is None else float(curve.mean())
