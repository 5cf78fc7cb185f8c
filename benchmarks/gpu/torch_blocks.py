"""All blocks in torch on a GPU with random weights of the real sizes, in float16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.scale.shapes import Shapes
from export import keys
from export.config import CLIP_LARGE_560, ModelConfig
from export.torch_model.grounding_encoder import HIERA_LARGE

from .rates import mean_s
from .torch_peer import TorchLanguageModel

RANK = 256
_TEXT_ROWS = 32  # of a prompt, before and after its image
_STD = 0.02


class Blocks:
    """The peer's five blocks; `compiled` compiles the layers of the language model and both encoders."""

    def __init__(self, shapes: Shapes, capacity: int, compiled: bool) -> None:
        self.config = ModelConfig(
            shapes.hidden,
            shapes.intermediate,
            shapes.layers,
            shapes.heads,
            shapes.kv_heads,
            shapes.vocabulary,
            1e-5,
            1e6,
            24576,
            256,
            CLIP_LARGE_560,
            HIERA_LARGE,
        )
        self.language_model = TorchLanguageModel(self.config, RANK, capacity, compiled=compiled)
        self.vision, self.grounding, self.decoder = (
            self._module(name) for name in ("vision_encoder", "grounding_encoder", "pixel_decoder")
        )
        if compiled:
            self.vision, self.grounding = torch.compile(self.vision), torch.compile(self.grounding)

    def _module(self, block: str) -> Any:
        with torch.device("cuda"):
            module = keys.build(block, self.config, RANK)
        for weight in module.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=_STD)
        return module.half().eval().requires_grad_(False)

    @torch.inference_mode()
    def see(self, views: int) -> tuple[Tensor, Any]:
        """Image tokens (T, hidden) without separators, and SAM 2's features."""
        side = int(self.config.clip["image_size"])
        tokens, _ = self.vision(torch.zeros(views, 3, side, side, device="cuda", dtype=torch.float16))
        image = torch.zeros(1, 3, *[int(self.config.sam2["image_size"])] * 2, device="cuda", dtype=torch.float16)
        return tokens.reshape(-1, self.config.hidden), self.grounding(image)

    def prompt(self, image_tokens: Tensor, prompt_tokens: int) -> Tensor:
        """Embedded rows (prompt_tokens, hidden): image tokens between text, repeated or cut to the length."""
        text = self.language_model.table[:_TEXT_ROWS]
        wanted = prompt_tokens - _TEXT_ROWS
        repeats = -(-wanted // len(image_tokens))
        return torch.cat([text, image_tokens.repeat(repeats, 1)[:wanted]])

    def image_rows(self, prompt_tokens: int) -> Tensor:
        """Which rows of such a prompt partial LoRA acts on."""
        return torch.arange(_TEXT_ROWS, prompt_tokens, device="cuda")

    @torch.inference_mode()
    def point(self, features: Any) -> None:
        """One mask."""
        self.decoder(torch.zeros(1, self.config.hidden, device="cuda", dtype=torch.float16), *features)

    def encoder_seconds(self, views: int) -> float:
        """Of both encoders, once warm."""
        return mean_s(lambda: self.see(views), 3)

    def step_seconds(self, cached: int) -> float:
        """Of one token behind `cached` positions, brought to the host."""
        row = self.language_model.table[:1]
        return mean_s(lambda: int(self.language_model.read(row, cached).argmax()), 20)
