"""The canvas: shapes in metres go in, a picture and a map of who owns which pixel come out.

Everything is drawn twice, in colour and as the number of the thing it belongs to, at `SCALE` times the final size.
World coordinates are metres around the scene's centre; the world is turned by `turn_degrees` in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from .palette import Rgb, lit

SCALE = 2
SHADE = 150  # how much of the light a shadow takes, of 255
TAKEN_PX = 4  # canvas pixels of the final picture per cell of the map of taken ground
Points = NDArray[np.float64]
Point = tuple[float, float]


@dataclass
class Thing:
    """What was asked to be drawn: `area_px` is its whole outline's area in final pixels, hidden parts included."""

    class_name: str
    colour: str | None
    kind: str
    area_px: float
    rows: tuple[float, float, float] | None = None  # direction in degrees, period in metres, strength


def box(x: float, y: float, length: float, width: float, degrees: float = 0.0) -> Points:
    """Corners of a rectangle around (x, y), its length turned by `degrees`."""
    return place([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], x, y, length, width, degrees)


def place(shape: ArrayLike, x: float, y: float, length: float, width: float, degrees: float = 0.0) -> Points:
    """A shape given in parts of length and width, set down at (x, y) and turned; float64 (n, 2)."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    scaled = np.asarray(shape, np.float64) * (length, width)
    return scaled @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def point(u: float, v: float, x: float, y: float, length: float, width: float, degrees: float = 0.0) -> Point:
    """Where the point (u, v) of such a shape comes to lie."""
    ((px, py),) = place([(u, v)], x, y, length, width, degrees).tolist()
    return float(px), float(py)


def ring(x: float, y: float, radius: float, points: int = 28) -> Points:
    """A circle as a polygon."""
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def ribbon(path: ArrayLike, width: float) -> Points:
    """The outline of a band of `width` along a path."""
    line = np.asarray(path, np.float64)
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) * width / 2
    return np.concatenate([line + side, (line - side)[::-1]])


def shoelace(points: Points) -> float:
    """Area of a polygon."""
    x, y = points[:, 0], points[:, 1]
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


class Canvas:
    """A picture in the making. Flat things are drawn at once; tall ones when `stand` is called, lowest first."""

    def __init__(
        self, rng: np.random.Generator, side_px: int, gsd: float, turn_degrees: float, sun: tuple[float, float]
    ) -> None:
        """`gsd`: metres per pixel; `sun`: shadow per metre of height, in picture directions."""
        self.rng, self.side_px, self.gsd, self.turn, self.sun = rng, side_px, gsd, turn_degrees, sun
        self.reach = side_px * gsd * 0.5  # half the picture's side in metres
        self.far = self.reach * 1.42  # world distance that covers every corner whatever the turn
        cos, sin = math.cos(math.radians(turn_degrees)), math.sin(math.radians(turn_degrees))
        self._turn = np.array([[cos, sin], [-sin, cos]])
        size = side_px * SCALE
        self.image = Image.new("RGB", (size, size))
        self.owners = Image.new("I", (size, size))
        self.shadows = Image.new("L", (side_px, side_px))
        self.taken = Image.new("L", (side_px // TAKEN_PX + 1,) * 2)
        self._pens = tuple(map(ImageDraw.Draw, (self.image, self.owners, self.shadows, self.taken)))
        self.things: list[Thing] = []
        self._tall: list[tuple[float, partial[None]]] = []
        self._foam: list[tuple[list[float], int]] = []
        self.sprites: dict[tuple[int, int], tuple[Image.Image, Image.Image]] = {}

    def new(
        self,
        class_name: str,
        colour: str | None,
        outline: Points | float,
        kind: str = "",
        rows: tuple[float, float, float] | None = None,
    ) -> int:
        """Announce a thing, by its outline or its area in square metres; returns the number to draw it with."""
        area = outline if isinstance(outline, float) else shoelace(outline)
        self.things.append(Thing(class_name, colour, kind, area / self.gsd**2, rows))
        return len(self.things)

    def pixels(self, points: ArrayLike) -> NDArray[np.float64]:
        """World metres -> canvas pixels, (n, 2), whole numbers being the middles of pixels, as Pillow has them."""
        return (np.asarray(points, np.float64) @ self._turn) * (SCALE / self.gsd) + (self.side_px * SCALE / 2 - 0.5)

    def inside(self, x: float, y: float, margin_m: float = 0.0) -> bool:
        """Whether a world point lies in the picture, or within `margin_m` of it."""
        px, py = self.pixels([(x, y)])[0]
        slack = margin_m * SCALE / self.gsd
        return -slack <= px < self.side_px * SCALE + slack and -slack <= py < self.side_px * SCALE + slack

    def flat(self, points: ArrayLike, colour: Rgb, owner: int = 0) -> None:
        """A polygon on the ground, at once; owner 0 gives its pixels back to the ground."""
        self._polygon(self.pixels(points).ravel().tolist(), colour, owner)

    def mark(self, points: ArrayLike, colour: Rgb, width_m: float, owner: int) -> None:
        """A painted line on the ground, at least one canvas pixel wide."""
        pen = max(1, round(width_m * SCALE / self.gsd))
        flat = self.pixels(points).ravel().tolist()
        self._pens[0].line(flat, fill=colour, width=pen)
        self._pens[1].line(flat, fill=owner, width=pen)

    def dashes(self, start: ArrayLike, end: ArrayLike, colour: Rgb, width_m: float, dash_m: float, owner: int) -> None:
        """A dashed line; gaps are half as long again as dashes."""
        near, far = np.asarray(start, np.float64), np.asarray(end, np.float64)
        steps = max(1, int(np.hypot(*(far - near)) / (dash_m * 2.5)))
        for step in range(steps):
            self.mark([near + (far - near) * (step + part) / steps for part in (0.0, 0.4)], colour, width_m, owner)

    def rise(self, points: ArrayLike, colour: Rgb, height_m: float, owner: int, level: float = 0.0) -> None:
        """A thing of some height: its shadow now, itself when `stand` is called; higher levels cover lower ones."""
        near = self.pixels(points)
        far = near + np.array(self.sun) * (height_m * SCALE / self.gsd)
        near, far, pen = near / SCALE, far / SCALE, self._pens[2]
        pen.polygon(far.ravel().tolist(), fill=SHADE)
        following, beyond = np.roll(near, -1, axis=0), np.roll(far, -1, axis=0)
        for corners in np.concatenate([near, following, beyond, far], axis=1).tolist():
            pen.polygon(corners, fill=SHADE)
        self._tall.append((level, partial(self._polygon, (near * SCALE).ravel().tolist(), colour, owner)))

    def top(self, points: ArrayLike, colour: Rgb, owner: int, level: float = 0.0) -> None:
        """A part of a tall thing that casts no shadow of its own."""
        flat = self.pixels(points).ravel().tolist()
        self._tall.append((level, partial(self._polygon, flat, colour, owner)))

    def stamp(
        self, sprite: tuple[Image.Image, Image.Image], x: float, y: float, height_m: float, owner: int, level: float
    ) -> None:
        """A ready picture with its mask, centred on a world point, and its shadow."""
        px, py = (int(value) for value in self.pixels([(x, y)])[0])
        left, up = px - sprite[0].width // 2, py - sprite[0].height // 2
        drop = [int(part * height_m * SCALE / self.gsd) for part in self.sun]
        if height_m:
            half = sprite[1].reduce(SCALE)
            for part in (0.5, 1.0):
                corner = (int((left + drop[0] * part) / SCALE), int((up + drop[1] * part) / SCALE))
                self.shadows.paste(SHADE, corner, half)
        self._tall.append((level, partial(self._stamp, sprite, (left, up), owner)))

    def claim(self, points: Points, force: bool = False) -> bool:
        """Take the ground under a convex quadrilateral; False, and nothing taken, where something stands already."""
        corners = self.pixels(points) / (SCALE * TAKEN_PX)
        if not force:
            grid = np.linspace(0, 1, 24)
            across, down = (part.ravel()[:, None] for part in np.meshgrid(grid, grid))
            a, b, c, d = corners
            cells = ((a * (1 - across) + b * across) * (1 - down) + (d * (1 - across) + c * across) * down).astype(int)
            seen = cells[((cells >= 0) & (cells < self.taken.width)).all(axis=1)]
            if np.asarray(self.taken)[seen[:, 1], seen[:, 0]].any():
                return False
        self._pens[3].polygon(corners.ravel().tolist(), fill=255)
        return True

    def foam(self, points: ArrayLike, light: float) -> None:
        """Lighten a soft patch of water; where patches overlap the last one counts."""
        self._foam.append((self.pixels(points).ravel().tolist(), round(light)))

    def whiten(self) -> None:
        """Lay all foam on the water at once."""
        if not self._foam:
            return
        layer = Image.new("L", self.taken.size)
        pen = ImageDraw.Draw(layer)
        for flat, light in self._foam:
            pen.polygon([value / (SCALE * TAKEN_PX) for value in flat], fill=light)
        grain = np.clip(self.rng.normal(0.75, 0.45, (self.side_px // 2,) * 2), 0, 1.5).astype(np.float32)
        soft = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.9)).resize(grain.shape, Image.Resampling.BILINEAR))
        mask = Image.fromarray((soft * grain).clip(0, 255).astype(np.uint8)).resize(
            self.image.size, Image.Resampling.BILINEAR
        )
        self.image.paste((222, 230, 230), mask=mask)
        self._foam = []

    def stand(self) -> None:
        """Lay the shadows down and draw all tall things over them."""
        self.image.paste((6, 9, 20), mask=self.shadows.resize(self.image.size, Image.Resampling.BILINEAR))
        for _, draw in sorted(self._tall, key=lambda entry: entry[0]):
            draw()
        self._tall = []

    def shadow(self, height_m: float) -> tuple[float, float]:
        """Where the shadow of a point at this height falls, in world metres from its foot."""
        x, y = self._turn @ np.array(self.sun) * height_m
        return float(x), float(y)

    def facing(self, x: float, y: float, strength: float = 0.22) -> float:
        """Brightness of a slope that looks to the world direction (x, y): above 1 towards the sun."""
        nx, ny = np.array([x, y], np.float64) @ self._turn
        length = math.hypot(*self.sun) * math.hypot(nx, ny)
        return 1 - strength * (nx * self.sun[0] + ny * self.sun[1]) / max(length, 1e-9)

    def shade(self, colour: Rgb, amount: float = 8.0) -> Rgb:
        """The colour, lighter or darker by up to `amount` levels."""
        shift = self.rng.uniform(-amount, amount)
        return lit(colour, 1 + shift / 130)

    def _polygon(self, flat: Sequence[float], colour: Rgb, owner: int) -> None:
        self._pens[0].polygon(flat, fill=colour)
        self._pens[1].polygon(flat, fill=owner)

    def _stamp(self, sprite: tuple[Image.Image, Image.Image], corner: tuple[int, int], owner: int) -> None:
        self.image.paste(sprite[0], corner, sprite[1])
        self.owners.paste(owner, corner, sprite[1])
