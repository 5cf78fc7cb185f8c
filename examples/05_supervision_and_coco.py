"""Hand an answer to other tools, then read it back: `python 05_supervision_and_coco.py [IMAGE] [FOLDER]`.

COCO needs nothing else; `to_supervision` needs `pip install supervision`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from geopixel_edge import Answer, Pipeline

IMAGE = Path(__file__).with_name("scene.png")
QUESTION = "Describe this image with interleaved segmentation masks."


def main(image: str = str(IMAGE), folder: str = "out") -> None:
    Pipeline()(image, QUESTION).save(folder)
    answer = Answer.load(folder)  # later, or on another machine: no engine is needed any more
    path = Path(folder) / "coco.json"
    document = answer.to_coco()
    path.write_text(json.dumps(document), encoding="utf-8")
    print(f"wrote {path}: {len(document['annotations'])} annotations")
    if importlib.util.find_spec("supervision") is None:
        print("supervision is not installed")
        return
    detections = answer.to_supervision()
    for box, name in zip(detections.xyxy, detections.data["class_name"], strict=True):
        print(f"{name}: {box.round().astype(int).tolist()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
