"""Ask one image several things: what depends on the image alone is computed once. `python 03_follow_up.py [IMAGE]`."""

from __future__ import annotations

import sys
from pathlib import Path

from geopixel_edge import Pipeline

IMAGE = Path(__file__).with_name("scene.png")
QUESTION = "Describe this image with interleaved segmentation masks."
PHRASES = ("the bridge", "the crop field", "the swimming pool")


def main(image: str = str(IMAGE)) -> None:
    pipe = Pipeline()
    with pipe.open(image) as opened:
        for phrase in PHRASES:
            regions = opened.segment(phrase)
            found = ", ".join(f"{region.area_px} px" for region in regions) or "nothing like it"
            print(f"{phrase}: {found}")
        answer = opened.ask(QUESTION)
    print(answer.text)
    print(f"{answer.timings.reused_tokens} of {answer.timings.prompt_tokens} prompt tokens were known already")


if __name__ == "__main__":
    main(*sys.argv[1:])
