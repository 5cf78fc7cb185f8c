"""Values that a body may not hold: too many, too large, of no text, and those that cannot be honoured."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

from geopixel_edge.errors import GeoReferenceError
from geopixel_edge.rasters.crs import crs_of
from geopixel_edge.serve.bodies import decoded
from geopixel_edge.serve.records import ChatRequest

from ..support.server_load import grown_bytes
from ..support.servers import Server, chat, data_url, png, refused, tile

pytestmark = pytest.mark.usefixtures("unharmed")
JSON = {"Content-Type": "application/json"}
URL = data_url(png(tile(0, 16)))
QUESTION = "What is here?"


# --- Many values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["tools", "messages", "images", "phrases"])
def test_a_body_of_many_values_makes_none(server: Server, field: str) -> None:
    path = "/v1/chat/completions" if field in ("tools", "messages") else "/v1/segment"
    body = chat(None, QUESTION) if field in ("tools", "messages") else {"images": [URL], "phrases": ["a"]}
    one = {"tools": "[]", "messages": '{"role":"user"}'}.get(field, '"a"')
    text = json.dumps({**body, field: ["HERE"]}).encode()
    text = text.replace(b'"HERE"', (one + ",").encode() * (7_500_000 // (len(one) + 1)) + one.encode())
    with grown_bytes(server.process.pid) as grown:
        reply = server.ask("POST", path, text, JSON)
    status, word = (413, "values") if len(text) // (len(one) + 1) > 1_000_000 else (400, field)
    refused(reply, status, word)
    assert grown() < 100_000_000


def test_of_what_is_only_refused_nothing_is_made(server: Server) -> None:
    text = json.dumps(chat(None, QUESTION, tools=["HERE"])).encode().replace(b'"HERE"', b"[]," * 300_000 + b"[]")
    refused(server.ask("POST", "/v1/chat/completions", text, JSON), 400, "tools=[[],[],", "leave it out")
    tracemalloc.start()
    try:
        asyncio.run(decoded(text, ChatRequest))
        assert tracemalloc.get_traced_memory()[1] < len(text)
    finally:
        tracemalloc.stop()


# --- Bands, places and texts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [[2**70], [2**32], [0], [-1], [1, 2, 3, 1], [1] * 10_000])
def test_bands_are_bounded(server: Server, bands: list[int]) -> None:
    asked = chat(URL, QUESTION)
    asked["messages"][0]["content"][0]["bands"] = bands
    refused(server.post("/v1/chat/completions", asked), 400, "bands")
    refused(server.post("/v1/segment", {"images": [{"image": URL, "bands": bands}], "phrases": ["a"]}), 400, "bands")
    text = ",".join(map(str, bands)).encode()
    file = ("image", "a", png(tile(0, 16)))
    refused(server.form("/v1/images", [file, ("bands", None, text)]), 400, "bands")
    refused(server.form("/v1/segment", [file, ("phrase", None, b"a"), ("bands", None, text)]), 400, "bands")


@pytest.mark.parametrize("text", [b"\xff\xfe the bridge", b"the \xc3\x28", b"\xed\xa0\x80", b"\xe9t\xe9"])
def test_a_text_of_a_form_that_is_no_utf_8_is_refused(server: Server, text: bytes) -> None:
    reply = server.form("/v1/segment", [("image", "a", png(tile(0, 16))), ("phrase", None, text)])
    refused(reply, 400, "phrase is no text")
    assert reply.problem["code"] == "invalid_form"


def test_fields_of_a_form_that_are_none(server: Server) -> None:
    file = ("image", "a", png(tile(0, 16)))
    refused(server.form("/v1/segment", [file, ("phrase", None, b"a"), ("colour", None, b"1")]), 400, "'colour' is no")
    refused(server.form("/v1/images", [file, ("phrase", None, b"a")]), 400, "'phrase' is no field here; send image")


@pytest.mark.parametrize("crs", ["EPSG:4326\0", "EPSG:4326\0/etc/passwd", "EPSG:4326\x1b", "\x7fEPSG:4326"])
def test_a_crs_has_no_control_characters(server: Server, crs: str) -> None:
    image = {"image": URL, "bounds": [0, 0, 1, 1], "crs": crs}
    refused(server.post("/v1/segment", {"images": [image], "phrases": ["a"]}), 400, "no coordinate reference system")
    with pytest.raises(GeoReferenceError, match="no coordinate reference system"):
        crs_of(crs)
    assert crs_of(crs_of("EPSG:4326").to_wkt(pretty=True)).to_epsg() == 4326


# --- What cannot be honoured ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"frequency_penalty": 2.0},
        {"presence_penalty": -0.5},
        {"logit_bias": {"5": 100}},
        {"functions": [{"name": "x"}]},
        {"function_call": {"name": "x"}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "x"}}},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"n": 0},
        {"stop": "x"},
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_refused(server: Server, fields: dict[str, Any]) -> None:
    (name,) = fields
    reply = server.post("/v1/chat/completions", chat(None, QUESTION, **fields))
    refused(reply, 400, f"{name}=", "cannot be honoured")
    assert (reply.problem["code"], reply.problem["param"]) == ("unsupported_value", name)


def test_what_says_no_more_than_nothing_is_taken(server: Server) -> None:
    named = "n stop tools tool_choice functions function_call response_format logprobs top_logprobs logit_bias"
    for fields in (
        dict.fromkeys((*named.split(), "frequency_penalty", "presence_penalty"), None),
        {"n": 1, "stop": [], "tools": [], "tool_choice": "auto", "functions": [], "function_call": "none"},
        {"response_format": {"type": "text"}, "logprobs": False, "top_logprobs": 0, "logit_bias": {}},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "stop": ""},
    ):
        assert server.post("/v1/chat/completions", chat(None, QUESTION, max_tokens=1, **fields)).status == 200
