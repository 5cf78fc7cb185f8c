"""Requests that wait for a worker: bounded, and fair between clients."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from . import jobs
from .problems import Told, busy

# One client may hold this part of the queue, so that another always finds a place.
SHARE = 0.75


@dataclass(eq=False)
class Ticket:
    """A job on its way: who asked, until when, and the events that came so far.

    `worker`: the only one that can do it, None for any. The last event is `jobs.Done` or `jobs.Failed`.
    """

    job: jobs.AnyJob
    client: str
    ends_s: float
    worker: int | None = None
    asked_s: float = field(default_factory=time.monotonic)
    begun_s: float | None = None
    events: asyncio.Queue[jobs.Event] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    on_cancel: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Nobody waits any more: a job that is written ends within one step, one that waits is never begun."""
        self.cancelled = True
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

    `limit` tickets in all, `SHARE` of it for one client. Not for several threads.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.most_of_one = limit, max(1, int(limit * SHARE))
        self.seconds_each = 1.0  # a moving mean of what an answer took
        self._clients: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(one) for one in self._clients.values())

    def put(self, ticket: Ticket) -> None:
        """Add a ticket, or 429 with the seconds after which there will be a place."""
        own = self._clients.get(ticket.client, ())
        if len(self) >= self.limit or len(own) >= self.most_of_one:
            what = f"{len(self)} requests wait, of {self.limit} that may"
            if len(self) < self.limit:
                what = f"{len(own)} of your requests wait, of {self.most_of_one} that may"
            raise busy(self.seconds_each * len(self) / 4, what)
        self._clients.setdefault(ticket.client, deque()).append(ticket)
        self._changed.set()

    async def get(self, worker: int) -> Ticket:
        """The next ticket that this worker can do; waits for one."""
        while (ticket := self._take(worker)) is None:
            self._changed.clear()
            await self._changed.wait()
        return ticket

    def _take(self, worker: int) -> Ticket | None:
        for client, tickets in list(self._clients.items()):
            for ticket in list(tickets):
                if ticket.cancelled:
                    tickets.remove(ticket)
                elif ticket.worker in (None, worker):
                    tickets.remove(ticket)
                    self._clients.move_to_end(client)
                    break
            else:
                ticket = None
            if not tickets:
                del self._clients[client]
            if ticket is not None:
                return ticket
        return None

    def learn(self, seconds: float) -> None:
        """An answer took so long; the next estimate of Retry-After counts it by a fifth."""
        self.seconds_each += (seconds - self.seconds_each) / 5

    def drop_all(self, told: Told) -> None:
        """End every ticket with an error."""
        for tickets in self._clients.values():
            for ticket in tickets:
                ticket.fail(told)
        self._clients.clear()
