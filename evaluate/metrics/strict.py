"""RS-GCG as it should be: every miss and every false alarm counts, and no figure depends on an order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
