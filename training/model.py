"""All blocks of GeoPixel as one trainable module, saved as a checkpoint that `geopixel-edge export` reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export import keys
from export.checkpoint import Checkpoint
from export.config import ModelConfig, read_config
from export.torch_model.grounding_encoder import GroundingEncoder
from export.torch_model.language_model import LanguageModel
from export.torch_model.pixel_decoder import PixelDecoder
from export.torch_model.vision_encoder import VisionEncoder, stitch

TOKENIZER_FILES = ("tokenizer.model", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")
LORA_RANK = 16


class GeoPixel(nn.Module):
    """The four exported blocks and the embedding table; submodules are named as the exporter names its blocks."""

    vision_encoder: VisionEncoder
    language_model: LanguageModel
    grounding_encoder: GroundingEncoder
    pixel_decoder: PixelDecoder

    def __init__(self, config: ModelConfig, rank: int = LORA_RANK) -> None:
        super().__init__()
        self.config = config
        for block in keys.CLASSES:
            setattr(self, block, keys.build(block, config, rank))
        self.token_embeddings = nn.Embedding(config.vocabulary, config.hidden)
        self.apply(_initialise)
        _initialise_constants(self)

    def see(self, views: Tensor, rows: int, cols: int) -> Tensor:
        """Views (B, 1 + rows * cols, 3, S, S) -> image tokens (B, T, hidden)."""
        tokens, separators = self.vision_encoder(views.flatten(0, 1))
        per_image = tokens.unflatten(0, views.shape[:2])
        return torch.stack([stitch(one, separators, rows, cols) for one in per_image])

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Parameters and buffers under the original's key names."""
        state = {keys.EMBEDDINGS_KEY: self.token_embeddings.weight}
        for block in keys.CLASSES:
            for name, value in getattr(self, block).state_dict().items():
                state[keys.checkpoint_name(block, name)] = value
        return {key: value.detach().float().cpu().contiguous() for key, value in state.items()}

    def save(self, directory: Path, config: dict[str, Any], tokenizer: Path) -> None:
        """Write a Hugging Face checkpoint directory; `tokenizer` holds the tokenizer's files."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config, indent=1))
        for name in TOKENIZER_FILES:
            shutil.copy(tokenizer / name, directory / name)
        partial = directory / "model.safetensors.partial"
        save_file(self.checkpoint_state(), partial)
        partial.rename(directory / "model.safetensors")

    @classmethod
    def load(cls, directory: Path) -> GeoPixel:
        """The model of a checkpoint directory; CheckpointError when it is not whole."""
        checkpoint = Checkpoint(directory)
        checkpoint.check_all()
        model = cls(read_config(directory / "config.json"), checkpoint.rank)
        for block in keys.CLASSES:
            state = {name: checkpoint.tensor(key).float() for name, key in checkpoint.claims[block].items()}
            getattr(model, block).load_state_dict(state)
        model.token_embeddings.weight.data.copy_(checkpoint.tensor(keys.EMBEDDINGS_KEY))
        return model


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.trunc_normal_(module.weight, std=min(0.02 * (256 / module.weight[0].numel()) ** 0.5 * 3, 0.06))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)


def _initialise_constants(model: GeoPixel) -> None:
    """What is neither a layer's weight nor zero: position codes, and partial LoRA that starts as no change."""
    for parameter in (model.vision_encoder.plora_sub_GN, model.vision_encoder.plora_glb_GN):
        nn.init.normal_(parameter, std=0.02)
    nn.init.normal_(model.pixel_decoder.pe_layer.positional_encoding_gaussian_matrix)
    for name, parameter in model.named_parameters():
        if name.endswith("Plora_B.weight"):
            nn.init.zeros_(parameter)
        elif "pos_embed" in name:
            nn.init.trunc_normal_(parameter, std=0.02)
