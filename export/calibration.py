"""How loud each input of the language model's linear layers is on pictures of the user's own: errors count by that.

Pictures are read as questions about them are, one decoder layer's weights in memory at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from geopixel_edge.arrays import F32
from geopixel_edge.engine.manifest import Precision, SpecialTokens
from geopixel_edge.errors import ExportError, ImageError
from geopixel_edge.families.prompt import build_prompt
from geopixel_edge.images import load_image
from geopixel_edge.resources import return_heap
from geopixel_edge.text.tokenizer import Tokenizer

from . import reference
from .checkpoint import Checkpoint
from .tokenizer import MODEL_NAME

log = logging.getLogger(__name__)
# More pictures change scales by less than their rounding, and each takes as long as a question.
MOST_PICTURES = 16
QUERY = "Describe this image with interleaved segmentation masks."
Sums = dict[str, tuple[Tensor, int]]


def check(folder: Path, precisions: Mapping[str, Precision]) -> list[Path]:
    """The pictures to use, in the order of their names, at most MOST_PICTURES.

    ExportError without a block at int4, for a folder that is none and for one without a readable picture. What cannot
    be read is left out with a warning.
    """
    if all(precision.weights != "int4" for precision in precisions.values()):
        raise ExportError(f"calibrate={str(folder)!r} chooses int4's scales; give --precision int4, or leave it out")
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise ExportError(f"calibrate={str(folder)!r}: {error.strerror}; give a folder of pictures") from None
    readable: list[Path] = []
    for path in files:
        if len(readable) == MOST_PICTURES:
            log.info("calibration uses the first %d pictures of %s", MOST_PICTURES, folder)
            break
        try:
            load_image(path)
        except ImageError as error:
            log.warning("calibration leaves out %s", error)
        else:
            readable.append(path)
    if not readable:
        raise ExportError(f"calibrate={str(folder)!r} holds no readable picture; give a folder of PNG, JPEG or TIFF")
    return readable


@torch.no_grad()
def loudness(checkpoint: Checkpoint, tokens: SpecialTokens, pictures: list[Path]) -> dict[str, F32]:
    """The root mean square (inputs,) of what each linear layer takes, by the layer's name.

    Layers that no row reaches have none; an input that is always zero counts as the quietest.
    """
    c = checkpoint.config
    sequences = _sequences(checkpoint, tokens, pictures)
    sums: Sums = {}
    for index in tqdm(range(c.layers), desc="calibration", disable=None, unit="layer"):
        layer = reference.decoder_layer(checkpoint, index)
        with _listening(layer, f"layers.{index}.", sums):
            for number, (rows, image_rows) in enumerate(sequences):
                reading = reference.reading(checkpoint, len(rows), image_rows)
                sequences[number] = (layer(rows, reading), image_rows)
        del layer  # before the next one is read
        return_heap(collecting=True)
    for rows, _ in sequences:
        _add(sums, "output", reference.final_norm(checkpoint, rows))
    return {name: np.sqrt((squares / count).numpy()) for name, (squares, count) in sums.items()}


def _sequences(checkpoint: Checkpoint, tokens: SpecialTokens, pictures: list[Path]) -> list[tuple[Tensor, Tensor]]:
    """A question about each picture: embedded rows (S, hidden), and which of them are the picture's."""
    side_px = int(checkpoint.config.clip["image_size"])
    prompt = build_prompt(QUERY, (), 1, Tokenizer(checkpoint.root / MODEL_NAME, tokens), tokens)
    before, after = (reference.token_rows(checkpoint, part) for part in prompt.parts)
    module = checkpoint.load("vision_encoder")
    found = []
    for path in tqdm(pictures, desc="calibration", disable=None, unit="picture"):
        image = Image.fromarray(load_image(path).pixels)
        divided = reference.divide(image, 1, side_px)
        seen = reference.stitched(module, divided)
        found.append((torch.cat([before, seen, after]), torch.arange(len(before), len(before) + len(seen))))
    del module
    return_heap(collecting=True)
    return found


@contextmanager
def _listening(layer: nn.Module, prefix: str, sums: Sums) -> Iterator[None]:
    """What every linear layer inside takes is added up while the block runs."""

    def listener(name: str) -> Any:
        return lambda module, inputs: _add(sums, name, inputs[0])

    hooks = [
        part.register_forward_pre_hook(listener(prefix + name))
        for name, part in layer.named_modules()
        if isinstance(part, nn.Linear)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _add(sums: Sums, name: str, rows: Tensor) -> None:
    squares, count = sums.get(name, (torch.zeros(rows.shape[-1]), 0))
    flat = rows.reshape(-1, rows.shape[-1])
    sums[name] = (squares + flat.square().sum(dim=0), count + len(flat))
