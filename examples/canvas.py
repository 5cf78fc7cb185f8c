"""The drawing tools of `make_scene.py`: noise, polygons with shadows, trees, houses, tanks and ships.

Everything is drawn at twice the size on a canvas that is then turned a little, cut and shrunk; lengths are pixels of
the final picture, heights cast shadows along `SUN`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIZE_PX = (1280, 960)
CANVAS_PX = (1420, 1140)
SCALE = 2
TURN_DEGREES = 7.5
SUN = (0.8, 0.55)  # shadow per pixel of height; the light comes from the upper left

Point = tuple[float, float]
Colour = tuple[int, int, int]
Floats = npt.NDArray[np.float32]
ASPHALT: Colour = (92, 94, 96)
PAINT: Colour = (214, 214, 206)
STEEL: tuple[Colour, ...] = ((146, 66, 54), (52, 86, 124), (176, 176, 170), (66, 106, 84), (186, 124, 60), (92, 94, 98))
GREENS: tuple[Colour, ...] = ((52, 74, 42), (60, 84, 46), (46, 66, 40), (70, 90, 50))
CARS: tuple[Colour, ...] = ((226, 226, 224), (52, 54, 60), (150, 40, 36), (60, 80, 120), (168, 170, 172))


def jitter(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """The colour, lighter or darker by up to `amount` levels, hue kept nearly."""
    shift = rng.uniform(-amount, amount) + rng.uniform(-amount / 4, amount / 4, 3)
    red, green, blue = (int(np.clip(value + step, 0, 255)) for value, step in zip(colour, shift, strict=True))
    return red, green, blue


def lit(colour: Colour, factor: float) -> Colour:
    """The colour in other light."""
    red, green, blue = (min(255, int(value * factor)) for value in colour)
    return red, green, blue


def box(x: float, y: float, length: float, width: float, degrees: float = 0.0) -> list[Point]:
    """Corners of a rectangle around (x, y), its length turned by `degrees`."""
    return place([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], x, y, length, width, degrees)


def place(shape: Iterable[Point], x: float, y: float, length: float, width: float, degrees: float) -> list[Point]:
    """A shape given in parts of length and width, set down at (x, y) and turned."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    scaled = [(u * length, v * width) for u, v in shape]
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in scaled]


