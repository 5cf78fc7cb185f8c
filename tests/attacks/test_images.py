"""Bad images: each is a typed error that names the argument and the remedy, or a stated conversion; never a hang."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopixel_edge import limits
from geopixel_edge.errors import ImageError
from geopixel_edge.images import LoadedImage, load_image

PIXELS = np.random.default_rng(1).integers(0, 256, (24, 31, 3), dtype=np.uint8)
CORRUPTIONS_PER_FILE = 30
ENCODINGS: dict[str, tuple[str, dict[str, object]]] = {
    "rgb.png": ("RGB", {}),
    "palette.png": ("P", {"transparency": 3}),
    "wide.png": ("I;16", {}),
    "rgb.jpg": ("RGB", {}),
    "inks.jpg": ("CMYK", {}),
    "rgb.webp": ("RGB", {}),
    "alpha.webp": ("RGBA", {"lossless": True}),
    "rgb.bmp": ("RGB", {}),
    "one.bmp": ("1", {}),
    "rgb.tif": ("RGB", {}),
    "deflate.tif": ("RGBA", {"compression": "tiff_adobe_deflate"}),
    "float.tif": ("F", {}),
}


def encoded(name: str) -> bytes:
    mode, options = ENCODINGS[name]
    buffer = io.BytesIO()
    image = Image.fromarray(PIXELS)
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 200)
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(Path(name).suffix, Path(name).suffix[1:].upper())
    (image if mode == "I;16" else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width_px: int, height_px: int, body: bytes = b"", extra: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def refused(source: object, *fragments: str) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source)  # type: ignore[arg-type]
    message = str(caught.value)
    for fragment in ("image", *fragments):
        assert fragment in message
    assert caught.value.__cause__ is None
    assert len(message) < 600
    return message


def outcome(path: Path) -> str:
    try:
        loaded = load_image(path)
    except ImageError as error:
        return "error naming it" if path.name in str(error) else f"vague error: {error}"
    return "image" if isinstance(loaded, LoadedImage) and loaded.pixels.ndim == 3 else repr(loaded)


@pytest.mark.parametrize("name", ENCODINGS)
def test_damaged_files_give_an_image_or_an_image_error(tmp_path: Path, name: str) -> None:
    data = encoded(name)
    path = tmp_path / name
    path.write_bytes(data)
    assert load_image(path).pixels.shape == PIXELS.shape
    rng = np.random.default_rng(sum(name.encode()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for turn in range(CORRUPTIONS_PER_FILE):
            bad = bytearray(data)
            reach = len(bad) if turn % 2 else min(len(bad), 160)  # half of the flips go to the headers
            for _ in range(int(rng.integers(1, 4))):
                bad[int(rng.integers(0, reach))] ^= 1 << int(rng.integers(0, 8))
            if turn % 3 == 0:
                bad = bad[: int(rng.integers(0, len(bad)))]
            path.write_bytes(bad)
            assert outcome(path) in ("image", "error naming it")


@pytest.mark.parametrize("name", ["rgb.png", "rgb.jpg", "rgb.webp", "rgb.bmp", "rgb.tif"])
def test_a_file_cut_in_half(tmp_path: Path, name: str) -> None:
    data = encoded(name)
    path = tmp_path / name
    path.write_bytes(data[: len(data) // 2])
    refused(path, name, "copy it again")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    refused(path, "0 bytes", "copy it again")


@pytest.mark.parametrize("content", [b"\0" * 4096, b"No image.\n" * 50, b"\x89PNG", b"II*\0", b"BM", b"\xff\xd8\xff"])
def test_content_that_is_no_image(tmp_path: Path, content: bytes) -> None:
    for suffix in (".png", ".jpg", ".tif"):
        path = tmp_path / f"claims{suffix}"
        path.write_bytes(content)
        refused(path, "claims")


@pytest.mark.parametrize("kind", ["GIF", "PPM", "ICO", "TGA"])
def test_a_format_that_is_not_allowed_under_an_allowed_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scene.png"
    Image.fromarray(PIXELS).save(path, kind)
    refused(path, "none of JPEG, PNG, BMP, WEBP, TIFF")


@pytest.mark.parametrize("name", ["scene.jpx", "scene.gif", "scene", "scene.png.txt", "scene.svg"])
def test_an_unknown_extension(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded("rgb.png"))
    refused(path, name, "convert it to one of", ".webp")


@pytest.mark.parametrize("path", ["missing.png", "a\0b.png", "x" * 5000 + ".png", "", "https://example.org/scene.png"])
def test_a_path_that_leads_nowhere(path: str) -> None:
    refused(path)


def test_a_path_object_that_is_none() -> None:
    class Broken(os.PathLike[str]):
        def __fspath__(self) -> str:
            return 7  # type: ignore[return-value]

    refused(Broken(), "not a usable path")


def test_a_directory_a_pipe_and_a_link_to_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder.png"
    folder.mkdir()
    refused(folder, "not a regular file")
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    refused(pipe, "not a regular file")
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "gone.png")
    refused(link, "not there")
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    refused(loop)


@pytest.mark.parametrize("size", [(20_000, 20_000), (limits.MAX_IMAGE_SIDE_PX + 1, 1), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_stopped_at_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*size, zlib.compress(b"\0" * 1_000_000)))
    refused(path)


def test_a_large_but_allowed_header_warns_nobody(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png(10_000, 10_000))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        refused(path, "cannot be decoded")
    assert not caught


def test_a_text_chunk_bomb(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 20_000_000))
    path.write_bytes(png(1, 1, zlib.compress(b"\0abc"), text))
    refused(path)


def test_a_file_too_large_to_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.webp"
    path.write_bytes(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
    os.truncate(path, limits.MAX_IMAGE_FILE_BYTES + 1)
    refused(path, "bytes, over")


def test_zero_sides(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    path.write_bytes(png(0, 5))
    refused(path)
    refused(Image.new("RGB", (0, 5)), "0 x 5")
    refused(np.zeros((5, 0, 3), np.uint8), "0 x 5")


def test_a_tiff_whose_frames_go_round_in_a_ring(tmp_path: Path) -> None:
    data = bytearray(encoded("rgb.tif"))
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    path = tmp_path / "ring.tif"
    path.write_bytes(data)
    assert np.array_equal(load_image(path).pixels, PIXELS)


ARRAYS: list[tuple[Callable[[], object], str]] = [
    (lambda: np.full((4, 4, 3), np.nan, np.float32), "float32"),
    (lambda: np.zeros((4, 4, 3), bool), "bool"),
    (lambda: np.zeros((4, 4, 3), np.uint16), "uint16"),
    (lambda: np.empty((4, 4, 3), object), "object"),
    (lambda: np.zeros((4, 4, 3), "S1"), "S1"),
    (lambda: np.zeros((4, 4), np.uint8), "(4, 4)"),
    (lambda: np.zeros((4, 4, 4), np.uint8), "(4, 4, 4)"),
    (lambda: np.zeros((3, 4, 5), np.uint8), "(3, 4, 5)"),
    (lambda: np.zeros((1, 4, 4, 3), np.uint8), "(1, 4, 4, 3)"),
    (lambda: np.uint8(3) * np.ones((), np.uint8).reshape(()), "uint8"),
    (lambda: np.ma.masked_array(np.zeros((4, 4, 3), np.uint8)), "masked"),
    (lambda: np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (70_000, 2, 3)), "70000"),
    (lambda: np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (60_000, 60_000, 3)), "60000"),
]


@pytest.mark.parametrize(("make", "fragment"), ARRAYS)
def test_arrays_of_the_wrong_kind(make: Callable[[], object], fragment: str) -> None:
    refused(make(), fragment)


@pytest.mark.parametrize("source", [None, 3, b"scene.png", [1, 2], io.BytesIO(b"x"), object(), [[[0, 0, 0]]]])
def test_other_types(source: object) -> None:
    refused(source, type(source).__name__, "give a path")


def test_a_closed_pillow_image_and_one_whose_file_is_cut(tmp_path: Path) -> None:
    data = encoded("rgb.png")
    image = Image.open(io.BytesIO(data[: len(data) // 2]))
    refused(image, "cannot be decoded")
    closed = Image.fromarray(PIXELS)
    closed.close()
    refused(closed, "cannot be decoded")


def test_floats_without_one_finite_value() -> None:
    refused(Image.fromarray(np.full((3, 3), np.nan, np.float32)), "no finite value")
