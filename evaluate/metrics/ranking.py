"""Average precision at IoU 0.5 from ranked predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .coco import MAX_DETECTIONS, in_order, precision_curve
from .grounding import Floats, Judged
from .published import LEAST_IOU


@dataclass(frozen=True)
class Ranked:
    """One image's predictions, the best-ranked first: score, and whether each hits a true mask at IoU 0.5."""

    scores: tuple[float, ...]
    hit: tuple[bool, ...]
    wanted: int


def _rank(iou: Floats, scores: Sequence[float]) -> Ranked:
    """Each prediction takes the best free truth, the last of equals, in the order of its score."""
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
    """Strictly: every mask of every image, in the order of their ids; empty with empty is a hit."""
    found = []
    for one in in_order(judged):
        iou = one.overlaps.iou(empty=1.0)
        found.append(_rank(iou, one.predicted.scores if own_scores else (1.0,) * len(iou)))
    return found


def ranked_as_published(judged: Sequence[Judged]) -> list[Ranked]:
    """As COCO's: all scores 1, an image's first 100 masks; empty with empty is a miss."""
    tables = [one.overlaps.iou(empty=0.0)[: MAX_DETECTIONS[-1]] for one in in_order(judged)]
    return [_rank(iou, (1.0,) * len(iou)) for iou in tables]


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


def published_average_precision(images: Sequence[Ranked]) -> float | None:
    """None, too, where no image has a mask: the original gives no figure then."""
    return average_precision(images) if any(one.scores for one in images) else None
