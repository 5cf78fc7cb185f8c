"""float16 engines: their distance to the float32 original is measured, stated and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.golden import verify
from geopixel_edge.pipeline import Pipeline

from ..support.sam2_reference import DATA, golden

BLOCKS = {"divider", "vision_encoder", "language_model", "grounding_encoder", "pixel_decoder"}


@pytest.fixture(scope="module")
def half(engine_fp16: Path) -> Pipeline:
    return Pipeline(engine_fp16, device="cpu")


def test_the_manifest_states_the_distance_that_verify_measures(half: Pipeline, pipeline: Pipeline) -> None:
    for loaded, most in ((half, 2e-2), (pipeline, 5e-5)):
        stated = loaded.engine.manifest.distance
        assert set(stated) == BLOCKS
        assert max(stated.values()) < most
        measured = {block: max(c.distance for c in verify(loaded.model) if c.block == block) for block in BLOCKS}
        assert measured == pytest.approx(stated, rel=0.5, abs=1e-6)
    assert all(
        half.engine.manifest.distance[block] > pipeline.engine.manifest.distance[block]
        for block in BLOCKS - {"divider"}
    )


@pytest.mark.parametrize("name", ["s1_wide_hd9", "s4_square_hd1_eos", "s5_square_hd1_single_seg"])
def test_text_is_the_same_and_masks_differ_at_their_rims_only(half: Pipeline, name: str) -> None:
    facts, arrays = golden(name).facts, golden(name).arrays
    options = {"hd_num": facts["hd_num"], "max_new_tokens": facts["max_new_tokens"], "compat": True}
    answer = half(DATA / "images" / facts["image"], facts["query"], **options)
    assert answer.token_ids == facts["generated_ids"]
    shape = tuple(facts["final_mask_shape"])
    bits = np.unpackbits(arrays["final_mask_bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    for mask, expected in zip(answer.masks, bits, strict=True):
        assert (mask & expected).sum() / (mask | expected).sum() > 0.99  # measured: 0.9957 to 0.9993


def test_a_float16_engine_is_half_the_size(engine_fp16: Path, engine_fp32: Path) -> None:
    def weights(root: Path) -> int:
        return sum(spec.bytes for block in read_manifest(root).blocks.values() for spec in block.files[1:])

    assert 0.45 < weights(engine_fp16) / weights(engine_fp32) < 0.55
