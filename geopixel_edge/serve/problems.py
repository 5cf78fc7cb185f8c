"""Errors as clients meet them: a status, and OpenAI's error object with our remedy."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import (
    EngineError,
    GeoPixelError,
    ImageError,
    MemoryBudgetError,
    OptionError,
    QueryError,
    ResourceError,
    RuntimeUnavailableError,
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """`type` and `code` are words for programs, `message` names what is wrong and what mends it."""

    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None


class ErrorObject(msgspec.Struct, frozen=True):
    """The body of every answer with a status of 400 or above."""

    error: Problem


class Told(msgspec.Struct, frozen=True):
    """A problem and its status, as they cross from a worker to the front."""

    status: int
    problem: Problem


class RequestError(GeoPixelError):
    """The request cannot be answered; the message names what is wrong with it and what mends it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.told = Told(status, Problem(message=message, type=kind, param=param, code=code))
        self.headers = headers or {}


# From the special to the general: the first that fits counts.
_STATUS: tuple[tuple[type[GeoPixelError], int, str], ...] = (
    (ImageError, 400, "image_error"),
    (QueryError, 400, "query_error"),
    (OptionError, 400, "option_error"),
    (MemoryBudgetError, 413, "memory_budget"),
    (ResourceError, 503, "resource_error"),
    (RuntimeUnavailableError, 501, "runtime_unavailable"),
    (EngineError, 500, "engine_error"),
)
INTERNAL = "the server failed here; its log has the reason under this request's id"


def told(error: BaseException) -> Told:
    """What a client is told of an error; of one that is not ours nothing but that it happened."""
    if isinstance(error, RequestError):
        return error.told
    if not isinstance(error, GeoPixelError):
        return Told(500, Problem(message=INTERNAL, type="server_error", code="internal_error"))
    status, code = next(((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (500, "error"))
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return Told(status, Problem(message=str(error), type=kind, code=code))


def busy(seconds: float, what: str) -> RequestError:
    """429, with the seconds after which another try makes sense."""
    after = max(1, round(seconds))
    return RequestError(
        429,
        f"{what}; ask again in {after} s",
        code="rate_limit_exceeded",
        kind="rate_limit_error",
        headers={"Retry-After": str(after)},
    )


def unavailable(message: str, code: str = "unavailable") -> RequestError:
    """503, the server cannot answer now."""
    return RequestError(503, message, code=code, kind="server_error")


def invalid(error: msgspec.ValidationError) -> RequestError:
    """400 for a body that is no such record: msgspec's sentence, and the field it names."""
    reason, _, path = str(error).partition(" - at ")
    param = path.strip("`").removeprefix("$").lstrip(".") or None
    return RequestError(400, f"{param or 'the body'}: {reason}", code="invalid_value", param=param)


def as_values(value: Any) -> Any:
    """A record as plain values, for JSON."""
    return msgspec.to_builtins(value)
