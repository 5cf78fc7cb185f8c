"""Where images stand in the prompt: none, one, several, and at their marks."""

from __future__ import annotations

import numpy as np
import pytest

from geopixel_edge.errors import QueryError
from geopixel_edge.pipeline import Pipeline

from ..support.recording import Recorder, recorded
from ..support.sam2_reference import DATA

SQUARE = DATA / "images" / "square.png"
DESCRIBE = (
    "Can you provide a thorough description of the this image? Please output with interleaved segmentation masks for "
    "the corresponding phrases."
)


def image_spans(recorder: Recorder) -> tuple[list[int], list[int]]:
    """Positions of the prompt at which the rows of each image begin and end, as the language model was given them."""
    is_image = np.concatenate(
        [np.isin(np.arange(feed["inputs_embeds"].shape[1]), feed["image_rows"]) for feed in recorder.feeds]
    )
    change = np.diff(is_image.astype(int))
    starts, ends = (np.flatnonzero(change == sign) + 1 for sign in (1, -1))
    return starts.tolist(), ends.tolist()


def test_text_alone(pipeline: Pipeline) -> None:
    answer = pipeline(None, DESCRIBE, max_new_tokens=12)
    assert answer.image_size is None
    assert answer.masks.shape == (0, 0, 0)
    assert answer.timings.prompt_tokens == 32


def test_several_images_stand_where_their_marks_are(pipeline: Pipeline) -> None:
    tiny = DATA / "images" / "tiny.png"
    query = "Compare <ImageHere> with <ImageHere> now"
    with recorded(pipeline) as recorders:
        answer = pipeline([SQUARE, tiny], query, max_new_tokens=3, hd_num=1)
    views = [len(feed["views"]) for feed in recorders["vision_encoder"].feeds]
    # As in the original, hd_num is 6 for each of several images: 2 x 2 tiles and 3 x 2, two rows of them.
    assert sum(views) == (1 + 4) + (1 + 6)
    assert answer.regions == ()
    assert any("2 images" in note for note in answer.notes)
    starts, ends = image_spans(recorders["language_model"])
    before = len(pipeline.model.tokenizer.encode("[UNUSED_TOKEN_146]user\nCompare ", bos=True))
    between = len(pipeline.model.tokenizer.encode(" with ", bos=False))
    lengths = [ends[0] - starts[0], ends[1] - starts[1]]
    assert lengths == [5 * 400 + 1 + 3 * 20, 7 * 400 + 1 + (1 + 2) * 20]
    assert starts == [before, before + lengths[0] + between]


@pytest.mark.parametrize(("images", "marks"), [(1, 2), (2, 0), (2, 1), (2, 3), (0, 1)])
def test_marks_in_the_wrong_number_are_refused(pipeline: Pipeline, images: int, marks: int) -> None:
    source = [SQUARE] * images if images else None
    with pytest.raises(QueryError, match=rf"{marks} <ImageHere> marks for {images} images"):
        pipeline(source, "look " + "<ImageHere>" * marks)


def test_a_mark_for_the_one_image_moves_it(pipeline: Pipeline) -> None:
    spans = {}
    for query in ("look here", "look <ImageHere> here"):
        with recorded(pipeline) as recorders:
            pipeline(SQUARE, query, hd_num=1, max_new_tokens=2)
        (start,), (end,) = image_spans(recorders["language_model"])
        spans[query] = (start, end - start)
    before = len(pipeline.model.tokenizer.encode("[UNUSED_TOKEN_146]user\nlook ", bos=True))
    assert spans == {"look here": (1, 841), "look <ImageHere> here": (before, 841)}
