"""Two runs of one data set beside each other: paired differences, and how far words and masks are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.rle import mask_of
from ..errors import RunError
from ..metrics import bootstrap
from ..metrics.grounding import Overlaps
from ..metrics.matching import assign
from .ledger import Run
from .pictures import Picture

CHANGED = 10
Report = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One question's two answers: characters of edit over the longer text, and IoU of the masks, paired best."""

    image_id: str
    key: str
    edit: float
    iou: float

    @property
    def amount(self) -> float:
        """0 where nothing changed, 2 where nothing is alike."""
        return self.edit + 1 - self.iou


def edit_distance(first: str, second: str) -> int:
    """Characters to insert, delete or replace (Levenshtein)."""
    one, other = (np.array([ord(sign) for sign in text], np.int64) for text in (first, second))
    row = np.arange(len(other) + 1)
    for at, sign in enumerate(one, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (other != sign))
        # Insertions run along the row: the least of (value - place), carried on.
        whole = np.concatenate([[at], best])
        row = np.minimum.accumulate(whole - np.arange(len(whole))) + np.arange(len(whole))
    return int(row[-1])


def mask_iou(first: Sequence[Any], second: Sequence[Any]) -> float:
    """Mean IoU of the masks (COCO RLE) paired for the largest sum, over the larger count; 1 where both have none."""
    masks = [[mask_of(rle, "answers") for rle in part] for part in (first, second)]
    longer = max(len(part) for part in masks)
    if not longer:
        return 1.0
    table = Overlaps.of(*masks).iou(empty=1.0)
    return sum(float(table[pair]) for pair in assign(table)) / longer


def changes(first: Run, second: Run) -> list[Change]:
    """Of every question that both runs answered; RunError where there is none or the questions differ."""
    for name in ("task", "fingerprint", "question"):
        if first.key.get(name) != second.key.get(name):
            raise RunError(f"{first.root} and {second.root} differ in {name}; compare runs that asked the same")
    found = []
    for image_id in sorted(set(first.ids()) & set(second.ids())):
        answers = [{one["key"]: one for one in run.answers(image_id)} for run in (first, second)]
        for key in answers[0].keys() & answers[1].keys():
            one, other = answers[0][key], answers[1][key]
            texts = one["response"], other["response"]
            edit = edit_distance(*texts) / max(1, *(len(text) for text in texts))
            found.append(Change(image_id, key, edit, mask_iou(one["masks"], other["masks"])))
    if not found:
        raise RunError(f"{first.root} and {second.root} have no image in common; run both on the same data")
    return sorted(found, key=lambda one: (one.image_id, one.key))


def agreement(found: Sequence[Change]) -> Report:
    """Shares of equal answers, and means with their intervals over questions."""
    edits, ious = (np.array([getattr(one, name) for one in found], np.float64) for name in ("edit", "iou"))
    return {
        "questions": len(found),
        "same_text": float((edits == 0).mean()),
        "same_masks": float((ious == 1).mean()),
        "edit": {"value": float(edits.mean()), "interval": bootstrap.mean_interval(edits)},
        "mask IoU": {"value": float(ious.mean()), "interval": bootstrap.mean_interval(ious)},
    }


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> Report:
    """Means over what both have, and the mean difference second - first with its interval."""
    both = sorted(first.keys() & second.keys())
    one, other = (np.array([values[name] for name in both], np.float64) for values in (first, second))
    difference = other - one
    return {
        "count": len(both),
        "first": float(one.mean()),
        "second": float(other.mean()),
        "difference": {"value": float(difference.mean()), "interval": bootstrap.mean_interval(difference)},
        "better": int((difference > 0).sum()),
        "worse": int((difference < 0).sum()),
    }


def paired_figures(first: Mapping[str, Any], second: Mapping[str, Any]) -> Report:
    """Of two reports of one task: strict mIoU and what counts as found, image by image or expression by expression."""
    if first["task"] == "rrsisd":
        values = [report["per_expression"] for report in (first, second)]
        passed = [{name: float(value >= 0.5) for name, value in one.items()} for one in values]
        return {"mIoU": paired(*values), "P@0.5": paired(*passed)}
    mious = [{name: one["mIoU"] for name, one in report["per_image"].items()} for report in (first, second)]
    found = [
        {name: one["found"] / one["wanted"] for name, one in report["per_image"].items() if one["wanted"]}
        for report in (first, second)
    ]
    return {"mIoU": paired(*mious), "recall, mean of images": paired(*found)}


def most_changed(first: Run, second: Run, found: Sequence[Change], paths: Mapping[str, Path]) -> list[Picture]:
    """The ten answers that changed most: the first run's on the left, the second's on the right."""
    pictures = []
    order = sorted((one for one in found if one.amount > 0), key=lambda one: (-one.amount, one.image_id, one.key))
    for change in order[:CHANGED]:
        sides = []
        for run in (first, second):
            (answer,) = (one for one in run.answers(change.image_id) if one["key"] == change.key)
            phrases = [*answer.get("phrases", ()), *[""] * len(answer["masks"])]
            masks = tuple((phrases[at], mask_of(rle, "answers")) for at, rle in enumerate(answer["masks"]))
            sides.append((masks, answer["response"]))
        title = f"{change.image_id} {change.key}: {100 * change.edit:.0f} % of the text, mask IoU {change.iou:.2f}"
        texts = (f"first: {sides[0][1]}", f"second: {sides[1][1]}")
        pictures.append(Picture(paths[change.image_id], title, sides[0][0], sides[1][0], texts))
    return pictures
