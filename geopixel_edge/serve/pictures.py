"""How a body gives an image: as data, as the id of a kept one or, where that is allowed, by address or path."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re

from .bodies import CHUNK, Body
from .jobs import Picture
from .problems import RequestError
from .records import Bounds, SegmentImage

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,", re.A)
_IMAGE_ID = re.compile(r"img_[a-z0-9-]{1,32}\.\d{1,3}_[0-9a-f]{32}", re.A)


async def picture_of(
    text: str,
    param: str,
    body: Body,
    *,
    bounds: Bounds | None,
    crs: str | None,
    bands: list[int] | None,
    plain: bool = False,
) -> Picture:
    """An image from a data URL, an image id, an address or path that is allowed or, where `plain`, base64 alone.

    RequestError 400, and others where it is named, with `param`.
    """
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
    if found := _DATA_URL.match(text):
        data = await asyncio.to_thread(_from_base64, text, found.end(), param)
    elif (named := await body.front.named.read(text, param, body.left, body.left_s)) is not None:
        data = named
        body.add(len(data))
    elif plain and "://" not in text[:40] and text[:1] not in ("/", "."):
        data = await asyncio.to_thread(_from_base64, text, 0, param)
    else:
        raise RequestError(
            400,
            f"{param}: {text[:40]!r} is no data URL and no image id, and as it was started the server fetches nothing "
            "and opens no files for clients; send data:image/png;base64,... or POST the file to /v1/images",
            code="invalid_image_url",
            param=param,
        )
    return Picture(data=data, **placed)  # type: ignore[arg-type]


async def picture_in(image: SegmentImage | str, param: str, body: Body) -> Picture:
    """The image of a body about phrases or for keeping, where it may be base64 alone."""
    one = SegmentImage(image) if isinstance(image, str) else image
    return await picture_of(one.image, param, body, bounds=one.bounds, crs=one.crs, bands=one.bands, plain=True)


def _from_base64(text: str, start: int, param: str) -> bytes:
    """Decoded piece by piece, so that other threads have their turn in between."""
    try:
        return b"".join(base64.b64decode(text[at : at + CHUNK], validate=True) for at in range(start, len(text), CHUNK))
    except (binascii.Error, ValueError):
        raise RequestError(
            400,
            f"{param}: what stands behind base64, is none; encode the file's bytes, without line breaks",
            code="invalid_base64",
            param=param,
        ) from None
