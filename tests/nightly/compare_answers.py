"""`python -m tests.nightly.compare_answers ONE OTHER`: whether two saved answers have the same token ids and masks."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from geopixel_edge import Answer

LEAST_IOU = 0.999


def compare(one: Answer, other: Answer) -> list[str]:
    """How two answers differ; empty when they do not."""
    if one.token_ids != other.token_ids:
        return [f"token ids {one.token_ids} and {other.token_ids}"]
    found = []
    for first, second in zip(one.regions, other.regions, strict=True):
        a, b = first.mask.to_array(), second.mask.to_array()
        iou = float((a & b).sum()) / max(1, int((a | b).sum()))
        if iou < LEAST_IOU and (a | b).any():
            found.append(f"{first.phrase!r} has IoU {iou:.4f}")
    return found


def main(argv: Sequence[str]) -> int:
    """Compare two files of `geopixel-edge ask --json`; returns the exit code."""
    one, other = (Answer.from_dict(json.loads(Path(path).read_text())) for path in argv)
    differences = compare(one, other)
    for difference in differences:
        print(f"differs: {difference}")
    if not differences:
        print(f"the same {len(one.token_ids)} token ids and {len(one.regions)} masks")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
