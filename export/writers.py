"""One writer of an ONNX file for each block, all with one signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from geopixel_edge.engine.manifest import Form, Precision

from .checkpoint import Checkpoint
from .int8 import quantise_file
from .language_model_graph import LanguageModelGraph
from .onnx_file import BorderCast, save_module
from .torch_model.grounding_encoder import OUTPUTS as PYRAMID
from .torch_model.grounding_encoder import GroundingEncoder
from .torch_model.pixel_decoder import INPUTS, PixelDecoder
from .torch_model.pixel_decoder import OUTPUTS as MASKS
from .torch_model.vision_encoder import VisionEncoder

Writer = Callable[[Checkpoint, str, Path, Precision, "tqdm[Any]", Form], None]


def _inner(precision: Precision) -> str:
    """What a module computes with; int8 is made of float32 weights afterwards."""
    return "float16" if precision.compute == "float16" else "float32"


def write_vision_encoder(module: VisionEncoder, path: Path, precision: Precision) -> None:
    """`path` and `<path>.data`: `views` (n, 3, S, S) -> `tokens`, `separators`, all float32, with `n` symbolic."""
    # Two examples: the exporter would bake a batch of one in.
    views = torch.zeros(2, 3, module.side_px, module.side_px)
    symbolic = [{0: torch.export.Dim("n", min=1)}]
    save_module(BorderCast(module, _inner(precision)), (views,), path, ["views"], ["tokens", "separators"], symbolic)


def write_grounding_encoder(module: GroundingEncoder, path: Path, precision: Precision) -> None:
    """`path` and `<path>.data`: `image` -> `image_embed`, `high_res0`, `high_res1`, all float32."""
    image = torch.zeros(1, 3, module.image_px, module.image_px)
    save_module(BorderCast(module, _inner(precision)), (image,), path, ("image",), PYRAMID)


def write_pixel_decoder(module: PixelDecoder, path: Path, precision: Precision) -> None:
    """`path` and `<path>.data`: `seg_hidden` (n, hidden), `image_embed`, `high_res0`, `high_res1` -> `low_res_masks`
    and `iou`, all float32, with `n` symbolic.
    """
    width, side = module.no_mask_embed.embedding_dim, module.side
    pyramid = (
        torch.zeros(1, width, side, side),
        torch.zeros(1, width // 8, 4 * side, 4 * side),
        torch.zeros(1, width // 4, 2 * side, 2 * side),
    )
    # Two examples: the exporter would bake a batch of one in.
    states = torch.zeros(2, module.hidden)
    symbolic: list[dict[int, Any]] = [{0: torch.export.Dim("n", min=1)}, {}, {}, {}]
    save_module(BorderCast(module, _inner(precision)), (states, *pyramid), path, INPUTS, MASKS, symbolic)


_MODULES: dict[str, Callable[[Any, Path, Precision], None]] = {
    "vision_encoder": write_vision_encoder,
    "grounding_encoder": write_grounding_encoder,
    "pixel_decoder": write_pixel_decoder,
}


def _write_module(
    checkpoint: Checkpoint, block: str, path: Path, precision: Precision, progress: tqdm[Any], form: Form
) -> None:
    """Trace the torch module of a block, and round its weights where they are to be int8; both forms are alike."""
    module: nn.Module = checkpoint.load(block)
    _MODULES[block](module, path, precision)
    if precision.weights == "int8":
        quantise_file(path)
    progress.update()


def _write_language_model(
    checkpoint: Checkpoint, block: str, path: Path, precision: Precision, progress: tqdm[Any], form: Form
) -> None:
    """Written by hand, layer by layer; the bar moves on after each."""
    LanguageModelGraph(checkpoint, path, precision, form).write(progress)


WRITERS: dict[str, Writer] = {**dict.fromkeys(_MODULES, _write_module), "language_model": _write_language_model}


def steps(checkpoint: Checkpoint) -> int:
    """How often writing all blocks moves the bar on."""
    return len(_MODULES) + checkpoint.config.layers
