"""Files that are no pictures, say more pixels than there are, or bear names of paths: each an error object."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from ..support.server_load import grown_bytes
from ..support.servers import Server, chat, data_url, png, refused, tile

pytestmark = pytest.mark.usefixtures("unharmed")
QUESTION = "What is here?"


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
    with grown_bytes(server.worker_pid()) as grown:
        opened = server.form("/v1/images", [("image", "a", png_of(64, 64, BOMB))])
    assert grown() < len(BOMB) + 20_000_000  # of 50 MB
    assert (opened.status, opened.json["width_px"]) == (201, 64)


def test_text_in_a_picture_is_not_unpacked(server: Server) -> None:
    rows = zlib.compress(b"".join(b"\0" + bytes(48) for _ in range(16)))
    data = png_of(16, 16, rows, (b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9)))
    with grown_bytes(server.worker_pid()) as grown:
        reply = server.form("/v1/images", [("image", "a", data)])
    assert grown() < 50_000_000  # of 200 MB
    assert reply.status in (201, 400)
