"""The two-way transformer of SAM 2's mask decoder: prompt tokens and image tokens attend to each other."""

from __future__ import annotations

from torch import Tensor, nn

from .sam2_layers import Mlp, attend


class Attention(nn.Module):
    """Multi-head attention at a width reduced by `downsample`; batches of 1 broadcast."""

    def __init__(self, width: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = width // downsample
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(n, queries, width), twice (n or 1, keys, width) -> (n, queries, width)."""
        mixed = attend(self._split(self.q_proj(query)), self._split(self.k_proj(key)), self._split(self.v_proj(value)))
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return projected


class Block(nn.Module):
    """Tokens attend to themselves, then to the image; a token MLP; then the image attends to the tokens.

    In the first block the tokens are their own position encoding, and self-attention replaces them.
    """

    def __init__(self, width: int, heads: int, mlp_width: int, downsample: int, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, downsample)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_width, width, 2, nn.ReLU())
        self.norm3 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, downsample)
        self.norm4 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, t, width) and image (n or 1, positions, width) -> both at batch n."""
        if self.is_first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + token_pe
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pe, image + image_pe, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + image_pe, tokens + token_pe, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """`depth` blocks and a last look of the tokens at the image."""

    def __init__(self, depth: int, width: int, heads: int, mlp_width: int, downsample: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(width, heads, mlp_width, downsample, i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, downsample)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, image_pe: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Image and its encoding (1, positions, width), prompt (n, t, width) -> tokens and image at batch n."""
        tokens = prompt
        for layer in self.layers:
            tokens, image = layer(tokens, image, prompt, image_pe)
        tokens = tokens + self.final_attn_token_to_image(tokens + prompt, image + image_pe, image)
        return self.norm_final_attn(tokens), image
