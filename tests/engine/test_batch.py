"""Several questions written together: each answer equals the one asked alone, and weights are read once for all."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge.answer import Answer
from geopixel_edge.blocks.kv_cache import KVCache
from geopixel_edge.errors import ImageError, MemoryBudgetError, OptionError, QueryError
from geopixel_edge.memory.plan import MOST_BATCHED
from geopixel_edge.pipeline import Pipeline
from geopixel_edge.session import OpenedImage
from geopixel_edge.stop import StopToken

from ..support.recording import recorded
from ..support.sam2_reference import DATA
from ..support.servers import tile

IMAGES = [DATA / "images" / name for name in ("square.png", "tiny.png", "wide.png")]
QUESTIONS = ("Describe this image with interleaved segmentation masks.", "What is a pier?", "Where are the red cars?")
PAIRS = [(image, question) for image in IMAGES for question in QUESTIONS]
TOKENS = 12


def iou(one: Answer, other: Answer) -> float:
    """The worst over the regions of two answers."""
    found = [1.0]
    for first, second in zip(one.regions, other.regions, strict=True):
        a, b = first.mask.to_array(), second.mask.to_array()
        if (either := int((a | b).sum())) > 0:
            found.append(float((a & b).sum()) / either)
    return min(found)


def test_answers_equal_the_single_ones_and_come_in_order(pipeline: Pipeline) -> None:
    alone = [pipeline(image, question, hd_num=1, max_new_tokens=TOKENS) for image, question in PAIRS]
    together = list(pipeline.batch(PAIRS, hd_num=1, max_new_tokens=TOKENS))
    assert [answer.query for answer in together] == [question for _, question in PAIRS]
    for one, other in zip(alone, together, strict=True):
        assert (other.token_ids, other.text, other.finish_reason) == (one.token_ids, one.text, one.finish_reason)
        assert iou(one, other) >= 0.999
    assert any(answer.regions for answer in together)


def test_a_step_serves_all_sequences_and_an_image_is_seen_once(pipeline: Pipeline) -> None:
    with recorded(pipeline) as recorders:
        answers = list(pipeline.batch(PAIRS[:6], hd_num=1, max_new_tokens=TOKENS))
    decoded = [feeds for feeds in recorders["language_model"].feeds if feeds["inputs_embeds"].shape[1] == 1]
    together = [feeds for feeds in decoded if feeds["inputs_embeds"].shape[0] == 6]
    longest = max(len(answer.token_ids) for answer in answers)
    assert longest - 1 <= len(together) <= longest
    assert len(recorders["vision_encoder"].feeds) == 2
    # The second and third question about an image copy its prefix.
    assert [answer.timings.reused_tokens > 0 for answer in answers] == [False, True, True] * 2


def test_pairs_are_taken_as_they_come(pipeline: Pipeline) -> None:
    taken = []

    def endless() -> object:
        while True:
            taken.append(1)
            yield PAIRS[3]

    stream = pipeline.batch(endless(), hd_num=1, max_new_tokens=2)  # type: ignore[arg-type]
    next(stream)
    assert len(taken) == MOST_BATCHED
    assert list(pipeline.batch([])) == []


def test_little_memory_writes_one_after_the_other(
    engine_fp32: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MemoryBudgetError) as caught:
        Pipeline(engine_fp32, device="cpu", memory="100MB")
    least = re.search(r"at least ([0-9]+)MB", str(caught.value))
    assert least is not None
    with Pipeline(engine_fp32, device="cpu", memory=f"{int(least[1]) + 2}MB") as small:
        assert not small.model.plan.all_resident
        make = small.model.new_cache
        batches: list[int] = []

        def counted(capacity: int, batch: int = 1, dtype: str = "") -> KVCache:
            batches.append(batch)
            return make(capacity, batch, dtype)

        monkeypatch.setattr(small.model, "new_cache", counted)
        answers = list(small.batch(PAIRS[3:5], hd_num=1, max_new_tokens=TOKENS))
    assert set(batches) == {1}
    alone = [pipeline(image, question, hd_num=1, max_new_tokens=TOKENS) for image, question in PAIRS[3:5]]
    assert [answer.token_ids for answer in answers] == [answer.token_ids for answer in alone]


def test_a_set_stop_token_ends_every_answer(pipeline: Pipeline) -> None:
    stop = StopToken()
    stop.set()
    answers = list(pipeline.batch(PAIRS[:3], stop=stop, hd_num=1))
    assert [(answer.finish_reason, answer.text) for answer in answers] == [("cancelled", "")] * 3


def test_what_is_no_pair_or_no_image_or_no_option_is_named(pipeline: Pipeline) -> None:
    with pytest.raises(QueryError, match=r"pairs holds 'a\.png'"):
        next(pipeline.batch(["a.png"]))  # type: ignore[list-item]
    with pytest.raises(ImageError, match=r"absent\.png"):
        next(pipeline.batch([("absent.png", "What?")]))
    with pytest.raises(OptionError, match="max_new_tokens=0"):
        pipeline.batch(PAIRS, max_new_tokens=0)
    with pytest.raises(QueryError, match="empty"):
        next(pipeline.batch([(np.zeros((4, 4, 3), np.uint8), " ")]))


def test_features_made_first_give_the_same_answers(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the plan has it where they would otherwise stand beside a large cache."""
    pairs = PAIRS[:2]
    late = list(pipeline.batch(pairs, hd_num=1, max_new_tokens=TOKENS))
    monkeypatch.setattr("geopixel_edge.memory.plan._WORTH_GROUNDING_FIRST", -1)
    early = list(pipeline.batch(pairs, hd_num=1, max_new_tokens=TOKENS))
    alone = pipeline(*pairs[0], hd_num=1, max_new_tokens=TOKENS)
    for one, other in zip((*early, alone), (*late, late[0]), strict=True):
        assert one.token_ids == other.token_ids
        assert iou(one, other) >= 0.999
    for one in (early[0], alone):
        stages = list(one.timings.blocks)
        assert stages.index("grounding_encoder") < stages.index("language_model.prefill")


