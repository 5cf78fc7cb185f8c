"""The sizes of a GeoPixel model, read from `config.json`; what it leaves out has the original's defaults."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopixel_edge import limits
from geopixel_edge.errors import CheckpointError

from .torch_model.grounding_encoder import HIERA_LARGE

# The original takes these sizes from another repository's config when config.json has no `clip_config`.
CLIP_LARGE_560: dict[str, Any] = {
    "image_size": 560,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "num_channels": 3,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}

# OpenAI CLIP's and ImageNet's channel statistics (reference behaviours 5 and 21).
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PAD_VALUE = 255


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of all five blocks. `clip` and `sam2` keep the layout of the original's own configs."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    rms_norm_eps: float
    rope_theta: float
    max_positions: int
    out_dim: int
    clip: dict[str, Any]
    sam2: dict[str, Any]

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def tokens_per_side(self) -> int:
        """Image tokens along one side of a view: patches per side, halved by the 2x2 merge."""
        return int(self.clip["image_size"]) // int(self.clip["patch_size"]) // 2

    @property
    def mask_px(self) -> int:
        """Side of the pixel decoder's masks: a quarter of SAM 2's input."""
        return int(self.sam2["image_size"]) // 4


_FIELDS = {
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "vocabulary": "vocab_size",
    "rms_norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "max_positions": "max_position_embeddings",
    "out_dim": "out_dim",
}
_FRACTIONS = ("rms_norm_eps", "rope_theta")
_DEPTHS = ("num_hidden_layers", "stages", "transformer_depth", "iou_head_depth")
_INDICES = ("global_att_blocks", "fpn_top_down_levels")


def read_config(path: Path) -> ModelConfig:
    """Parse a GeoPixel `config.json`; CheckpointError names a missing or impossible field."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds {type(raw).__name__}, not an object; download the checkpoint again")
    missing = [name for name in _FIELDS.values() if name not in raw]
    if missing:
        raise CheckpointError(f"{path} lacks {missing}; is this a GeoPixel checkpoint?")
    try:
        for name in _FIELDS.values():
            _check_like(0.5 if name in _FRACTIONS else 1, raw[name], name)
        for name, defaults in (("clip_config", CLIP_LARGE_560), ("sam2_config", HIERA_LARGE)):
            _check_like(defaults, raw.get(name, defaults), name)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; download the checkpoint again") from None
    # Other fields of clip_config matter in training only.
    clip = {name: raw.get("clip_config", {}).get(name, default) for name, default in CLIP_LARGE_560.items()}
    sizes: dict[str, Any] = {field: raw[name] for field, name in _FIELDS.items()}
    config = ModelConfig(**sizes, clip=clip, sam2=raw.get("sam2_config", HIERA_LARGE))
    _refuse_unsupported(path, raw, config)
    return config


def _check_like(default: Any, value: Any, name: str) -> None:
    """ValueError unless `value` is of the kind of the original's own value `default`, and in range."""
    key = name.rpartition(".")[2].partition("[")[0]
    if isinstance(default, dict):
        wanted, good = "an object", isinstance(value, dict)
        for part in default.keys() & value.keys() if good else ():
            _check_like(default[part], value[part], f"{name}.{part}")
    elif isinstance(default, list):
        wanted, good = "a short list", isinstance(value, list) and len(value) <= limits.MAX_MODEL_LAYERS
        for index, entry in enumerate(value if good else ()):
            _check_like(default[0], entry, f"{name}[{index}]")
    elif isinstance(default, (bool, str)):
        wanted, good = f"of type {type(default).__name__}", isinstance(value, type(default))
    elif isinstance(default, float):
        top = limits.MAX_MODEL_SIZE**2  # no base of rotary angles is near
        wanted, good = f"a number above 0, up to {top}", type(value) in (int, float) and 0 < value <= top
    else:
        low, high = 0 if key in _INDICES else 1, limits.MAX_MODEL_SIZE
        high = limits.MAX_MODEL_LAYERS if key in _DEPTHS else high
        high = limits.MAX_MODEL_SIDE_PX if key == "image_size" else high
        wanted, good = f"an integer from {low} to {high}", type(value) is int and low <= value <= high
    if not good:
        raise ValueError(f"{name}={str(value)[:50]} is not {wanted}")


def _refuse_unsupported(path: Path, raw: dict[str, Any], config: ModelConfig) -> None:
    """What the graphs do not implement must be an error, not a silent difference."""
    problems = []
    if raw.get("bias"):
        problems.append("bias=true in the language model")
    if raw.get("hidden_act", "silu") != "silu":
        problems.append(f"hidden_act={raw['hidden_act']!r}")
    if config.hidden % config.heads or config.heads % config.kv_heads or config.head_dim % 2:
        problems.append(f"{config.heads} heads and {config.kv_heads} KV heads at hidden size {config.hidden}")
    scaling = raw.get("rope_scaling") or {"type": "dynamic"}
    if not isinstance(scaling, dict) or scaling.get("type") != "dynamic":
        problems.append(f"rope_scaling={scaling!r}")
    if config.clip["image_size"] % (2 * config.clip["patch_size"]):
        problems.append(f"a CLIP grid of {config.clip['image_size']} / {config.clip['patch_size']}, which is not even")
    if "image_size" not in config.sam2:
        problems.append("a sam2_config without image_size")
    if problems:
        raise CheckpointError(f"{path} asks for what this exporter does not build: {'; '.join(problems)}")
