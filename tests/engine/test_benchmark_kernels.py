"""The kernel benchmark: its peers compute what the kernels compute, and its figures have the promised shape."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from benchmarks import kernel_peers as peers
from benchmarks.kernels import CLIP, SAM, smooth_logits
from geopixel_edge.blocks.divider import divide, grounding_input, plan_grid
from geopixel_edge.masks import Mask


def test_the_reference_composition_is_the_same_work() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    grid, _ = plan_grid(150, 90, 6, 56)
    np.testing.assert_allclose(peers.reference_divide(image, grid, CLIP), divide(image, grid, CLIP), atol=3e-6)
    np.testing.assert_allclose(peers.reference_grounding(image, 128, SAM), grounding_input(image, 128, SAM), atol=3e-6)
    logits = smooth_logits(3)
    theirs = peers.reference_masks(logits, 300, 400)
    assert [Mask.from_coco(rle) for rle in theirs] == Mask.many_from_logits(logits, 300, 400)


def test_figures_have_the_promised_shape() -> None:
    command = [sys.executable, "-m", "benchmarks.kernels", "--json", "--repeat", "1", "--sizes", "64x48"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for kernel in ("divider", "sam_input", "masks20"):
        figures = found[kernel]["64x48"]
        assert set(figures["ours_s"]) == {"1", "2"}
        ratio = figures["reference_s"]["2"] / figures["ours_s"]["2"]
        assert figures["ratio_reference"] == ratio > 0
    assert found["divider"]["64x48"]["ratio_floor"] > 0
    assert found["masks20"]["64x48"]["peak_bytes"] >= 0
    assert found["masks20"]["64x48"]["kept"]["masks"] == 1000
    assert min(found["polygons"]["64x48"]["ours_s"].values()) > 0
