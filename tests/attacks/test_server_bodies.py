"""Bodies that want too much, are none, or say what may not be said: each an error object, and the server goes on."""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

import pytest

from ..support.servers import Server, chat, data_url, multipart, png, refused, tile

pytestmark = pytest.mark.usefixtures("unharmed")
JSON = {"Content-Type": "application/json"}
QUESTION = "What is here?"


# --- Lengths --------------------------------------------------------------------------------------------------------


def test_a_packed_body_is_not_unpacked(server: Server) -> None:
    body = gzip.compress(json.dumps(chat(None, QUESTION)).encode())
    refused(server.ask("POST", "/v1/chat/completions", body, {**JSON, "Content-Encoding": "gzip"}), 400, "no JSON")


def test_a_body_that_is_too_long_is_refused_by_its_head_and_while_it_comes(server: Server) -> None:
    head = b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: 9000000000\r\n\r\n")
        assert b" 413 " in connection.recv(4096)
    with server.connect() as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(16):  # twice what is taken, half of what is let pass
            connection.sendall(b"100000\r\n" + bytes(0x100000) + b"\r\n")
        connection.settimeout(5)
        assert b" 413 " in connection.recv(4096)


def test_who_sends_too_much_still_reads_why(server: Server) -> None:
    reply = server.ask("POST", "/v1/images", bytes(20_000_000), {"Content-Type": "image/png"})
    refused(reply, 413, "over 8,000,000 bytes")
    assert server.metric("held_body_bytes") == 0
    head = {"Content-Type": "image/png", "Expect": "100-continue"}
    began = time.monotonic()
    with server.connect() as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**head, "Content-Length": "20000000"}.items())
        connection.sendall(f"POST /v1/images HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < 4, "it asked for a body that it does not take"


# --- Counts ---------------------------------------------------------------------------------------------------------


def test_a_thousand_images(server: Server) -> None:
    url = data_url(png(tile(0, 32)))
    refused(server.post("/v1/segment", {"images": [url] * 1000, "phrases": ["a"]}), 413, "1000 images")
    refused(server.post("/v1/segment", {"images": [url], "phrases": ["a"] * 1000}), 413, "1000 phrases")
    parts: Any = [("image", f"{number}.png", b"x") for number in range(1000)]
    refused(server.form("/v1/segment", [*parts, ("phrase", None, b"a")]), 400, "files")
    asked = chat(url, QUESTION)
    asked["messages"][0]["content"][:0] = asked["messages"][0]["content"][:1] * 999
    refused(server.post("/v1/chat/completions", asked), 400, "over 10 images")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"seed": 2**70}, "seed"),
        ({"hd_num": 999}, "hd_num"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 70_000}]}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": "x"}] * 300}, "messages"),
        ({"n": 3}, "n=3"),
        ({"tools": [{}]}, "tools"),
    ],
)
def test_numbers_and_texts_are_bounded(server: Server, changes: dict[str, Any], word: str) -> None:
    refused(server.post("/v1/chat/completions", {**chat(None, QUESTION), **changes}), 400, word)


# --- What is no JSON, no form, no text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b'{"model": "geopixel", "messages": [{"role": "user", "content": "\xc3\x28"}]}',
        b'{"model": "geopixel", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"stop": ' + b"[" * 100_000,
        b'{"model": NaN}',
        b'{"model": "geopixel", "messages": [' + b"1," * 10_000,
    ],
    ids=["empty", "null", "list", "utf-16", "bad utf-8", "surrogate", "deep", "nan", "cut"],
)
def test_what_is_no_json(server: Server, body: bytes) -> None:
    for path in ("/v1/chat/completions", "/v1/segment", "/v1/images"):
        refused(server.ask("POST", path, body, JSON), 400)


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/xml", "application/x-www-form-urlencoded", "a" * 9000, "application/jsonx"]
)
def test_wrong_content_types(server: Server, kind: str) -> None:
    for path in ("/v1/chat/completions", "/v1/segment", "/v1/images"):
        refused(server.ask("POST", path, b"{}", {"Content-Type": kind}), 415, "Content-Type")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--a\r\n"),
        ("multipart/form-data; boundary=", b"--\r\n"),
        ("multipart/form-data; boundary=a", b"nothing"),
        ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a--\r\n"),
        ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="image"\r\n\r\nx'),
        ("multipart/form-data; boundary=" + "b" * 5000, b"--b\r\n"),
        ("multipart/form-data; boundary=a", b"--a\r\n" + b"X: y\r\n" * 20_000),
    ],
    ids=["no boundary", "empty boundary", "no part", "no name", "no end", "long boundary", "many headers"],
)
def test_forms_that_are_none(server: Server, kind: str, body: bytes) -> None:
    for path in ("/v1/segment", "/v1/images"):
        refused(server.ask("POST", path, body, {"Content-Type": kind}), 400)


