"""An opened image: what is computed once, what each question costs, and that reuse changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from geopixel_edge.answer import Answer, MaskFound, Phrase, Text
from geopixel_edge.errors import OptionError, PromptTooLongError, SessionClosedError
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.stop import StopToken

from ..support.recording import Recorder, recorded
from ..support.sam2_reference import DATA

SQUARE = DATA / "images" / "square.png"
DESCRIBE = (
    "Can you provide a thorough description of the this image? Please output with interleaved segmentation masks for "
    "the corresponding phrases."
)
RED_CAR = "Could you provide a segmentation mask for the red car at bottom right in this image?"
# The reference's answers to these on square.png with hd_num=1.
DESCRIBE_SEGS, RED_CAR_SEG_STEP = 2, 3


def runs(recorders: dict[str, Recorder]) -> dict[str, int]:
    """How often each block ran; the language model in positions read."""
    counts = {name: len(recorder.feeds) for name, recorder in recorders.items() if name != "language_model"}
    feeds = recorders["language_model"].feeds
    return {**counts, "positions": sum(feed["inputs_embeds"].shape[1] for feed in feeds)}


def same(one: Answer, other: Answer) -> bool:
    return (
        one.token_ids == other.token_ids
        and one.text == other.text
        and [(r.phrase, r.span, r.mask) for r in one.regions] == [(r.phrase, r.span, r.mask) for r in other.regions]
    )


def test_a_second_question_reads_only_its_own_text(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        with recorded(pipeline) as first:
            image.ask(DESCRIBE, max_new_tokens=24)
        with recorded(pipeline) as second:
            answer = image.ask(RED_CAR, max_new_tokens=4)
    text_tokens = 867 - 842  # the reference's prompt length less BOS and 841 image tokens
    # 873 prompt positions, ten of the eleven tokens (EOS is not read).
    assert runs(first) == {"vision_encoder": 1, "grounding_encoder": 1, "pixel_decoder": 2, "positions": 873 + 10}
    assert runs(second) == {
        "vision_encoder": 0,
        "grounding_encoder": 0,
        "pixel_decoder": 1,
        "positions": text_tokens + 3,
    }
    assert answer.timings.reused_tokens == 842
    assert answer.timings.prompt_tokens == 867
    assert "vision_encoder" not in answer.timings.blocks
    assert answer.timings.blocks["language_model.decode"].runs == 3


def test_a_second_question_equals_a_fresh_run(pipeline: Pipeline) -> None:
    fresh = pipeline(SQUARE, RED_CAR, hd_num=1, max_new_tokens=6)
    with pipeline.open(SQUARE, hd_num=1) as image:
        image.ask(DESCRIBE, max_new_tokens=24)
        again = image.ask(RED_CAR, max_new_tokens=6)
        longer = image.ask(RED_CAR, max_new_tokens=900)  # needs a larger cache than the first
        back = image.ask(RED_CAR, max_new_tokens=6)
    assert same(fresh, again)
    assert same(fresh, back)
    assert longer.token_ids[:6] == fresh.token_ids


def test_history_is_part_of_the_question(pipeline: Pipeline) -> None:
    turn = (RED_CAR, " solars container [SEG]  build")
    with pipeline.open(SQUARE, hd_num=1) as image:
        plain = image.ask(DESCRIBE, max_new_tokens=4)
        followed = image.ask(DESCRIBE, history=[turn], max_new_tokens=4)
        assert same(image.ask(DESCRIBE, max_new_tokens=4), plain)
    assert followed.timings.prompt_tokens > plain.timings.prompt_tokens
    assert same(followed, pipeline(SQUARE, DESCRIBE, hd_num=1, history=[turn], max_new_tokens=4))


def test_stream_tells_each_thing_when_it_is_known(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image, recorded(pipeline) as recorders:
        stream = image.stream(DESCRIBE, max_new_tokens=24)
        seen = []
        for event in stream:
            seen.append((event, runs(recorders)["positions"]))
        answer = stream.answer
        assert same(answer, image.ask(DESCRIBE, max_new_tokens=24))
    events = [event for event, _ in seen]
    assert "".join(event.text for event in events if isinstance(event, (Text, Phrase))) == answer.text
    masks = [(event.region, positions) for event, positions in seen if isinstance(event, MaskFound)]
    assert [region for region, _ in masks] == list(answer.regions)
    # Steps 6 and 9 are the [SEG]s: each mask is out after the step that reads it, before the next token is read.
    assert [positions for _, positions in masks] == [873 + 6, 873 + 9]


def test_answer_of_a_stream_reads_the_rest(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        stream = image.stream(DESCRIBE, max_new_tokens=24)
        next(stream)
        assert len(stream.answer.regions) == DESCRIBE_SEGS


def test_seg_as_the_last_allowed_token_still_gets_its_mask(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        answer = image.ask(RED_CAR, max_new_tokens=RED_CAR_SEG_STEP)
        longer = image.ask(RED_CAR, max_new_tokens=RED_CAR_SEG_STEP + 1)
        original = image.ask(RED_CAR, max_new_tokens=RED_CAR_SEG_STEP, compat=True)
    assert answer.token_ids == original.token_ids
    assert answer.regions[0].mask == longer.regions[0].mask
    assert any("one more step" in note for note in answer.notes)
    assert original.regions == ()
    assert not any("one more step" in note for note in longer.notes)


def test_the_family_says_which_token_points(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        whole = image.ask(DESCRIBE, max_new_tokens=24)
        monkeypatch.setattr(type(pipeline.model.family), "points", lambda *_: False)
        none = image.ask(DESCRIBE, max_new_tokens=24)
    assert none.token_ids == whole.token_ids
    assert (len(whole.masks) > 0, len(none.masks)) == (True, 0)


def test_segment_gives_regions_that_carry_the_phrase(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        regions = image.segment("the red car at bottom right", max_new_tokens=4)
        answer = image.ask(RED_CAR, max_new_tokens=4)
    assert [region.phrase for region in regions] == ["the red car at bottom right"]
    assert [region.mask for region in regions] == [region.mask for region in answer.regions]


def test_deadline_ends_with_what_is_known(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        whole = image.ask(DESCRIBE, max_new_tokens=24)
        nothing = image.ask(DESCRIBE, max_new_tokens=24, deadline_s=1e-9)
        stop = StopToken()
        stream = image.stream(DESCRIBE, max_new_tokens=24, stop=stop)
        for event in stream:
            if isinstance(event, MaskFound):
                stop.set("deadline")
        partial = stream.answer
        assert same(image.ask(DESCRIBE, max_new_tokens=24), whole)
    assert (nothing.finish_reason, nothing.text, nothing.regions) == ("deadline", "", ())
    assert partial.finish_reason == "deadline"
    assert partial.regions == whole.regions[:1]
    assert partial.token_ids == whole.token_ids[: len(partial.token_ids)]
    assert any("deadline" in note for note in partial.notes)


def test_a_closed_image_and_an_overtaken_stream_say_so(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        old = image.stream(DESCRIBE, max_new_tokens=24)
        next(old)
        image.ask(RED_CAR, max_new_tokens=2)
        for _ in range(2):  # what ended it is no answer
            with pytest.raises(SessionClosedError, match="newer"):
                list(old)
            with pytest.raises(SessionClosedError, match="newer"):
                assert old.answer
        unread = image.stream(DESCRIBE, max_new_tokens=24)
        newer = image.stream(RED_CAR, max_new_tokens=4)
        next(newer)
        with pytest.raises(SessionClosedError, match="newer"):
            list(unread)
        assert newer.answer.token_ids == image.ask(RED_CAR, max_new_tokens=4).token_ids
    with pytest.raises(SessionClosedError, match="open it again"):
        image.ask(RED_CAR)


def test_prompt_over_the_limit_gets_the_largest_grid_that_fits(pipeline: Pipeline) -> None:
    huge = np.zeros((4096, 4096, 3), np.uint8)
    huge[1000:3000, 500:2500] = 200
    with pipeline.open(huge) as image:
        with pytest.raises(PromptTooLongError, match="compat=False"):
            image.ask(RED_CAR, max_new_tokens=1, compat=True)
        answer = image.ask(RED_CAR, max_new_tokens=1)
    assert answer.timings.prompt_tokens == 14_941 + 867 - 841  # 6 x 6 tiles instead of 7 x 7
    assert any("7 x 7 tiles take 20161 tokens" in note and "6 x 6" in note for note in answer.notes)


def test_a_question_longer_than_the_prompt_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(PromptTooLongError, match="shorten"):
        pipeline(SQUARE, "where is the red car near the harbor and the ship " * 1250, hd_num=1)


def test_sampling_repeats_with_its_seed_and_greedy_is_the_default(pipeline: Pipeline) -> None:
    with pipeline.open(SQUARE, hd_num=1) as image:
        greedy = image.ask(DESCRIBE, max_new_tokens=8).token_ids
        draws = {seed: image.ask(DESCRIBE, max_new_tokens=8, temperature=5.0, seed=seed).token_ids for seed in range(4)}
        assert image.ask(DESCRIBE, max_new_tokens=8, temperature=5.0, seed=2).token_ids == draws[2]
        assert image.ask(DESCRIBE, max_new_tokens=8, temperature=1.0, top_p=1e-9, seed=1).token_ids == greedy
    assert len({tuple(ids) for ids in draws.values()}) > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", -1),
        ("max_new_tokens", 10**9),
        ("max_new_tokens", True),
        ("max_new_tokens", 1.5),
        ("hd_num", 0),
        ("hd_num", -3),
        ("hd_num", 10**6),
        ("hd_num", "9"),
        ("deadline_s", 0),
        ("deadline_s", -1.0),
        ("deadline_s", float("nan")),
        ("deadline_s", "soon"),
        ("temperature", -0.1),
        ("temperature", float("inf")),
        ("top_p", 0),
        ("top_p", 1.1),
        ("seed", -1),
        ("seed", 0.5),
        ("compat", 1),
    ],
)
def test_options_out_of_range_are_named(pipeline: Pipeline, name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{name}="):
        pipeline(SQUARE, RED_CAR, **{name: value})
