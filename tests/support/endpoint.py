"""A server on this machine that speaks OpenAI's protocol, and misbehaves in every way that it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Respond = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    """Reads a question and lets `server.respond` answer it."""

    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One question."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        self.server.respond(self, body)

    def send(self, data: bytes, status: int = 200, length: int | None = None) -> None:
        """A response, of another length than it says if that is wanted."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *words: object) -> None:
        """Nothing is printed."""


class Endpoint(ThreadingHTTPServer):
    """What was asked, and how it is answered."""

    daemon_threads = True

    def __init__(self, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond = respond
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is expected."""


@contextmanager
def endpoint(respond: Respond) -> Iterator[Endpoint]:
    """A running server, ended at the end."""
    server = Endpoint(respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def completion(text: object, usage: object = None) -> bytes:
    """A whole reply with this content."""
    usage = {"prompt_tokens": 11, "completion_tokens": 7} if usage is None else usage
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}).encode()


def says(text: object) -> Respond:
    """The same content for every question."""
    return lambda handler, body: handler.send(completion(text))


def replies(data: bytes, status: int = 200) -> Respond:
    """The same bytes for every question."""
    return lambda handler, body: handler.send(data, status)


def hangs(seconds: float) -> Respond:
    """No reply for so long."""

    def respond(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return respond


def drips(seconds: float) -> Respond:
    """A byte now and then, each well before a socket's own time-out."""

    def respond(handler: Handler, body: dict[str, Any]) -> None:
        handler.send(b"{", length=1_000_000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)

    return respond


def goes_away(handler: Handler, body: dict[str, Any]) -> None:
    """Half a reply, and the connection ends."""
    handler.send(completion("half a repl")[:20], length=4_000)


def large(size: int) -> Respond:
    """A reply of so many bytes."""
    return lambda handler, body: handler.send(completion("a " * (size // 2)))


def after(failures: int, first: Respond, then: Respond) -> Respond:
    """`first` for so many questions, `then` for all others."""
    count = iter(range(failures))
    return lambda handler, body: (first if next(count, None) is not None else then)(handler, body)