class Scene:
    """A canvas with its shadow layer; tall things are drawn last, in the order they are asked for."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.width, self.height = CANVAS_PX[0] * SCALE, CANVAS_PX[1] * SCALE
        self.shadows = Image.new("L", (self.width, self.height))
        self.tall: list[tuple[Sequence[Point], Colour]] = []
        self.image = Image.new("RGB", (self.width, self.height))

    def noise(self, cell_px: float, octaves: int = 4, stretch: float = 1.0) -> Floats:
        """Fractal noise about -1..1 with features of `cell_px`, drawn out sideways by `stretch`."""
        total = np.zeros((self.height, self.width), np.float32)
        for octave in range(octaves):
            cell = max(1.0, cell_px * SCALE / 2**octave)
            shape = int(self.height / cell) + 3, int(self.width / cell / stretch) + 3
            coarse = Image.fromarray(self.rng.standard_normal(shape, dtype=np.float32))
            total += np.asarray(coarse.resize((self.width, self.height), Image.Resampling.BICUBIC)) * 0.5**octave
        return total / 2

    def mask(self, points: Sequence[Point], blur_px: float = 0.0) -> Floats:
        """1 inside the polygon, 0 outside."""
        layer = Image.new("L", (self.width, self.height))
        ImageDraw.Draw(layer).polygon(self.scaled(points), fill=255)
        if blur_px:
            layer = layer.filter(ImageFilter.GaussianBlur(blur_px * SCALE))
        return np.asarray(layer, np.float32) / 255

    @staticmethod
    def scaled(points: Iterable[Point]) -> list[Point]:
        return [(x * SCALE, y * SCALE) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Flat on the ground, at once."""
        ImageDraw.Draw(self.image).polygon(self.scaled(points), fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, width_px: float) -> None:
        """A line on the ground, at once."""
        pen = max(1, round(width_px * SCALE))
        ImageDraw.Draw(self.image).line(self.scaled(points), fill=colour, width=pen, joint="curve")

    def dashes(self, start: Point, end: Point, colour: Colour, width_px: float, dash_px: float) -> None:
        """A dashed line; gaps are as long as dashes and a half."""
        steps = int(math.dist(start, end) / (dash_px * 2.5))
        for step in range(steps):
            near, far = step / steps, (step + 0.4) / steps
            ends = [tuple(a + (b - a) * at for a, b in zip(start, end, strict=True)) for at in (near, far)]
            self.line([(ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])], colour, width_px)

    def rise(self, points: Sequence[Point], colour: Colour, height_px: float) -> None:
        """A thing of some height: its shadow now, itself when `stand` is called."""
        far = [(x + SUN[0] * height_px, y + SUN[1] * height_px) for x, y in points]
        pen = ImageDraw.Draw(self.shadows)
        pen.polygon(self.scaled(far), fill=255)
        for a in range(len(points)):
            b = (a + 1) % len(points)
            pen.polygon(self.scaled([points[a], points[b], far[b], far[a]]), fill=255)
        self.tall.append((points, colour))

    def stand(self) -> None:
        """Lay the shadows down and draw all tall things over them."""
        soft = np.asarray(self.shadows.filter(ImageFilter.GaussianBlur(0.7 * SCALE)), np.float32)[..., None] / 255
        ground = np.asarray(self.image, np.float32)
        ground = ground * (1 - soft * np.array([0.62, 0.58, 0.5], np.float32))
        self.image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
        for points, colour in self.tall:
            self.polygon(points, colour)
        self.tall, self.shadows = [], Image.new("L", self.shadows.size)

    def disc(self, x: float, y: float, radius: float, colour: Colour, height_px: float = 0, rough: float = 0) -> None:
        """A round tall thing; `rough` makes its edge uneven, as a crown's."""
        points = 40 if radius > 12 else 12
        reach = radius * (1 + rough * self.rng.uniform(-1, 1, points))
        ring = [
            (x + reach[i] * math.cos(2 * math.pi * i / points), y + reach[i] * math.sin(2 * math.pi * i / points))
            for i in range(points)
        ]
        if height_px:
            self.rise(ring, colour, height_px)
        else:
            self.tall.append((ring, colour))

    def tree(self, x: float, y: float, radius: float) -> None:
        """A crown of clumps, brighter towards the sun."""
        colour = GREENS[self.rng.integers(len(GREENS))]
        self.disc(x, y, radius, lit(jitter(self.rng, colour, 8), 0.72), radius * 1.1, 0.18)
        for _ in range(int(5 + radius)):
            u, v = self.rng.normal(0, 0.42, 2) * radius
            light = 0.98 - 0.30 * (u * SUN[0] + v * SUN[1]) / radius
            leaves = lit(jitter(self.rng, colour, 7), light)
            self.disc(x + u, y + v, radius * self.rng.uniform(0.2, 0.42), leaves, 0, 0.2)

    def house(self, x: float, y: float, length: float, width: float, degrees: float, roof: Colour) -> None:
        """A gable roof: the side towards the sun is the brighter one."""
        self.rise(box(x, y, length, width, degrees), lit(roof, 1.1), 7)
        turned = math.radians(degrees)
        side = -1 if -math.sin(turned) * SUN[0] + math.cos(turned) * SUN[1] < 0 else 1
        half = [(-0.5, 0.0), (0.5, 0.0), (0.5, 0.5 * side), (-0.5, 0.5 * side)]
        self.tall.append((place(half, x, y, length, width, degrees), lit(roof, 0.72)))
        self.tall.append((box(x, y, length, 0.7, degrees), lit(roof, 1.25)))

    def tank(self, x: float, y: float, radius: float, height_px: float) -> None:
        """A storage tank: wall, rim, floating roof with the rim's shadow in it, and a stair."""
        self.disc(x, y, radius, (196, 196, 190), height_px)
        self.disc(x, y, radius - 1.2, (226, 226, 220))
        self.disc(x, y, radius - 2.4, (150, 152, 150))
        self.disc(x + 1.8, y + 1.3, radius - 4.4, (208, 208, 202))
        for ring in (0.66, 0.63):
            self.disc(x + 1, y + 1, radius * ring, (188, 188, 184) if ring == 0.66 else (212, 212, 206))
        self.tall.append((box(x + radius * 0.4, y - radius * 0.3, radius * 0.9, 1.2, -35), (120, 120, 118)))

    def ship(self, x: float, y: float, length: float, width: float, degrees: float, hull: Colour, cargo: bool) -> None:
        """A hull with its bow along `degrees`, deck, bridge, and containers or pipes."""
        port = [(-0.5, -0.42), (-0.46, -0.5), (0.30, -0.5), (0.42, -0.3)]
        outline = [*port, (0.5, 0.0), *((u, -v) for u, v in reversed(port))]
        self.rise(place(outline, x, y, length, width, degrees), hull, 9)
        deck = [(u * 0.97, v * 0.84) for u, v in outline]
        self.tall.append((place(deck, x, y, length, width, degrees), (122, 84, 72)))

        def part(u: float, v: float, long: float, wide: float, colour: Colour) -> None:
            ((px, py),) = place([(u, v)], x, y, length, width, degrees)
            self.tall.append((box(px, py, long, wide, degrees), colour))

        part(-0.37, 0.1, length * 0.10, width * 0.84, (62, 56, 56))
        part(-0.39, 0, length * 0.09, width * 0.8, (232, 232, 228))
        part(-0.40, 0, length * 0.03, width * 0.36, hull)
        if not cargo:
            for v in (-0.12, 0, 0.12):
                part(0.05, v, length * 0.62, 1.1, (170, 160, 150))
            for u in np.arange(-0.24, 0.36, 0.1):
                part(float(u), 0, 1.2, width * 0.7, (150, 128, 116))
            return
        for u in np.arange(-0.28, 0.33, 17 / length):
            for v in np.arange(-0.36, 0.40, 5.2 / width):
                colour = STEEL[self.rng.integers(len(STEEL))]
                part(float(u), float(v), 14.5, 4.7, lit(jitter(self.rng, colour, 14), self.rng.uniform(0.8, 1.15)))
        for u in np.arange(-0.28, 0.33, 34 / length):
            part(float(u) + 8.3 / length, 0, 1.3, width * 0.8, (58, 50, 48))

    def car(self, x: float, y: float, degrees: float, long: float = 7.0) -> None:
        """A car, or a lorry if `long`."""
        colour = CARS[self.rng.integers(len(CARS))]
        self.rise(box(x, y, long, 3.3, degrees), colour, 2.0)
        shape = [(0.12, -0.38), (0.30, -0.38), (0.30, 0.38), (0.12, 0.38)]
        self.tall.append((place(shape, x, y, long, 3.3, degrees), lit(colour, 0.45)))

    def surface(self, points: list[Point], colour: Colour, grain: float = 0.05, cell_px: float = 8) -> None:
        """Paint a polygon with a worn, stained colour."""
        mask = self.mask(points)[..., None]
        worn = np.array(colour, np.float32) * (1 + grain * (self.noise(cell_px, 3) + self.noise(70, 2)))[..., None]
        mixed = np.asarray(self.image, np.float32)
        mixed = mixed + mask * (worn - mixed)
        self.image = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))

    def road(self, start: Point, end: Point, width_px: float, lanes: bool = True) -> None:
        """Asphalt with a pale verge, edge lines and dashes, and traffic on both sides."""
        self.line([start, end], (134, 130, 118), width_px + 5)
        self.line([start, end], ASPHALT, width_px)
        degrees = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
        right = -math.sin(math.radians(degrees)), math.cos(math.radians(degrees))

        def beside(point: Point, by: float) -> Point:
            return point[0] + right[0] * by, point[1] + right[1] * by

        if lanes:
            for by in (-width_px / 2 + 1.5, width_px / 2 - 1.5):
                self.line([beside(start, by), beside(end, by)], PAINT, 0.6)
            self.line([start, end], (206, 178, 92), 0.8)
            for by in (-width_px / 4, width_px / 4):
                self.dashes(beside(start, by), beside(end, by), PAINT, 0.6, 5)
        for at in self.rng.uniform(0.01, 0.99, int(math.dist(start, end) / (34 if lanes else 90))):
            by = width_px * self.rng.choice([-0.375, -0.125, 0.125, 0.375] if lanes else [-0.24, 0.24])
            x, y = beside((start[0] + (end[0] - start[0]) * at, start[1] + (end[1] - start[1]) * at), by)
            self.car(x, y, degrees + (180 if by > 0 else 0), 7.0 if self.rng.random() < 0.85 else 15.0)

    def wood(self, outline: list[Point], trees: int) -> None:
        """Trees at random places inside an outline, the northern ones first, so that crowns overlap in order."""
        inside = self.mask(outline)
        places = self.rng.uniform((0, 0), CANVAS_PX, (trees * 40, 2))
        kept = [(u, v) for u, v in places if inside[int(v * SCALE), int(u * SCALE)] > 0][:trees]
        for u, v in sorted(kept, key=lambda place: place[1]):
            self.tree(u, v, self.rng.uniform(4.5, 9))
