"""One worker process, kept alive: started, spoken to, and started anew when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
import time
from collections.abc import Callable

from . import jobs
from .problems import Told, told, unavailable
from .waiting import FairQueue, Ticket

_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from geopixel_edge.serve.worker import main; main()"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 30.0
DIED = unavailable("the worker that wrote this answer ended; it is started anew, ask again", code="worker_died").told
HUNG = unavailable("the worker that wrote this answer hangs; it is started anew, ask again", code="worker_hung").told
Log = Callable[..., None]


class Link:
    """Worker `index`: takes tickets from the queue, hands the worker's events to them.

    `hello` is there while it is loaded; `broken` is why it could not be, the last time. `on_done(cost)` is told of what
    answers took. A worker ends its answer one step after the deadline; one that has not `hang_s` seconds later hangs
    and is ended.
    """

    def __init__(
        self,
        index: int,
        setup: jobs.Setup,
        queue: FairQueue,
        on_done: Callable[[jobs.Cost], None],
        log: Log,
        hang_s: float = math.inf,
    ) -> None:
        self.index, self.setup, self.queue, self._on_done, self._log = index, setup, queue, on_done, log
        self._hang_s = hang_s
        self.hello: jobs.Hello | None = None
        self.broken: jobs.Broken | None = None
        self.restarts = 0
        self.current: Ticket | None = None
        self.first = asyncio.Event()  # set once the first start has succeeded or failed
        self._process: asyncio.subprocess.Process | None = None
        self._next_number = 0
        self._cancelling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Keep a worker until cancelled; the longer it fails, the longer the next start waits."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                await self._live()
            except Exception as error:  # no process to be had, or a frame that is none: another start may do better
                self.broken = jobs.Broken(f"its process failed ({type(error).__name__}: {error})", 5)
                self.first.set()
                self._log("worker_failed", worker=self.setup.worker, reason=self.broken.message)
            wait_s = FIRST_WAIT_S if self.hello else min(LONGEST_WAIT_S, wait_s * 2)
            self.hello = None
            self.restarts += 1
            await asyncio.sleep(wait_s)

    async def _live(self) -> None:
        """One process from its start to its end."""
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            _CODE,
            json.dumps(sys.path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
            start_new_session=True,  # Ctrl-C is for the front
        )
        assert process.stdout is not None
        tasks: list[asyncio.Task[None]] = []
        try:
            await self.send(self.setup)
            match await _receive(process.stdout):
                case jobs.Hello() as hello:
                    self.hello, self.broken = hello, None
                    self._log("worker_ready", worker=self.setup.worker, pid=process.pid)
                case jobs.Broken() as broken:
                    self.broken = broken
                    self._log("worker_broken", worker=self.setup.worker, reason=broken.message)
                case None:  # it died over the engine: no memory, or a library that ends its process
                    self.broken = jobs.Broken("the worker ended while it loaded the engine; see the log", 5)
            self.first.set()
            if self.hello:
                tasks = [asyncio.create_task(self._give()), asyncio.create_task(self._watch(process))]
                while (event := await _receive(process.stdout)) is not None:
                    self._got(event)
        finally:
            await self._ended(process, tasks)

    def give_up(self, why: Told) -> None:
        """End the answer that is written with an error; the worker may go on with it."""
        if self.current is not None:
            self.current.fail(why)
            self.current = None

    async def _ended(self, process: asyncio.subprocess.Process, tasks: list[asyncio.Task[None]]) -> None:
        self.give_up(DIED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _kill(process)
        self._log("worker_ended", worker=self.setup.worker, code=await process.wait())

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """End the worker when it hangs, whatever it hangs in; the end of its output has it started anew."""
        while True:
            await asyncio.sleep(min(1.0, self._hang_s / 4))
            if self.current is not None and time.monotonic() > self.current.ends_s + self._hang_s:
                self._log("worker_hung", worker=self.setup.worker, pid=process.pid, request=self.current.request_id)
                self.give_up(HUNG)
                _kill(process)
                return

    async def _give(self) -> None:
        """Hand out one ticket after the other."""
        while True:
            ticket = await self.queue.get(self.index)
            done = asyncio.Event()
            self.current, self._next_number = ticket, self._next_number + 1
            self._done = done
            try:
                await self._begin(ticket)
                await done.wait()
            except Exception as error:  # what cannot be sent ends alone
                reason = str(error)[:500]
                worker, kind = self.setup.worker, type(error).__name__
                self._log("error", request=ticket.request_id, worker=worker, kind=kind, reason=reason)
                self.current = None
                ticket.fail(told(error))

    async def _begin(self, ticket: Ticket) -> None:
        number = self._next_number
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            if self.current is ticket:
                self._cancelling = loop.create_task(self.send(jobs.Cancel(number)))

        job = ticket.started()
        ticket.on_cancel = cancel
        await self.send(jobs.numbered(job, number))
        if ticket.cancelled:
            cancel()

    def _got(self, event: jobs.FromWorker) -> None:
        ticket = self.current
        if ticket is None or isinstance(event, (jobs.Hello, jobs.Broken)):
            return
        if isinstance(event, jobs.Failed) and event.trace:
            self._log("error", request=ticket.request_id, worker=self.setup.worker, trace=event.trace)
        if isinstance(event, (jobs.Done, jobs.Failed)):
            self.current = None
            self._done.set()
            self.queue.learn(time.monotonic() - (ticket.begun_s or 0.0))
            if isinstance(event, jobs.Done):
                self._on_done(event.cost)
        ticket.events.put_nowait(event)

    async def send(self, record: jobs.Setup | jobs.ToWorker) -> None:
        """Send a frame; a worker that is gone is told of by the end of its output."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(ConnectionError, RuntimeError):
            process.stdin.write(jobs.frame(record))
            await process.stdin.drain()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _receive(stream: asyncio.StreamReader) -> jobs.FromWorker | None:
    """The next event; None at the end."""
    try:
        length = jobs.length_of(await stream.readexactly(jobs.HEADER.size))
        event: jobs.FromWorker = jobs.from_worker.decode(await stream.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    return event
