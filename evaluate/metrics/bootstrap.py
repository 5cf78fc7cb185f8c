"""Intervals by drawing images again: 1,000 draws from a fixed seed, the middle 95 %.

A figure's evidence is what it is made of, image by image, so that it can be had of any draw of the images. Two pieces
of evidence over the same images draw the same ones: their difference has an interval, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .grounding import Floats

DRAWS, SEED, PART = 1000, 17, 0.95

One = TypeVar("One")


def drawn(images: int, draws: int = DRAWS, seed: int = SEED) -> NDArray[np.int64]:
    """int64 (draws, images): the images of each draw, with replacement."""
    return np.random.default_rng(seed).integers(0, max(1, images), (draws, images))


def interval(values: Floats) -> list[float] | None:
    """The bounds of the middle 95 % of `values`, NaN left out; None where nothing is left."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - PART) / 2, (1 + PART) / 2])
    return [float(low), float(high)]


class Evidence(Protocol):
    """A figure as a function of which images count."""

    def value(self) -> float | None:
        """Of every image once; None where it is not defined."""

    def draws(self) -> Floats:
        """float64 of each draw, NaN where it is not defined; empty where it cannot be had of a draw."""

    def each(self) -> Floats | None:
        """float64 of each image alone, NaN where it is not defined; None where it cannot be had."""


@dataclass(frozen=True, eq=False)
class Ratio:
    """sum(above) / sum(below); both float64 (images,)."""

    above: Floats
    below: Floats

    @classmethod
    def mean(cls, values: Floats) -> Ratio:
        """The mean over images."""
        return cls(values, np.ones(len(values)))

    @classmethod
    def by_image(cls, images: Sequence[str], above: Floats, below: Floats) -> Ratio:
        """Parts of the image named beside them: an image is drawn with all of its parts."""
        _, of_image = np.unique(np.array(images, str), return_inverse=True)
        return cls(np.bincount(of_image, above).astype(np.float64), np.bincount(of_image, below).astype(np.float64))

    def value(self) -> float | None:
        return float(self.above.sum() / self.below.sum()) if self.below.sum() else None

    def draws(self) -> Floats:
        rows = drawn(len(self.above))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.above[rows].sum(1) / self.below[rows].sum(1), np.float64)

    def each(self) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.above / self.below


@dataclass(frozen=True, eq=False)
class Sampled(Generic[One]):
    """Any figure of a list of images; slower, so fewer draws."""

    images: Sequence[One]
    figure: Callable[[Sequence[One]], float | None]
    count: int = 200

    def value(self) -> float | None:
        return self.figure(self.images)

    def draws(self) -> Floats:
        found = [self.figure([self.images[at] for at in row]) for row in drawn(len(self.images), self.count).tolist()]
        return np.array([np.nan if value is None else value for value in found], np.float64)

    def each(self) -> None:
        return None


@dataclass(frozen=True)
class Whole:
    """A figure of all images together, of which no draw is taken."""

    figure: float | None

    def value(self) -> float | None:
        return self.figure

    def draws(self) -> Floats:
        return np.zeros(0)

    def each(self) -> None:
        return None


def told(evidence: Evidence) -> dict[str, Any]:
    """Value and interval, as reports hold them."""
    return {"value": evidence.value(), "interval": interval(evidence.draws())}


def paired(first: Evidence, second: Evidence) -> dict[str, Any]:
    """Both figures, second - first with its interval, and of how many images the second is better, or worse."""
    values, each = (first.value(), second.value()), (first.each(), second.each())
    moved = None if each[0] is None or each[1] is None else each[1] - each[0]
    return {
        "first": values[0],
        "second": values[1],
        "difference": {
            "value": None if values[0] is None or values[1] is None else values[1] - values[0],
            "interval": interval(second.draws() - first.draws()),
        },
        "better": None if moved is None else int((moved > 0).sum()),
        "worse": None if moved is None else int((moved < 0).sum()),
    }
