"""Blocks held to float32's, as `benchmarks.gpu --float32` does: equal to themselves, near at int8, far with a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import __main__ as benchmark
from benchmarks.gpu import fidelity, report
from geopixel_edge.blocks.embeddings import TokenEmbeddings
from geopixel_edge.blocks.vision_encoder import VisionEncoder
from geopixel_edge.model import Model
from geopixel_edge.pipeline import Pipeline

BLOCKS = ["vision_encoder", "language_model", "grounding_encoder", "pixel_decoder"]


@pytest.fixture(scope="module")
def truth(engine_fp32: Path) -> fidelity.Answered:
    return benchmark._truth(engine_fp32)


def test_an_engine_is_equal_to_itself(pipeline: Pipeline, truth: fidelity.Answered) -> None:
    found = fidelity.compared(pipeline.model, truth)
    assert list(found) == BLOCKS
    assert all(one["cosine"] == pytest.approx(1, abs=1e-9) for one in found.values())
    assert found["language_model"]["token_agreement"] == found["pixel_decoder"]["mask_iou"] == 1
    assert found["language_model"]["tokens"] == len(truth.token_ids) > 1


def test_half_precision_is_near_and_told(engine_fp16: Path, truth: fidelity.Answered) -> None:
    model = Model.open(engine_fp16, "cpu")
    found = fidelity.compared(model, truth)
    model.close()
    assert all(0.999 < one["cosine"] < 1 - 1e-12 for one in found.values())
    rows = report._fidelity(found)
    assert [row[0] for row in rows] == BLOCKS
    assert rows[1][2] == f"{found['language_model']['token_agreement']:.4f}"
    assert rows[3][3] == f"{found['pixel_decoder']['mask_iou']:.4f}"


@pytest.mark.parametrize("faulty", ["vision_encoder", "language_model"])
def test_a_fault_shows_in_its_block_alone(
    faulty: str, pipeline: Pipeline, truth: fidelity.Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(5)
    if faulty == "vision_encoder":
        plain = VisionEncoder.encode

        def encode(self: VisionEncoder, views: Any, *rest: Any) -> Any:
            return plain(self, views + noise.standard_normal(views.shape, np.float32), *rest)

        monkeypatch.setattr(VisionEncoder, "encode", encode)
    else:
        embed = TokenEmbeddings.__call__

        def shifted(self: TokenEmbeddings, token_ids: Any) -> Any:
            rows = embed(self, token_ids)
            return rows + rows.std() * noise.standard_normal(rows.shape, np.float32)

        monkeypatch.setattr(TokenEmbeddings, "__call__", shifted)
    found = fidelity.compared(pipeline.model, truth)
    assert found[faulty]["cosine"] < 0.99
    assert all(found[block]["cosine"] > 1 - 1e-9 for block in BLOCKS if block != faulty)
