"""groundingLMM's files: COCO truth of masks and captions, and one prediction file per image; read and made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import DataError, RunError
from ..metrics.grounding import Grounding, ImageId, Judged
from .rle import mask_of, plain_rle

CATEGORY = {"id": 1, "name": "object"}


def truth_names(split: str) -> tuple[str, str]:
    """File names of the masks and of the captions."""
    return f"{split}_gcg_coco_mask_gt.json", f"{split}_gcg_coco_caption_gt.json"


def load_json(path: Path, kind: type[DataError] | type[RunError] = DataError) -> Any:
    """A JSON file; `kind` of error where it is missing, torn or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise kind(f"{path} is not there; give the folder that has it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise kind(f"{path} cannot be read ({error}); it is torn or no JSON, so fetch or write it again") from None


def truths(masks: Mapping[str, Any], captions: Mapping[str, Any]) -> dict[ImageId, tuple[Grounding, tuple[float, ...]]]:
    """Image id -> truth, and the areas its annotations state. DataError for what contradicts itself."""
    sizes = _by_id(masks, "masks")
    found: dict[ImageId, list[Mapping[str, Any]]] = {image_id: [] for image_id in sizes}
    annotations = records_of(masks, "annotations", "masks")
    check_unique((entry.get("id") for entry in annotations), "masks: annotation")
    for entry in annotations:
        where = f"masks: annotation {entry.get('id')!r}"
        if not _is_id(entry.get("image_id")) or entry["image_id"] not in found:
            raise DataError(f"{where} is of image {entry.get('image_id')!r}, which is not listed")
        if not isinstance(entry.get("area", 0), (int, float)):
            raise DataError(f"{where}: area={entry['area']!r} is no number of pixels")
        if entry.get("iscrowd"):
            raise DataError(f"{where} is a crowd (iscrowd=1), which these figures do not know; write it as an object")
        found[entry["image_id"]].append(entry)
    said = _by_image(captions)
    if unknown := [image_id for image_id in said if image_id not in found]:
        raise DataError(f"captions: image {unknown[0]!r} has no entry among the masks")
    out: dict[ImageId, tuple[Grounding, tuple[float, ...]]] = {}
    for image_id, entries in found.items():
        if image_id not in said:
            raise DataError(f"captions: image {image_id!r} has no caption")
        drawn = tuple(mask_of(one.get("segmentation"), f"masks: annotation {one.get('id')!r}") for one in entries)
        if any((mask.height_px, mask.width_px) != sizes[image_id] for mask in drawn):
            raise DataError(
                f"masks: image {image_id!r} is of {sizes[image_id]} px (h, w) and has a mask of another size"
            )
        caption, labels = said[image_id]
        areas = tuple(float(one.get("area", mask.area_px)) for one, mask in zip(entries, drawn, strict=True))
        out[image_id] = Grounding(caption, labels, drawn), areas
    return out


def _by_id(masks: Mapping[str, Any], where: str) -> dict[ImageId, tuple[int, int]]:
    sizes: dict[ImageId, tuple[int, int]] = {}
    images = records_of(masks, "images", where)
    check_unique((entry.get("id") for entry in images), f"{where}: image")
    for entry in images:
        height, width = entry.get("height", 0), entry.get("width", 0)
        if type(height) is not int or type(width) is not int:
            raise DataError(f"{where}: image {entry['id']!r} has height={height!r}, width={width!r}; give whole pixels")
        sizes[entry["id"]] = height, width
    if not sizes:
        raise DataError(f"{where}: no image is listed")
    return sizes


def _by_image(captions: Mapping[str, Any]) -> dict[ImageId, tuple[str, tuple[str, ...]]]:
    said: dict[ImageId, tuple[str, tuple[str, ...]]] = {}
    for entry in records_of(captions, "annotations", "captions"):
        image_id, labels = entry.get("image_id"), entry.get("labels", [])
        if not _is_id(image_id) or not isinstance(entry.get("caption"), str) or not _texts(labels):
            raise DataError(f"captions: annotation {entry.get('id')!r} lacks image_id, caption or labels")
        if image_id in said:
            raise DataError(f"captions: image {image_id!r} has two captions")
        said[image_id] = entry["caption"], tuple(labels)
    return said


def records_of(document: Any, name: str, where: str) -> list[Mapping[str, Any]]:
    """The list of records `name` of a document in COCO's layout; DataError where it is none."""
    found = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise DataError(f"{where}: {name} is no list of records; give COCO's layout")
    return found


def check_unique(ids: Iterable[object], where: str) -> None:
    """DataError for what is no id, and for two that have one text: both would be one file, or one row of an index."""
    seen: set[str] = set()
    for one in ids:
        if not _is_id(one) or str(one) in seen:
            raise DataError(f"{where} id {one!r} is no id, or occurs twice; give each its own")
        seen.add(str(one))


def _is_id(value: object) -> TypeGuard[ImageId]:
    return isinstance(value, (int, str))


def _texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def prediction_of(record: object, where: str, scores: Sequence[float] = ()) -> tuple[ImageId, Grounding]:
    """Image id and prediction of one file's content, which may lie one level deeper; RunError where it is torn."""
    if isinstance(record, Mapping) and "image_id" not in record and len(record) == 1:
        record = next(iter(record.values()))
    if not isinstance(record, Mapping):
        raise RunError(f"{where} holds no record of a prediction; remove it and run again")
    image_id, caption = record.get("image_id"), record.get("caption")
    phrases, masks = record.get("phrases"), record.get("pred_masks")
    right = (
        isinstance(image_id, (int, str)) and isinstance(caption, str) and _texts(phrases) and isinstance(masks, list)
    )
    if not right:
        raise RunError(f"{where} lacks image_id, caption, phrases or pred_masks; remove it and run again")
    try:
        drawn = tuple(mask_of(rle, f"{where}: pred_masks[{at}]") for at, rle in enumerate(masks or []))
    except DataError as error:
        raise RunError(str(error)) from None
    if scores and len(scores) != len(drawn):
        raise RunError(f"{where} has {len(drawn)} masks and {len(scores)} scores; remove it and run again")
    return image_id, Grounding(str(caption), tuple(phrases or ()), drawn, tuple(scores))  # type: ignore[return-value]


def prediction_record(image_id: ImageId, predicted: Grounding) -> dict[str, Any]:
    """What a prediction file holds."""
    return {
        "image_id": image_id,
        "caption": predicted.caption,
        "phrases": list(predicted.phrases),
        "pred_masks": [plain_rle(mask) for mask in predicted.masks],
    }


def truth_documents(
    truth: Iterable[tuple[ImageId, tuple[int, int], Grounding]],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mask document and the caption document of (image id, (height, width), truth)."""
    images: list[dict[str, Any]] = []
    masks: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for image_id, (height, width), one in truth:
        images.append({"id": image_id, "height": height, "width": width})
        captions.append(
            {"id": len(captions) + 1, "image_id": image_id, "caption": one.caption, "labels": list(one.phrases)}
        )
        for mask in one.masks:
            shape = {"segmentation": plain_rle(mask), "area": mask.area_px, "bbox": [float(side) for side in mask.bbox]}
            masks.append({"id": len(masks) + 1, "image_id": image_id, "category_id": 1, **shape, "iscrowd": 0})
    both = {"images": images, "info": {}}
    return {**both, "annotations": masks, "categories": [CATEGORY]}, {**both, "annotations": captions}


def judged(
    truth: Mapping[ImageId, tuple[Grounding, tuple[float, ...]]], predictions: Mapping[str, Any]
) -> list[Judged]:
    """Every image of `truth` with its prediction among `predictions`, file name's stem -> content."""
    out = []
    for image_id, (wanted, areas) in truth.items():
        if str(image_id) not in predictions:
            raise RunError(f"image {image_id!r} has no prediction")
        _, predicted = prediction_of(predictions[str(image_id)], f"prediction of image {image_id!r}")
        out.append(Judged(image_id, wanted, predicted, areas))
    return out
