"""The queue of a server: bounded, fair between clients, and kind to who has gone."""

from __future__ import annotations

import asyncio
import time

import pytest

from geopixel_edge import limits
from geopixel_edge.serve import jobs
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.link import Link
from geopixel_edge.serve.problems import RequestError
from geopixel_edge.serve.records import Wanted
from geopixel_edge.serve.settings import Settings
from geopixel_edge.serve.waiting import FairQueue, Ticket


def ticket(client: str, worker: int | None = None) -> Ticket:
    return Ticket(jobs.Forget(id="img_a.0_0"), client, 1e12, worker)


async def taken(queue: FairQueue, count: int, worker: int = 0) -> list[str]:
    return [(await asyncio.wait_for(queue.get(worker), 1)).client for _ in range(count)]


def test_clients_take_turns_however_much_one_asks() -> None:
    async def run() -> list[str]:
        queue = FairQueue(16)
        for client in "aaaaa":
            queue.put(ticket(client))
        for client in "bbc":
            queue.put(ticket(client))
        return await taken(queue, 8)

    assert "".join(asyncio.run(run())) == "abcabaaa"


def test_the_queue_refuses_with_the_time_to_wait_and_keeps_a_place_for_others() -> None:
    async def run() -> None:
        queue = FairQueue(8)
        queue.seconds_each = 20.0
        for _ in range(6):
            queue.put(ticket("greedy"))
        with pytest.raises(RequestError, match="6 of your requests wait, of 6") as one:
            queue.put(ticket("greedy"))
        queue.put(ticket("other"))
        queue.put(ticket("another"))
        with pytest.raises(RequestError, match="8 requests wait, of 8") as all_taken:
            queue.put(ticket("third"))
        assert one.value.told.status == all_taken.value.told.status == 429
        assert all_taken.value.headers == {"Retry-After": "40"}

    asyncio.run(run())


def test_a_ticket_for_one_worker_waits_for_it_and_others_pass() -> None:
    async def run() -> None:
        queue = FairQueue(8)
        queue.put(ticket("a", worker=1))
        queue.put(ticket("b"))
        assert await taken(queue, 1, worker=0) == ["b"]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(queue.get(0), 0.01)
        assert await taken(queue, 1, worker=1) == ["a"]

    asyncio.run(run())


def test_what_was_cancelled_is_never_begun() -> None:
    async def run() -> None:
        queue = FairQueue(8)
        gone = ticket("a")
        queue.put(gone)
        queue.put(ticket("b"))
        gone.cancel()
        assert await taken(queue, 1) == ["b"]
        assert len(queue) == 0

    asyncio.run(run())


def test_nobody_waits_for_what_was_cancelled_so_it_is_due_at_once() -> None:
    gone = ticket("a")
    gone.cancel()
    assert gone.ends_s <= time.monotonic()


def test_a_waiting_worker_is_woken_and_the_time_left_goes_with_the_job() -> None:
    async def run() -> None:
        queue = FairQueue(8)
        waiting = asyncio.create_task(queue.get(0))
        await asyncio.sleep(0)
        late = ticket("a")
        late.ends_s = 0.0
        queue.put(late)
        job = (await asyncio.wait_for(waiting, 1)).started()
        assert 0 < job.within_s < 0.01

    asyncio.run(run())


def test_when_the_server_ends_every_waiting_ticket_is_told() -> None:
    async def run() -> None:
        queue, one = FairQueue(8), ticket("a")
        queue.put(one)
        told = RequestError(503, "the server is ending", code="x").told
        queue.drop_all(told)
        assert await one.events.get() == jobs.Failed(0, told)
        assert len(queue) == 0

    asyncio.run(run())


def test_by_its_deadline_a_ticket_that_waits_is_ended_and_leaves_the_queue() -> None:
    async def run() -> None:
        front = Front(Settings())
        question = jobs.Ask(images=[], query="q", options={}, hd_num=9, wanted=Wanted())
        answered = await asyncio.wait_for(front.result(front.submit(question, "a", 0.02)), 1)
        assert isinstance(answered, jobs.Answered)
        assert (answered.text, answered.grounding.finish_reason) == ("", "deadline")
        with pytest.raises(RequestError, match="deadline came before its turn"):
            await asyncio.wait_for(front.result(front.submit(jobs.Forget(id=f"img_a.0_{'0' * 32}"), "a", 0.02)), 1)
        assert len(front.queue) == front.answering == 0

    asyncio.run(run())


def test_images_that_wait_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_QUEUED_BYTES", 100)

    async def run() -> None:
        front = Front(Settings())
        front.submit(jobs.Keep(image=jobs.Picture(data=bytes(200))), "a")  # one that is larger waits alone
        with pytest.raises(RequestError, match="200 bytes of images wait") as refused:
            front.submit(jobs.Keep(image=jobs.Picture(data=b"x")), "b")
        assert refused.value.told.status == 429

    asyncio.run(run())


def test_what_cannot_be_sent_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        queue, logged = FairQueue(8), []

        def log(event: str, **fields: object) -> None:
            logged.append((event, fields["request"]))

        link = Link(0, Front(Settings()).links[0].setup, queue, lambda cost: None, log)
        bad = ticket("a")
        bad.request_id = "req_7"
        bad.job = jobs.Ask(images=[], query="\ud800", options={"seed": 2**70}, hd_num=9, wanted=Wanted())

        async def send(record: object) -> None:
            jobs.frame(record)  # type: ignore[arg-type]

        monkeypatch.setattr(link, "send", send)
        giving = asyncio.create_task(link._give())
        queue.put(bad)
        failed = await asyncio.wait_for(bad.events.get(), 1)
        assert isinstance(failed, jobs.Failed)
        assert failed.told.status == 500
        assert logged == [("error", "req_7")]
        assert not giving.done()
        giving.cancel()
        link.current, link._done = bad, asyncio.Event()
        link._got(jobs.Failed(1, failed.told, trace="ValueError"))
        assert logged[1:] == [("error", "req_7")], "the log has the reason under the request's id"

    asyncio.run(run())
