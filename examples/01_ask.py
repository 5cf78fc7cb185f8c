"""Ask about an image and save the answer: `python 01_ask.py [IMAGE] [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path

from geopixel_edge import Pipeline

IMAGE = Path(__file__).with_name("scene.png")
QUESTION = "Describe this image with interleaved segmentation masks."


def main(image: str = str(IMAGE), folder: str = "out") -> None:
    pipe = Pipeline()  # the engine in the package; Pipeline("engine") takes yours
    answer = pipe(image, QUESTION)
    print(answer.text)
    for region in answer.regions:
        print(f"{region.phrase}: {region.area_px} px at {region.bbox}, score {region.score:.2f}")
    for note in answer.notes:  # what was done differently from what was asked
        print(f"note: {note}")
    for path in answer.save(folder):
        print(f"wrote {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
