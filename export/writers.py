"""One writer of an ONNX file for each block, all with one signature."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geopixel_edge.build.products import has_form, write_products
from geopixel_edge.engine.manifest import Form, Precision

from .checkpoint import Checkpoint
from .int8 import quantise_file
from .language_model_graph import LanguageModelGraph
from .onnx_file import Weights, save_module
from .torch_model.grounding_encoder import OUTPUTS as PYRAMID
from .torch_model.grounding_encoder import GroundingEncoder
from .torch_model.pixel_decoder import INPUTS, PixelDecoder
from .torch_model.pixel_decoder import OUTPUTS as MASKS
from .torch_model.vision_encoder import VisionEncoder

Writer = Callable[[Checkpoint, str, Path, Precision, "tqdm[Any]", Form], None]


def _inner(precision: Precision) -> str:
    """What a module computes with; int8 is made of float32 weights afterwards."""
    return "float16" if precision.compute == "float16" else "float32"


def write_vision_encoder(
    module: VisionEncoder, path: Path, precision: Precision, weights: Weights | None = None
) -> None:
    """`path` and `<path>.data`: `views` (n, 3, S, S) -> `tokens`, `separators`, all float32, with `n` symbolic."""
    inputs = {"views": ("n", 3, module.side_px, module.side_px)}
    save_module(module, path, _inner(precision), inputs, ("tokens", "separators"), weights)


def write_grounding_encoder(
    module: GroundingEncoder, path: Path, precision: Precision, weights: Weights | None = None
) -> None:
    """`path` and `<path>.data`: `image` -> `image_embed`, `high_res0`, `high_res1`, all float32."""
    inputs = {"image": (1, 3, module.image_px, module.image_px)}
    save_module(module, path, _inner(precision), inputs, PYRAMID, weights)


def write_pixel_decoder(module: PixelDecoder, path: Path, precision: Precision, weights: Weights | None = None) -> None:
    """`path` and `<path>.data`: `seg_hidden` (n, hidden), `image_embed`, `high_res0`, `high_res1` -> `low_res_masks`
    and `iou`, all float32, with `n` symbolic.
    """
    width, side = module.no_mask_embed.embedding_dim, module.side
    shapes: tuple[tuple[int | str, ...], ...] = (
        ("n", module.hidden),
        (1, width, side, side),
        (1, width // 8, 4 * side, 4 * side),
        (1, width // 4, 2 * side, 2 * side),
    )
    save_module(module, path, _inner(precision), dict(zip(INPUTS, shapes, strict=True)), MASKS, weights)


_MODULES: dict[str, Callable[[Any, Path, Precision, Weights], None]] = {
    "vision_encoder": write_vision_encoder,
    "grounding_encoder": write_grounding_encoder,
    "pixel_decoder": write_pixel_decoder,
}


def _write_module(
    checkpoint: Checkpoint, block: str, path: Path, precision: Precision, progress: tqdm[Any], form: Form
) -> None:
    """Trace a block's torch module without its weights, stream these, and round them where they are to be int8."""
    is_rewritten = form == "ready" and has_form(precision)
    with tempfile.TemporaryDirectory(dir=path.parent) if is_rewritten else nullcontext(path.parent) as folder:
        traced = Path(folder) / path.name
        _MODULES[block](checkpoint.skeleton(block), traced, precision, checkpoint.weights(block))
        if precision.weights == "int8":
            quantise_file(traced)
        if is_rewritten:
            write_products(traced, path, form, precision)
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
