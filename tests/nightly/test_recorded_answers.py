"""The bundled engine answers as it did before its contracts and its language model's form changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geopixel_edge import Pipeline
from geopixel_edge.masks import Mask
from synthetic.scenes import make_scene

# Of six generated scenes of 640 px and the questions below, in this order: token ids, and masks as COCO RLE.
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "bundled-answers.json").read_text())
FIRST_SEED, SCENES, SIDE_PX = 1_000_000, 6, 640
PHRASES = ("the bridge", "the buildings", "the largest ship")
QUESTIONS = (
    "Describe this image with interleaved segmentation masks.",
    *(f"Could you provide a segmentation mask for {phrase} in this image?" for phrase in PHRASES),
    "Where is the road?",
)


@pytest.mark.long
@pytest.mark.parametrize("number", range(SCENES))
def test_ids_and_masks_are_the_recorded_ones(number: int) -> None:
    recorded = RECORDED[number * len(QUESTIONS) : (number + 1) * len(QUESTIONS)]
    scene = make_scene(FIRST_SEED + number, SIDE_PX)
    with Pipeline(device="cpu", threads=1).open(scene.image) as image:
        answers = [image.ask(question, max_new_tokens=160) for question in QUESTIONS]
    assert [list(answer.token_ids) for answer in answers] == [one["ids"] for one in recorded]
    for answer, one in zip(answers, recorded, strict=True):
        for region, wanted in zip(answer.regions, one["masks"], strict=True):
            assert region.mask.iou(Mask.from_coco(wanted)) >= 0.999


def test_enough_is_recorded() -> None:
    assert len(RECORDED) == SCENES * len(QUESTIONS) >= 30
    assert sum(len(one["masks"]) for one in RECORDED) == 56
