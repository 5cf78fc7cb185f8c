"""What a server shows of itself: the OpenAPI document and the page."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from geopixel_edge.serve import images, segment
from geopixel_edge.serve.app import make_app
from geopixel_edge.serve.front import Front
from geopixel_edge.serve.openapi import document
from geopixel_edge.serve.page import made
from geopixel_edge.serve.records import ChatRequest, SegmentImage, SegmentRequest
from geopixel_edge.serve.settings import Settings


def test_the_openapi_document_has_every_route_and_resolves() -> None:
    page = document()
    routes = {
        (method.lower(), route.path)  # type: ignore[attr-defined]
        for route in make_app(Front(Settings())).routes
        for method in route.methods  # type: ignore[attr-defined]
        if method != "HEAD"
    }
    described = {(method, path) for path, one in page["paths"].items() for method in one}
    assert routes - described == {("get", "/"), ("get", "/openapi.json")}
    assert described <= routes
    text = msgspec.json.encode(page).decode()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert named == page["components"]["schemas"].keys()
    chat = page["components"]["schemas"]["ChatRequest"]
    assert set(chat["properties"]) == set(ChatRequest.__struct_fields__)


def test_the_document_has_the_forms_as_they_are_taken() -> None:
    paths = document()["paths"]

    def content(path: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = paths[path]["post"]["requestBody"]["content"]
        return found

    form = content("/v1/segment")["multipart/form-data"]["schema"]
    assert tuple(form["properties"]) == segment.FORM
    json_fields = {*SegmentRequest.__struct_fields__, *SegmentImage.__struct_fields__} - {"images", "phrases"}
    assert set(form["properties"]) == json_fields | {"phrase"}
    assert form["properties"]["polygons"]["type"] == "boolean"
    kept = content("/v1/images")
    assert tuple(kept["multipart/form-data"]["schema"]["properties"]) == images.FORM
    assert kept.keys() == {"application/json", "multipart/form-data", "image/*", "application/octet-stream"}


def test_the_page_is_one_file_whose_own_script_alone_runs() -> None:
    content, policy = made()
    page = content.decode("utf-8")
    assert "{{" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "@import" not in page
    assert "url(http" not in page
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert len(content) < 200_000


def test_everything_on_the_page_that_is_used_has_a_name() -> None:
    page = made()[0].decode("utf-8")
    body = page[page.index("<body>") : page.index('<script type="application/json"')]
    for control in re.findall(r"<(?:input|textarea)[^>]*>", body):
        name = re.search(r'id="([\w-]+)"', control)
        assert name
        inside = re.search(rf"<label[^>]*>[^<]*{re.escape(control)}", body)
        before = re.search(rf"<label[^>]*>{re.escape(control)}", body)
        assert inside or before or f'for="{name[1]}"' in body, control
    script = page[page.index("// Phrases and masks") :]
    used = set(re.findall(r"\$\('([\w-]+)'\)", script))
    assert used - set(re.findall(r'id="([\w-]+)"', page)) == set()
    assert 'aria-live="polite"' in body
    assert 'role="status"' in body
    assert "prefers-color-scheme:dark" in page
    assert "max-width:60rem" in page
