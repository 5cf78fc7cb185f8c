"""One engine and several threads, as docs/sharing.md says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from geopixel_edge import Pipeline

PIXELS = np.random.default_rng(8).integers(0, 255, (60, 80, 3), np.uint8)
QUESTIONS = ("Where is the pier?", "Segment the ship.", "Is there a road?")
TOKENS, LIMIT_S = 4, 60.0


def test_threads_share_one_pipeline() -> None:
    pipe = Pipeline(device="cpu", threads=2)
    one_by_one = [pipe(PIXELS, question, hd_num=1, max_new_tokens=TOKENS).token_ids for question in QUESTIONS]
    assert len({tuple(ids) for ids in one_by_one}) > 1
    with ThreadPoolExecutor(2 * len(QUESTIONS)) as pool:
        asked = [pool.submit(pipe, PIXELS, one, hd_num=1, max_new_tokens=TOKENS) for one in QUESTIONS * 2]
        assert [answer.result(LIMIT_S).token_ids for answer in asked] == one_by_one * 2


def test_questions_of_one_opened_image_take_turns() -> None:
    pipe = Pipeline(device="cpu", threads=2)
    with pipe.open(PIXELS, hd_num=1) as image:
        one_by_one = [image.ask(question, max_new_tokens=TOKENS).token_ids for question in QUESTIONS]
        with ThreadPoolExecutor(len(QUESTIONS)) as pool:
            asked = [pool.submit(image.ask, one, max_new_tokens=TOKENS) for one in QUESTIONS * 2]
            assert [answer.result(LIMIT_S).token_ids for answer in asked] == one_by_one * 2
