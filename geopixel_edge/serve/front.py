"""What all routes share: the queue, the workers, and whether the server is ready, drains or has failed."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncGenerator, Callable

import msgspec

from ..resources import return_heap
from ..version import __version__
from . import jobs
from .link import Link
from .logs import log
from .metrics import Metrics
from .named import NamedImages
from .problems import RequestError, unavailable
from .replies import Health
from .settings import Settings
from .waiting import FairQueue, Ticket

REST_S = 2.0  # after an answer


class Front:
    """Submits jobs for clients and passes on what comes back; an async context manager that holds the workers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.queue = FairQueue(settings.queue)
        self.draining = False
        self.links = [
            Link(index, self._setup(index, device), self.queue, self._done, log, settings.hang_s)
            for index, device in enumerate(settings.devices)
        ]
        self.metrics = Metrics(self._state)
        self.named = NamedImages(settings)
        self.held_body_bytes = 0
        self.answering = 0  # requests that wait or are answered
        self.connections: Callable[[], int] = lambda: 0  # open now; who listens says how many
        self._tasks: list[asyncio.Task[None]] = []
        self._resting: asyncio.TimerHandle | None = None

    def _setup(self, index: int, device: str) -> jobs.Setup:
        one = self.settings
        worker = f"{one.name}.{index}"
        return jobs.Setup(one.engine, device, one.threads, one.memory, one.keep_bytes, worker, f"img_{worker}_")

    async def __aenter__(self) -> Front:
        self._tasks = [asyncio.create_task(link.run()) for link in self.links]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.named.close()
        if self._resting is not None:
            self._resting.cancel()
        self.give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- State ------------------------------------------------------------------------------------------------

    @property
    def hello(self) -> jobs.Hello | None:
        """What a loaded worker says of its engine; None while none is loaded."""
        return next((link.hello for link in self.links if link.hello), None)

    @property
    def model(self) -> str:
        """The model's id: the family of the engine."""
        return self.hello.family if self.hello else "geopixel"

    def health(self) -> Health:
        """Ready once every worker has verified and loaded its engine, and not while draining."""
        if self.draining:
            return Health("draining", __version__, "the server ends once what was asked is answered")
        for link in self.links:
            if link.hello is None:
                reason = link.broken.message if link.broken else "the engine is being verified and loaded"
                return Health("broken" if link.broken else "loading", __version__, reason)
        return Health("ok", __version__)

    def give_up(self) -> None:
        """End all that waits or is answered with an error, so that every client is told."""
        why = unavailable("the server ends, and the time for what was asked before is over; ask another", "ending").told
        self.queue.drop_all(why)
        for link in self.links:
            link.give_up(why)

    def _state(self) -> list[tuple[str, str, float]]:
        """What the metrics read."""
        return [
            ("queue_length", "Requests that wait for a worker", len(self.queue)),
            ("answering", "Requests that wait or are answered", self.answering),
            ("ready", "1 when questions are answered", self.health().status == "ok"),
            ("held_body_bytes", "Bytes of request bodies held now", self.held_body_bytes),
            ("worker_restarts", "Workers started anew", sum(link.restarts for link in self.links)),
        ]

    @property
    def is_busy(self) -> bool:
        """Whether anything that was asked is still to be answered."""
        return bool(self.answering or len(self.queue) or any(link.current for link in self.links))

    # --- Jobs -------------------------------------------------------------------------------------------------

    def submit(self, job: jobs.AnyJob, client: str, deadline_s: float | None = None, request_id: str = "") -> Ticket:
        """Put a job into the queue. RequestError 429 when it is full, 503 while draining or without an engine."""
        if self.draining:
            raise unavailable("the server is ending and takes no more questions; ask another", code="draining")
        broken = [link.broken for link in self.links if link.broken and not link.hello]
        if len(broken) == len(self.links) and broken[0]:
            raise unavailable(f"the engine cannot be loaded: {broken[0].message}", code="not_ready")
        within_s = min(deadline_s or self.settings.deadline_s, self.settings.deadline_s)
        size = sum(map(len, _files(job)))
        ticket = Ticket(job, client, time.monotonic() + within_s, self._worker_of(job), size, request_id)
        self.queue.put(ticket)
        return ticket

    def _worker_of(self, job: jobs.AnyJob) -> int | None:
        """The worker that holds the images a job names; None where any will do. RequestError 404, 400."""
        holders = {self._holder(one) for one in _ids(job)}
        if not holders and len(self.links) > 1 and len(files := _files(job)) == 1:
            return zlib.crc32(files[0]) % len(self.links)  # the same picture comes to the worker that has it open
        if len(holders) > 1:
            raise RequestError(
                400, "the images are kept by different workers; send their data instead of ids", code="images_apart"
            )
        return holders.pop() if holders else None

    def _holder(self, image_id: str) -> int:
        for link in self.links:
            if image_id.startswith(link.setup.prefix):
                return link.index
        raise RequestError(
            404,
            f"image {image_id[:80]!r} is of another server than {self.settings.name!r}; the middle of an id names its "
            "worker: ask that one, or upload the image here",
            code="image_not_found",
        )

    async def events(self, ticket: Ticket) -> AsyncGenerator[jobs.Event, None]:
        """A ticket's events up to `jobs.Done`; RequestError where it fails. Leaving early cancels the job.

        Where the deadline comes before the ticket's turn, a question's answer is empty and says so; else 503.
        """
        self.answering += 1
        ended = False
        try:
            while not ended:
                event = await _next(ticket)
                ended = isinstance(event, (jobs.Done, jobs.Failed))
                if isinstance(event, jobs.Failed):
                    raise _raised(event)
                yield event
        finally:
            self.answering -= 1
            if not ended:
                ticket.cancel()
            if self._resting is None:
                self._resting = asyncio.get_running_loop().call_later(REST_S, self._rest)

    def _rest(self) -> None:
        """Where nothing is asked, give back the memory that the bodies of a busy time took."""
        self._resting = None
        if not self.answering:
            return_heap()

    async def result(self, ticket: Ticket) -> jobs.Result:
        """A ticket's result."""
        async with contextlib.aclosing(self.events(ticket)) as events:
            async for event in events:
                if isinstance(event, jobs.Done):
                    return event.result
        raise AssertionError("a ticket ends with Done or Failed")

    def _done(self, cost: jobs.Cost) -> None:
        self.metrics.add(cost)


