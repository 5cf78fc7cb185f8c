"""From a seed to a scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from geopixel_edge.errors import OptionError

from . import air, open_country, town, waterside
from .canvas import Canvas
from .palette import CLASSES, COLOURS
from .plan import Plan
from .scene import Scene, collect, shrink_owners

# Another number means other pictures for the same seeds; what was measured with one does not compare with another.
GENERATOR_VERSION = 1
# Seeds from here on are for evaluation; training and tuning stay below.
EVALUATION_SEED = 1_000_000
MIN_SIDE_PX, MAX_SIDE_PX = 128, 4096
# In training scenes of seeds from here to TUNING_SEED a thing comes in any colour, so that its class is learnt whatever
# the colour; those from TUNING_SEED to EVALUATION_SEED are for tuning and look like those from 0 on.
ANY_COLOUR_SEED, TUNING_SEED = 500_000, 900_000
CLASS_NAMES = tuple(CLASSES)
# Colour and class that never meet in a training scene, though each is seen with others.
HELD_OUT_COLOURS = frozenset(
    {
        ("ship", "green"),
        ("car", "yellow"),
        ("truck", "orange"),
        ("helicopter", "white"),
        ("plane", "blue"),
        ("building", "blue"),
        ("tennis court", "orange"),
        ("storage tank", "green"),
    }
)
# Classes of which a colour is held out come in every colour.
ANY_COLOUR = {**CLASSES, **{name: tuple(COLOURS) for name, _ in sorted(HELD_OUT_COLOURS)}}

_DRAWERS: dict[str, tuple[Callable[[Plan], None], tuple[float, float]]] = {
    "port": (waterside.draw_port, (0.32, 0.62)),
    "river": (waterside.draw_river, (0.28, 0.5)),
    "urban": (lambda plan: town.draw(plan, True), (0.22, 0.40)),
    "residential": (lambda plan: town.draw(plan, False), (0.16, 0.30)),
    "farmland": (open_country.draw_farmland, (0.35, 0.75)),
    "airfield": (open_country.draw_airfield, (0.30, 0.50)),
    "desert": (open_country.draw_desert, (0.25, 0.50)),
}
KINDS = tuple(_DRAWERS)


def colours_of(seed: int) -> Mapping[str, tuple[str, ...]]:
    """Class -> the colours that are asked about in the scene of this seed, those held out included."""
    return ANY_COLOUR if ANY_COLOUR_SEED <= seed < TUNING_SEED else CLASSES


def make_scene(seed: int, size_px: int = 640, kind: str | None = None) -> Scene:
    """The scene of this seed, `size_px` wide and high; the same on every call.

    `kind` is one of KINDS, or None to let the seed choose. Ground sample distances are metres per pixel at 640 px;
    larger scenes see the same ground in more detail by half, and more ground by half. OptionError for a negative seed,
    a size outside 128..4096 or another kind.
    """
    if not isinstance(seed, int) or seed < 0:
        raise OptionError(f"seed={seed!r} is not a whole number from 0 up; give one")
    if not isinstance(size_px, int) or not MIN_SIDE_PX <= size_px <= MAX_SIDE_PX:
        raise OptionError(f"size_px={size_px!r} is outside {MIN_SIDE_PX}..{MAX_SIDE_PX}; give a size within it")
    if kind is not None and kind not in _DRAWERS:
        raise OptionError(f"kind={kind!r} is none of {', '.join(KINDS)}; give one of them")
    rng = np.random.default_rng([GENERATOR_VERSION, seed])
    chosen = str(rng.choice(KINDS))
    kind = kind or chosen
    draw, (finest, coarsest) = _DRAWERS[kind]
    gsd = float(rng.uniform(finest, coarsest)) * math.sqrt(640 / size_px)
    azimuth, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.45, 1.25)
    sun = float(length * math.cos(azimuth)), float(length * math.sin(azimuth))
    canvas = Canvas(rng, size_px, gsd, float(rng.uniform(0, 360)), sun)
    held_out = HELD_OUT_COLOURS if seed < EVALUATION_SEED else frozenset()
    palette = colours_of(seed).items()
    draw(Plan(canvas, {name: tuple(c for c in colours if (name, c) not in held_out) for name, colours in palette}))
    canvas.whiten()
    canvas.stand()
    owners, instances = collect(shrink_owners(canvas), canvas.things)
    return Scene(seed, kind, gsd, air.develop(canvas, owners), owners, instances)
