"""A checkpoint's config.json with absurd, contradictory or foreign sizes: refused before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import Checkpoint
from geopixel_edge.errors import CheckpointError
from tests.support.checkpoints import SOURCE, edit_json, linked, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return linked(tmp_path)


FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "max_position_embeddings",
    "intermediate_size",
    "out_dim",
    "rms_norm_eps",
    "rope_theta",
)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [0, -1, True, None, "64", [64], {}, float("nan"), float("inf"), "absent"])
def test_a_field_is_absurd(root: Path, field: str, value: object) -> None:
    edit_json(root, "config.json", lambda c: c.pop(field) if value == "absent" else c.update({field: value}))
    with pytest.raises(CheckpointError, match=field):
        Checkpoint(root)


@pytest.mark.parametrize("field", FIELDS[:8])
@pytest.mark.parametrize("value", [1.5, 64.0, 2**31, 10**30])
def test_a_size_is_no_size(root: Path, field: str, value: object) -> None:
    edit_json(root, "config.json", lambda c: c.update({field: value}))
    with pytest.raises(CheckpointError, match=field):
        Checkpoint(root)


def nested(config: dict[str, Any], prefix: tuple[str, ...]) -> list[tuple[str, ...]]:
    found = []
    for key, value in config.items():
        found += nested(value, (*prefix, key)) if isinstance(value, dict) else [(*prefix, key)]
    return found


CONFIG = json.loads((SOURCE / "config.json").read_text())
UNUSED = {"projection_dim", "memory_attention", "memory_encoder_out_dim", "num_maskmem"}
NESTED = [
    path for name in ("clip_config", "sam2_config") for path in nested(CONFIG[name], (name,)) if not UNUSED & set(path)
]


@pytest.mark.parametrize("path", NESTED, ids=".".join)
def test_a_nested_field_is_absurd(root: Path, path: tuple[str, ...]) -> None:
    absurd: list[Any] = [None, -1, 0, "64", {}, float("nan"), 10**30, [[]], [0] * 600]
    for value in absurd:
        changed = json.loads(json.dumps(CONFIG))
        section = changed
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = value
        put(root, "config.json", json.dumps(changed).encode())
        unknown = (path[-1], value) == ("hidden_act", "64")  # a name that the reader looks up, and says
        with pytest.raises(CheckpointError, match="KeyError: '64'" if unknown else path[-1]):
            Checkpoint(root).check_all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bias": True}, "bias"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_scaling": "x"}, "rope_scaling"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling"),
        ({"num_attention_heads": 5}, "heads"),
        ({"clip_config": []}, "clip_config"),
        ({"sam2_config": {}}, "image_size"),
        ({"out_dim": 32}, "out_dim"),
        ({"num_hidden_layers": 2}, "layers.2"),
        ({"num_hidden_layers": 4}, "layers.3"),
        ({"vocab_size": 1004}, "1004"),
    ],
)
def test_a_config_of_another_model(root: Path, change: dict[str, Any], named: str) -> None:
    edit_json(root, "config.json", lambda config: config.update(change))
    with pytest.raises(CheckpointError, match=named):
        Checkpoint(root).check_all()
