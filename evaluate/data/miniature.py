"""Generated data sets in exactly the published layouts, so that everything runs without the real ones."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geopixel_edge.checks import check_integer
from geopixel_edge.masks import Mask
from synthetic.questions import conversation, referring
from synthetic.scenes import EVALUATION_SEED, Scene, make_scene

from ..errors import DataError, EvaluationError
from ..files import write_bytes, write_json
from .questions import INDEX, PUBLISHED
from .rrsisd import ANNOTATIONS, IMAGES, REFERENCES

LAYOUTS = ("geopixeld", "rrsisd")
MAX_IMAGES, MIN_SIDE_PX, MAX_SIDE_PX = 100_000, 128, 2048


def write_miniature(
    root: Path, layout: str, images: int = 20, seed: int = EVALUATION_SEED, side_px: int = 256, questions: int = 3
) -> int:
    """Write `images` scenes into the new or empty folder `root`; returns how many masks they have.

    DataError for a folder that is not empty, an unknown layout or a number out of range.
    """
    if layout not in LAYOUTS:
        raise DataError(f"layout={layout!r} is unknown; give one of {', '.join(LAYOUTS)}")
    images = check_integer("images", images, 1, MAX_IMAGES)
    side_px = check_integer("size", side_px, MIN_SIDE_PX, MAX_SIDE_PX)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"out={str(root)!r} is not an empty folder; choose another")
    scenes = (make_scene(one, side_px) for one in range(seed, seed + images))
    return _geopixeld(root, scenes) if layout == "geopixeld" else _rrsisd(root, scenes, questions)


def _geopixeld(root: Path, scenes: Iterator[Scene]) -> int:
    """Every scene is in the test split, the first in the training split, too: that one has an index."""
    count = 0
    for scene in scenes:
        name = f"P{scene.seed}_0_{scene.side_px}_0_{scene.side_px}"
        told = conversation(scene)
        polygons = [dense_borders(mask) for mask in told.masks(scene)]
        count += len(polygons)
        record = {"id": name, "img": f"{name}.png", "gcg_description": told.answer, "polygons": polygons}
        picture = _encoded(scene.image, "PNG")
        first = not (root / INDEX).exists()
        for split in ("test", "train") if first else ("test",):
            write_bytes(root / split / f"{name}.png", picture)
            write_json(root / split / f"{name}.json", record)
        if first:
            write_json(root / INDEX, [_indexed(name, told.answer)])
    return count


def _indexed(name: str, answer: str) -> dict[str, Any]:
    """An entry of the index, whose paths begin in the folder above the data, as the published ones do."""
    turns = [{"from": "human", "value": PUBLISHED["sample"]}, {"from": "bot", "value": answer}]
    place = f"data/GeoPixelD/train/{name}"
    return {"id": 0, "conversations": turns, "image": f"{place}.png", "polygons": f"{place}.json"}


def dense_borders(mask: NDArray[np.bool_]) -> list[list[list[int]]]:
    """Each 8-connected part's border through pixel centres as [[x, y], ...], every step at most a pixel; no holes."""
    try:
        import cv2
    except ImportError:
        raise EvaluationError("borders of masks need OpenCV; pip install '.[eval]'") from None
    borders, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [[[int(x), int(y)] for x, y in np.asarray(border).reshape(-1, 2)] for border in borders]


def _rrsisd(root: Path, scenes: Iterator[Scene], questions: int) -> int:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    references: list[dict[str, Any]] = []
    classes: dict[str, int] = {}
    for scene in scenes:
        file_name = f"{len(images) + 1:05d}.jpg"
        side = scene.side_px
        images.append({"id": len(images) + 1, "file_name": file_name, "height": side, "width": side})
        write_bytes(root / IMAGES / file_name, _encoded(scene.image, "JPEG"))
        for one in referring(scene, questions + 2):
            if one.absent or one.expression is None:
                continue
            mask = Mask.from_array(one.masks(scene)[0])
            category = classes.setdefault(one.expression.class_name, len(classes) + 1)
            number = len(annotations) + 1
            annotations.append(_annotation(number, len(images), category, mask))
            references.append(_reference(number, len(images), category, file_name, one.phrases[0], _split(number)))
    named = [{"id": number, "name": name} for name, number in classes.items()]
    write_json(root / ANNOTATIONS, {"images": images, "annotations": annotations, "categories": named})
    write_bytes(root / REFERENCES, pickle.dumps(references, protocol=2))  # as the real one was written
    return len(annotations)


def _split(number: int) -> str:
    """Seven of ten are for training, one for validation, two for testing, as in RRSIS-D."""
    return ("test", "val", "test")[number % 10] if number % 10 < 3 else "train"


def _annotation(number: int, image_id: int, category: int, mask: Mask) -> dict[str, Any]:
    shape = {"segmentation": [mask.to_coco()], "area": mask.area_px, "bbox": [float(side) for side in mask.bbox]}
    return {"id": number, "image_id": image_id, "category_id": category, **shape, "iscrowd": 0}


def _reference(number: int, image_id: int, category: int, file_name: str, phrase: str, split: str) -> dict[str, Any]:
    words: Sequence[str] = phrase.lower().split()
    sentence = {"sent_id": number, "sent": phrase, "raw": phrase.capitalize(), "tokens": list(words)}
    ids = {"ref_id": number, "ann_id": number, "image_id": image_id, "category_id": category}
    return {**ids, "file_name": file_name, "split": split, "sent_ids": [number], "sentences": [sentence]}


def _encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, quality=95)
    return stream.getvalue()
