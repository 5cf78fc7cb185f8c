"""One engine and several threads, as docs/sharing.md says."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

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


def test_questions_wait_for_a_batch_about_their_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is asked between two steps of a batch, whose cache the image's own must not be, then or afterwards."""
    pipe = Pipeline(device="cpu", threads=2)
    questions = ("Describe this image with interleaved segmentation masks.", "What is a pier?", "Is there a river?")
    with pipe.open(PIXELS, hd_num=1) as image:
        one_by_one = [image.ask(question, max_new_tokens=30).token_ids for question in questions]
    step, asked, waited, answered = pipe.model.step, list[threading.Thread](), list[bool](), list[list[int]]()
    with pipe.open(PIXELS, hd_num=1) as image:

        def step_amid(ids: list[int], *rest: object) -> object:
            if len(ids) == len(questions) and not asked:
                ask = lambda: answered.append(image.ask(questions[0], max_new_tokens=30).token_ids)  # noqa: E731
                asked.append(threading.Thread(target=ask))
                asked[0].start()
            if asked and len(waited) < 3:
                asked[0].join(0.2)
                waited.append(asked[0].is_alive())
            return step(ids, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(pipe.model, "step", step_amid)
        together = [answer.token_ids for answer in pipe.batch([(image, one) for one in questions], max_new_tokens=30)]
        asked[0].join(LIMIT_S)
        again = image.ask(questions[2], max_new_tokens=30)
    assert (together, answered, again.token_ids) == (one_by_one, one_by_one[:1], one_by_one[2])
    assert waited == [True] * 3


def test_a_batch_of_one_waits_for_the_question_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipeline(device="cpu", threads=2)
    step, others, found = pipe.model.step, list[threading.Thread](), list[list[int]]()
    with pipe.open(PIXELS, hd_num=1) as image:
        alone = image.ask(QUESTIONS[2], draft=False, max_new_tokens=TOKENS).token_ids

        def other() -> None:
            batch = pipe.batch([(image, QUESTIONS[2])], max_new_tokens=TOKENS)
            found.extend(answer.token_ids for answer in batch)

        def step_amid(*given: object) -> object:
            if not others:
                others.append(threading.Thread(target=other))
                others[0].start()
                others[0].join(0.5)
            return step(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(pipe.model, "step", step_amid)
        asked = image.ask(QUESTIONS[2], draft=False, max_new_tokens=TOKENS).token_ids
        others[0].join(LIMIT_S)
    assert (asked, found) == (alone, [alone])
