"""The OpenAPI document, written from the records that bodies are checked by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..version import __version__
from . import images, records, replies, segment
from .problems import ErrorObject

Schema = dict[str, Any]

# Method and path -> what it is for, the record taken, the records given by status and media type.
ROUTES: dict[tuple[str, str], tuple[str, Any, dict[int, dict[str, Any]]]] = {
    ("post", "/v1/chat/completions"): (
        "Answer a question about images, with masks in `grounding`; with `stream` as server-sent ChatChunks",
        records.ChatRequest,
        {200: {"application/json": replies.ChatCompletion, "text/event-stream": replies.ChatChunk}},
    ),
    ("get", "/v1/models"): ("The model that is loaded", None, {200: {"application/json": replies.ModelList}}),
    ("get", "/v1/models/{model}"): ("One model", None, {200: {"application/json": replies.ModelCard}}),
    ("post", "/v1/segment"): (
        "The regions of phrases in images or tiles",
        records.SegmentRequest,
        {200: {"application/json": replies.Segmentation, "application/geo+json": None}},
    ),
    ("post", "/v1/images"): (
        "Keep an opened image for follow-ups",
        records.SegmentImage,
        {200: {"application/json": replies.KeptImage}, 201: {"application/json": replies.KeptImage}},
    ),
    ("get", "/v1/images/{image_id}/preview"): ("A kept image as JPEG", None, {200: {"image/jpeg": None}}),
    ("delete", "/v1/images/{image_id}"): ("Let an image go", None, {200: {"application/json": replies.Deleted}}),
    ("get", "/healthz"): ("Whether the server lives", None, {200: {"application/json": replies.Health}}),
    ("get", "/readyz"): (
        "Whether questions are answered",
        None,
        {200: {"application/json": replies.Health}, 503: {"application/json": replies.Health}},
    ),
    ("get", "/metrics"): ("Prometheus' text form", None, {200: {"text/plain": None}}),
}
_BINARY: Schema = {"type": "string", "format": "binary"}
_TEXTS = {"phrase": "", "bounds": "west,south,east,north", "crs": "", "bands": "one, or red,green,blue, from 1"}


def document() -> Schema:
    """OpenAPI 3.1."""
    kinds = [
        kind
        for _, taken, given in ROUTES.values()
        for kind in (taken, *(k for one in given.values() for k in one.values()))
    ]
    named = list(dict.fromkeys([kind for kind in kinds if kind is not None] + [ErrorObject]))
    schemas, components = msgspec.json.schema_components(named, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(named, schemas, strict=True))
    fields = components["SegmentRequest"]["properties"]
    more = {
        "/v1/segment": {"multipart/form-data": _form(segment.FORM, fields)},
        "/v1/images": {
            "multipart/form-data": _form(images.FORM, fields),
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
    paths: dict[str, Schema] = {}
    for (method, path), (summary, taken, given) in ROUTES.items():
        forms = {"application/json": by_kind[taken], **more.get(path, {})} if taken else {}
        paths.setdefault(path, {})[method] = _operation(path, summary, forms, given, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "GeoPixel Edge", "version": __version__},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}, {}],
    }


def _form(names: Sequence[str], fields: Schema) -> Schema:
    """A multipart form: what repeats as texts, the file as bytes, the others as the JSON record has them."""
    files: Schema = {"type": "array", "items": _BINARY}
    texts = {name: {"type": "array", "items": {"type": "string", "description": text}} for name, text in _TEXTS.items()}
    found = {name: files if name == "image" else texts.get(name) or fields[name] for name in names}
    return {"type": "object", "properties": found, "required": [name for name in ("image", "phrase") if name in names]}


def _operation(
    path: str, summary: str, forms: dict[str, Schema], given: dict[int, dict[str, Any]], by_kind: dict[Any, Schema]
) -> Schema:
    answers: Schema = {
        str(status): {
            "description": "done" if status < 400 else "not now",
            "content": {media: {"schema": by_kind.get(kind, {})} for media, kind in one.items()},
        }
        for status, one in given.items()
    }
    answers["default"] = {
        "description": "an error, with its remedy",
        "content": {"application/json": {"schema": by_kind[ErrorObject]}},
    }
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    found: Schema = {"summary": summary, "responses": answers}
    if names:
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if forms:
        content = {media: {"schema": schema} for media, schema in forms.items()}
        found["requestBody"] = {"required": True, "content": content}
    return found
