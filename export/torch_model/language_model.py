"""Large Language Model: InternLM2 with partial LoRA on image rows, as a torch module.

Used to check the exported graph, to make golden values and to train. It recomputes the whole sequence; the KV cache
lives in the exported graph only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import ModelConfig
from .sam2_layers import attend


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


def rotary_tables(head_dim: int, positions: Tensor, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine (..., head_dim / 2) float32 at integer positions (...) (reference behaviour 13)."""
    steps = torch.arange(0, head_dim, 2, dtype=torch.int64, device=positions.device).float() / head_dim
    angles = positions.float()[..., None] * (1.0 / theta**steps)
    return angles.cos(), angles.sin()


@dataclass(frozen=True)
class Block:
    """Queries `start` to `stop` attend to the keys of `spans` (from, to); `bias` (batch, 1, queries, keys) is added to
    their scores, -inf where nothing may be attended to."""

    start: int
    stop: int
    spans: tuple[tuple[int, int], ...]
    bias: Tensor


@dataclass(frozen=True)
class Reading:
    """What every layer needs to know of the sequences being read.

    `image_rows` indexes the flattened (batch * S) rows that hold image tokens. `cos`, `sin` are rotary tables that
    broadcast against (batch, heads, S, head_dim / 2). `blocks` say what may be attended to, in the order of their
    queries; None is causal.
    """

    batch: int
    image_rows: Tensor | None
    cos: Tensor
    sin: Tensor
    blocks: tuple[Block, ...] | None = None

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        batch: int,
        positions: Tensor,
        image_rows: Tensor | None,
        blocks: tuple[Block, ...] | None = None,
    ) -> Reading:
        """At positions (S,) or (batch, S)."""
        cos, sin = rotary_tables(config.head_dim, positions, config.rope_theta)
        if positions.ndim == 2:
            cos, sin = cos[:, None], sin[:, None]
        return cls(batch, image_rows, cos, sin, blocks)

    def rotate(self, states: Tensor) -> Tensor:
        """Rotary position embedding of (batch, heads, S, head_dim), halves rotated."""
        first, second = states.float().chunk(2, dim=-1)
        turned = torch.cat([first * self.cos - second * self.sin, second * self.cos + first * self.sin], dim=-1)
        return turned.to(states.dtype)


class Attention(nn.Module):
    """Causal grouped-query attention; `wqkv` holds [q x groups, k, v] per KV head (reference behaviour 13)."""

    def __init__(self, config: ModelConfig, rank: int) -> None:
        super().__init__()
        self.config = config
        outputs = (config.heads + 2 * config.kv_heads) * config.head_dim
        self.wqkv = PartialLoRALinear(config.hidden, outputs, rank)
        self.wo = PartialLoRALinear(config.heads * config.head_dim, config.hidden, rank)

    def forward(self, rows: Tensor, reading: Reading) -> Tensor:
        c, image_rows = self.config, reading.image_rows
        groups = c.heads // c.kv_heads
        packed = self.wqkv(rows, image_rows).reshape(reading.batch, -1, c.kv_heads, groups + 2, c.head_dim)
        length = packed.shape[1]
        query = packed[..., :groups, :].reshape(reading.batch, length, c.heads, c.head_dim).transpose(1, 2)
        key, value = (packed[..., groups + which, :].transpose(1, 2) for which in (0, 1))
        query, key = reading.rotate(query), reading.rotate(key)
        if reading.blocks is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        else:  # in training, where plain products are several times as fast on a CPU
            key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
            parts = []
            for block in reading.blocks:
                keys, values = (
                    torch.cat([states[:, :, a:b] for a, b in block.spans], dim=2) for states in (key, value)
                )
                asking = query[:, :, block.start : block.stop]
                parts.append(attend(asking, keys, values, block.bias.to(query.dtype)))
            mixed = torch.cat(parts, dim=2)
        return self.wo(mixed.transpose(1, 2).reshape(reading.batch * length, -1), image_rows)


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

    def forward(self, rows: Tensor, reading: Reading) -> Tensor:
        rows = rows + self.attention(self.attention_norm(rows), reading)
        return rows + self.feed_forward(self.ffn_norm(rows), reading.image_rows)


class LanguageModel(nn.Module):
    """Input embeddings (B, S, hidden) -> final-normed hidden states (B, S, hidden); `output` maps those to logits.

    `image_rows` indexes the flattened (B * S) rows that hold image tokens. Positions ascend and attention is causal;
    training calls the layers with a `Reading` of its own, in which several questions share one image.
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
        positions = torch.arange(length, device=inputs_embeds.device)
        reading = Reading.of(self.config, batch, positions, image_rows)
        rows = inputs_embeds.reshape(batch * length, hidden)
        for layer in self.layers:
            rows = layer(rows, reading)
        return self.norm(rows).reshape(batch, length, hidden)
