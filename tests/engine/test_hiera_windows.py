"""Hiera's windows: attention within each, whatever grid they do not divide."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from export.torch_model.hiera import Block, from_windows, to_windows


def loop_attention(block: Block, cell: Tensor) -> Tensor:
    """Attention inside one (side, side, width) window, head by head, position by position of the pooled query."""
    attention, side = block.attn, cell.shape[0]
    query, key, value = F.linear(cell, attention.qkv.weight, attention.qkv.bias).chunk(3, dim=-1)
    down, right = block.stride or (1, 1)
    rows = []
    for y in range(side // down):
        for x in range(side // right):
            asked = query[y * down : (y + 1) * down, x * right : (x + 1) * right].flatten(0, 1).amax(0)
            heads = []
            for q, k, v in zip(*(t.chunk(attention.heads, -1) for t in (asked, key, value)), strict=True):
                weights = torch.exp((k.flatten(0, 1) @ q) / len(q) ** 0.5)
                heads.append(weights @ v.flatten(0, 1) / weights.sum())
            rows.append(torch.cat(heads))
    mixed = torch.stack(rows).reshape(side // down, side // right, -1)
    return F.linear(mixed, attention.proj.weight, attention.proj.bias)


@pytest.mark.parametrize(
    ("grid", "window", "stride"), [((10, 7), 4, None), ((10, 12), 14, (2, 2)), ((8, 4), 4, (2, 2))]
)
def test_block_matches_a_loop_over_windows(grid: tuple[int, int], window: int, stride: tuple[int, int] | None) -> None:
    torch.manual_seed(3)
    block = Block(8, 12 if stride else 8, 2, window, stride, 2.0).double()
    x = torch.randn(1, *grid, 8, dtype=torch.float64)
    normed = F.layer_norm(x, (8,), block.norm1.weight, block.norm1.bias, 1e-6)[0]
    padded = torch.zeros(-(-grid[0] // window) * window, -(-grid[1] // window) * window, 8, dtype=torch.float64)
    padded[: grid[0], : grid[1]] = normed
    down, right = stride or (1, 1)
    bands = [
        torch.cat([loop_attention(block, cell) for cell in band.split(window, dim=1)], dim=1)
        for band in padded.split(window)
    ]
    attended = torch.cat(bands)[: grid[0] // down, : grid[1] // right]
    shortcut = x[0]
    if block.proj is not None:
        shortcut = F.linear(normed, block.proj.weight, block.proj.bias)
        shortcut = shortcut.unfold(0, down, down).unfold(1, right, right).amax((-2, -1))
    total = shortcut + attended
    expected = total + block.mlp(F.layer_norm(total, total.shape[-1:], block.norm2.weight, block.norm2.bias, 1e-6))
    assert torch.allclose(block(x)[0], expected, rtol=0, atol=1e-12)


def test_windows_round_trip_and_pad_with_zeros_at_the_end() -> None:
    x = torch.arange(1.0, 2 * 5 * 7 * 3 + 1).reshape(2, 5, 7, 3)
    cells, padded = to_windows(x, 4)
    assert (cells.shape, padded) == ((8, 4, 4, 3), (8, 8))
    assert torch.equal(cells[0], x[0, :4, :4])
    assert torch.equal(cells[3], F.pad(x[0, 4:, 4:], (0, 0, 0, 1, 0, 3)))
    assert torch.equal(from_windows(cells, padded, (5, 7)), x)
