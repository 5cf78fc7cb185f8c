"""Ask the same of many tiles in one call: `python 04_batch.py [IMAGE] [PHRASE]`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from geopixel_edge import Pipeline

IMAGE = Path(__file__).with_name("scene.png")
QUESTION = "Could you provide a segmentation mask for {} in this image?"
SIDE_PX = 320


def main(image: str = str(IMAGE), phrase: str = "the bridge") -> None:
    pixels = np.asarray(Image.open(image).convert("RGB"))
    height_px, width_px, _ = pixels.shape
    places = [(x, y) for y in range(0, height_px, SIDE_PX) for x in range(0, width_px, SIDE_PX)]
    pairs = [(pixels[y : y + SIDE_PX, x : x + SIDE_PX], QUESTION.format(phrase)) for x, y in places]
    with Pipeline() as pipe:
        for (x, y), answer in zip(places, pipe.batch(pairs, max_new_tokens=64), strict=True):
            areas = [region.area_px for region in answer.regions]
            print(f"tile at {x}, {y}: {sum(areas)} px in {len(areas)} masks")


if __name__ == "__main__":
    main(*sys.argv[1:])
