"""Blocks at GeoPixel-7B's true widths with random weights, as deep as is wanted: written without a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export import keys
from export.config import ModelConfig, read_config
from export.manifest import block_spec
from export.writers import write_grounding_encoder, write_pixel_decoder, write_vision_encoder
from geopixel_edge.build.tensorrt_block import Outcome, Request
from geopixel_edge.build.tensorrt_child import run
from geopixel_edge.build.tensorrt_profiles import fixed_dims, halved, halves_of, profiles_of
from geopixel_edge.engine.manifest import TensorSpec
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.memory.plan import Dims

from .random_decoder import write_decoder

CONFIG = Path(__file__).parents[1] / "data" / "geopixel-7b-config.json"
DIMS = Dims(capacity=1024, batch=8)
RANK = 256


@dataclass(frozen=True)
class Written:
    """A block's file, what stands at its borders, and the bytes of its weights."""

    block: str
    path: Path
    halves: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weight_bytes: int

    def built(self, sm: int, memory_bytes: int = 0) -> Outcome:
        """Built by TensorRT-RTX for a GPU, in a process of its own."""
        request = Request(
            runtime="tensorrt-rtx",
            model=str(self.path),
            plan=str(self.plan),
            inputs=halved(self.inputs, self.halves),
            halves=self.halves,
            outputs=self.outputs,
            fixed=fixed_dims(self.block, DIMS),
            profiles=profiles_of(self.block, DIMS),
            sm=sm,
            memory_bytes=memory_bytes,
        )
        return run(request, self.block, "TensorRT-RTX", lambda: None)

    @property
    def plan(self) -> Path:
        """Where the plan is written."""
        return self.path.with_suffix(".plan")


def whole() -> ModelConfig:
    """GeoPixel-7B's sizes."""
    return read_config(CONFIG)


def shallow() -> ModelConfig:
    """One layer of CLIP, and a block in each stage of Hiera, one of them global."""
    config = whole()
    hiera = {**config.sam2["hiera"], "stages": [1, 1, 1, 1], "global_att_blocks": [2]}
    return replace(config, clip={**config.clip, "num_hidden_layers": 1}, sam2={**config.sam2, "hiera": hiera})


def written(block: str, root: Path, config: ModelConfig, precision: str = "fp16", layers: int = 1) -> Written:
    """Write one block; `layers` is the language model's depth, `config` all others'."""
    path = root / f"{block}.onnx"
    if block == "language_model":
        spec = write_decoder(root, PRECISIONS[precision], "portable", layers)
        return Written(block, path, halves_of(block, spec.precision), spec.inputs, spec.outputs, spec.files[1].bytes)
    torch.manual_seed(5)
    module: Any = keys.build(block, config, RANK).eval()
    with torch.no_grad():
        for parameter in module.parameters():  # tables that begin as zeros would fold away
            if not parameter.any():
                nn.init.normal_(parameter, std=0.02)
    writer: Any = {
        "vision_encoder": write_vision_encoder,
        "grounding_encoder": write_grounding_encoder,
        "pixel_decoder": write_pixel_decoder,
    }[block]
    writer(module, path, PRECISIONS[precision])
    spec = block_spec(root, block, PRECISIONS[precision])
    return Written(block, path, halves_of(block, spec.precision), spec.inputs, spec.outputs, spec.files[1].bytes)
