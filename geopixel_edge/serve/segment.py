"""POST /v1/segment: phrases of images or tiles, without prose; JSON or multipart in, JSON or GeoJSON out."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from .. import limits
from . import jobs
from .bodies import body_of, check_type, decoded, files_of, form_of, texts_of
from .front import Front
from .jobs import Picture
from .pictures import picture_in
from .problems import RequestError, invalid
from .records import PLACED, SINGLE, Bands, SegmentRequest
from .replies import Segmentation
from .responses import json_response
from .waiting_clients import while_connected

GEOJSON, JSON = "application/geo+json", "application/json"
FORM = ("image", "phrase", *PLACED, *SINGLE)


class Segmenting:
    """The route of phrases."""

    def __init__(self, front: Front) -> None:
        self.front = front

    async def segment(self, request: Request) -> Response:
        """POST /v1/segment."""
        geojson = wants_geojson(request.headers.get("accept", ""))
        kind = check_type(request, JSON, "multipart/form-data")
        async with body_of(request, self.front) as body:
            if kind == JSON:
                asked = await decoded(body.data, SegmentRequest)
                check_count(len(asked.images), len(asked.phrases))
                pictures = [await picture_in(one, f"images[{number}]", body) for number, one in enumerate(asked.images)]
            else:
                asked, pictures = await _from_form(await form_of(request, body.data, FORM))
        job = jobs.Segment(
            images=pictures,
            phrases=asked.phrases,
            max_new_tokens=asked.max_new_tokens,
            hd_num=asked.hd_num,
            polygons=asked.polygons,
            geojson=geojson,
        )
        ticket = self.front.submit(job, request.state.client, asked.deadline_s, request.state.request_id)
        result = await while_connected(request, self.front.result(ticket))
        assert isinstance(result, jobs.Segmented)
        if result.geojson is not None:
            return json_response(result.geojson, media_type=GEOJSON)
        return json_response(Segmentation(self.front.model, result.results, result.usage))


def check_count(images: int, phrases: int) -> None:
    """RequestError 413 for more questions than one request may hold."""
    if images * phrases > limits.MAX_SERVED_QUESTIONS:
        raise RequestError(
            413,
            f"{images} images and {phrases} phrases are {images * phrases} questions; send at most "
            f"{limits.MAX_SERVED_QUESTIONS} in one request",
            code="too_many_questions",
        )


def wants_geojson(accept: str) -> bool:
    """Whether GeoJSON is named before JSON, by weight and then by order; RequestError 406 where neither is taken."""
    if not accept.strip():
        return False
    best, chosen = 0.0, None
    for part in accept.split(","):
        name, *parameters = (one.strip().lower() for one in part.split(";"))
        weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            value = float(weight)
        except ValueError:
            value = 0.0
        if value > best and name in (GEOJSON, JSON, "*/*", "application/*"):
            best, chosen = value, name
    if chosen is None:
        raise RequestError(406, f"Accept: give {JSON} or {GEOJSON}", code="not_acceptable")
    return chosen == GEOJSON


async def _from_form(form: FormData) -> tuple[SegmentRequest, list[Picture]]:
    """`image` (files), `phrase` and what places an image may repeat; the others are those of the JSON form."""
    files, phrases = await files_of(form, "image"), texts_of(form, "phrase")
    check_count(len(files), max(1, len(phrases)))
    values: dict[str, Any] = {name: texts_of(form, name)[-1] for name in SINGLE if texts_of(form, name)}
    values |= {"images": [""] * len(files), "phrases": phrases}
    try:
        asked = msgspec.convert(values, SegmentRequest, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    return asked, placed(form, files)


def placed(form: FormData, files: list[bytes]) -> list[Picture]:
    """The images of a form, each with its place and bands."""
    places = zip(*(_each(form, name, len(files)) for name in ("bounds", "crs", "bands")), strict=True)
    return [
        Picture(data=data, bounds=_bounds_of(bounds), crs=crs, bands=_bands_of(bands))
        for data, (bounds, crs, bands) in zip(files, places, strict=True)
    ]


def _each(form: FormData, name: str, count: int) -> list[str | None]:
    """One value for each image: none, one for all, or as many as there are images."""
    given: list[str | None] = [*texts_of(form, name)]
    if len(given) not in (0, 1, count):
        raise RequestError(
            400,
            f"{name} is given {len(given)} times for {count} images; give one for each",
            code="invalid_value",
            param=name,
        )
    return given if len(given) == count else (given or [None]) * count


def _bands_of(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(msgspec.convert(text.split(","), Bands, strict=False))
    except msgspec.ValidationError:
        raise RequestError(400, f"bands={text!r:.80}: give 3,2,1 or one", code="invalid_value", param="bands") from None


def _bounds_of(text: str | None) -> tuple[float, float, float, float] | None:
    """Four numbers with commas between; the image's door checks their order."""
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise RequestError(
            400, f"bounds={text[:80]!r}: give west,south,east,north", code="invalid_value", param="bounds"
        ) from None
    return west, south, east, north
