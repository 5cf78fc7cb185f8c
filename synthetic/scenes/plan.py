"""What every layout needs: a colour the scene may use, a free spot, traffic on a road."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from . import plants, vehicles
from .canvas import Canvas, Points, box


class Plan:
    """A canvas with the colours this scene keeps to: two or three for each class, so that names tell things apart."""

    def __init__(self, canvas: Canvas, allowed: Mapping[str, Sequence[str]]) -> None:
        self.canvas, self.rng = canvas, canvas.rng
        self.far = canvas.far
        self.closed: list[tuple[float, float, float]] = []  # x, y, radius where traffic does not go
        self._colours: dict[str, list[str]] = {}
        for name, colours in allowed.items():
            if colours:
                count = min(len(colours), int(self.rng.integers(2, 4)))
                self._colours[name] = [str(colour) for colour in self.rng.choice(colours, count, replace=False)]

    def colour(self, class_name: str) -> str:
        """One of the scene's colours for the class."""
        return str(self.rng.choice(self._colours[class_name]))

    def chance(self, part: float) -> bool:
        """True in `part` of the calls."""
        return bool(self.rng.random() < part)

    def spread(self, low: float, high: float) -> float:
        """A number between the two."""
        return float(self.rng.uniform(min(low, high), max(low, high)))

    def count(self, low: int, high: int) -> int:
        """A whole number between the two, both included."""
        return int(self.rng.integers(low, high + 1))

    def spot(
        self,
        length: float,
        width: float,
        where: Callable[[float, float], bool],
        degrees: float | None = None,
        tries: int = 12,
        margin: float = 2.0,
    ) -> tuple[float, float, float] | None:
        """A free rectangle whose centre `where` accepts, claimed; x, y and heading, or None."""
        for _ in range(tries):
            x, y = self.spread(-self.far, self.far), self.spread(-self.far, self.far)
            turn = self.spread(0, 360) if degrees is None else degrees
            if (
                self.canvas.inside(x, y, 0.2 * length)
                and where(x, y)
                and self.claim(x, y, length + margin, width + margin, turn)
            ):
                return x, y, turn
        return None

    def claim(self, x: float, y: float, length: float, width: float, degrees: float = 0.0) -> bool:
        """Take a rectangle of ground if it is free."""
        return self.canvas.claim(box(x, y, length, width, degrees))

    def hold(self, x: float, y: float, length: float, width: float, degrees: float = 0.0) -> None:
        """Take a rectangle of ground whatever stands there."""
        self.canvas.claim(box(x, y, length, width, degrees), force=True)

    def car(self, x: float, y: float, degrees: float) -> None:
        """A car, if it would be seen."""
        if self.canvas.inside(x, y, 3) and self._clear(x, y, 2.6):
            vehicles.car(self.canvas, x, y, degrees, self.colour("car"))

    def truck(self, x: float, y: float, degrees: float) -> None:
        """A truck, if it would be seen."""
        if self.canvas.inside(x, y, 7) and self._clear(x, y, 7.5):
            vehicles.truck(self.canvas, x, y, degrees, self.colour("truck"))

    def _clear(self, x: float, y: float, reach: float) -> bool:
        """Whether a vehicle of this half length touches no other; its own place is closed then."""
        if any(abs(x - u) + abs(y - v) < reach + radius for u, v, radius in self.closed):
            return False
        self.closed.append((x, y, reach * 0.5))
        return True

    def traffic(self, start: ArrayLike, end: ArrayLike, width: float, gap_m: float, trucks: float = 0.15) -> None:
        """Vehicles on both sides of a straight road, `gap_m` apart on average."""
        near, far = np.asarray(start, np.float64), np.asarray(end, np.float64)
        length = float(np.hypot(*(far - near)))
        degrees = math.degrees(math.atan2(*(far - near)[::-1]))
        side = np.array([-math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])
        for lane in (-1, 1):
            at = self.spread(4, gap_m)
            while at < length - 4:
                x, y = near + (far - near) * at / length + side * lane * width * 0.22
                if self.chance(trucks):
                    self.truck(float(x), float(y), degrees + (180 if lane > 0 else 0))
                    at += 12
                else:
                    self.car(float(x), float(y), degrees + (180 if lane > 0 else 0))
                at += 7 + float(self.rng.exponential(gap_m))

    def grove(self, outline: Points, spacing: float = 6.0) -> None:
        """A group of trees, if its middle would be seen."""
        x, y = outline.mean(axis=0).tolist()
        if self.canvas.inside(x, y, -4 * self.canvas.gsd):
            plants.grove(self.canvas, outline, max(spacing, 8 * self.canvas.gsd))

    def groves(self, number: int, where: Callable[[float, float], bool], low: float, high: float) -> None:
        """Groups of trees at free spots."""
        for _ in range(number):
            radius = self.spread(low, high)
            found = self.spot(radius * 2.3, radius * 2.3, where, 0.0)
            if found:
                self.grove(plants.blob(self.rng, found[0], found[1], radius, self.spread(0.85, 1.2)))

    def trees(self, number: int, where: Callable[[float, float], bool]) -> None:
        """Single trees that keep their distance from everything."""
        for _ in range(number):
            radius = max(self.spread(2.4, 4.6), 4 * self.canvas.gsd)
            found = self.spot(radius * 2, radius * 2, where, 0.0, margin=4 * self.canvas.gsd + 3)
            if found:
                plants.tree(self.canvas, found[0], found[1], radius)
