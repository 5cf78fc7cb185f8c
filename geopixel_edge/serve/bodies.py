"""Request bodies: bounded while they come, by bytes and by time, before anything in them is decoded."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from .. import limits
from .front import Front
from .problems import RequestError, busy, invalid

Record = TypeVar("Record")
PASSING_S, IDLE_S = 5.0, 0.5  # how long a body that was refused is read on, and how long nothing may come of it
CHUNK = 1 << 20  # a multiple of four characters; between two of these other requests have their turn


@contextlib.asynccontextmanager
async def body_of(request: Request, front: Front) -> AsyncIterator[Body]:
    """The whole body, counted among those held until the block is left.

    RequestError 413 when it is too long, 408 when it does not come in time, 429 when too many are held.
    """
    held, within_s = Body(front), front.settings.receive_timeout_s
    declared = request.headers.get("content-length", "")
    try:
        try:
            if declared.isdigit():
                held.check(int(declared))
            held.whole(await asyncio.wait_for(_read(request, held), within_s))
        except RequestError as error:
            if error.told.status == 413 and "expect" not in request.headers:  # who waits for a word has sent nothing
                await _let_pass(request, 4 * front.settings.max_body_bytes)
            raise
        except asyncio.TimeoutError:
            raise RequestError(
                408,
                f"the body did not come within {within_s:g} s; send it faster, or a smaller one",
                code="body_timeout",
                headers={"Connection": "close"},
            ) from None
        yield held
    finally:
        front.held_body_bytes -= held.bytes


async def _read(request: Request, held: Body) -> bytes:
    parts = []
    try:
        async for part in request.stream():
            held.add(len(part))
            parts.append(part)
    except ClientDisconnect:
        raise RequestError(400, "the client went away before its body was whole", code="disconnected") from None
    return b"".join(parts)


async def _let_pass(request: Request, most_bytes: int) -> None:
    """Read on without holding anything: a client that is cut off while it sends never sees why."""

    async def passed(left: int) -> None:
        while left > 0:
            message = await asyncio.wait_for(request.receive(), IDLE_S)
            left -= len(message.get("body", b""))
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(passed(most_bytes), PASSING_S)


class Body:
    """One body, `data` once it is whole; its bytes, and those of images that it names, count in those of all."""

    def __init__(self, front: Front) -> None:
        self.front, self.bytes, self.data = front, 0, b""
        self._ends_s = math.inf

    def whole(self, data: bytes) -> None:
        """It has come; the images that it names may take as long again, all together."""
        self.data, self._ends_s = data, time.monotonic() + self.front.settings.receive_timeout_s

    @property
    def left_s(self) -> float:
        """Seconds that images it names may still take."""
        return max(0.001, self._ends_s - time.monotonic())

    @property
    def left(self) -> int:
        """Bytes that it may still hold."""
        return self.front.settings.max_body_bytes - self.bytes

    def add(self, count: int) -> None:
        """Count bytes that have come; RequestError 413 or 429 where they are too many."""
        self.bytes += count
        self.front.held_body_bytes += count
        self.check(self.bytes)

    def check(self, count: int) -> None:
        """RequestError 413 or 429 where so many in all would be too many."""
        most = self.front.settings.max_body_bytes
        if count > most:
            raise RequestError(
                413,
                f"the body has over {most:,} bytes, the most this server takes; send fewer or smaller images",
                code="body_too_large",
                headers={"Connection": "close"},
            )
        if self.front.held_body_bytes + count - self.bytes > max(limits.MAX_HELD_BODY_BYTES, most):
            raise busy(self.front.queue.seconds_each, "the bodies of other requests take all the memory meant for them")


# --- JSON -------------------------------------------------------------------------------------------------------


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_type(request: Request, *allowed: str) -> str:
    """The content type; RequestError 415 for another one."""
    if (found := media_type(request)) not in allowed:
        raise RequestError(
            415, f"Content-Type is {found[:60]!r}; send {' or '.join(allowed)}", code="unsupported_media_type"
        )
    return found


async def decoded(body: bytes, kind: type[Record]) -> Record:
    """A JSON body as a record. RequestError 400 names the field, 413 where it has too many values to make any of."""

    def decode() -> Record:
        if body.count(b",") >= limits.MAX_JSON_VALUES:
            raise RequestError(
                413,
                f"the body has over {limits.MAX_JSON_VALUES:,} values; send fewer, of earlier answers "
                "`grounding.response` alone",
                code="too_many_values",
            )
        return msgspec.json.decode(body, type=kind)

    try:
        return await asyncio.to_thread(decode)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            400, f"the body is no JSON in UTF-8 ({error}); send one object", code="invalid_json"
        ) from None


# --- Multipart ----------------------------------------------------------------------------------------------------


class _InMemory(MultiPartParser):
    """Parts stay in memory, which the body's bound has allowed: nothing is written under any name."""

    spool_max_size = limits.MAX_IMAGE_FILE_BYTES

    def on_part_end(self) -> None:
        """A part has come; a text is one in its charset, where Starlette would take what is none as Latin-1."""
        if self._current_part.file is None:
            try:
                self._current_part.data.decode(self._charset)
            except UnicodeDecodeError:
                raise MultiPartException(f"{self._current_part.field_name[:40]} is no text in UTF-8") from None
        super().on_part_end()


async def form_of(request: Request, body: bytes, fields: Sequence[str]) -> FormData:
    """The fields of a multipart body. RequestError 400 where it is none, or has others than these."""

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(body), CHUNK):
            yield body[at : at + CHUNK]

    most = limits.MAX_SERVED_QUESTIONS
    try:
        parser = _InMemory(request.headers, stream(), max_files=most, max_fields=4 * most, max_part_size=1 << 20)  # type: ignore[arg-type]
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(
            400, f"the body is no multipart form that is taken here: {error.message}", code="invalid_form"
        ) from None
    except (KeyError, ValueError, UnicodeDecodeError, AssertionError) as error:
        raise RequestError(
            400,
            f"the body is no multipart form ({type(error).__name__}); send one as curl -F does",
            code="invalid_form",
        ) from None
    for name in form:
        if name not in fields:
            raise RequestError(
                400, f"{name[:40]!r} is no field here; send {', '.join(fields)}", code="unknown_field", param=name[:40]
            )
    return form


async def files_of(form: FormData, name: str) -> list[bytes]:
    """The bytes of every file of a field, whatever names they were sent under."""
    files = [value for value in form.getlist(name) if isinstance(value, UploadFile)]
    return [await one.read() for one in files]


def texts_of(form: FormData, name: str) -> list[str]:
    """Every text of a field."""
    return [value for value in form.getlist(name) if isinstance(value, str)]
