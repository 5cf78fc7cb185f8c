"""Bodies that want too much, are none, or name what is not theirs: each an error object, and the server goes on."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.servers import Reply, Server, chat, data_url, multipart, png, tile

JSON = {"Content-Type": "application/json"}
QUESTION = "What is here?"


@pytest.fixture(autouse=True)
def goes_on(server: Server) -> Iterator[None]:
    """After each attack the same worker answers."""
    before = server.worker_pid()
    yield
    assert server.get("/readyz").status == 200
    assert server.worker_pid() == before


def refused(reply: Reply, status: int, *words: str) -> None:
    assert reply.status == status, reply.body[:300]
    for word in words:
        assert word in reply.problem["message"]


# --- Names and archives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../../evil.png", "/etc/passwd", "C:\\evil.png", "a\0b.png", "x" * 300, "..", ""])
def test_a_name_of_a_file_is_no_path(server: Server, name: str) -> None:
    folder = server.log.parent
    before = sorted(folder.rglob("*"))
    reply = server.form("/v1/images", [("image", name, png(tile(7)))])
    assert reply.status in (200, 201)
    assert (name[:20] in reply.body.decode()) is (not name)
    assert sorted(folder.rglob("*")) == before
    assert not Path("/evil.png").exists()


@pytest.mark.parametrize("path", ["file:///etc/passwd", "/etc/passwd", "../server.log", "http://127.0.0.1:1/a.png"])
def test_paths_and_addresses_in_bodies_are_not_followed(server: Server, path: str) -> None:
    refused(server.post("/v1/chat/completions", chat(path, QUESTION)), 400, "fetches nothing and opens no files")
    refused(server.post("/v1/segment", {"images": [path], "phrases": ["a"]}), 400)
    refused(server.post("/v1/images", {"image": path}), 400)


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(20_000_000))
    return stream.getvalue()


@pytest.mark.parametrize("data", [zip_bomb(), gzip.compress(bytes(10_000_000)), b"", b"<svg/>", b"%PDF-1.7"])
def test_archives_are_no_images(server: Server, data: bytes) -> None:
    refused(server.form("/v1/images", [("image", "a.png", data)]), 400, "are no PNG")


def test_a_packed_body_is_not_unpacked(server: Server) -> None:
    body = gzip.compress(json.dumps(chat(None, QUESTION)).encode())
    refused(server.ask("POST", "/v1/chat/completions", body, {**JSON, "Content-Encoding": "gzip"}), 400, "no JSON")


# --- Pixels ---------------------------------------------------------------------------------------------------------


def png_of(width_px: int, height_px: int, data: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header says so much, whatever its data are."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    found = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b"")):
        found += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return found


def tiff_of(width_px: int, height_px: int) -> bytes:
    """A TIFF of one strip that is not there."""
    tags = [(256, 4, width_px), (257, 4, height_px), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 1)]
    rows = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + rows + bytes(4)


BOMB = zlib.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "data",
    [
        png_of(60_000, 60_000, zlib.compress(b"")),
        png_of(2**31 - 1, 2**31 - 1, b""),
        png_of(0, 5, b""),
        png_of(64, 64, BOMB[:20]),
        tiff_of(65_000, 65_000),
        tiff_of(2**32 - 1, 2**32 - 1),
        png(tile(0))[:2000],
    ],
    ids=["many pixels", "most pixels", "no pixels", "cut data", "tiff", "largest tiff", "cut png"],
)
def test_pixel_bombs(server: Server, data: bytes) -> None:
    refused(server.post("/v1/chat/completions", chat(data_url(data), QUESTION)), 400)
    refused(server.form("/v1/segment", [("image", "a", data), ("phrase", None, b"a")]), 400)


def test_what_stands_behind_the_pixels_is_not_unpacked(server: Server) -> None:
    opened = server.form("/v1/images", [("image", "a", png_of(64, 64, BOMB))])
    assert (opened.status, opened.json["width_px"]) == (201, 64)


def test_text_in_a_picture_is_not_unpacked(server: Server) -> None:
    rows = zlib.compress(b"".join(b"\0" + bytes(48) for _ in range(16)))
    data = png_of(16, 16, rows, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)))
    reply = server.form("/v1/images", [("image", "a", data)])
    assert reply.status in (201, 400)


def test_a_body_that_is_too_long_is_refused_by_its_head_and_while_it_comes(server: Server) -> None:
    head = b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: 9000000000\r\n\r\n")
        assert b" 413 " in connection.recv(4096)
    with server.connect() as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        found = b""
        try:
            for _ in range(16):
                connection.sendall(b"100000\r\n" + bytes(0x100000) + b"\r\n")
        except OSError:
            pass  # it has said its word and closed
        connection.settimeout(5)
        try:
            found = connection.recv(4096)
        except OSError:
            found = b" 413 "
        assert b" 413 " in found


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
    assert server.form("/v1/segment", [image, ("phrase", None, b"\xff\xfe")]).status in (200, 400)
    refused(server.form("/v1/segment", [image, ("phrase", None, b"a"), ("bounds", None, b"1,2,x,4")]), 400, "bounds")
    refused(server.form("/v1/segment", [image, ("phrase", None, b"a"), ("max_new_tokens", None, b"1e9")]), 400)
    refused(server.form("/v1/segment", [("phrase", None, b"a")]), 400)
    body, kind = multipart([("image", "a.png", b"x")])
    refused(server.ask("POST", "/v1/segment", body, {"Content-Type": kind + "; charset=nonsense"}), 400)


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
            assert reply.status in (200, 400)
            assert reply.json
    data = base64.b64encode(png(tile(0))).decode()
    refused(server.post("/v1/segment", {"images": [data], "phrases": ["[UNUSED_TOKEN_146]"]}), 400, "control token")
