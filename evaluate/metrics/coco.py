"""COCO's average precision of masks of one class, its twelve figures to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .grounding import Floats, Judged

IOU_STEPS: Floats = np.linspace(0.5, 0.95, 10)
RECALL_POINTS: Floats = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = (1, 10, 100)
# Pixels: all, small, medium, large.
AREAS = ((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10))
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class _Matched:
    """One image in one range of areas: bool (IoU steps, predictions) each, the best-ranked prediction first."""

    scores: Floats
    hit: Bits
    ignored: Bits
    wanted: int  # true masks that count


def coco_stats(judged: Sequence[Judged]) -> list[float]:
    """The twelve figures of `COCOeval.summarize`, every prediction with score 1; -1 where nothing is wanted.

    IndexError where no image has a predicted mask, as `COCO.loadRes` raises it.
    """
    if not any(one.predicted.masks for one in judged):
        raise IndexError("list index out of range")
    images = in_order(judged)
    tables = [_iou(one)[: MAX_DETECTIONS[-1]] for one in images]
    precision = np.full((len(IOU_STEPS), len(AREAS), len(MAX_DETECTIONS)), -1.0)
    recall = precision.copy()
    for place, area in enumerate(AREAS):
        matched = [_match(one, table, area) for one, table in zip(images, tables, strict=True)]
        for column, most in enumerate(MAX_DETECTIONS):
            precision[:, place, column], recall[:, place, column] = _accumulate(matched, most)
    at = [_mean(precision[:, 0, 2]), _mean(precision[:1, 0, 2]), _mean(precision[5:6, 0, 2])]
    sizes = [_mean(precision[:, place, 2]) for place in (1, 2, 3)]
    recalls = [_mean(recall[:, 0, column]) for column in range(3)]
    return [*at, *sizes, *recalls, *(_mean(recall[:, place, 2]) for place in (1, 2, 3))]


def in_order(judged: Sequence[Judged]) -> list[Judged]:
    """Sorted by id: where all scores are equal, the order of the images is their ranking."""
    return sorted(judged, key=lambda one: (isinstance(one.image_id, str), one.image_id))


def _iou(one: Judged) -> Floats:
    return one.overlaps.iou(empty=0.0)


def _match(one: Judged, iou: Floats, area: tuple[float, float]) -> _Matched:
    truth_areas = np.array(one.areas or one.overlaps.columns, np.float64)
    outside = (truth_areas < area[0]) | (truth_areas > area[1])
    order = np.argsort(outside, kind="stable")  # those that count first
    iou, outside = iou[:, order], outside[order]
    predicted_areas = one.overlaps.rows[: len(iou)]
    hit = np.zeros((len(IOU_STEPS), len(iou)), bool)
    ignored = np.zeros_like(hit)
    for step, least in enumerate(IOU_STEPS):
        free = np.ones(len(outside), bool)
        for row in range(len(iou)):
            column = _best(iou[row], free, outside, min(least, 1 - 1e-10))
            if column >= 0:
                free[column], hit[step, row], ignored[step, row] = False, True, outside[column]
    ignored |= ~hit & ((predicted_areas < area[0]) | (predicted_areas > area[1]))
    return _Matched(np.ones(len(iou)), hit, ignored, int((~outside).sum()))


def _best(row: Floats, free: Bits, outside: Bits, least: float) -> int:
    """The best free true mask of IoU at least `least`, the last of equals; one that is ignored only if no other."""
    for kind in (False, True):
        candidates = np.flatnonzero(free & (outside == kind) & (row >= least))
        if len(candidates):
            return int(candidates[::-1][np.argmax(row[candidates[::-1]])])
    return -1


def _accumulate(matched: Sequence[_Matched], most: int) -> tuple[Floats, Floats]:
    """Mean precision at the 101 recall points, and the last recall, float64 (IoU steps) each; -1 for nothing wanted."""
    wanted = sum(one.wanted for one in matched)
    if not wanted:
        return np.full(len(IOU_STEPS), -1.0), np.full(len(IOU_STEPS), -1.0)
    hit = np.concatenate([one.hit[:, :most] for one in matched], axis=1)
    ignored = np.concatenate([one.ignored[:, :most] for one in matched], axis=1)
    precision, recall = np.zeros(len(IOU_STEPS)), np.zeros(len(IOU_STEPS))
    for step in range(len(IOU_STEPS)):
        curve = precision_curve(hit[step] & ~ignored[step], ~hit[step] & ~ignored[step], wanted)
        precision[step] = curve.mean()
        recall[step] = (hit[step] & ~ignored[step]).sum() / wanted
    return precision, recall


def precision_curve(right: Bits, wrong: Bits, wanted: int) -> Floats:
    """Precision at RECALL_POINTS, made monotone; predictions in the order of their rank."""
    hits, misses = np.cumsum(right, dtype=np.float64), np.cumsum(wrong, dtype=np.float64)
    precision = hits / (hits + misses + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / wanted, RECALL_POINTS, side="left")
    return np.append(precision, 0.0)[np.minimum(at, len(precision))]


def _mean(values: Floats) -> float:
    known = values[values > -1]
    return float(known.mean()) if len(known) else -1.0
