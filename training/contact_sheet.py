"""`python -m training.contact_sheet OUT.png`: many scenes at a glance, with or without the outlines of their masks."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from geopixel_edge.cli.command import run_command
from geopixel_edge.errors import OptionError, OutputError
from geopixel_edge.writers.colours import colour
from synthetic.scenes import CLASS_NAMES, KINDS, Scene, make_scene

MAX_SCENES = 400
GAP_PX = 6


def outlined(scene: Scene) -> Image.Image:
    """The scene with every instance's border in its class's colour."""
    owners = scene.owners
    wide = np.pad(owners, 1, mode="edge")
    neighbours = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    border = (owners > 0) & np.logical_or.reduce([part != owners for part in neighbours])
    tints = np.zeros((int(owners.max(initial=0)) + 1, 3), np.uint8)
    for instance in scene.instances:
        tints[instance.number] = colour(CLASS_NAMES.index(instance.class_name))
    picture = scene.image.copy()
    picture[border] = tints[owners[border]]
    return Image.fromarray(picture)


def contact_sheet(seed: int, scenes: int, size_px: int = 512, outlines: bool = False) -> Image.Image:
    """Scenes of seeds from `seed` on, kinds in turn, in a grid; OptionError for a number outside 1..400."""
    if not 1 <= scenes <= MAX_SCENES:
        raise OptionError(f"scenes={scenes} is outside 1..{MAX_SCENES}; give a number within it")
    columns = math.ceil(math.sqrt(scenes * 1.5))
    rows = math.ceil(scenes / columns)
    step = size_px + GAP_PX
    sheet = Image.new("RGB", (columns * step - GAP_PX, rows * step - GAP_PX), (20, 22, 26))
    for index in range(scenes):
        scene = make_scene(seed + index, size_px, KINDS[index % len(KINDS)])
        tile = outlined(scene) if outlines else Image.fromarray(scene.image)
        sheet.paste(tile, (index % columns * step, index // columns * step))
    return sheet


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.contact_sheet", description=__doc__)
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--scenes", type=int, default=24, help="how many (default: 24)")
    parser.add_argument("--size", type=int, default=512, help="side of a scene in pixels (default: 512)")
    parser.add_argument("--outlines", action="store_true", help="draw the borders of the masks")
    args = parser.parse_args(argv)
    sheet = contact_sheet(args.seed, args.scenes, args.size, args.outlines)
    try:
        sheet.save(args.out)
    except (OSError, ValueError) as error:
        raise OutputError(f"{args.out} cannot be written ({error}); give a .png or .jpg in a writable place") from None
    print(args.out)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
