"""A server from its start to its end: it listens, tells when it is ready, drains when asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from ..errors import GeoPixelError, OptionError
from .app import make_app
from .front import Front
from .logs import log, take_over_logging
from .protocol import MAX_HEAD_BYTES, bounded
from .settings import Settings

SIGNALS = (signal.SIGTERM, signal.SIGINT)
TELLING_S = 2.0  # once the time to drain is over, for clients to be told; uvicorn then cancels what is left
Ready = Callable[[str, Front], None]


class EngineFailed(GeoPixelError):
    """The engine could not be loaded at the start; the message is the worker's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def serve(settings: Settings, on_ready: Ready) -> None:
    """Serve until a signal, and then until what was asked is answered; a second signal ends at once.

    `on_ready(url, front)` is called once every worker is loaded. OptionError where the address cannot be had, the
    worker's own error where the engine cannot be loaded at the start.
    """
    take_over_logging()
    listening = listen(settings.host, settings.port)
    front = Front(settings)
    server = _Server(
        uvicorn.Config(
            make_app(front),
            http=bounded(settings.receive_timeout_s),
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
    )
    front.connections = lambda: len(server.server_state.connections)
    with listening:
        asyncio.run(_run(server, front, listening, on_ready))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; OptionError where the address is taken or not this machine's."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise OptionError(f"host={host!r}, port={port}: {reason}; give another --port or --host") from None
    return found


class _Server(uvicorn.Server):
    """Signals are ours: uvicorn would end with the signal, and not with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(server: _Server, front: Front, listening: socket.socket, on_ready: Ready) -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(_asked_to_end, server, asked))
        for number in SIGNALS
    }
    starting = asyncio.create_task(_started(front, url_of(listening), on_ready))
    serving = asyncio.create_task(server.serve([listening]))
    draining = asyncio.create_task(_drained(server, front, asked))
    try:
        await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_EXCEPTION)
        if starting.done() and starting.exception():
            server.should_exit = True
        await serving
    finally:
        for task in (starting, draining):
            task.cancel()
        results = await asyncio.gather(starting, draining, return_exceptions=True)
        for number, handler in before.items():
            signal.signal(number, handler)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _started(front: Front, url: str, on_ready: Ready) -> None:
    """Say that the server is ready; EngineFailed where its first start shows that it never will be."""
    log("listening", url=url)
    for link in front.links:
        await link.first.wait()
        if link.broken:
            raise EngineFailed(link.broken.message, link.broken.exit_code)
    on_ready(url, front)


def _asked_to_end(server: _Server, asked: asyncio.Event) -> None:
    if asked.is_set():
        server.should_exit = server.force_exit = True
    asked.set()


async def _drained(server: _Server, front: Front, asked: asyncio.Event) -> None:
    """Once asked to end: take nothing new, wait for what is being answered, then let the server go."""
    await asked.wait()
    front.draining = True
    log("draining", answering=front.answering)
    until = time.monotonic() + front.settings.drain_s
    while front.is_busy and time.monotonic() < until:
        await asyncio.sleep(0.05)
    log("ending", unanswered=front.answering)
    front.give_up()
    until = time.monotonic() + TELLING_S
    while front.answering and time.monotonic() < until:
        await asyncio.sleep(0.05)
    server.should_exit = True


def url_of(listening: socket.socket) -> str:
    """The address as a browser takes it."""
    host, port, *_ = listening.getsockname()
    name: Any = f"[{host}]" if listening.family == socket.AF_INET6 else host
    return f"http://{name}:{port}/"
