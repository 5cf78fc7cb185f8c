"""Requests that wait for a worker: bounded, and fair between clients."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from .. import limits
from . import jobs
from .problems import Told, busy

# One client may hold this part of the queue, so that another always finds a place.
SHARE = 0.75


@dataclass(eq=False)
class Ticket:
    """A job on its way: who asked, until when, and the events that came so far.

    `worker`: the only one that can do it, None for any. `bytes` of the image files in it. `ends_s`: when it is to be
    over, by the monotonic clock. `request_id`: under which the log has it. The last event is `jobs.Done` or
    `jobs.Failed`.
    """

    job: jobs.AnyJob
    client: str
    ends_s: float
    worker: int | None = None
    bytes: int = 0
    request_id: str = ""
    begun_s: float | None = None
    events: asyncio.Queue[jobs.Event] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    on_cancel: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Nobody waits any more: a job that is written ends within one step, one that waits is never begun."""
        self.cancelled, self.ends_s = True, min(self.ends_s, time.monotonic())
        if self.on_cancel:
            self.on_cancel()

    def fail(self, told: Told) -> None:
        """End it with an error."""
        self.events.put_nowait(jobs.Failed(self.job.number, told))

    def started(self) -> jobs.AnyJob:
        """The job as the worker gets it, with the time that is left."""
        self.begun_s = time.monotonic()
        return msgspec.structs.replace(self.job, within_s=max(0.001, self.ends_s - self.begun_s))


class FairQueue:
    """Tickets by client; clients take turns, whoever asks more waits for their own.

    `limit` tickets in all, `SHARE` of it for one client, `limits.MAX_QUEUED_BYTES` in their images. For one thread.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.most_of_one = limit, max(1, int(limit * SHARE))
        self.seconds_each = 1.0  # a moving mean of what an answer took
        self._clients: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(one) for one in self._clients.values())

    @property
    def bytes(self) -> int:
        """Of the image files that wait."""
        return sum(ticket.bytes for one in self._clients.values() for ticket in one)

    def put(self, ticket: Ticket) -> None:
        """Add a ticket, or 429 with the seconds after which there will be a place."""
        own = self._clients.get(ticket.client, ())
        if len(self) >= self.limit or len(own) >= self.most_of_one:
            what = f"{len(self)} requests wait, of {self.limit} that may"
            if len(self) < self.limit:
                what = f"{len(own)} of your requests wait, of {self.most_of_one} that may"
            raise busy(self.seconds_each * len(self) / 4, what)
        if len(self) and self.bytes + ticket.bytes > limits.MAX_QUEUED_BYTES:
            raise busy(self.seconds_each * len(self) / 4, f"{self.bytes:,} bytes of images wait")
        self._clients.setdefault(ticket.client, deque()).append(ticket)
        ticket.on_cancel = lambda: self._drop(ticket)
        self._changed.set()

    async def get(self, worker: int) -> Ticket:
        """The next ticket that this worker can do; waits for one."""
        while (ticket := self._take(worker)) is None:
            self._changed.clear()
            await self._changed.wait()
        return ticket

    def _take(self, worker: int) -> Ticket | None:
        for client, tickets in self._clients.items():
            found = next((one for one in tickets if one.worker in (None, worker)), None)
            if found is not None:
                self._clients.move_to_end(client)
                self._drop(found)
                return found
        return None

    def _drop(self, ticket: Ticket) -> None:
        tickets = self._clients[ticket.client]
        tickets.remove(ticket)
        ticket.on_cancel = None
        if not tickets:
            del self._clients[ticket.client]

    def learn(self, seconds: float) -> None:
        """An answer took so long; the next estimate of Retry-After counts it by a fifth."""
        self.seconds_each += (seconds - self.seconds_each) / 5

    def drop_all(self, told: Told) -> None:
        """End every ticket with an error."""
        for tickets in self._clients.values():
            for ticket in tickets:
                ticket.on_cancel = None
                ticket.fail(told)
        self._clients.clear()
