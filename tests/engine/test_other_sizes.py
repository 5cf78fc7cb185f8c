"""No size of the model is built in: a checkpoint with every size changed exports, checks itself and answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from export import keys
from export.config import ModelConfig, read_config
from export.publish import export_engine
from geopixel_edge.images import load_image
from geopixel_edge.pipeline import Pipeline

from ..conftest import CHECKPOINT

RANK = 5
TOKENIZER = ("tokenizer.model", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")


def other_config() -> dict:
    config = json.loads((CHECKPOINT / "config.json").read_text())
    config |= {"hidden_size": 96, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 6}
    config |= {"num_key_value_heads": 3, "max_position_embeddings": 2048, "rope_theta": 10_000, "out_dim": 32}
    config["clip_config"] |= {"image_size": 96, "patch_size": 8, "hidden_size": 40, "num_attention_heads": 5}
    sam2 = config["sam2_config"]
    sam2["image_size"] = 512
    sam2["hiera"] |= {
        "embed_dim": 8,
        "num_heads": 1,
        "stages": [1, 1, 2, 1],
        "global_att_blocks": [3],
        "window_spec": [8, 4, 14, 7],
        "window_pos_embed_bkg_spatial_size": [5, 5],
    }
    sam2["neck"] |= {"d_model": 32, "backbone_channel_list": [64, 32, 16, 8]}
    sam2["mask_decoder"] |= {"transformer_num_heads": 4, "transformer_mlp_dim": 48, "iou_head_hidden_dim": 24}
    return config


def write_checkpoint(root: Path) -> ModelConfig:
    """A checkpoint directory with random weights under the original's key names."""
    root.mkdir()
    (root / "config.json").write_text(json.dumps(other_config()))
    for name in TOKENIZER:
        shutil.copy(CHECKPOINT / name, root / name)
    config = read_config(root / "config.json")
    torch.manual_seed(11)
    state = {keys.EMBEDDINGS_KEY: torch.randn(config.vocabulary, config.hidden)}
    for block in keys.CLASSES:
        for name, value in keys.build(block, config, RANK).state_dict().items():
            state[keys.checkpoint_name(block, name)] = torch.randn(value.shape) * 0.2 + (value == 1)
    save_file({key: value.contiguous() for key, value in state.items()}, root / "model.safetensors")
    return config


def test_a_model_of_other_sizes_exports_and_answers(tmp_path: Path) -> None:
    config = write_checkpoint(tmp_path / "checkpoint")
    checks = export_engine(tmp_path / "checkpoint", tmp_path / "engine")
    assert len(checks) == 10
    assert all(check.passed for check in checks)
    pipe = Pipeline(tmp_path / "engine", device="cpu")
    sizes = pipe.engine.manifest.sizes
    assert (sizes.tile_px, sizes.tokens_per_side, sizes.hidden, sizes.head_dim) == (96, 6, 96, 16)
    assert (sizes.grounding_px, sizes.mask_px, sizes.max_positions) == (512, 128, 2048)
    picture = np.random.default_rng(0).integers(0, 255, (200, 310, 3), dtype=np.uint8)
    with pipe.open(picture) as image:
        answer = image.ask("Where is the ship?", max_new_tokens=4)
        # 3 x 2 tiles and the global view, 36 tokens each, and a separator per row.
        assert (
            answer.timings.prompt_tokens
            == len(
                pipe.model.tokenizer.encode(
                    "[UNUSED_TOKEN_146]user\nWhere is the ship?[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\n",
                    bos=True,
                )
            )
            + 7 * 36
            + 1
            + 3 * 6
        )
        hidden = np.random.default_rng(1).standard_normal((3, config.hidden)).astype(np.float32)
        states = pipe.model.device.put(hidden)
        masks = [mask for mask, _ in pipe.model.point(states, pipe.model.ground(load_image(picture)), (310, 200))]
    assert [mask.to_array().shape for mask in masks] == [(200, 310)] * 3
