"""Which block consumes which key of a checkpoint, and which keys are dropped on purpose. Loading is strict."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from geopixel_edge.errors import CheckpointError, reason

from .config import ModelConfig
from .torch_model.grounding_encoder import GroundingEncoder
from .torch_model.language_model import LanguageModel
from .torch_model.pixel_decoder import PixelDecoder
from .torch_model.vision_encoder import VisionEncoder

EMBEDDINGS_KEY = "model.tok_embeddings.weight"

# Pieces of key names that inference never reads, with the reason; a key that contains one is dropped.
DROPPED = {
    "lora_sft_": "adapter of another XComposer mode, never active in GeoPixel",
    "lora_dpo_": "adapter of another XComposer mode, never active in GeoPixel",
    "lora_web_": "adapter of another XComposer mode, never active in GeoPixel",
    "visual_model.memory_attention": "SAM 2's video memory; GeoPixel reads single images",
    "visual_model.memory_encoder": "SAM 2's video memory",
    "visual_model.mask_downsample": "SAM 2's video memory",
    "visual_model.maskmem_tpos_enc": "SAM 2's video memory",
    "visual_model.no_mem_pos_enc": "SAM 2's video memory",
    "visual_model.no_obj_ptr": "SAM 2's object pointers across frames",
    "visual_model.obj_ptr_proj": "SAM 2's object pointers across frames",
    "sam_mask_decoder.pred_obj_score_head": "object score, which GeoPixel does not use",
    "sam_prompt_encoder.mask_downscaling": "mask prompts, which GeoPixel does not give",
    "sam_prompt_encoder.point_embeddings": "point prompts, which GeoPixel does not give",
    "sam_prompt_encoder.not_a_point_embed": "point prompts, which GeoPixel does not give",
    "vision_model.post_layernorm": "GeoPixel reads CLIP before its last norm",
    "vision_model.embeddings.position_ids": "a buffer of ascending numbers in some saved CLIP versions",
    "image_encoder.neck.position_encoding": "computed, not learned",
}

CLASSES: dict[str, type[nn.Module]] = {
    "vision_encoder": VisionEncoder,
    "language_model": LanguageModel,
    "grounding_encoder": GroundingEncoder,
    "pixel_decoder": PixelDecoder,
}

# Per block: (prefix of the checkpoint's key, prefix of the module's own name).
PREFIXES: dict[str, tuple[tuple[str, str], ...]] = {
    "vision_encoder": VisionEncoder.KEYS,
    "language_model": LanguageModel.KEYS,
    "grounding_encoder": GroundingEncoder.KEYS,
    "pixel_decoder": PixelDecoder.KEYS,
}


def build(block: str, config: ModelConfig, rank: int) -> nn.Module:
    """The torch module of a block, with fresh parameters on the default device.

    CheckpointError when the config's sizes contradict each other.
    """
    try:
        if block == "vision_encoder":
            return VisionEncoder(config.clip, config.hidden)
        if block == "language_model":
            return LanguageModel(config, rank)
        if block == "grounding_encoder":
            return GroundingEncoder(config.sam2)
        return PixelDecoder(config.sam2, config.hidden, config.out_dim)
    except CheckpointError:
        raise
    except Exception as error:  # torch and transformers raise nearly any class on sizes that make no model
        raise CheckpointError(f"config.json describes no {block} that can be built ({reason(error)})") from error


def is_dropped(key: str) -> bool:
    """Whether inference never reads this key."""
    return any(piece in key for piece in DROPPED)


def assign(keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """Give each key to exactly one block: block -> {local name: checkpoint key}.

    Keys on the dropped list are left out. CheckpointError names keys nobody claims.
    """
    claims: dict[str, dict[str, str]] = {block: {} for block in CLASSES}
    claims["token_embeddings"] = {}
    unknown = []
    for key in keys:
        if is_dropped(key):
            continue
        owners = [(block, local) for block in CLASSES if (local := local_name(block, key))]
        if key == EMBEDDINGS_KEY:
            owners.append(("token_embeddings", "weight"))
        if len(owners) != 1:
            unknown.append(key)
            continue
        claims[owners[0][0]][owners[0][1]] = key
    if unknown:
        shown = ", ".join(sorted(unknown)[:5])
        raise CheckpointError(f"{len(unknown)} keys belong to no block of GeoPixel: {shown}")
    return claims


def checkpoint_name(block: str, name: str) -> str:
    """The key under which a checkpoint stores a block's parameter `name`."""
    theirs, mine = max((pair for pair in PREFIXES[block] if name.startswith(pair[1])), key=lambda pair: len(pair[1]))
    return theirs + name[len(mine) :]


def local_name(block: str, key: str) -> str | None:
    """The key's name inside the block's module, or None when it is not the block's."""
    for prefix, local in PREFIXES[block]:
        if key.startswith(prefix):
            return local + key[len(prefix) :]
    return None