def test_texts_of_a_form_that_are_no_text(server: Server) -> None:
    image = ("image", "a.png", png(tile(0)))
    refused(server.form("/v1/segment", [image, ("phrase", None, b"\xff\xfe")]), 400, "phrase is no text in UTF-8")
    refused(server.form("/v1/segment", [image, ("phrase", None, b"a"), ("bounds", None, b"1,2,x,4")]), 400, "bounds")
    refused(server.form("/v1/segment", [image, ("phrase", None, b"a"), ("max_new_tokens", None, b"1e9")]), 400)
    refused(server.form("/v1/segment", [("phrase", None, b"a")]), 400)
    body, kind = multipart([("image", "a.png", b"x")])
    refused(server.ask("POST", "/v1/segment", body, {"Content-Type": kind + "; charset=nonsense"}), 400)


@pytest.mark.parametrize(
    "fields",
    [
        {"bounds": [1, 1, 0, 0], "crs": "EPSG:4326"},
        {"bounds": [0, 0, 1, 1]},
        {"crs": "EPSG:4326"},
        {"bounds": [0, 0, 1, 1], "crs": "/etc/passwd"},
        {"bounds": [0, 0, 1e999, 1], "crs": "EPSG:4326"},
        {"bands": [9]},
        {"bands": []},
    ],
    ids=str,
)
def test_places_and_bands_that_are_none(server: Server, fields: dict[str, Any]) -> None:
    image = {"image": base64.b64encode(png(tile(0, 16))).decode(), **fields}
    refused(server.post("/v1/segment", {"images": [image], "phrases": ["the ships"]}), 400)
    asked = chat(data_url(png(tile(0, 16))), QUESTION)
    asked["messages"][0]["content"][0] |= fields
    refused(server.post("/v1/chat/completions", asked), 400)


@pytest.mark.parametrize("words", ["</s>", "<s>", "[SEG]", "<p> x </p>", "\0", "", " "])
def test_words_that_no_question_may_hold(server: Server, words: str) -> None:
    refused(server.post("/v1/chat/completions", chat(data_url(png(tile(0, 16))), words)), 400)
    refused(server.post("/v1/segment", {"images": [data_url(png(tile(0, 16)))], "phrases": [words]}), 400)


@pytest.mark.parametrize("token", ["[UNUSED_TOKEN_146]", "<ImageHere>", "<|im_end|>"])
def test_control_tokens_in_messages(server: Server, token: str) -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": token},
        {"role": "user", "content": "b"},
    ]
    own = {"role": "assistant", "content": "x", "grounding": {"response": token}}
    for messages in (
        [{"role": "user", "content": f"a {token} b"}],
        [{"role": "system", "content": token}, {"role": "user", "content": "a"}],
        turns,
        [turns[0], own, turns[2]],
    ):
        reply = server.post("/v1/chat/completions", {"model": "geopixel", "messages": messages, "max_tokens": 1})
        if token == "[UNUSED_TOKEN_146]":
            refused(reply, 400, "control token")
        else:
            assert reply.status == (400 if token == "<ImageHere>" else 200)  # the mark of an image that is not there
            assert reply.json
    beside = chat(data_url(png(tile(0, 16))), "<ImageHere> a", max_tokens=1)
    assert server.post("/v1/chat/completions", beside).status == 200
    data = base64.b64encode(png(tile(0))).decode()
    refused(server.post("/v1/segment", {"images": [data], "phrases": ["[UNUSED_TOKEN_146]"]}), 400, "control token")
