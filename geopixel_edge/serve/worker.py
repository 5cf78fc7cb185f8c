"""The process that holds an engine: jobs come on standard input, events go to standard output, until the input ends."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import traceback
from typing import BinaryIO

from ..errors import GeoPixelError, ResourceError
from ..pipeline import Pipeline
from ..resources import shortage
from . import jobs
from .answering import Answering, DeadlineToken
from .kept import KeptImages
from .logs import take_over_logging
from .problems import told

Waiting = tuple[jobs.AnyJob, DeadlineToken]


class Channel:
    """The two standard streams, taken before a library can print to them."""

    def __init__(self) -> None:
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
        self._out = os.dup(1)
        os.dup2(2, 1)  # what is printed goes to the log
        self._lock = threading.Lock()

    def read(self) -> bytes | None:
        """The body of the next frame; None once the front is gone."""
        header = self._in.read(jobs.HEADER.size)
        if len(header) < jobs.HEADER.size:
            return None
        length = jobs.length_of(header)
        body = self._in.read(length)
        return body if len(body) == length else None

    def write(self, record: jobs.FromWorker) -> None:
        """Send a frame whole; the process ends where the front is gone."""
        data = memoryview(jobs.frame(record))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._out, data) :]
            except OSError:
                os._exit(0)


class Worker:
    """Answers one job at a time, while a thread takes in further ones and cancellations."""

    def __init__(self, answering: Answering, channel: Channel) -> None:
        self.answering, self.channel = answering, channel
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._stops: dict[int, DeadlineToken] = {}

    def run(self) -> None:
        """Work until the front is gone."""
        threading.Thread(target=self._take_in, name="front", daemon=True).start()
        while True:
            job, stop = self._waiting.get()
            try:
                self._answer(job, stop)
            finally:
                self._stops.pop(job.number, None)

    def _take_in(self) -> None:
        while (body := self.channel.read()) is not None:
            match jobs.to_worker.decode(body):
                case jobs.Cancel(number):
                    if stop := self._stops.get(number):
                        stop.set("cancelled")
                case job:
                    self._stops[job.number] = stop = DeadlineToken(job.within_s)
                    self._waiting.put((job, stop))
        os._exit(0)  # nobody waits for what is being answered

    def _answer(self, job: jobs.AnyJob, stop: DeadlineToken) -> None:
        try:
            result, cost = self.answering.answer(job, stop, self.channel.write)
        except GeoPixelError as error:
            self.channel.write(jobs.Failed(job.number, told(error)))
        except Exception as error:  # whatever a library raises ends this job alone
            known = shortage(error, "the request")
            trace = "" if known else traceback.format_exc()
            self.channel.write(jobs.Failed(job.number, told(known or error), trace))
        else:
            self.channel.write(jobs.Done(job.number, result, cost))


def main() -> None:
    """Load the engine, say so, and work."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the front drains, and ends this process by closing its input
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    take_over_logging()
    channel = Channel()
    if (body := channel.read()) is None:
        return
    setup = jobs.setup_of.decode(body)
    try:
        pipe = Pipeline(setup.engine, device=setup.device, threads=setup.threads, memory=setup.memory)
        kept = KeptImages(pipe, setup.prefix, setup.keep_bytes)
    except GeoPixelError as error:
        channel.write(jobs.Broken(str(error), error.exit_code))
        sys.exit(error.exit_code)
    except MemoryError:
        channel.write(jobs.Broken("the engine finds no memory; free some", ResourceError.exit_code))
        sys.exit(ResourceError.exit_code)
    manifest = pipe.engine.manifest
    channel.write(jobs.Hello(manifest.family, manifest.precision, pipe.model.device.kind, kept.allowed_bytes))
    Worker(Answering(pipe, kept, setup.worker), channel).run()
