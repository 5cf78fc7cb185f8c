"""Responses: records as JSON, errors as OpenAI's objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from .problems import ErrorObject, Told

RETRY_S = "5"  # in which a worker is started anew, or a balancer has found another server


def json_response(
    record: Any, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """A record or plain values as JSON."""
    return Response(msgspec.json.encode(record), status, dict(headers or {}), media_type)


def error_response(told: Told, headers: Mapping[str, str] | None = None) -> Response:
    """The error object of a problem; what may be answered later says after how long to ask again."""
    later = {"Retry-After": RETRY_S} if told.status in (429, 503) else {}
    return json_response(ErrorObject(told.problem), told.status, {**later, **(headers or {})})


def server_sent(record: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(record) + b"\n\n"
