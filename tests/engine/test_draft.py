"""Whatever is drafted, the answer is the one that decoding a token at a time gives, and the masks are its masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from geopixel_edge import Answer, AskOptions, Pipeline, StopToken, writing
from geopixel_edge.blocks.language_model import Rows
from geopixel_edge.session import OpenedImage
from geopixel_edge.timings import DECODE
from synthetic.scenes import EVALUATION_SEED, make_scene

QUERY = "Describe the picture."
NEW_TOKENS = 24


class Planted:
    """A draft that a test made: after so many tokens, the ids from there on."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    def rest(self, written: Sequence[int], most: int) -> list[int]:
        return self.ids[len(written) :][:most]

    def learn(self, response: str) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def opened(pipeline: Pipeline) -> OpenedImage:
    pixels = np.random.default_rng(5).integers(0, 256, (96, 128, 3), np.uint8)
    return pipeline.open(Image.fromarray(pixels), hd_num=1)


def answered(image: OpenedImage, ids: Sequence[int] | None, query: str = QUERY, **overrides: object) -> Answer:
    options = AskOptions.of(AskOptions(max_new_tokens=NEW_TOKENS), overrides)
    asked = image.prepare(query, options, StopToken())
    asked.turn.draft = None if ids is None else Planted(ids)
    return image.running(asked).answer


def same(one: Answer, other: Answer) -> bool:
    assert one.token_ids == other.token_ids
    assert (one.response, one.finish_reason) == (other.response, other.finish_reason)
    for first, second in zip(one.regions, other.regions, strict=True):
        a, b = first.mask.to_array(), second.mask.to_array()
        assert (a & b).sum() >= 0.999 * (a | b).sum()
    return True


def drafts(true: list[int], vocabulary: int) -> dict[str, list[int]]:
    rng = np.random.default_rng(9)
    changed = [token if rng.random() < 0.7 else int(rng.integers(vocabulary)) for token in true]
    return {
        "empty": [],
        "true": true,
        "too long": true + rng.integers(0, vocabulary, 100).tolist(),
        "all wrong": [(token + 1) % vocabulary for token in true],
        "random": rng.integers(0, vocabulary, 40).tolist(),
        "some wrong": changed,
        "the last wrong": [*true[:-1], (true[-1] + 1) % vocabulary],
    }


def test_no_draft_changes_an_answer(opened: OpenedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "NEAR_TIE", 1e-4)  # with random weights many logits lie close; rounding stays below
    plain = answered(opened, None)
    assert len(plain.regions) > 0, "the question must be one that points"
    vocabulary = opened.model.manifest.sizes.vocabulary
    for name, ids in drafts(plain.token_ids, vocabulary).items():
        found = answered(opened, ids)
        assert same(found, plain), name
        timings, steps = found.timings, found.timings.blocks[DECODE].runs
        assert timings.drafted_tokens >= timings.accepted_tokens
        if name in ("true", "too long"):
            assert steps == 1
            assert timings.accepted_tokens >= len(plain.token_ids) - 2
        if name == "all wrong":
            assert timings.accepted_tokens == 0
        assert same(answered(opened, None), plain), "what is kept of the image is as it was"


@pytest.mark.parametrize("limit", range(1, 12))
def test_the_limit_and_a_last_seg_are_as_without_a_draft(opened: OpenedImage, limit: int) -> None:
    true = answered(opened, None).token_ids
    for compat in (False, True):
        plain = answered(opened, None, max_new_tokens=limit, compat=compat)
        found = answered(opened, true, max_new_tokens=limit, compat=compat)
        assert same(found, plain)
        assert found.notes == plain.notes


def test_a_near_tie_is_decided_by_a_run_of_one_row(opened: OpenedImage, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = answered(opened, None)
    monkeypatch.setattr(writing, "NEAR_TIE", 10.0)  # every row is one
    found = answered(opened, plain.token_ids)
    assert same(found, plain)
    assert found.timings.accepted_tokens == 0
    monkeypatch.setattr(writing, "is_near_tie", lambda logits: np.random.default_rng(len(logits)).random() < 0.5)
    assert same(answered(opened, plain.token_ids), plain)


def test_rounding_is_far_below_a_near_tie(opened: OpenedImage) -> None:
    model = opened.model
    ids = answered(opened, None).token_ids
    together, alone = model.new_cache(256), model.new_cache(256)
    at_once = model.read(Rows.of(model.device, model.embeddings, [ids]), together, wanted=range(len(ids))).logits.copy()
    one_by_one = np.stack([model.step([token], alone).logits[0].copy() for token in ids])
    assert np.abs(at_once - one_by_one).max() < 0.01 * writing.NEAR_TIE * np.abs(one_by_one).max()


def test_a_stream_that_is_closed_or_overtaken_leaves_the_image_usable(opened: OpenedImage) -> None:
    plain = answered(opened, None)
    for take in (1, 2, 3):
        asked = opened.prepare(QUERY, AskOptions(max_new_tokens=NEW_TOKENS), StopToken())
        asked.turn.draft = Planted(plain.token_ids)
        stream = opened.running(asked)
        for _ in range(take):
            next(stream)
        if take == 2:
            stream.close()
            assert stream.answer.finish_reason == "cancelled"
        assert same(answered(opened, plain.token_ids), plain)


def test_segment_questions_are_drafted_and_others_are_not() -> None:
    with Pipeline(device="cpu") as pipe, pipe.open(make_scene(EVALUATION_SEED + 2, 640).image) as image:
        for phrase in (
            "the red ship",
            "a pier",
            "ships",
            "the largest building",
            "{name} and [brackets]",
            "fjord house",
        ):
            query = pipe.model.family.segment_query(phrase)
            found, plain = image.ask(query), image.ask(query, draft=False)
            assert same(found, plain)
            assert plain.timings.drafted_tokens == 0
            assert plain.timings.blocks[DECODE].runs == len(plain.token_ids) - 1
            if phrase.split()[-1] in plain.text:
                assert found.timings.blocks[DECODE].runs <= 3
        assert image.ask(query, temperature=1.0, seed=1).timings.drafted_tokens == 0
        assert image.ask("What is here?").timings.drafted_tokens == 0


def test_a_follow_up_reads_its_own_rows_alone(opened: OpenedImage) -> None:
    model, options = opened.model, AskOptions(max_new_tokens=1)
    answered(opened, None, max_new_tokens=1)
    for query in ("What is here?", "Describe the picture again, please."):
        asked = opened.prepare(query, options, StopToken())
        timings = opened.running(asked).answer.timings
        shared = model.family.shared_rows(
            asked.prompt, [asked.grids[0].image_tokens(model.manifest.sizes.tokens_per_side)]
        )
        assert timings.reused_tokens == shared
        assert timings.prompt_tokens - shared == asked.prompt.text_tokens - 1  # BOS is shared
        assert {name: cost.runs for name, cost in timings.blocks.items()} == {"language_model.prefill": 1}
