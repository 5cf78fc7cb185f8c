"""Strict loading: every key of the real 7B checkpoint has one consumer or stands on the dropped list."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from export import keys
from export.checkpoint import Checkpoint
from export.config import read_config
from geopixel_edge.errors import CheckpointError

DATA = Path(__file__).parents[1] / "data"
REAL = json.loads((DATA / "geopixel-7b-shapes.json").read_text())
SHAPES: dict[str, list[int]] = REAL["shapes"]
RANK = 256


def test_every_key_of_the_real_checkpoint_is_consumed_once_or_dropped() -> None:
    claims = keys.assign(SHAPES)
    consumed = [key for names in claims.values() for key in names.values()]
    dropped = [key for key in SHAPES if keys.is_dropped(key)]
    assert len(SHAPES) == 2808
    assert len(consumed) == len(set(consumed))
    assert sorted(consumed + dropped) == sorted(SHAPES)
    assert sum(math.prod(SHAPES[key]) for key in consumed) == 8_914_455_156 == REAL["params_needed_by_evaluate"]


@pytest.mark.parametrize("block", sorted(keys.CLASSES))
def test_modules_at_real_sizes_have_the_real_names_and_shapes(block: str) -> None:
    config = read_config(DATA / "geopixel-7b-config.json")
    with torch.device("meta"):
        module = keys.build(block, config, RANK)
    expected = {name: SHAPES[key] for name, key in keys.assign(SHAPES)[block].items()}
    assert {name: list(value.shape) for name, value in module.state_dict().items()} == expected


def test_every_entry_of_the_dropped_list_drops_something() -> None:
    # Computed buffers that some versions of the original's libraries save.
    unsaved = {"vision_model.embeddings.position_ids", "image_encoder.neck.position_encoding"}
    idle = [piece for piece in keys.DROPPED if not any(piece in key for key in SHAPES)]
    assert set(idle) == unsaved


def test_a_key_nobody_knows_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"model\.layers_extra\.weight"):
        keys.assign([*SHAPES, "model.layers_extra.weight"])


def test_the_reference_checkpoint_is_whole() -> None:
    Checkpoint(DATA / "tiny-geopixel" / "checkpoint").check_all()
