"""HTTP/1.1 as uvicorn speaks it with h11, with a time limit for a request's head and our error object for bad ones."""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from .problems import ErrorObject, Problem

MAX_HEAD_BYTES = 64 * 1024


class BoundedProtocol(H11Protocol):
    """A connection that does not send a whole head in time is closed; one that sends nonsense is told so."""

    head_timeout_s = 30.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def handle_events(self) -> None:
        """Bytes have come; the timer ends with a whole head, and begins with the first bytes of the next one."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._end_timer()
        elif self._head_timer is None and self.conn.trailing_data[0] and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 does not take: smuggled lengths, bad names, heads that are too long."""
        if getattr(sys.exc_info()[1], "error_status_hint", 400) == 431:
            self._refuse(431, f"the head has over {MAX_HEAD_BYTES:,} bytes; send fewer or shorter headers")
        else:
            self._refuse(400, f"this is no HTTP request that is taken here ({msg}); correct it")

    def _refuse(self, status: int, message: str) -> None:
        problem = Problem(message=message, code="bad_request")
        body = msgspec.json.encode(ErrorObject(problem))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, f"the head did not come within {self.head_timeout_s:g} s; send it faster")

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bounded(head_timeout_s: float) -> type[BoundedProtocol]:
    """The protocol with another time limit for heads; uvicorn makes one object a connection."""
    return type("Bounded", (BoundedProtocol,), {"head_timeout_s": head_timeout_s})
