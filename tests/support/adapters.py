"""GeoPixel fine-tuned with PEFT, in little: the reference checkpoint as the original's classes nest it, adapted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from export.adapter import PARTS, Adapter
from export.checkpoint import Checkpoint
from export.lora_config import TARGETS

from .checkpoints import SOURCE, single, tensors


class Original(nn.Module):
    """Every tensor of the reference checkpoint under its own name, float32; the decoder's matrices are linear."""

    def __init__(self) -> None:
        super().__init__()
        checkpoint = Checkpoint(SOURCE)
        decoder: Any = checkpoint.load("language_model")
        self.model = nn.Module()
        self.model.layers, self.model.norm, self.output = decoder.layers, decoder.norm, decoder.output
        self.model.tok_embeddings = nn.Embedding(checkpoint.config.vocabulary, checkpoint.config.hidden)
        there = self.state_dict().keys()
        for key, value in tensors().items():
            if key not in there:
                _put(self, key.split("."), value.float())
        self.load_state_dict({key: value.float() for key, value in tensors().items()}, strict=True)


def _put(module: nn.Module, path: list[str], value: Tensor) -> None:
    for name in path[:-1]:
        if name not in module._modules:
            module.add_module(name, nn.Module())
        module = module.get_submodule(name)
    module.register_parameter(path[-1], nn.Parameter(value))


def fine_tuned(whole: tuple[str, ...] = PARTS, **changes: Any) -> PeftModel:
    """The wrapped model, its trained numbers moved at random; `whole` are PEFT's modules_to_save.

    Without `whole` the four parts are moved all the same, as the original's scripts train them: under their own names.
    """
    config = LoraConfig(
        **{"r": 8, "lora_alpha": 16, "target_modules": list(TARGETS), "modules_to_save": list(whole) or None, **changes}
    )
    wrapped: PeftModel = get_peft_model(Original(), config)
    generator = torch.Generator().manual_seed(3)
    for key, value in wrapped.named_parameters():
        if is_trained(key) and "original_module" not in key:
            value.data += 0.05 * torch.randn(value.shape, generator=generator)
    return wrapped


def is_trained(key: str) -> bool:
    """Whether the original's scripts train this parameter of the wrapped model."""
    return ".lora_A." in key or ".lora_B." in key or any(f".{part}." in key for part in PARTS)


def merged(parent: Path, wrapped: PeftModel) -> Path:
    """A checkpoint of what PEFT merges the wrapped model to, which is changed by this."""
    state = wrapped.merge_and_unload().state_dict()
    return single(parent, {key: value.contiguous() for key, value in state.items()})


def contents(root: Path, adapter: Path | None = None) -> dict[str, Tensor]:
    """Every tensor that an export reads, by key, in float32."""
    checkpoint = Checkpoint(root, Adapter(adapter) if adapter else None)
    checkpoint.check_all()
    return {key: checkpoint.tensor(key).float() for names in checkpoint.claims.values() for key in names.values()}
