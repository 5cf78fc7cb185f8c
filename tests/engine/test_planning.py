"""Images and text share the prompt: the largest grid that fits, and nothing cut."""

from __future__ import annotations

import numpy as np
import pytest

from geopixel_edge.errors import PromptTooLongError
from geopixel_edge.families.layout import plan_images
from geopixel_edge.images import LoadedImage, load_image
from geopixel_edge.pipeline import Pipeline


def picture(width_px: int, height_px: int) -> LoadedImage:
    return load_image(np.zeros((height_px, width_px, 3), np.uint8))


def tokens(pipeline: Pipeline, images: list[LoadedImage], text: int, hd_num: int = 9, new: int = 1024) -> list[int]:
    sizes = pipeline.engine.manifest.sizes
    grids, _ = plan_images(images, hd_num, text, new, sizes, compat=False)
    return [grid.image_tokens(sizes.tokens_per_side) for grid in grids]


def test_a_grid_that_fits_is_the_originals(pipeline: Pipeline) -> None:
    assert tokens(pipeline, [picture(800, 800)], 60) == [4081]
    assert tokens(pipeline, [picture(3000, 2000)], 60) == [8501]
    assert tokens(pipeline, [picture(3919, 3919)], 60) == [14_941]


def test_a_long_question_takes_room_from_the_image(pipeline: Pipeline) -> None:
    square = [picture(640, 640)]
    assert tokens(pipeline, square, 16_384 - 14_941, hd_num=36) == [14_941]
    assert tokens(pipeline, square, 16_384 - 14_940, hd_num=36) == [10_521]


@pytest.mark.parametrize("text", [16_384, 16_385, 40_000])
def test_no_room_is_an_error(pipeline: Pipeline, text: int) -> None:
    with pytest.raises(PromptTooLongError):
        tokens(pipeline, [picture(64, 64)], text)


def test_text_alone_may_fill_the_prompt(pipeline: Pipeline) -> None:
    assert tokens(pipeline, [], 16_384) == []
    with pytest.raises(PromptTooLongError):
        tokens(pipeline, [], 16_385)


def test_positions_of_the_answer_count(pipeline: Pipeline) -> None:
    sizes = pipeline.engine.manifest.sizes
    assert (sizes.max_positions, sizes.max_prompt_tokens) == (24_576, 16_384)
    assert tokens(pipeline, [], 16_384, new=24_576 - 16_384) == []
    with pytest.raises(PromptTooLongError, match="max_new_tokens=8193"):
        tokens(pipeline, [], 16_384, new=8193)


def test_several_images_share_the_room(pipeline: Pipeline) -> None:
    images = [picture(5000, 5000), picture(5000, 5000), picture(64, 64)]
    found = tokens(pipeline, images, 384)
    assert sum(found) + 384 <= 16_384
    assert found[0] == found[1] > found[2]
