"""RS-GCG as GLaMM's script computes it, its habits included; docs/evaluate.md names each beside its strict form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .grounding import Floats, Judged
from .similarity import Similarity

LEAST_IOU = LEAST_SIMILARITY = 0.5


def image_miou(iou: Floats) -> float:
    """Mean over the pairs found, the largest IoU first; missed truths and false alarms cost nothing.

    `iou` float64 (predicted, true), NaN for two empty masks: one NaN ends the pairing, so that the image counts 0.
    """
    table, found = iou.copy(), []
    while table.size and np.max(table) > 0:
        row, column = np.unravel_index(np.argmax(table), table.shape)
        found.append(table[row, column])
        table = np.delete(np.delete(table, row, 0), column, 1)
    return float(np.mean(found)) if found else 0.0


@dataclass(frozen=True)
class Recalled:
    """True positives of one image: (truth, predicted) pairs; `stopped` says what ended the search.

    "iou" or "phrase": the best pair left falls short; "index": a mask without a phrase raised IndexError, and the image
    counts none of its pairs.
    """

    pairs: tuple[tuple[int, int], ...]
    wanted: int
    stopped: str


def image_recall(one: Judged, similarity: Similarity) -> Recalled:
    """The pairs of the largest IoU first, until the first that falls short of 0.5 in IoU or in similarity."""
    iou = one.overlaps.iou(empty=np.nan).T.copy()
    wanted, said = one.truth.phrases, one.predicted.phrases
    pairs: list[tuple[int, int]] = []
    while iou.size:
        place = np.unravel_index(np.argmax(iou), iou.shape)
        row, column = int(place[0]), int(place[1])
        if iou[row, column] < LEAST_IOU:
            break
        if row >= len(wanted) or column >= len(said):
            return Recalled((), len(wanted), "index")
        if similarity([(wanted[row], said[column])])[0] < LEAST_SIMILARITY:
            return Recalled(tuple(pairs), len(wanted), "phrase")
        pairs.append((row, column))
        iou[row, :] = 0
        iou[:, column] = 0
    return Recalled(tuple(pairs), len(wanted), "iou")


def miou(judged: Sequence[Judged]) -> list[float]:
    """Of each image."""
    return [image_miou(one.overlaps.iou(empty=np.nan)) for one in judged]
