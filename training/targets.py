"""What the teaching heads must predict of a scene: labels of places, centres of things, where each `[SEG]` points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.scenes import Instance, Scene
from synthetic.scenes.generate import ANY_COLOUR

# What can be at a place: the ground, then every class in every colour whose name is worth saying.
LABELS: tuple[tuple[str, str | None], ...] = (
    ("ground", None),
    *((name, colour) for name, colours in ANY_COLOUR.items() for colour in (colours or (None,))),
)
_LABEL_OF = {label: index for index, label in enumerate(LABELS)}
# A label is told by what tells its class and what tells its colour, so that a pair never seen is known by its parts.
_PARTS = sorted({part for name, colour in LABELS for part in (("class", name), ("colour", colour))}, key=str)
FACTORS = torch.tensor(
    [[float(part in (("class", name), ("colour", colour))) for part in _PARTS] for name, colour in LABELS]
)
OFFSET_PART = 0.1  # of the picture: the unit of offsets to a thing's centre
FREQUENCIES = (0.5, 1.0, 2.0, 4.0)  # half turns over the picture, of the code of a coordinate
POSITION_WIDTH = 4 * len(FREQUENCIES)


@dataclass(frozen=True)
class Targets:
    """Of one scene; `side` is that of the token grid, M that of the masks.

    `labels` (M, M) int64; `offsets` (2, M, M): from a place to the centre of the thing there (x, y), in OFFSET_PART,
    NaN on the ground; `patch_shares` (2 side, 2 side, LABELS): how much of each patch a label covers; `centres`
    (side, side, PLACE_WIDTH): the coded centre of the thing that covers most of each token, NaN where there is none;
    `log_sizes` (side, side): the logarithm of its part of the picture; `pointers` (n, side * side) and `label_shares`
    (n, LABELS): how each `[SEG]`'s pixels spread over tokens, and over labels, each row of sum 1; `locations`
    (n, PLACE_WIDTH + 1): coded centre and logarithmic size of what each `[SEG]` shows, NaN if several things.
    """

    labels: Tensor
    offsets: Tensor
    patch_shares: Tensor
    centres: Tensor
    log_sizes: Tensor
    pointers: Tensor
    label_shares: Tensor
    locations: Tensor


def position_encoding(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Points (..., 2) in parts of the picture -> sines and cosines (..., PLACE_WIDTH)."""
    angles = points[..., None] * (math.pi * np.array(FREQUENCIES))
    code = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    return code.reshape(*points.shape[:-1], POSITION_WIDTH).astype(np.float32)


def targets_of(scene: Scene, groups: Sequence[tuple[int, ...]], mask_side: int, token_side: int) -> Targets:
    """`groups`: the instance numbers of each `[SEG]`."""
    count = int(scene.owners.max(initial=0)) + 1
    table = np.zeros((count, 3))
    names = np.zeros(count, np.int64)
    for one in scene.instances:
        names[one.number] = _LABEL_OF[(one.class_name, one.colour)]
        table[one.number] = *(part / scene.side_px for part in one.centre), _log_size(one)
    counts = cell_counts(scene.owners, token_side, count)
    middles = _cell_centres(scene.owners, mask_side)
    known = middles > 0
    ys, xs = np.mgrid[0:mask_side, 0:mask_side] + 0.5
    offsets = np.stack([table[middles, 0] - xs / mask_side, table[middles, 1] - ys / mask_side]) / OFFSET_PART
    thing = counts[:, 1:].argmax(1) + 1 if count > 1 else np.zeros(len(counts), np.int64)
    empty = (counts[:, 1:].max(1, initial=0) == 0)[:, None]
    centres = np.where(empty, np.nan, position_encoding(table[thing, :2]))
    shares = cell_counts(names[scene.owners], 2 * token_side, len(LABELS)).astype(np.float32)
    return Targets(
        labels=torch.from_numpy(names[middles]),
        offsets=torch.from_numpy(np.where(known, offsets, np.nan).astype(np.float32)),
        patch_shares=_tensor(shares / shares.sum(1, keepdims=True), 2 * token_side),
        centres=_tensor(centres, token_side),
        log_sizes=torch.from_numpy(table[thing, 2].reshape(token_side, token_side).astype(np.float32)),
        pointers=_spread(counts.T, groups),
        label_shares=_spread(_areas(names, scene), groups),
        locations=_locations(table, groups),
    )


def cell_counts(values: NDArray[np.integer], side: int, count: int) -> NDArray[np.int64]:
    """Values below `count` (S, S) -> how often each occurs in each of side x side cells, (side * side, count)."""
    cell = np.arange(values.shape[0]) * side // values.shape[0]
    index = (cell[:, None] * side + cell) * count + values
    return np.bincount(index.ravel(), minlength=side * side * count).reshape(side * side, count)


def _cell_centres(owners: NDArray[np.int32], side: int) -> NDArray[np.int32]:
    at = ((np.arange(side) + 0.5) * owners.shape[0] / side).astype(int)
    return owners[at[:, None], at]


def _log_size(one: Instance) -> float:
    return math.log(max(one.area_px, 1) / one.side_px**2)


def _areas(names: NDArray[np.int64], scene: Scene) -> NDArray[np.int64]:
    """Pixels of every instance number under its label, (numbers, LABELS)."""
    table = np.zeros((len(names), len(LABELS)), np.int64)
    for one in scene.instances:
        table[one.number, names[one.number]] = one.area_px
    return table


def _spread(counts: NDArray[np.int64], groups: Sequence[tuple[int, ...]]) -> Tensor:
    """Counts (numbers, places) -> how each group's pixels spread over places, (groups, places) of sum 1."""
    if not groups:
        return torch.zeros(0, counts.shape[1])
    spread = np.stack([counts[list(numbers)].sum(0) for numbers in groups]).astype(np.float32)
    return torch.from_numpy(spread / spread.sum(1, keepdims=True))


def _locations(table: NDArray[np.float64], groups: Sequence[tuple[int, ...]]) -> Tensor:
    """Centres and sizes (numbers, 3) -> those of each group of one, coded, (groups, PLACE_WIDTH + 1)."""
    locations = np.full((len(groups), POSITION_WIDTH + 1), np.nan, np.float32)
    for row, numbers in zip(locations, groups, strict=True):
        if len(numbers) == 1:
            row[:-1], row[-1] = position_encoding(table[numbers[0], :2]), table[numbers[0], 2]
    return torch.from_numpy(locations)


def _tensor(values: NDArray[np.floating], side: int) -> Tensor:
    return torch.from_numpy(values.astype(np.float32).reshape(side, side, -1))
