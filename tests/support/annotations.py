"""Short runs of the annotation pipeline, and a COCO file with its pictures made from generated scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from annotate.describers.base import Describer
from annotate.describers.rules import Rules
from annotate.job import Job, Outcome
from annotate.settings import Settings
from annotate.sources import open_source
from geopixel_edge.masks import Mask
from synthetic.scenes import CLASS_NAMES, make_scene


def annotated(words: str, out: Path, describer: Describer | None = None, settings: Settings | None = None) -> Outcome:
    """A run to its end, by the rules unless said otherwise."""
    return Job(open_source(words), out, describer or Rules(), settings or Settings()).run()


def records(out: Path) -> list[dict[str, Any]]:
    """The records of a data set, by id."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((out / "items").glob("*.json"))]


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a data set but the ledger, by its path."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.parent.name != "requests")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def coco_of(seeds: Sequence[int], folder: Path, side_px: int = 320) -> dict[str, Any]:
    """Scenes as a COCO file, `folder`/instances.json, with their pictures beside it; returns what it holds."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds, 1):
        scene = make_scene(seed, side_px)
        Image.fromarray(scene.image).save(folder / f"P{seed:04d}_0_{side_px}_0_{side_px}.png")
        name = f"P{seed:04d}_0_{side_px}_0_{side_px}.png"
        images.append({"id": number, "file_name": name, "width": side_px, "height": side_px})
        for one in scene.instances:
            mask = Mask.from_array(np.ascontiguousarray(one.mask))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CLASS_NAMES.index(one.class_name) + 1,
                    "segmentation": mask.to_coco(),
                    "area": one.area_px,
                    "bbox": list(one.bbox),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASS_NAMES, 1)]
    found = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(found))
    return found
