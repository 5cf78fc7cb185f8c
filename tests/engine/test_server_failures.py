"""A model that fails in the middle of an answer: the stream ends with an error event, and the worker goes on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from geopixel_edge import Pipeline
from geopixel_edge.errors import InferenceError
from geopixel_edge.serve import jobs
from geopixel_edge.serve.answering import Answering, DeadlineToken
from geopixel_edge.serve.chat import DONE, Form, Writing, finish_reason
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.kept import KeptImages
from geopixel_edge.serve.records import Wanted
from geopixel_edge.serve.settings import Settings
from geopixel_edge.serve.worker import Channel, Worker

from ..support.servers import png, tile

JOB = jobs.Ask(
    images=[jobs.Picture(data=png(tile(0)))],
    query="Describe this image with interleaved segmentation masks.",
    options={"max_new_tokens": 40},
    hd_num=1,
    wanted=Wanted(),
)


class Written(Channel):
    """What a worker writes, kept instead of sent."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def write(self, record: jobs.FromWorker) -> None:
        self.records.append(record)


def streamed(records: list[Any]) -> list[bytes]:
    """What a client that streams gets for a worker's records."""

    async def run() -> list[bytes]:
        front = Front(Settings())
        ticket = front.submit(JOB, "a")
        ticket.started()
        for record in records:
            ticket.events.put_nowait(record)
        events = front.events(ticket)
        writing = Writing("req_1", "geopixel", Form(stream=True))
        return [line async for line in writing.stream(events, await anext(events))]

    return asyncio.run(run())


def test_a_deadline_in_the_middle_gives_what_is_known_by_then(
    direct: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = direct(tile(0), JOB.query, hd_num=1, max_new_tokens=40)
    stop, step, steps = DeadlineToken(60.0), direct.model.step, 0

    def late(*given: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 16:
            stop._ends_s = 0.0
        return step(*given, **more)

    monkeypatch.setattr(direct.model, "step", late)
    result, _ = Answering(direct, KeptImages(direct, "img_a.0_"), "a.0").answer(JOB, stop, lambda told: None)
    assert isinstance(result, jobs.Answered)
    assert whole.text.startswith(result.text.strip())
    assert len(result.text) > 10
    assert (result.grounding.finish_reason, finish_reason(result)) == ("deadline", "length")
    assert len(result.grounding.regions) >= 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InferenceError("the language model gave NaN; check the engine"), "error", "gave NaN; check the engine"),
        (ValueError("/home/secret"), "internal_error", "its log has the reason"),
        (MemoryError(), "resource_error", "memory"),
    ],
)
def test_a_model_that_fails_in_the_middle(
    direct: Pipeline, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, said: str
) -> None:
    step, steps = direct.model.step, 0

    def failing(*given: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise error
        return step(*given, **more)

    channel = Written()
    worker = Worker(Answering(direct, KeptImages(direct, "img_a.0_"), "a.0"), channel)
    with monkeypatch.context() as patch:
        patch.setattr(direct.model, "step", failing)
        worker._answer(JOB, DeadlineToken(60.0))
    assert isinstance(channel.records[0], jobs.Delta)
    lines = streamed(channel.records)
    assert DONE not in lines
    problem = json.loads(lines[-1].removeprefix(b"data: "))["error"]
    assert (problem["type"], problem["code"]) == ("server_error", code)
    assert said in problem["message"]
    assert "secret" not in problem["message"]
    assert b'"content"' in lines[1], "what was known by then has come"
    channel.records.clear()
    worker._answer(JOB, DeadlineToken(60.0))
    assert isinstance(channel.records[-1], jobs.Done)
    assert streamed(channel.records)[-1] == DONE
