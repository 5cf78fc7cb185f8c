"""Grounding Vision Encoder (paper block 4): SAM 2's image path, one feature pyramid per image."""

from __future__ import annotations

from ..arrays import Floats
from ..runtimes import Runner, Tensor


class GroundingEncoder:
    """Hiera, FPN, the no-memory embedding and the two high-resolution convolutions (reference behaviour 22)."""

    def __init__(self, runner: Runner) -> None:
        self.runner, self.device = runner, runner.device

    def encode(self, image: Floats) -> dict[str, Tensor]:
        """SAM 2 input (1, 3, S, S) -> `image_embed`, `high_res0`, `high_res1`, as the pixel decoder takes them."""
        return self.runner.run({"image": self.device.put(image)})
