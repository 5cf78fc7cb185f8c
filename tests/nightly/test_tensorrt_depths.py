"""Blocks as deep as GeoPixel-7B's, the language model four layers of 32: each built, its time and peak memory recorded.

What 32 layers take is extrapolated from one and four: said so, and not built.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from geopixel_edge.build.float8 import products, write_float8
from geopixel_edge.build.traced import TracedGraph

from ..support.true_widths import whole, written

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="TensorRT-RTX has wheels for Linux on x86-64"
    ),
]
MOST_BYTES = 6 * 10**9
LAYERS = 4


@pytest.mark.parametrize(
    ("block", "precision", "layers"),
    [
        ("vision_encoder", "fp16", 0),
        ("grounding_encoder", "fp16", 0),
        ("language_model", "fp16", 1),
        ("language_model", "int4-fp16", 1),
        ("language_model", "int4-fp16", LAYERS),
    ],
)
def test_a_whole_block_is_built(
    block: str, precision: str, layers: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    one = written(block, tmp_path, whole(), precision, layers)
    outcome = one.built(86)
    size = one.plan.stat().st_size
    told = {
        "weight_bytes": one.weight_bytes,
        "plan_bytes": size,
        "seconds": round(outcome.seconds, 1),
        "peak_bytes": outcome.peak_bytes,
    }
    for name, value in told.items():
        record_property(name, value)
    print(f"\n{block} {precision}{f', {layers} layers' if layers else ''}: {told}")
    assert 0.9 * one.weight_bytes < size < 1.15 * one.weight_bytes + 16e6
    assert size < outcome.peak_bytes < MOST_BYTES
    if block == "language_model":
        kinds = ("KV_CACHE_UPDATE", "ATTENTION_INPUT")
        assert [outcome.layers[kind] for kind in kinds] == [2 * layers, layers]


@pytest.mark.parametrize(("block", "layers"), [("vision_encoder", 0), ("grounding_encoder", 0), ("language_model", 1)])
def test_float8_is_as_small_in_the_plan_as_in_the_file(block: str, layers: int, tmp_path: Path) -> None:
    """For Ada; how loud rows are does not matter to the size."""
    wide = written(block, tmp_path, whole(), "fp16", layers)
    path = tmp_path / "float8" / wide.path.name
    path.parent.mkdir()
    write_float8(wide.path, path, {node.inputs[0]: 8.0 for node in products(TracedGraph(wide.path))})
    narrow = replace(wide, path=path, weight_bytes=path.with_name(f"{path.name}.data").stat().st_size)
    outcome = narrow.built(89)
    size = narrow.plan.stat().st_size
    print(f"\n{block} fp8: {narrow.weight_bytes} bytes of weights, plan {size}, {outcome.seconds:.1f} s")
    assert narrow.weight_bytes < 0.7 * wide.weight_bytes
    assert 0.9 * narrow.weight_bytes < size < 1.15 * narrow.weight_bytes + 16e6
