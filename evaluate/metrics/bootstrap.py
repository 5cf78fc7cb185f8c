"""Intervals by drawing images again: 1,000 draws from a fixed seed, the middle 95 %."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .grounding import Floats

DRAWS, SEED, PART = 1000, 17, 0.95

One = TypeVar("One")


def drawn(images: int, draws: int = DRAWS, seed: int = SEED) -> NDArray[np.int64]:
    """int64 (draws, images): the images of each draw, with replacement."""
    return np.random.default_rng(seed).integers(0, images, (draws, images))


def interval(values: Floats) -> list[float] | None:
    """The bounds of the middle 95 % of `values`, NaN left out; None where nothing is left."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - PART) / 2, (1 + PART) / 2])
    return [float(low), float(high)]


def ratio_interval(above: Floats, below: Floats) -> list[float] | None:
    """Of sum(above) / sum(below) over images; both float64 (images,). A mean is the ratio to ones."""
    if not len(above):
        return None
    draws = drawn(len(above))
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval(above[draws].sum(1) / below[draws].sum(1))


def mean_interval(values: Floats) -> list[float] | None:
    """Of the mean over images, float64 (images,)."""
    return ratio_interval(values, np.ones(len(values)))


def interval_of(
    images: Sequence[One], figure: Callable[[Sequence[One]], float | None], draws: int = 200
) -> list[float] | None:
    """Of any figure of a list of images; slower, so fewer draws."""
    if not images:
        return None
    found = [figure([images[at] for at in row]) for row in drawn(len(images), draws).tolist()]
    return interval(np.array([np.nan if value is None else value for value in found], np.float64))
