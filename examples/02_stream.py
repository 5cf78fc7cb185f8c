"""Show an answer while it is made, a mask as soon as it is known: `python 02_stream.py [IMAGE]`."""

from __future__ import annotations

import sys
from pathlib import Path

from geopixel_edge import MaskFound, Phrase, Pipeline, Text

IMAGE = Path(__file__).with_name("scene.png")
QUESTION = "Describe this image with interleaved segmentation masks."


def main(image: str = str(IMAGE)) -> None:
    with Pipeline().open(image) as opened:
        stream = opened.stream(QUESTION, deadline_s=60)
        for event in stream:
            match event:
                case Text(text):
                    print(text, end="", flush=True)
                case Phrase(text):
                    print(f"[{text}]", end="", flush=True)
                case MaskFound(region):
                    print(f" ({region.area_px} px)", end="", flush=True)
        answer = stream.answer  # the whole, once the stream has ended
    timings = answer.timings
    print(f"\n{timings.new_tokens} tokens, {answer.finish_reason}; the first after {timings.first_token_s:.3f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
