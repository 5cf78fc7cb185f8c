"""The door: every way to ask gives the same answer; closing, threads and stop tokens do what they say."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import Answer, AskOptions, Pipeline, StopToken
from geopixel_edge.errors import EngineCorruptError, OptionError, SessionClosedError

QUESTION = "Describe this image with interleaved segmentation masks."
SHIP = "the large ship"
TOKENS = 12
PIXELS = np.random.default_rng(4).integers(0, 256, (300, 400, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return Pipeline(device="cpu", threads=2)


@pytest.fixture(scope="module")
def wanted(pipe: Pipeline) -> Answer:
    return pipe(PIXELS, QUESTION, max_new_tokens=TOKENS)


def test_options_by_record_and_by_name_are_the_same(pipe: Pipeline, wanted: Answer) -> None:
    options = AskOptions(max_new_tokens=3)
    assert pipe(PIXELS, QUESTION, AskOptions(max_new_tokens=TOKENS)).token_ids == wanted.token_ids
    assert pipe(PIXELS, QUESTION, options, max_new_tokens=TOKENS).token_ids == wanted.token_ids
    assert len(pipe(PIXELS, QUESTION, options).token_ids) == 3
    with pytest.raises(OptionError, match="'max_tokens' is unknown"):
        pipe(PIXELS, QUESTION, max_tokens=3)


def test_streams_segments_and_awaits(pipe: Pipeline, wanted: Answer) -> None:
    with pipe.stream(PIXELS, QUESTION, max_new_tokens=TOKENS) as stream:
        events = list(stream)
        assert stream.answer.token_ids == wanted.token_ids
    assert events
    with pipe.open(PIXELS) as image:
        regions = image.segment(SHIP, max_new_tokens=TOKENS)
    assert [one.mask for one in pipe.segment(PIXELS, SHIP, max_new_tokens=TOKENS)] == [one.mask for one in regions]
    answer = asyncio.run(pipe.aask(PIXELS, QUESTION, max_new_tokens=TOKENS))
    assert answer.token_ids == wanted.token_ids


def test_a_cancelled_task_stops_its_answer(pipe: Pipeline) -> None:
    stop = StopToken()

    async def ask() -> None:
        task = asyncio.create_task(pipe.aask(PIXELS, QUESTION, stop=stop, max_new_tokens=1024))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert stop.reason == "cancelled"


def test_a_stream_closed_half_way_leaves_the_image_as_it_was(pipe: Pipeline, wanted: Answer) -> None:
    with pipe.open(PIXELS) as image:
        stream = image.stream(QUESTION, max_new_tokens=TOKENS)
        next(stream)
        stream.close()
        stream.close()
        half = stream.answer
        assert half.finish_reason == "cancelled"
        assert half.token_ids == wanted.token_ids[: len(half.token_ids)]
        assert any("cancelled" in note for note in half.notes)
        assert image.ask(QUESTION, max_new_tokens=TOKENS).token_ids == wanted.token_ids
        with image.stream(QUESTION, max_new_tokens=TOKENS) as never_read:
            pass
        assert (never_read.answer.text, never_read.answer.finish_reason) == ("", "cancelled")
        done = image.stream(QUESTION, max_new_tokens=TOKENS)
        finished = done.answer
        done.close()
        assert done.answer.finish_reason == finished.finish_reason != "cancelled"


@pytest.mark.parametrize("reason", ["cancelled", "deadline", "watchdog"])
def test_a_token_set_before_the_first_token(pipe: Pipeline, wanted: Answer, reason: str) -> None:
    stop = StopToken()
    stop.set(reason)
    with pipe.open(PIXELS) as image:
        answer = image.ask(QUESTION, stop=stop, max_new_tokens=TOKENS)
        assert (answer.text, answer.token_ids, answer.regions) == ("", [], ())
        assert answer.finish_reason == reason
        assert "vision_encoder" not in answer.timings.blocks
        assert image.ask(QUESTION, max_new_tokens=TOKENS).token_ids == wanted.token_ids


def test_threads_share_a_pipeline_and_take_turns_at_an_image(pipe: Pipeline, wanted: Answer) -> None:
    with ThreadPoolExecutor(4) as pool:
        apart = list(pool.map(lambda _: pipe(PIXELS, QUESTION, max_new_tokens=TOKENS).token_ids, range(6)))
        with pipe.open(PIXELS) as image:
            shared = list(pool.map(lambda _: image.ask(QUESTION, max_new_tokens=TOKENS).token_ids, range(6)))
    assert apart == shared == [wanted.token_ids] * 6


def test_a_stream_read_in_one_thread_is_ended_by_a_question_in_another(pipe: Pipeline, wanted: Answer) -> None:
    with pipe.open(PIXELS) as image:
        stream = image.stream(QUESTION, max_new_tokens=TOKENS)
        next(stream)
        answers: list[Answer] = []
        other = threading.Thread(target=lambda: answers.append(image.ask(QUESTION, max_new_tokens=TOKENS)))
        other.start()
        other.join(60)
        assert answers[0].token_ids == wanted.token_ids
        with pytest.raises(SessionClosedError, match="newer"):
            list(stream)


def test_closing_frees_the_engine_and_says_so(wanted: Answer) -> None:
    with Pipeline(device="cpu") as pipe:
        assert "geopixel" in repr(pipe)
        image = pipe.open(PIXELS)
        stream = image.stream(QUESTION, max_new_tokens=TOKENS)
        next(stream)
        assert pipe.model.residency.loaded
    assert not pipe.model.residency.loaded
    for use in (lambda: list(stream), lambda: image.ask(QUESTION), lambda: pipe(PIXELS, QUESTION)):
        with pytest.raises(SessionClosedError):
            use()
    pipe.close()


def test_little_memory_gives_the_same_answer_by_loading_blocks_in_turn(wanted: Answer) -> None:
    with Pipeline(device="cpu") as unbounded, unbounded.open(PIXELS) as image:
        plan = image.prepare(QUESTION, AskOptions(max_new_tokens=TOKENS), StopToken()).plan
    with Pipeline(device="cpu", memory=plan.peak_bytes - 1) as pipe:
        answer = pipe(PIXELS, QUESTION, max_new_tokens=TOKENS)
        assert answer.token_ids == wanted.token_ids
        assert [one.mask for one in answer.regions] == [one.mask for one in wanted.regions]
        assert pipe.model.residency.loaded == {"language_model", "pixel_decoder"}
        with pipe.open(PIXELS) as image:
            for _ in range(2):
                assert image.ask(QUESTION, max_new_tokens=TOKENS).token_ids == wanted.token_ids


def test_a_block_loaded_anew_gives_the_same(wanted: Answer) -> None:
    with Pipeline(device="cpu") as pipe:
        before = dict(pipe.model.residency.load(frozenset()))
        for block in pipe.engine.manifest.blocks:
            pipe.model.residency.reload(block)
        after = pipe.model.residency.load(frozenset())
        assert after.keys() == before.keys()
        assert all(after[block] is not before[block] for block in after)
        assert pipe(PIXELS, QUESTION, max_new_tokens=TOKENS).token_ids == wanted.token_ids


def test_a_file_that_grew_is_found(engine_fp32: Path, tmp_path: Path) -> None:
    from ..support.engines import linked, put

    root = linked(engine_fp32, tmp_path)
    scrubber = Pipeline(root, device="cpu").scrubber()
    scrubber.round()
    data = (root / "pixel_decoder.onnx.data").read_bytes()
    put(root, "pixel_decoder.onnx.data", data + b"\0")
    with pytest.raises(EngineCorruptError, match=rf"pixel_decoder\.onnx\.data has {len(data) + 1} bytes, not"):
        scrubber.round()


def test_a_chunk_that_rots_ends_the_answer_that_runs(engine_fp32: Path, tmp_path: Path) -> None:
    from ..support.engines import linked, put

    root = linked(engine_fp32, tmp_path)
    pipe = Pipeline(root, device="cpu")
    scrubber = pipe.scrubber()
    count = scrubber.round()
    assert count == len(pipe.engine.manifest.files())
    with pipe.open(PIXELS, hd_num=1) as image:
        stream = image.stream(QUESTION, max_new_tokens=TOKENS)
        next(stream)
        data = bytearray((root / "pixel_decoder.onnx.data").read_bytes())
        data[len(data) // 2] ^= 1
        put(root, "pixel_decoder.onnx.data", bytes(data))
        with pytest.raises(EngineCorruptError, match=r"pixel_decoder\.onnx\.data .*copy the engine again"):
            scrubber.round()
        with pytest.raises(EngineCorruptError, match=r"pixel_decoder\.onnx\.data"):
            list(stream)
        with pytest.raises(EngineCorruptError, match=r"pixel_decoder\.onnx\.data"):
            assert stream.answer
    with pytest.raises(EngineCorruptError, match=r"pixel_decoder\.onnx\.data"):
        pipe.open(PIXELS)
