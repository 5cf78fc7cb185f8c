"""The worst and the best answers of a report as pictures: truth on the left, answer on the right."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from geopixel_edge.masks import Mask

from ..data.geopixeld import GeoPixelD
from ..data.rrsisd import RrsisD
from ..metrics.grounding import Grounding
from .pictures import Picture
from .score import Predictions

EACH = 6


def worst_and_best(values: Mapping[str, float], each: int = EACH) -> list[tuple[str, float]]:
    """Names with the lowest values, then those with the highest; none twice, equal ones by name."""
    order = sorted(values.items(), key=lambda entry: (entry[1], entry[0]))
    best = order[max(each, len(order) - each) :]
    return [*order[:each], *reversed(best)]


def labelled(grounding: Grounding) -> tuple[tuple[str, Mask], ...]:
    """Masks with their phrases, "" where there is none."""
    return tuple(
        (phrase or "", mask) for phrase, mask in zip_longest(grounding.phrases, grounding.masks) if mask is not None
    )


def of_geopixeld(data: GeoPixelD, predictions: Predictions, report: Mapping[str, Any]) -> list[Picture]:
    """By strict mIoU of the image."""
    paths = {item.image_id: item.path for item in data.items}
    values = {image: one["mIoU"] for image, one in report["per_image"].items() if image in paths}
    found = []
    for image, value in worst_and_best(values):
        truth, _ = data.truth(image, "fill")
        predicted = predictions.by_image[image]
        texts = (f"truth: {truth.caption}", f"answer: {predicted.caption}")
        title = f"{image}: mIoU {100 * value:.1f}"
        found.append(Picture(paths[image], title, labelled(truth), labelled(predicted), texts))
    return found


def of_rrsisd(data: RrsisD, predictions: Predictions, report: Mapping[str, Any]) -> list[Picture]:
    """By strict IoU of the expression."""
    paths = {item.image_id: item.path for item in data.items}
    values = {name: value for name, value in report["per_expression"].items() if name.rpartition("/")[0] in paths}
    found = []
    for name, value in worst_and_best(values):
        image, _, key = name.rpartition("/")
        (one,) = (one for one in data.by_image[image][1] if one.key == key)
        left = tuple(("", mask) for mask in data.parts[one.ann_id])
        right = tuple(("", mask) for mask in predictions.by_image[image][key].masks)
        title = f"{image}, {one.sentence!r}: IoU {100 * value:.1f}"
        found.append(Picture(paths[image], title, left, right))
    return found
