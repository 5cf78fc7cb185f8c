"""Request bodies: bounded while they come, by bytes and by time, before anything in them is decoded."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from .. import limits
from .front import Front
from .jobs import Picture
from .problems import RequestError, busy, invalid
from .records import Bounds

Record = TypeVar("Record")
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,", re.A)
_IMAGE_ID = re.compile(r"img_[a-z0-9-]{1,32}\.\d{1,3}_[0-9a-f]{32}", re.A)
_CHUNK = 1 << 20  # a multiple of four characters; between two of these other requests have their turn


@asynccontextmanager
async def body_of(request: Request, front: Front) -> AsyncIterator[bytes]:
    """The whole body, counted among those held until the block is left.

    RequestError 413 when it is too long, 408 when it does not come in time, 429 when too many are held.
    """
    held, within_s = _Held(front), front.settings.receive_timeout_s
    declared = request.headers.get("content-length", "")
    try:
        if declared.isdigit():
            held.check(int(declared))
        try:
            yield await asyncio.wait_for(_read(request, held), within_s)
        except asyncio.TimeoutError:
            raise RequestError(
                408,
                f"the body did not come within {within_s:g} s; send it faster, or a smaller one",
                code="body_timeout",
                headers={"Connection": "close"},
            ) from None
    finally:
        front.held_body_bytes -= held.bytes


async def _read(request: Request, held: _Held) -> bytes:
    parts = []
    try:
        async for part in request.stream():
            held.add(len(part))
            parts.append(part)
    except ClientDisconnect:
        raise RequestError(400, "the client went away before its body was whole", code="disconnected") from None
    return b"".join(parts)


class _Held:
    """The bytes of one body, counted in those of all."""

    def __init__(self, front: Front) -> None:
        self.front, self.bytes = front, 0

    def add(self, count: int) -> None:
        self.bytes += count
        self.front.held_body_bytes += count
        self.check(self.bytes)

    def check(self, count: int) -> None:
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
    """A JSON body as a record. RequestError 400 names the field."""

    def decode() -> Record:
        return msgspec.json.decode(body, type=kind)

    try:
        return await asyncio.to_thread(decode)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            400, f"the body is no JSON in UTF-8 ({error}); send one object", code="invalid_json"
        ) from None


# --- Images -----------------------------------------------------------------------------------------------------


async def picture_of(
    text: str, param: str, *, bounds: Bounds | None, crs: str | None, bands: list[int] | None, plain: bool = False
) -> Picture:
    """An image from a data URL, an image id or, where `plain`, base64 alone. RequestError 400 names `param`."""
    placed = {"bounds": bounds, "crs": crs, "bands": tuple(bands) if bands is not None else None}
    if _IMAGE_ID.fullmatch(text):
        if any(value is not None for value in placed.values()):
            raise RequestError(
                400,
                f"{param}: an image that is kept has its place and bands; give these when you upload it",
                code="invalid_value",
                param=param,
            )
        return Picture(id=text)
    if text.startswith("img_") and len(text) < 200:
        raise RequestError(
            404, f"{param}: {text[:80]!r} is no image id of ours; upload the image", code="image_not_found", param=param
        )
    start = 0
    if found := _DATA_URL.match(text):
        start = found.end()
    elif not plain or "://" in text[:40] or text[:1] in ("/", "."):
        raise RequestError(
            400,
            f"{param}: {text[:40]!r} is no data URL and no image id, and the server fetches "
            "nothing and opens no files for clients; send data:image/png;base64,... or POST the file to /v1/images",
            code="invalid_image_url",
            param=param,
        )
    return Picture(data=await asyncio.to_thread(_from_base64, text, start, param), **placed)  # type: ignore[arg-type]


def _from_base64(text: str, start: int, param: str) -> bytes:
    """Decoded piece by piece, so that other threads have their turn in between."""
    try:
        return b"".join(
            base64.b64decode(text[at : at + _CHUNK], validate=True) for at in range(start, len(text), _CHUNK)
        )
    except (binascii.Error, ValueError):
        raise RequestError(
            400,
            f"{param}: what stands behind base64, is none; encode the file's bytes, without line breaks",
            code="invalid_base64",
            param=param,
        ) from None


# --- Multipart ----------------------------------------------------------------------------------------------------


class _InMemory(MultiPartParser):
    """Parts stay in memory, which the body's bound has allowed: nothing is written under any name."""

    spool_max_size = limits.MAX_IMAGE_FILE_BYTES


async def form_of(request: Request, body: bytes) -> FormData:
    """The fields of a multipart body. RequestError 400 where it is none."""

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(body), _CHUNK):
            yield body[at : at + _CHUNK]

    most = limits.MAX_SERVED_QUESTIONS
    try:
        parser = _InMemory(request.headers, stream(), max_files=most, max_fields=4 * most, max_part_size=1 << 20)  # type: ignore[arg-type]
        return await parser.parse()
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


async def files_of(form: FormData, name: str) -> list[bytes]:
    """The bytes of every file of a field, whatever names they were sent under."""
    files = [value for value in form.getlist(name) if isinstance(value, UploadFile)]
    return [await one.read() for one in files]


def texts_of(form: FormData, name: str) -> list[str]:
    """Every text of a field."""
    return [value for value in form.getlist(name) if isinstance(value, str)]
