"""Large Language Model: InternLM2 with partial LoRA on image rows, as a torch module.

Used to check the exported graph, to make golden values and to train. It recomputes the whole sequence; the KV cache
lives in the exported graph only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ModelConfig


class PartialLoRALinear(nn.Linear):
    """Linear without bias whose low-rank update acts on image rows only (reference behaviour 14)."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.Plora_A = nn.Linear(inputs, rank, bias=False)
        self.Plora_B = nn.Linear(rank, outputs, bias=False)

    def forward(self, rows: Tensor, image_rows: Tensor | None = None) -> Tensor:
        """Rows (R, inputs), positions of the image rows among them (n,) int64 -> (R, outputs)."""
        result = F.linear(rows, self.weight)
        if image_rows is None or image_rows.numel() == 0:
            return result
        return result.index_add(0, image_rows, self.Plora_B(self.Plora_A(rows[image_rows])))


def rotate_half(states: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Rotary position embedding of (B, heads, S, D) at integer positions (S,) (reference behaviour 13)."""
    cos, sin = rotary_tables(states.shape[-1], positions, theta)
    first, second = states.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return turned.to(states.dtype)


def rotary_tables(head_dim: int, positions: Tensor, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine (S, head_dim / 2) float32."""
    steps = torch.arange(0, head_dim, 2, dtype=torch.int64, device=positions.device).float() / head_dim
    angles = torch.outer(positions.float(), 1.0 / theta**steps)
    return angles.cos(), angles.sin()


class Attention(nn.Module):
    """Causal grouped-query attention; `wqkv` holds [q x groups, k, v] per KV head (reference behaviour 13)."""

    def __init__(self, config: ModelConfig, rank: int) -> None:
        super().__init__()
        self.config = config
        outputs = (config.heads + 2 * config.kv_heads) * config.head_dim
        self.wqkv = PartialLoRALinear(config.hidden, outputs, rank)
        self.wo = PartialLoRALinear(config.heads * config.head_dim, config.hidden, rank)

    def forward(self, rows: Tensor, image_rows: Tensor | None, batch: int) -> Tensor:
        c = self.config
        groups = c.heads // c.kv_heads
        packed = self.wqkv(rows, image_rows).reshape(batch, -1, c.kv_heads, groups + 2, c.head_dim)
        length = packed.shape[1]
        query = packed[..., :groups, :].reshape(batch, length, c.heads, c.head_dim).transpose(1, 2)
        key, value = (packed[..., groups + which, :].transpose(1, 2) for which in (0, 1))
        positions = torch.arange(length, device=rows.device)
        query, key = (rotate_half(states, positions, c.rope_theta) for states in (query, key))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.wo(mixed.transpose(1, 2).reshape(batch * length, -1), image_rows)


class FeedForward(nn.Module):
    """SwiGLU with partial LoRA on its three projections."""

    def __init__(self, config: ModelConfig, rank: int) -> None:
        super().__init__()
        self.w1 = PartialLoRALinear(config.hidden, config.intermediate, rank)
        self.w3 = PartialLoRALinear(config.hidden, config.intermediate, rank)
        self.w2 = PartialLoRALinear(config.intermediate, config.hidden, rank)

    def forward(self, rows: Tensor, image_rows: Tensor | None) -> Tensor:
        return self.w2(F.silu(self.w1(rows, image_rows)) * self.w3(rows, image_rows), image_rows)


class Layer(nn.Module):
    """One decoder layer with pre-norms."""

    def __init__(self, config: ModelConfig, rank: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.hidden, eps=config.rms_norm_eps)
        self.attention = Attention(config, rank)
        self.ffn_norm = nn.RMSNorm(config.hidden, eps=config.rms_norm_eps)
        self.feed_forward = FeedForward(config, rank)

    def forward(self, rows: Tensor, image_rows: Tensor | None, batch: int) -> Tensor:
        rows = rows + self.attention(self.attention_norm(rows), image_rows, batch)
        return rows + self.feed_forward(self.ffn_norm(rows), image_rows)


class LanguageModel(nn.Module):
    """Input embeddings (B, S, hidden) -> final-normed hidden states (B, S, hidden); `output` maps those to logits.

    `image_rows` indexes the flattened (B * S) rows that hold image tokens.
    """

    KEYS = (("model.layers.", "layers."), ("model.norm.", "norm."), ("output.", "output."))

    def __init__(self, config: ModelConfig, rank: int) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config, rank) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, eps=config.rms_norm_eps)
        self.output = nn.Linear(config.hidden, config.vocabulary, bias=False)

    def forward(self, inputs_embeds: Tensor, image_rows: Tensor | None = None) -> Tensor:
        batch, length, hidden = inputs_embeds.shape
        rows = inputs_embeds.reshape(batch * length, hidden)
        for layer in self.layers:
            rows = layer(rows, image_rows, batch)
        return self.norm(rows).reshape(batch, length, hidden)