def _ids(job: jobs.AnyJob) -> list[str]:
    match job:
        case jobs.Ask(images=images) | jobs.Segment(images=images):
            return [one.id for one in images if one.id]
        case jobs.Keep():
            return []
        case jobs.Preview(id=one) | jobs.Forget(id=one):
            return [one]
    raise AssertionError(job)


def _files(job: jobs.AnyJob) -> list[bytes]:
    match job:
        case jobs.Ask(images=images) | jobs.Segment(images=images):
            return [one.data for one in images]
        case jobs.Keep(image=image):
            return [image.data]
    return []


async def _next(ticket: Ticket) -> jobs.Event:
    """The next event; by the deadline one that ends a ticket whose turn has not come."""
    if ticket.begun_s is None:
        left_s = max(0.0, ticket.ends_s - time.monotonic())
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(ticket.events.get(), left_s)
    if ticket.begun_s is not None:
        return await ticket.events.get()
    ticket.cancel()
    if isinstance(ticket.job, jobs.Ask):
        return jobs.Done(0, jobs.NOTHING_BY_DEADLINE, jobs.Cost())
    return jobs.Failed(0, unavailable("its deadline came before its turn; give it more time", code="deadline").told)


def _raised(event: jobs.Failed) -> RequestError:
    problem = event.told.problem
    error = RequestError(event.told.status, problem.message, code=problem.code or "error", param=problem.param)
    error.told = msgspec.structs.replace(event.told)
    return error
