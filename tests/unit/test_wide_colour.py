"""Colours of 16 bits keep their precision: one stretch over the three bands, missing pixels outside of it and white."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image
from geopixel_edge.rasters.colouring import Reading

from ..support.rasters import HEIGHT_PX, WIDTH_PX, bands, create, write_tiff

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("without_geo"),
]

VALUES = np.moveaxis(bands(3, "uint16"), 0, 2) + 3  # (height, width, 3), about 12 of 16 bits, both bytes in use
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def filtered(rows: np.ndarray, pixel_bytes: int) -> bytes:
    """The rows of one pass, uint8 (rows, bytes), each with another of PNG's filters in turn."""
    out = bytearray()
    above = np.zeros(rows.shape[1] if rows.size else 0, np.int64)
    for number, row in enumerate(rows.astype(np.int64)):
        left, corner = np.zeros_like(row), np.zeros_like(row)
        left[pixel_bytes:], corner[pixel_bytes:] = row[:-pixel_bytes], above[:-pixel_bytes]
        guess = left + above - corner
        off = np.abs(np.stack([guess - left, guess - above, guess - corner]))
        paeth = np.choose(off.argmin(axis=0), [left, above, corner])
        kind = number % 5
        predicted = [0 * row, left, above, (left + above) // 2, paeth][kind]
        out += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    return bytes(out)


def png16(samples: np.ndarray, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of (height, width, bands) uint16, written here because Pillow writes none of colour."""
    height_px, width_px, count = samples.shape
    pixels = samples.astype(">u2")
    parts = [pixels[top::down, left::across] for top, left, down, across in PASSES] if interlaced else [pixels]
    rows = [np.ascontiguousarray(part).view(np.uint8).reshape(part.shape[0], -1) for part in parts if part.size]
    header = struct.pack(">IIBBBBB", width_px, height_px, 16, COLOUR_TYPES[count], 0, 0, int(interlaced))
    body = zlib.compress(b"".join(filtered(part, 2 * count) for part in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def stretched(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    present = values if known is None else values[known]
    low, high = (float(end) for end in np.percentile(present, (2, 98), method="nearest"))
    out = np.rint((np.clip(values.astype(float), low, high) - low) * (255 / (high - low)))
    if known is not None:
        out[~known] = 255
    return out if out.ndim == 3 else np.repeat(out[..., None], 3, axis=2)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_of_16_bit_colour(tmp_path: Path, interlaced: bool) -> None:
    path = tmp_path / "c.png"
    path.write_bytes(png16(VALUES, interlaced))
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, stretched(VALUES))
    low, high = np.percentile(VALUES, (2, 98), method="nearest")
    assert loaded.notes == (f"mode RGB;16 was stretched from {low:g}..{high:g} (2nd..98th percentile) to 0..255",)
    with Image.open(path) as image:
        assert np.array_equal(load_image(image).pixels, loaded.pixels)
        assert image.size == (WIDTH_PX, HEIGHT_PX)
        assert np.array_equal(np.asarray(image), VALUES >> 8)  # the caller's image decodes as ever afterwards


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("partial", [False, True])
def test_a_png_with_alpha(tmp_path: Path, count: int, partial: bool) -> None:
    alpha = np.full((HEIGHT_PX, WIDTH_PX), 65_535, np.uint16)
    alpha[:, :15] = 0
    if partial:
        alpha[:, 30:40] = 20_000
    values = VALUES[..., :count].copy()
    values[:, :7] = 65_000
    path = tmp_path / "a.png"
    path.write_bytes(png16(np.dstack([values, alpha])))
    loaded = load_image(path)
    opaque = stretched(values if count == 3 else values[..., 0], alpha > 0)
    weight = alpha[..., None] / 65_535
    assert np.abs(loaded.pixels - np.where(alpha[..., None] == 0, 255, opaque * weight + 255 * (1 - weight))).max() <= 1
    assert f"{15 * HEIGHT_PX} pixels of alpha 0 became white" in loaded.notes[0]
    assert len(loaded.notes) == 1 + partial


def test_a_transparent_colour_or_grey_level_is_missing(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[10:20] = (60_000, 61_000, 62_000)
    values[25, :, 0] = 60_000
    known = np.ones((HEIGHT_PX, WIDTH_PX), bool)
    known[10:20] = False
    path = tmp_path / "t.png"
    path.write_bytes(png16(values, extra=chunk(b"tRNS", struct.pack(">3H", 60_000, 61_000, 62_000))))
    assert np.array_equal(load_image(path).pixels, stretched(values, known))
    grey = values[..., 1:2]
    path.write_bytes(png16(grey, extra=chunk(b"tRNS", struct.pack(">H", 61_000))))
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, stretched(grey[..., 0], known))
    assert loaded.notes[0].endswith(f"{10 * WIDTH_PX} pixels declared transparent became white")


@pytest.mark.parametrize(("depth", "level"), [(1, 1), (2, 2), (4, 9), (8, 77)])
def test_a_transparent_level_of_few_bits(tmp_path: Path, depth: int, level: int) -> None:
    samples = bands(1, "uint8")[0, :, :56] & (2**depth - 1)
    bits = np.unpackbits(samples[..., None], axis=2)[..., 8 - depth :].reshape(HEIGHT_PX, -1)
    body = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1))
    header = struct.pack(">IIBBBBB", 56, HEIGHT_PX, depth, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", struct.pack(">H", level)), chunk(b"IDAT", zlib.compress(body))]
    (tmp_path / "l.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    expected = np.where(samples == level, 255, samples.astype(int) * (255 // (2**depth - 1)))
    assert (samples == level).any()
    assert np.array_equal(load_image(tmp_path / "l.png").pixels[..., 1], expected)


@pytest.mark.parametrize("compress", ["none", "lzw", "deflate"])
def test_a_tiff_of_16_bit_colour_in_every_layout(tmp_path: Path, compress: str) -> None:
    layouts: list[dict[str, object]] = [{"blockysize": 6}, {"tiled": True, "blockxsize": 16, "blockysize": 32}]
    for number, (layout, predictor, bigtiff) in enumerate(itertools.product(layouts, [1, 2], ["no", "yes"])):
        options = {"compress": compress, "bigtiff": bigtiff, "photometric": "rgb", **layout}
        if compress != "none":
            options["predictor"] = predictor
        path = write_tiff(tmp_path / f"{number}.tif", np.moveaxis(VALUES, 2, 0), **options)
        assert np.array_equal(load_image(path).pixels, stretched(VALUES)), options
    path = write_tiff(tmp_path / "big-endian.tif", np.moveaxis(VALUES, 2, 0), photometric="rgb", endianness="big")
    assert np.array_equal(load_image(path).pixels, stretched(VALUES))


def test_a_tiff_with_alpha_nodata_and_a_band_that_is_no_colour(tmp_path: Path) -> None:
    alpha = np.where(np.arange(WIDTH_PX) < 11, 0, 65_535).astype(np.uint16)
    alpha = np.broadcast_to(alpha, (HEIGHT_PX, WIDTH_PX))
    samples = np.concatenate([np.moveaxis(VALUES, 2, 0), alpha[None]])
    samples[:, 3:9, 20:] = 0
    known = np.ones((HEIGHT_PX, WIDTH_PX), bool)
    known[3:9, 20:] = False
    plain = write_tiff(tmp_path / "n.tif", samples[:3], photometric="rgb", nodata=0)
    assert np.array_equal(load_image(plain).pixels, stretched(np.moveaxis(samples[:3], 0, 2), known))
    extra = load_image(write_tiff(tmp_path / "x.tif", samples, photometric="rgb", alpha="no", nodata=0))
    assert np.array_equal(extra.pixels, load_image(plain).pixels)
    assert extra.notes[0] == "1 bands that are declared no colour were left out"
    for opaque in (65_535, 255):
        samples[3] = np.minimum(alpha, opaque)
        path = write_tiff(tmp_path / "a.tif", samples, photometric="rgb", alpha="yes", compress="deflate")
        assert np.array_equal(load_image(path).pixels, stretched(np.moveaxis(samples[:3], 0, 2), alpha > 0))


def test_an_image_that_pillow_has_decoded_to_8_bits_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", np.moveaxis(VALUES, 2, 0), photometric="rgb")
    with Image.open(path) as image:
        image.load()
        with pytest.raises(ImageError, match="3 bands of uint16, RGB, uncompressed, which Pillow has decoded wrongly"):
            load_image(image)


def test_no_pixel_with_data(tmp_path: Path) -> None:
    path = tmp_path / "n.png"
    path.write_bytes(png16(np.dstack([VALUES, np.zeros((HEIGHT_PX, WIDTH_PX), np.uint16)])))
    with pytest.raises(ImageError, match=r"n\.png': mode 'RGB;16' holds no finite value: every pixel is missing"):
        load_image(path)


def test_a_later_frame_of_16_bits_is_refused() -> None:
    first = png16(VALUES)
    control = struct.pack(">IIIIHHBB", WIDTH_PX, HEIGHT_PX, 0, 0, 1, 1, 0, 0)
    at = first.index(b"IDAT") - 4
    data = first[at + 8 : -12 - 4]
    frames = chunk(b"fcTL", struct.pack(">I", 1) + control) + chunk(b"fdAT", struct.pack(">I", 2) + data)
    parts = [first[:at], chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", struct.pack(">I", 0) + control)]
    animated = b"".join([*parts, first[at:-12], frames, first[-12:]])
    with Image.open(io.BytesIO(animated)) as image:
        assert np.array_equal(load_image(image).pixels, stretched(VALUES))
        image.seek(1)
        with pytest.raises(ImageError, match="frame 2 of an animation of 16-bit colour; save it alone"):
            load_image(image)


def test_a_mask_keeps_pixels_out_of_the_stretch(tmp_path: Path) -> None:
    hidden = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    hidden[:, 44:] = True
    with create(tmp_path / "m.tif", (3, HEIGHT_PX, WIDTH_PX), "uint16", photometric="rgb") as out:
        out.write(np.moveaxis(VALUES, 2, 0))
        out.write_mask(~hidden)
    assert np.array_equal(load_image(tmp_path / "m.tif").pixels, stretched(VALUES, ~hidden))


def test_wide_pictures_become_what_the_engine_learnt_from(tmp_path: Path) -> None:
    learnt = ((44.0, 212.0), (67.0, 194.0), (57.0, 172.0))
    ramp = np.linspace(500, 3_000, 101 * 40).reshape(101, 40).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    low, high = (float(value) for value in np.percentile(ramp, (2, 98), method="nearest"))
    grey = load_image(tmp_path / "grey.png", Reading(onto=learnt))
    dark, bright = np.mean(learnt, axis=0)
    line = np.rint(np.clip(dark + (ramp.astype(np.float64) - low) * (bright - dark) / (high - low), 0, 255))
    assert np.array_equal(grey.pixels, np.repeat(line[..., None], 3, axis=2))
    assert any("what the engine learnt from" in note for note in grey.notes)
    plain = load_image(tmp_path / "grey.png")
    assert np.array_equal(
        plain.pixels[..., 0], np.rint(np.clip((ramp.astype(np.float64) - low) * 255.0 / (high - low), 0, 255))
    )
