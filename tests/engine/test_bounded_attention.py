"""Attention over many tokens is computed for a part of the queries at a time: the same numbers in less memory."""

from __future__ import annotations

from math import prod
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
import torch

from export.onnx_file import save_module
from export.torch_model import sam2_layers
from export.torch_model.hiera import Block

SIDE, WIDTH, HEADS = 16, 32, 4


@pytest.mark.parametrize("queries", [1, 7, 64, 256, 1000])
def test_parts_give_the_whole(monkeypatch: pytest.MonkeyPatch, queries: int) -> None:
    torch.manual_seed(1)
    query, key, value = torch.randn(3, 1, 4, 256, 8)
    monkeypatch.setattr(sam2_layers, "MOST_SCORES", queries * 256)
    found = sam2_layers.attend_in_parts(query, key, value)
    torch.testing.assert_close(found, sam2_layers.attend(query, key, value), rtol=0, atol=1e-6)


def exported(path: Path) -> tuple[torch.Tensor, torch.Tensor, int]:
    """A global block's output in ONNX Runtime and in torch, and the numbers of its largest tensor."""
    torch.manual_seed(2)
    block, x = Block(WIDTH, WIDTH, HEADS, 0, None, 4.0).eval(), torch.randn(1, SIDE, SIDE, WIDTH)
    save_module(block, path, "float32", {"x": tuple(x.shape)}, ("y",))
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
    largest = max(prod(side.dim_value for side in one.type.tensor_type.shape.dim) for one in graph.value_info)
    (found,) = ort.InferenceSession(str(path)).run(None, {"x": x.numpy()})
    with torch.no_grad():
        return torch.from_numpy(found), block(x), largest


def test_the_exported_graph_holds_the_scores_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = SIDE * SIDE
    whole, _, most = exported(tmp_path / "whole.onnx")
    assert most == HEADS * tokens * tokens
    monkeypatch.setattr(sam2_layers, "MOST_SCORES", 48 * tokens)  # which does not divide the queries
    parts, expected, least = exported(tmp_path / "parts.onnx")
    assert least == HEADS * 48 * tokens
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(parts, expected, rtol=0, atol=1e-5)
