"""Vision Encoder: torch module and exported graph against the reference at every layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export import reference
from export.checkpoint import Checkpoint
from export.torch_model.vision_encoder import VisionEncoder, stitch
from export.writers import write_vision_encoder
from geopixel_edge.blocks.divider import Grid
from geopixel_edge.blocks.vision_encoder import VisionEncoder as Runtime
from geopixel_edge.blocks.vision_encoder import stitching
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.pipeline import Pipeline

from ..conftest import CHECKPOINT
from ..support.sam2_reference import DATA, Golden, golden

TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def module() -> VisionEncoder:
    loaded = Checkpoint(CHECKPOINT).load("vision_encoder")
    assert isinstance(loaded, VisionEncoder)
    return loaded


def divided(case: Golden) -> reference.Divided:
    picture = Image.open(DATA / "images" / case.facts["image"])
    return reference.divide(picture, case.facts["hd_num"], 560)


@pytest.mark.parametrize("name", ["s2_tall_hd9_seg_last", "s3_tiny_hd4_no_seg_eos", "s4_square_hd1_eos"])
@torch.no_grad()
def test_every_layer_equals_the_original(module: VisionEncoder, name: str) -> None:
    case = golden(name)
    views = divided(case)
    seen: dict[str, torch.Tensor] = {}

    def keep(key: str) -> Callable[..., None]:
        return lambda _module, _args, out: seen.update({key: out[0] if isinstance(out, tuple) else out})

    watched = {"clip_embeddings": module.clip.embeddings, "clip_pre_ln": module.clip.pre_layrnorm}
    watched |= {f"clip_layer{index}": layer for index, layer in enumerate(module.clip.encoder.layers)}
    hooks = [layer.register_forward_hook(keep(key)) for key, layer in watched.items()]
    merged = module.merged_features(views.views)
    for hook in hooks:
        hook.remove()
    separators = torch.cat([module.plora_sub_GN.reshape(1, -1), module.plora_glb_GN.reshape(1, -1)])
    seen["image_tokens"] = stitch(merged, separators, views.rows, views.cols)[None]
    tokens, projected = module(views.views)
    seen["image_embeds"] = stitch(tokens, projected, views.rows, views.cols)[None]
    for key, value in seen.items():
        assert case.distance(key, value) <= TOLERANCE, key
    for key in ("image_tokens", "image_embeds"):
        rows = seen[key][0, case.arrays["image_tokens_rows_idx"]]
        assert case.distance(f"{key}_rows", rows) <= TOLERANCE


def test_runtime_stitches_as_the_reference_does() -> None:
    random = torch.Generator().manual_seed(3)
    tokens, separators = torch.rand(7, 4, 4, 5, generator=random), torch.rand(2, 5, generator=random)
    for rows, cols in ((2, 3), (3, 2), (1, 6), (6, 1)):
        expected = stitch(tokens, separators, rows, cols)
        sources = tokens.numpy().reshape(-1, 5), separators.numpy()
        pieces = [sources[source][first : first + count] for source, first, count in stitching(rows, cols, 4)]
        found = np.concatenate(pieces)
        np.testing.assert_array_equal(found, expected.numpy())
        assert len(found) == Grid(rows, cols, 0, 0, False, 560).image_tokens(4)


def test_views_in_several_runs_give_the_same(pipeline: Pipeline) -> None:
    views = divided(golden("s3_tiny_hd4_no_seg_eos")).views.numpy()
    grid = Grid(2, 2, 0, 0, False, 560)
    encoder = Runtime(pipeline.model.residency.load(frozenset({"vision_encoder"}))["vision_encoder"])
    whole, single = (encoder.encode(views, grid, count).numpy().astype(np.float32) for count in (2, 1))
    np.testing.assert_allclose(single, whole, atol=2e-5 * np.abs(whole).max(), rtol=0)


def test_other_tile_sizes_follow_from_the_config(tmp_path: Path) -> None:
    """A 56-pixel view of 14-pixel patches has 2 x 2 tokens; nothing assumes 560."""
    from tests.support.sam2_reference import CONFIG, run_onnx

    torch.manual_seed(0)
    small = VisionEncoder({**CONFIG["clip_config"], "image_size": 56}, hidden=12).eval()
    torch.nn.init.normal_(small.plora_sub_GN)
    write_vision_encoder(small, tmp_path / "small.onnx", PRECISIONS["fp32"])
    views = torch.rand(3, 3, 56, 56)
    tokens, separators = run_onnx(tmp_path / "small.onnx", {"views": views})
    with torch.no_grad():
        expected_tokens, expected_separators = small(views)
    assert tokens.shape == (3, 2, 2, 12)
    np.testing.assert_allclose(tokens, expected_tokens.numpy(), atol=1e-5)
    np.testing.assert_allclose(separators, expected_separators.numpy(), atol=1e-5)