# --- Drafted answers ------------------------------------------------------------------------------------------------


def test_drafted_answers_follow_one_another_in_no_more_runs_than_alone(direct: Pipeline) -> None:
    query = direct.model.family.segment_query("the buildings")
    images = [tile(number) for number in range(3)]
    with recorded(direct) as single:
        alone = [direct(image, query) for image in images]
    with recorded(direct) as batched:
        together = list(direct.batch([(image, query) for image in images]))
    for one, other in zip(alone, together, strict=True):
        assert other.token_ids == one.token_ids
        assert [region.mask.to_coco() for region in other.regions] == [region.mask.to_coco() for region in one.regions]
    for block, recorder in single.items():
        assert len(batched[block].feeds) <= len(recorder.feeds), block
    assert all(feeds["inputs_embeds"].shape[0] == 1 for feeds in batched["language_model"].feeds)
    assert all(answer.timings.accepted_tokens for answer in together)


def test_an_image_is_let_go_with_its_last_question(direct: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[OpenedImage] = []
    make = direct.open

    def counted(*given: object, **more: object) -> OpenedImage:
        opened.append(make(*given, **more))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(direct, "open", counted)
    queries = [direct.model.family.segment_query(phrase) for phrase in ("the buildings", "the bridge")]
    pairs = [(image, query) for image in (tile(0), tile(1)) for query in queries]
    holding = [[bool(one.kept) for one in opened] for _ in direct.batch(pairs)]
    assert holding == [[True, False], [True, False], [False, True], [False, True]]
    assert not any(one.kept for one in opened)


def test_an_opened_image_stays_open_and_lends_what_it_knows(direct: Pipeline) -> None:
    query = direct.model.family.segment_query("the bridge")
    with direct.open(tile(0)) as image:
        image.ask(query)
        first, other, last = direct.batch([(image, query), (tile(1), query), (image, query)])
        assert first.timings.reused_tokens == last.timings.reused_tokens > 0
        assert not other.timings.reused_tokens
        assert image.ask(query).token_ids == first.token_ids


def test_questions_of_both_kinds_come_in_order(pipeline: Pipeline) -> None:
    query = pipeline.model.family.segment_query("the red cars")
    pairs = [(IMAGES[0], query), *PAIRS[:2], (IMAGES[0], query), PAIRS[2]]
    alone = [pipeline(*pair, hd_num=1, max_new_tokens=TOKENS) for pair in pairs]
    together = list(pipeline.batch(pairs, hd_num=1, max_new_tokens=TOKENS))
    assert [answer.query for answer in together] == [query for _, query in pairs]
    assert [answer.token_ids for answer in together] == [answer.token_ids for answer in alone]
