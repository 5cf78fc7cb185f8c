"""An answer as `supervision.Detections`, for that package's annotators, trackers and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RuntimeUnavailableError
from .names import class_names, image_size

if TYPE_CHECKING:
    from supervision import Detections

    from ..regions import Region


def detections(regions: Sequence[Region], size: tuple[int, int] | None) -> Detections:
    """One detection per region, in order; RuntimeUnavailableError where supervision is not installed.

    xyxy float32 (n, 4), mask bool (n, height, width), confidence float32 (n), class_id int (n) counts the distinct
    phrases from 0. `data["class_name"]` is the phrase, "region" where there is none; `data["phrase"]` is "" there.
    The masks are dense: n times the image's pixels in bytes.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"supervision cannot be imported ({error}); run `pip install supervision`, or use answer.to_coco()"
        ) from None
    names, indices = class_names(regions)
    width_px, height_px = image_size(regions, size) or (0, 0)
    masks = np.zeros((len(regions), height_px, width_px), np.bool_)
    for mask, region in zip(masks, regions, strict=True):
        mask[:] = region.mask.to_array()
    return Detections(
        xyxy=np.array([region.xyxy for region in regions], np.float32).reshape(-1, 4),
        mask=masks,
        confidence=np.array([region.score for region in regions], np.float32),
        class_id=np.array(indices, np.int64),
        data={
            "class_name": np.array([names[index] for index in indices], np.str_),
            "phrase": np.array([region.phrase for region in regions], np.str_),
        },
    )
