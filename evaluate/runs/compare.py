"""Two runs of one data set beside each other: paired differences, and how far words and masks are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Exclusion
from ..data.geopixeld import GeoPixelD
from ..data.raster import RASTERS
from ..data.rle import mask_of
from ..data.rrsisd import RrsisD
from ..errors import RunError
from ..metrics import bootstrap
from ..metrics.bootstrap import Evidence
from ..metrics.grounding import Overlaps
from ..metrics.matching import assign
from ..scoring import rrsisd, rsgcg, texts
from .ledger import Run
from .pictures import Picture
from .score import Measures, Predictions, express, judge

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


def check_same_questions(first: Run, second: Run) -> None:
    """RunError where they were not asked the same."""
    for name in ("task", "fingerprint", "question"):
        if first.key.get(name) != second.key.get(name):
            raise RunError(f"{first.root} and {second.root} differ in {name}; compare runs that asked the same")


def changes(first: Run, second: Run, images: Sequence[str]) -> list[Change]:
    """Of every question about `images`, which both runs answered."""
    found = []
    for image_id in images:
        answers = [{one["key"]: one for one in run.answers(image_id)} for run in (first, second)]
        for key in answers[0].keys() & answers[1].keys():
            one, other = answers[0][key], answers[1][key]
            texts = one["response"], other["response"]
            edit = edit_distance(*texts) / max(1, *(len(text) for text in texts))
            found.append(Change(image_id, key, edit, mask_iou(one["masks"], other["masks"])))
    return sorted(found, key=lambda one: (one.image_id, one.key))


def agreement(found: Sequence[Change]) -> Report:
    """Shares of equal answers, and means over questions with their intervals; images are drawn."""
    images, ones = [one.image_id for one in found], np.ones(len(found))
    edits, ious = (np.array([getattr(one, name) for one in found], np.float64) for name in ("edit", "iou"))
    return {
        "questions": len(found),
        "same_text": float((edits == 0).mean()),
        "same_masks": float((ious == 1).mean()),
        "edit": bootstrap.told(bootstrap.Ratio.by_image(images, edits, ones)),
        "mask IoU": bootstrap.told(bootstrap.Ratio.by_image(images, ious, ones)),
    }


def answered_by_both(data: GeoPixelD | RrsisD, both: Sequence[Predictions]) -> tuple[list[str], list[Exclusion]]:
    """The images that both runs answered, and those left out. RunError where there is none, or a foreign one."""
    images = [one.image_id for one in data.items]
    missing = [image for one in data.exclusions for image in one.images]
    left_out = [Exclusion("image missing, left out", tuple(missing))] if missing else []
    for name, one in zip(("first", "second"), both, strict=True):
        one.check(images, missing, partial=True)
        lacking = tuple(image for image in images if image not in one.by_image)
        left_out += [Exclusion(f"image not answered in the {name} run, left out", lacking)] if lacking else []
    found = [image for image in images if all(image in one.by_image for one in both)]
    if not found:
        raise RunError("both runs have no image in common; run both on the same data")
    return found, left_out


def evidence_of(
    data: GeoPixelD | RrsisD, predictions: Predictions, images: Sequence[str], measures: Measures
) -> tuple[dict[str, Evidence], list[Exclusion]]:
    """Every figure of a run over `images`, and what its report would count."""
    if isinstance(data, RrsisD):
        expressed, told = express(data, predictions, images)
        return rrsisd.evidence(expressed), told
    by_raster, told = judge(data, predictions, images, RASTERS)
    *_, judged = by_raster.values()
    wanted, said = [one.truth.caption for one in judged], [one.predicted.caption for one in judged]
    found = rsgcg.evidence(by_raster, measures.similarity, predictions.own_scores)
    return {**texts.evidence(wanted, said, measures.java), **found}, told


def figures(
    data: GeoPixelD | RrsisD, both: Sequence[Predictions], images: Sequence[str], measures: Measures
) -> tuple[Report, list[Exclusion]]:
    """Each figure of both runs over `images`, paired image by image, and what their reports would count."""
    (first, told), (second, more) = (evidence_of(data, one, images, measures) for one in both)
    return {name: bootstrap.paired(first[name], second[name]) for name in first}, list(dict.fromkeys([*told, *more]))


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
