"""Pixel Decoder (paper block 5): `[SEG]` states and the feature pyramid become masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .. import limits
from ..arrays import F32, Array
from ..errors import InferenceError
from ..masks import Mask
from ..runtimes import BlockRunner


class PixelDecoder:
    """Text projection, prompt, two-way decoder and the stability fallback, any number of `[SEG]` at once."""

    def __init__(self, runner: BlockRunner) -> None:
        self.runner = runner

    def low_res(self, seg_hidden: F32, features: Mapping[str, Array]) -> tuple[F32, F32]:
        """States (n, hidden) -> mask logits (n, M, M) and their predicted IoU (n,) (reference behaviours 23, 24)."""
        parts = []
        for start in range(0, len(seg_hidden), limits.MASKS_PER_RUN):
            chunk = seg_hidden[start : start + limits.MASKS_PER_RUN]
            parts.append(self.runner.run({"seg_hidden": chunk, **features}))
        logits = np.concatenate([part["low_res_masks"] for part in parts]).astype(np.float32, copy=False)
        scores = np.concatenate([part["iou"] for part in parts]).astype(np.float32, copy=False)
        if not (np.isfinite(logits).all() and np.isfinite(scores).all()):
            raise InferenceError("the pixel decoder gave numbers that are not finite; run `geopixel-edge verify`")
        return logits, scores

    def decode(
        self, seg_hidden: F32, features: Mapping[str, Array], height_px: int, width_px: int, threads: int = 0
    ) -> Iterator[tuple[Mask, float]]:
        """One full-size mask and score per state, in order (reference behaviour 25)."""
        logits, scores = self.low_res(seg_hidden, features)
        for mask, score in zip(logits, scores, strict=True):
            yield Mask.from_logits(mask, height_px, width_px, threads), float(score)
