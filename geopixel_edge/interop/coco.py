"""An answer as a COCO data set: one image, one category per phrase, masks as RLE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..json_text import finite
from .names import class_names, image_size

if TYPE_CHECKING:
    from ..regions import Region

IMAGE_ID = 1


def dataset(regions: Sequence[Region], size: tuple[int, int] | None, file_name: str = "") -> dict[str, Any]:
    """{"images", "annotations", "categories"} as pycocotools' `COCO` reads them; ids count from 1.

    `bbox` is x, y, width, height and `area` in pixels; `score`, COCO's own word for a result's confidence, is null
    where it is not finite. A region without a phrase belongs to the category "region". Without exactly one image all
    three are empty.
    """
    names, indices = class_names(regions)
    known = image_size(regions, size)
    images = [{"id": IMAGE_ID, "file_name": file_name, "width": known[0], "height": known[1]}] if known else []
    annotations = [
        {
            "id": number,
            "image_id": IMAGE_ID,
            "category_id": index + 1,
            "segmentation": region.mask.to_coco(),
            "area": region.area_px,
            "bbox": list(region.bbox),
            "iscrowd": 0,
            "score": finite(float(region.score)),
        }
        for number, (region, index) in enumerate(zip(regions, indices, strict=True), 1)
    ]
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}
