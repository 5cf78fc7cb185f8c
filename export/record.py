"""The second golden record: which fixed inputs the pixel decoder gets, and what the exported blocks make of theirs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import torch
from torch import Tensor

from geopixel_edge import probes
from geopixel_edge.engine import describe_file, write_manifest
from geopixel_edge.golden import ARRAYS, GOLDEN_FILES, RECORD_FILE, Check, Golden, Record, read_golden, sketches
from geopixel_edge.limits import MASKS_PER_RUN
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.probes import LOUDNESS, Loudness

from .pixel_decoder import PixelDecoder, stability

FIRST_SEED = 188  # from here few candidates are needed for the reference checkpoint and the bundled engine's
CANDIDATES = 96
STATES_PER_MASK = 2
# A choice of mask that less than this decides could fall differently elsewhere: a share of pixels, a predicted IoU.
STABILITY_STEP, IOU_STEP = 2e-3, 1e-2


@torch.no_grad()
def choose_states(decoder: PixelDecoder) -> dict[Loudness, tuple[int, ...]]:
    """Seeds of `[SEG]` states for which the decoder takes each of its masks, by a sure lead.

    A mask that no candidate leads to has no state, and the weights that make it alone stay unseen.
    """
    masks = int(decoder.mask_tokens.num_embeddings)
    wanted: dict[Loudness, set[int]] = {"loud": {0}, "quiet": set(range(1, masks)) if decoder.falls_back else set()}
    return {loudness: _search(decoder, loudness, wanted[loudness]) for loudness in LOUDNESS}


def _search(decoder: PixelDecoder, loudness: Loudness, wanted: set[int]) -> tuple[int, ...]:
    """The first seeds that lead to each wanted mask, in order."""
    width, side = decoder.no_mask_embed.embedding_dim, decoder.side
    sizes = ((1, width, side, side), (1, width // 8, 4 * side, 4 * side), (1, width // 4, 2 * side, 2 * side))
    maps = probes.pyramid(dict(zip(probes.PYRAMID, sizes, strict=True)), loudness)
    features = [torch.from_numpy(value) for value in maps.values()]
    found: dict[int, list[int]] = {mask: [] for mask in wanted}
    for start in range(FIRST_SEED, FIRST_SEED + CANDIDATES, MASKS_PER_RUN):
        if all(len(seeds) >= STATES_PER_MASK for seeds in found.values()):
            break
        seeds = tuple(range(start, start + MASKS_PER_RUN))
        masks, iou, _ = decoder.all_masks(torch.from_numpy(probes.states(seeds, decoder.hidden)), *features)
        chosen = decoder.choose(masks, iou).tolist()
        for seed, mask, lead in zip(seeds, chosen, _leads(decoder, masks, iou), strict=True):
            if mask in found and lead >= 1 and len(found[mask]) < STATES_PER_MASK:
                found[mask].append(seed)
    return tuple(sorted(seed for seeds in found.values() for seed in seeds))


def _leads(decoder: PixelDecoder, masks: Tensor, iou: Tensor) -> list[float]:
    """By how many steps each choice is made: of stability, and where the first mask is unstable also of IoU."""
    stable = (stability(masks[:, 0], decoder.delta) - decoder.threshold) / STABILITY_STEP
    others = iou[:, 1:].sort(dim=1).values
    gap = (others[:, -1] - others[:, -2]) / IOU_STEP if others.shape[1] > 1 else torch.full_like(stable, torch.inf)
    if not decoder.falls_back:
        return [float("inf")] * len(stable)
    leads: list[float] = torch.where(stable >= 0, stable, torch.minimum(-stable, gap)).tolist()
    return leads


def write_record(pipeline: Pipeline, checks: Sequence[Check], views: np.ndarray) -> None:
    """Write what the engine's blocks give to `golden/`, with the distances of `checks`, and a manifest that fits."""
    root, manifest = pipeline.engine.root, pipeline.engine.manifest
    facts = read_golden(pipeline.engine)[0]
    arrays: dict[str, Any] = dict(sketches(pipeline, facts, views))
    np.savez_compressed(root / RECORD_FILE, **arrays)
    distance = {check.quantity: check.distance for check in checks if check.quantity in ARRAYS}
    made_by = f"onnxruntime {onnxruntime.__version__} on {platform.machine()}"
    write_facts(root, msgspec.structs.replace(facts, record=Record(distance=distance, made_by=made_by)))
    names = dict.fromkeys([*(spec.path for spec in manifest.golden), RECORD_FILE])
    golden = tuple(describe_file(root, name) for name in names)
    write_manifest(root, msgspec.structs.replace(manifest, golden=golden))


def write_facts(root: Path, facts: Golden) -> None:
    """Write `golden/facts.json`."""
    (root / GOLDEN_FILES["facts"]).write_bytes(msgspec.json.format(msgspec.json.encode(facts)))
