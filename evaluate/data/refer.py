"""The refer layout's records: references with sentences, and annotations with run lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geopixel_edge.masks import Mask

from ..errors import DataError
from .glamm import check_unique, records_of
from .raster import by_pycocotools
from .rle import mask_of

SPLITS = ("train", "val", "test")


def check_references(records: object, where: str) -> list[dict[str, Any]]:
    """The references themselves; DataError names the first that lacks a field or repeats an id."""
    if not isinstance(records, list) or not records:
        raise DataError(f"{where}: references are a {type(records).__name__}, or empty; give a list of records")
    seen: set[int] = set()
    sentences: set[int] = set()
    for at, one in enumerate(records):
        told = f"{where}: reference {at}"
        if not isinstance(one, dict):
            raise DataError(f"{told} is a {type(one).__name__}, no record")
        for field in ("ref_id", "ann_id", "image_id", "category_id"):
            if type(one.get(field)) is not int:
                raise DataError(f"{told}: {field}={one.get(field)!r} is no whole number")
        if not isinstance(one.get("split"), str) or not any(split in one["split"] for split in SPLITS):
            raise DataError(f"{told}: split={one.get('split')!r} is none of {', '.join(SPLITS)}")
        if one["ref_id"] in seen:
            raise DataError(f"{told}: ref_id={one['ref_id']} occurs twice")
        seen.add(one["ref_id"])
        _check_sentences(one, told, sentences)
    return records


def _check_sentences(reference: Mapping[str, Any], told: str, seen: set[int]) -> None:
    sentences = reference.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        raise DataError(f"{told} has no sentences")
    for one in sentences:
        if not isinstance(one, dict) or type(one.get("sent_id")) is not int or not isinstance(one.get("sent"), str):
            raise DataError(f"{told} has a sentence without sent_id or sent")
        if one["sent_id"] in seen:
            raise DataError(f"{told}: sent_id={one['sent_id']} occurs twice")
        seen.add(one["sent_id"])


def of_split(references: Sequence[Mapping[str, Any]], split: str) -> list[Mapping[str, Any]]:
    """The references of a split, in their order: for test every split whose name holds the word, as the original."""
    return [one for one in references if (split in one["split"] if split == "test" else split == one["split"])]


def parts_of(instances: object, where: str) -> dict[int, list[Mask]]:
    """Annotation id -> the masks of its parts, run lengths or polygons.

    `bbox` and category fields differ between copies and are not read.
    """
    images, annotations = (records_of(instances, name, where) for name in ("images", "annotations"))
    check_unique((one.get("id") for one in images), f"{where}: image")
    sizes = {one["id"]: (one.get("height"), one.get("width")) for one in images}
    found: dict[int, list[Mask]] = {}
    for one in annotations:
        ann_id, image_id = one.get("id"), one.get("image_id")
        if type(ann_id) is not int or ann_id in found:
            raise DataError(f"{where}: annotation id {ann_id!r} is no whole number, or occurs twice")
        if isinstance(image_id, (list, dict)):
            raise DataError(f"{where}: annotation {ann_id} has image_id={image_id!r}; give one image's id")
        found[ann_id] = _parts(one.get("segmentation"), sizes.get(image_id), f"{where}: annotation {ann_id}")
    return found


def _parts(shape: Any, size: tuple[Any, Any] | None, where: str) -> list[Mask]:
    parts = shape if isinstance(shape, list) else [shape]
    if not parts:
        raise DataError(f"{where} has no segmentation")
    if not isinstance(parts[0], list):
        return [mask_of(rle, where) for rle in parts]
    if size is None or not all(type(side) is int and side > 0 for side in size):
        raise DataError(f"{where} has polygons, and its image has no height and width")
    if not all(isinstance(one, list) and len(one) > 5 and len(one) % 2 == 0 for one in parts):
        raise DataError(f"{where} has a polygon of less than three points")
    if not all(isinstance(value, (int, float)) for one in parts for value in one):
        raise DataError(f"{where} has a polygon that is not of numbers")
    return [by_pycocotools([list(zip(one[::2], one[1::2], strict=True))], *size) for one in parts]
