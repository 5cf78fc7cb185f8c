"""Draw `scene.png`: a harbour from the air, made from a seed and nothing else, so that it is free to ship and change.

    python examples/make_scene.py [OUT.png]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import canvas
import numpy as np
from canvas import SCALE, SIZE_PX, STEEL, Colour, Floats, Point, Scene, box, jitter, lit, place
from PIL import Image, ImageFilter

SEED = 20
CONCRETE: Colour = (164, 162, 154)
ROOFS: tuple[Colour, ...] = ((158, 92, 72), (142, 82, 66), (128, 122, 118), (170, 112, 86), (112, 104, 100))
FIELDS: tuple[Colour, ...] = (
    (126, 132, 74), (168, 152, 102), (96, 116, 62), (146, 120, 86), (112, 126, 68), (180, 168, 118),
)  # fmt: skip
SHORE: list[Point] = [
    (215, -20), (262, 50), (330, 96), (352, 150), (420, 190), (520, 228), (520, 902), (476, 950), (430, 1030),
    (402, 1160), (1440, 1160), (1440, -20),
]  # fmt: skip
QUAY: list[Point] = [(520, 228), (620, 228), (620, 902), (520, 902)]


def sea_and_land(scene: Scene) -> None:
    """Deep and shallow water with waves, a beach where the shore is natural, grass behind it."""
    rough = scene.noise(60, 5)[..., None]
    near = np.clip(scene.mask(SHORE, 26) + 0.10 * rough[..., 0], 0, 1)
    built = scene.mask([(420, 205), (640, 205), (640, 925), (420, 925)], 10)
    inside = scene.mask(SHORE)
    land = np.where(built > 0.5, inside, (near > 0.5).astype(np.float32))[..., None]
    shallow = (np.clip((near - 0.05) / 0.45, 0, 1) * (1 - 0.85 * built))[..., None] ** 1.6
    swell = waves(scene)[..., None]
    deep = np.array([24, 62, 84], np.float32) + 7 * scene.noise(220, 3)[..., None]
    sea = deep + shallow * (np.array([104, 152, 138], np.float32) - deep) + swell * (1 - 0.5 * shallow)
    surf = np.exp(-(((near - 0.47 - 0.012 * scene.noise(14, 3)) / 0.012) ** 2)) * (1 - built)
    sea += surf[..., None] * 75
    dry = np.clip(0.5 + 0.6 * scene.noise(130, 4), 0, 1)[..., None]
    grass = np.array([88, 100, 60], np.float32) + dry * np.array([40, 26, 20], np.float32)
    grass *= 1 + 0.09 * scene.noise(5, 3)[..., None] + 0.05 * rough
    beach = np.clip((0.80 - near) / 0.10, 0, 1)[..., None] * (1 - built[..., None])
    sand = np.array([206, 190, 152], np.float32) * (0.92 + 0.16 * np.clip((near[..., None] - 0.5) / 0.2, 0, 1))
    sand *= 1 + 0.03 * scene.noise(6, 3)[..., None]
    ground = grass + beach * (sand - grass)
    mixed = sea + land * (ground - sea)
    scene.image = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def waves(scene: Scene) -> Floats:
    """Wind waves: short crests across the wind, warped so that none is straight, strong in some patches."""
    y, x = np.mgrid[0 : scene.height, 0 : scene.width].astype(np.float32) / SCALE
    warp = 9 * scene.noise(70, 3)
    total = np.zeros_like(x)
    for length, degrees, size in ((17, 62, 1.0), (11, 75, 0.9), (7.3, 50, 0.8), (5.1, 68, 0.7), (3.9, 57, 0.6)):
        along = x * math.cos(math.radians(degrees)) + y * math.sin(math.radians(degrees)) + warp * length / 9
        total += size * np.sin(2 * math.pi * along / length)
    crests = 2.6 * total + 2.8 * scene.noise(4, 2)
    return crests * (0.8 + 0.6 * scene.noise(160, 2)) + 9 * np.clip(scene.noise(3, 2) + total / 6 - 1.25, 0, 3)


def wake(scene: Scene, x: float, y: float, length: float, spread: float, degrees: float) -> None:
    """Foam behind a moving stern at (x, y): a bright middle and two arms."""
    pieces = [([(0, -0.08), (-1, -0.30), (-1, 0.30), (0, 0.08)], 60.0)]
    pieces += [([(0, side * 0.10), (-1, side * 1.1), (-1, side * 0.85)], 55.0) for side in (-1, 1)]
    foam = np.clip(0.6 + 0.8 * scene.noise(7, 3), 0, 1.5)
    light = np.zeros_like(foam)
    for shape, gain in pieces:
        far_x, far_y = x - math.cos(math.radians(degrees)) * length, y - math.sin(math.radians(degrees)) * length
        rows, columns = np.mgrid[0 : scene.height, 0 : scene.width].astype(np.float32) / SCALE
        fade = 1 - np.clip(np.hypot(columns - x, rows - y) / math.dist((x, y), (far_x, far_y)), 0, 1)
        light += scene.mask(place(shape, x, y, length, spread, degrees), 1.5) * gain * fade
    lifted = np.asarray(scene.image, np.float32) + (light * foam)[..., None] * np.array([1.6, 1.5, 1.4], np.float32)
    scene.image = Image.fromarray(lifted.clip(0, 255).astype(np.uint8))


def harbour(scene: Scene) -> None:
    """Quay, pier, cranes, ships and the container yard."""
    scene.surface(QUAY, CONCRETE)
    scene.surface(box(402, 334, 250, 20), CONCRETE)
    scene.surface([(600, 228), (800, 228), (800, 902), (600, 902)], (128, 128, 124), 0.07)
    for x in (534, 562):
        scene.line([(x, 430), (x, 890)], (96, 92, 88), 0.9)
    for y in range(240, 900, 26):
        scene.line([(521, y), (524, y)], (60, 60, 60), 2)
    scene.line([(520, 228), (520, 902)], (206, 198, 150), 1.2)
    wake(scene, 196, 812, 300, 60, -118)
    wake(scene, 132, 300, 90, 20, 160)
    wake(scene, 330, 620, 80, 16, -70)
    scene.ship(164, 752, 136, 27, -118, (48, 58, 76), True)
    scene.ship(388, 366, 226, 34, 0, (126, 44, 40), False)
    scene.ship(494, 660, 330, 44, 90, (40, 66, 96), True)
    for x, y, degrees in ((126, 302, 160), (333, 612, -70), (300, 317, 178), (470, 317, 4)):
        scene.ship(x, y, 20, 7, degrees, (232, 232, 226), False)
    for row, y in enumerate(range(428, 850, 46)):
        for x in range(640, 780, 18):
            high = scene.rng.integers(0, 5)
            for lane in range(6):
                if high and scene.rng.random() < 0.9:
                    colour = jitter(scene.rng, STEEL[(scene.rng.integers(6) + row) % 6], 16)
                    scene.rise(box(x + 8, y + lane * 5.4, 16, 4.8), colour, 2.5 * high)
    for _ in range(26):
        x, long = scene.rng.choice([584, 596, 612, 626, 788]), scene.rng.choice([7, 16, 16])
        scene.car(x, scene.rng.uniform(250, 890), 90, long)
    for x in (604, 619, 634, 781, 795):
        scene.dashes((x, 410), (x, 890), canvas.PAINT, 0.6, 6)
    for y in (560, 650, 760):
        for part, width in ((y - 9, 3.0), (y + 9, 3.0)):
            scene.rise(box(520, part, 96, width), (196, 104, 52), 26)
        scene.rise(box(560, y, 4, 30), (176, 92, 48), 20)
        scene.rise(box(536, y, 4, 30), (176, 92, 48), 20)
        scene.rise(box(572, y, 14, 14), (214, 208, 198), 18)
    for y, roof in ((254, (150, 156, 160)), (302, (136, 146, 152)), (350, (164, 160, 150))):
        scene.rise(box(694, y + 6, 168, 38), lit(roof, 1.08), 14)
        scene.tall.append((box(694, y + 15.5, 168, 19), lit(roof, 0.86)))
        for x in range(620, 776, 12):
            scene.tall.append((box(x, y + 6, 0.6, 38), lit(roof, 0.8)))
            scene.tall.append((box(x + 6, y - 2, 5, 2.2), (206, 216, 218)))


def tank_farm(scene: Scene) -> None:
    """Tanks in bunds, joined by pipes."""
    scene.surface([(905, 520), (1260, 520), (1260, 800), (905, 800)], (150, 142, 126), 0.06)
    for x in (905, 1020, 1140, 1260):
        scene.line([(x, 520), (x, 800)], (184, 178, 164), 2.5)
    for y in (520, 612, 706, 800):
        scene.line([(905, y), (1260, y)], (184, 178, 164), 2.5)
    for offset in (0, 2.4, 4.8):
        scene.line([(880, 609 + offset), (1258, 609 + offset)], (196, 192, 184), 0.9)
    for x, y, radius, high in (
        (962, 566, 36, 16), (1080, 566, 36, 16), (1200, 566, 34, 16), (962, 660, 36, 16), (1080, 660, 36, 16),
        (1172, 640, 15, 14), (1226, 640, 15, 14), (1172, 680, 15, 14), (1226, 680, 15, 14),
        (940, 752, 20, 14), (992, 752, 20, 14), (1050, 752, 20, 14), (1104, 752, 20, 14), (1200, 754, 33, 16),
    ):  # fmt: skip
        scene.tank(x, y, radius, high)


def town(scene: Scene) -> None:
    """Streets with houses on both sides, gardens, pools and trees."""
    rows, columns = (60, 162, 264, 366), (1010, 1180, 1345)
    for y in rows:
        for side in (-1, 1):
            for x in np.arange(892, 1410, 27):
                if min(abs(x - column) for column in columns) < 17:
                    continue
                here = float(x + scene.rng.uniform(-2, 2)), y + side * (24 + float(scene.rng.uniform(-2, 2)))
                roof = jitter(scene.rng, ROOFS[scene.rng.integers(len(ROOFS))], 12)
                turn = float(scene.rng.choice([0, 0, 90]))
                scene.house(*here, scene.rng.uniform(15, 21), scene.rng.uniform(11, 15), turn, roof)
                scene.line([(here[0] + 9, y), (here[0] + 9, here[1])], (150, 146, 138), 2.4)
                if scene.rng.random() < 0.12:
                    scene.polygon(box(here[0], here[1] + side * 15, 8, 4.5), (92, 176, 190))
                for _ in range(scene.rng.integers(1, 4)):
                    u, v = scene.rng.uniform(-12, 12), side * scene.rng.uniform(36, 49)
                    scene.tree(here[0] + u, y + v, scene.rng.uniform(3, 6))
    streets: list[list[Point]] = [[(842, y), (1420, y)] for y in rows] + [[(x, 0), (x, 496)] for x in columns]
    for ends in streets:
        scene.road(ends[0], ends[1], 9, lanes=False)
    for ends in streets:
        scene.line(ends, canvas.ASPHALT, 9)


def country(scene: Scene) -> None:
    """Ploughed and sown fields with hedges, a wood by the sea, a park with a pond and a car park."""
    x = 890.0
    while x < 1420:
        wide = float(scene.rng.uniform(90, 150))
        y = 826.0
        while y < 1140:
            high = float(scene.rng.uniform(80, 140))
            field(scene, x, y, wide - 5, high - 5)
            y += high
        for _ in range(34):
            scene.tree(x - 3 + scene.rng.normal(0, 1.4), scene.rng.uniform(826, 1140), scene.rng.uniform(3, 6))
        x += wide
    for outline, trees in (
        ([(880, 400), (1420, 400), (1420, 478), (880, 478)], 46),
        ([(1275, 520), (1420, 520), (1420, 810), (1275, 810)], 60),
        ([(806, 0), (820, 0), (820, 480), (806, 480)], 36),
        ([(806, 560), (820, 560), (820, 1140), (806, 1140)], 40),
        ([(866, 512), (896, 512), (882, 1140), (866, 1140)], 26),
        ([(390, 120), (800, 120), (800, 215), (450, 190)], 50),
    ):
        scene.wood(outline, trees)
    scene.wood([(440, 60), (560, 20), (800, 20), (800, 200), (640, 205), (520, 190)], 330)
    scene.wood([(500, 990), (560, 930), (600, 1010), (800, 1060), (800, 1140), (460, 1140)], 230)
    pond = [(0.5 * math.cos(a), 0.5 * math.sin(a) + 0.08 * math.sin(3 * a)) for a in np.arange(0, 6.28, 0.1)]
    scene.surface(place(pond, 715, 1020, 110, 50, 12), (58, 88, 84))
    scene.surface([(620, 918), (796, 918), (796, 978), (620, 978)], (112, 112, 112))
    for row in (930, 948, 966):
        for slot in range(26):
            at = 630 + slot * 6.3
            scene.line([(at - 3.1, row - 5), (at - 3.1, row + 5)], canvas.PAINT, 0.5)
            if scene.rng.random() < 0.72:
                scene.car(at, row, 90 if scene.rng.random() < 0.5 else -90)


def field(scene: Scene, x: float, y: float, wide: float, high: float) -> None:
    """One field: its crop in rows along or across it, with tractor lanes."""
    colour = jitter(scene.rng, FIELDS[scene.rng.integers(len(FIELDS))], 8)
    scene.surface([(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)], colour, 0.06, 20)
    across = scene.rng.random() < 0.5
    for at in np.arange(2, (high if across else wide) - 1, 3.0):
        tone = lit(jitter(scene.rng, colour, 3), 0.8 if int(at) % 24 < 3 else 0.93)
        ends = [(x, y + at), (x + wide, y + at)] if across else [(x + at, y), (x + at, y + high)]
        scene.line(ends, tone, 1.0)


def picture(scene: Scene) -> Image.Image:
    """Turn, cut, shrink; then what air and sensor add: haze, uneven light, noise."""
    turned = scene.image.rotate(canvas.TURN_DEGREES, Image.Resampling.BICUBIC)
    left, top = ((canvas - size) // 2 * SCALE for canvas, size in zip(canvas.CANVAS_PX, SIZE_PX, strict=True))
    cut = turned.crop((left, top, left + SIZE_PX[0] * SCALE, top + SIZE_PX[1] * SCALE))
    small = cut.resize(SIZE_PX, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.35))
    pixels = np.asarray(small, np.float32)
    light = 1 + 0.05 * scene.noise(500, 2)[: SIZE_PX[1], : SIZE_PX[0], None]
    pixels = pixels * light * 0.93 + np.array([12, 15, 20], np.float32)
    pixels += scene.rng.normal(0, 1.6, pixels.shape[:2])[..., None]
    return Image.fromarray((pixels.clip(0, 255).astype(np.uint8) & 0xFC) | 2)


def main(out: Path) -> None:
    """Draw the harbour and write it."""
    scene = Scene(SEED)
    sea_and_land(scene)
    harbour(scene)
    tank_farm(scene)
    country(scene)
    town(scene)
    scene.road((600, 908), (842, 908), 12, lanes=False)
    scene.road((842, 496), (1440, 496), 24)
    scene.road((842, -20), (842, 1160), 30)
    scene.polygon([(845, 485.5), (862, 485.5), (862, 506.5), (845, 506.5)], canvas.ASPHALT)
    for y in (60, 162, 264, 366, 908):
        scene.polygon(box(858 if y < 900 else 826, y, 6, 9), canvas.ASPHALT)
    scene.stand()
    picture(scene).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("scene.png"))
