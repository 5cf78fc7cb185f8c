"""The language model in torch on a GPU, with a KV cache of fixed size: eager, and its layers compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.config import ModelConfig
from export.torch_model.language_model import Layer, rotary_tables

_STD = 0.02


class TorchLanguageModel:
    """Random weights of the config's sizes in float16; one sequence of at most `capacity` positions.

    Written as torch's users write it: `scaled_dot_product_attention` over the cache, logits of the last row alone.
    """

    def __init__(
        self, config: ModelConfig, rank: int, capacity: int, device: str = "cuda", compiled: bool = False
    ) -> None:
        self.config, self.capacity, self.device = config, capacity, device
        self.layers = [self._layer(rank) for _ in range(config.layers)]
        self.norm = torch.ones(config.hidden, device=device, dtype=torch.float16)
        self.head = torch.randn(config.vocabulary, config.hidden, device=device, dtype=torch.float16) * _STD
        self.table = torch.randn(config.vocabulary, config.hidden, device=device, dtype=torch.float16) * _STD
        shape = (config.layers, 2, 1, config.kv_heads, capacity, config.head_dim)
        self.cache = torch.zeros(shape, device=device, dtype=torch.float16)
        cos, sin = rotary_tables(config.head_dim, torch.arange(capacity, device=device), config.rope_theta)
        self.cos, self.sin = cos.half(), sin.half()
        self.run_layer: Any = torch.compile(self._run_layer, dynamic=False) if compiled else self._run_layer
        self.columns = torch.arange(capacity, device=device)

    def _layer(self, rank: int) -> nn.Module:
        with torch.device("meta"):
            layer = Layer(self.config, rank)
        layer = layer.to_empty(device=self.device).half()
        for name, weight in layer.named_parameters():
            nn.init.ones_(weight) if "norm" in name else nn.init.normal_(weight, std=_STD)
        return layer.requires_grad_(False)

    def _run_layer(
        self, layer: Any, rows: Tensor, cache: Tensor, slots: Tensor, mask: Tensor, image_rows: Tensor | None
    ) -> Tensor:
        c, attention = self.config, layer.attention
        groups = c.heads // c.kv_heads
        packed = attention.wqkv(layer.attention_norm(rows), image_rows).view(1, -1, c.kv_heads, groups + 2, c.head_dim)
        query = self._rotate(packed[..., :groups, :].reshape(1, -1, c.heads, c.head_dim).transpose(1, 2), slots)
        key = self._rotate(packed[..., groups, :].transpose(1, 2), slots)
        cache[0].index_copy_(2, slots, key)
        cache[1].index_copy_(2, slots, packed[..., groups + 1, :].transpose(1, 2))
        mixed = F.scaled_dot_product_attention(query, cache[0], cache[1], attn_mask=mask, enable_gqa=True)
        rows = rows + attention.wo(mixed.transpose(1, 2).reshape(len(rows), -1), image_rows)
        return rows + layer.feed_forward(layer.ffn_norm(rows), image_rows)

    def _rotate(self, states: Tensor, slots: Tensor) -> Tensor:
        first, second = states.chunk(2, dim=-1)
        cos, sin = self.cos[slots], self.sin[slots]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)

    @torch.inference_mode()
    def read(self, rows: Tensor, start: int, image_rows: Tensor | None = None) -> Tensor:
        """Rows (n, hidden) behind `start` cached positions -> logits (vocabulary,) of the last."""
        slots = torch.arange(start, start + len(rows), device=self.device)
        mask = (self.columns <= slots[:, None])[None, None]
        for index, layer in enumerate(self.layers):
            rows = self.run_layer(layer, rows, self.cache[index], slots, mask, image_rows)
        last = F.rms_norm(rows[-1:], self.norm.shape, self.norm, self.config.rms_norm_eps)
        return (last @ self.head.T)[0].float()

    def generate(self, prompt: Tensor, new_tokens: int, image_rows: Tensor | None = None) -> list[int]:
        """Greedy tokens, each brought to the host, as an answer needs them."""
        logits, tokens = self.read(prompt, 0, image_rows), []
        for step in range(new_tokens):
            tokens.append(int(logits.argmax()))
            logits = self.read(self.table[tokens[-1] : tokens[-1] + 1], len(prompt) + step)
        return tokens
