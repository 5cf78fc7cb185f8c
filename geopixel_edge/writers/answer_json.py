"""answer.json: the whole answer in plain values, masks as COCO RLE, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..json_text import encode_json, finite

if TYPE_CHECKING:
    from ..answer import Answer

SCHEMA = "geopixel-edge/answer"
SCHEMA_VERSION = 1


def document(answer: Answer) -> dict[str, Any]:
    """Plain values of an answer.

    `regions[i].span` is a character range of `text`, `bbox` x, y, width, height in pixels, `segmentation` what
    `pycocotools` reads; `image_size` is width, height. A score that is not finite becomes null.
    """
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "query": answer.query,
        "text": answer.text,
        "response": answer.response,
        "token_ids": [int(token_id) for token_id in answer.token_ids],
        "finish_reason": answer.finish_reason,
        "image_size": list(answer.image_size) if answer.image_size else None,
        "regions": [
            {
                "phrase": region.phrase,
                "span": list(region.span),
                "score": finite(region.score),
                "bbox": list(region.bbox),
                "area_px": region.area_px,
                "segmentation": region.mask.to_coco(),
            }
            for region in answer.regions
        ],
        "notes": list(answer.notes),
        "timings": answer.timings.to_dict(),
        "provenance": answer.provenance,
    }


def encode(answer: Answer) -> bytes:
    """UTF-8 JSON, indented."""
    return encode_json(document(answer), indent=1)
