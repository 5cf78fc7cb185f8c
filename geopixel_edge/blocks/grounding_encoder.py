"""Grounding Vision Encoder (paper block 4): SAM 2's image path, one feature pyramid per image."""

from __future__ import annotations

from ..arrays import F32, Array
from ..runtimes import BlockRunner


class GroundingEncoder:
    """Hiera, FPN, the no-memory embedding and the two high-resolution convolutions (reference behaviour 22)."""

    def __init__(self, runner: BlockRunner) -> None:
        self.runner = runner

    def encode(self, image: F32) -> dict[str, Array]:
        """SAM 2 input (1, 3, S, S) -> `image_embed`, `high_res0`, `high_res1`, as the pixel decoder takes them."""
        return self.runner.run({"image": image})
