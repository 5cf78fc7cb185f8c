"""Every block at GeoPixel-7B's true widths, one layer deep: built ahead of time for two kinds of GPU.

The 24 and 48 layers of the encoders and four of the language model are built in tests/nightly.
"""

from __future__ import annotations

import platform
import sys

import pytest

from ..support.true_widths import Written, shallow, written

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="TensorRT-RTX has wheels for Linux on x86-64"
)
# Layers of the parsed network that say how it was understood: attention in one piece, the cache written in place.
KINDS = {
    "vision_encoder": {"SOFTMAX": 1, "CONVOLUTION": 1, "SCATTER": 0},
    "grounding_encoder": {"CONVOLUTION": 7, "RESIZE": 1, "SCATTER": 0},
    "pixel_decoder": {"SOFTMAX": 7, "DECONVOLUTION": 2, "SCATTER": 0},
    "language_model": {"KV_CACHE_UPDATE": 2, "ATTENTION_INPUT": 1, "ROTARY_EMBEDDING": 2, "SCATTER": 1},
}
PRECISION = {"language_model": "int4-fp16"}


@pytest.fixture(scope="module", params=KINDS)
def block(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """One block of the slice, written once for both GPUs: float16, and the language model's weights int4."""
    precision = PRECISION.get(request.param, "fp16")
    return written(request.param, tmp_path_factory.mktemp("slice"), shallow(), precision)


@pytest.mark.parametrize("sm", [86, 89])
def test_a_plan_is_as_large_as_its_weights(block: Written, sm: int) -> None:
    """A weight that was widened would make it several times as large."""
    outcome = block.built(sm)
    assert {kind: outcome.layers.get(kind, 0) for kind in KINDS[block.block]} == KINDS[block.block]
    assert 0.9 * block.weight_bytes < block.plan.stat().st_size < 1.15 * block.weight_bytes + 16e6
