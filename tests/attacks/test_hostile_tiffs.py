"""Hostile and damaged TIFFs: an image, or an ImageError that names the file, soon; never anything else."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image

from ..support.rasters import bands, create, first_page, write_tiff

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("without_geo"),
]

FLIPS_PER_FILE = 150


def refused(path: Path, *fragments: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    for fragment in (path.name, *fragments):
        assert fragment in str(caught.value)


def test_a_file_that_is_cut_says_so_whatever_is_missing(tmp_path: Path) -> None:
    whole = write_tiff(
        tmp_path / "w.tif", bands(3, "uint8"), photometric="rgb", blockysize=5, compress="lzw"
    ).read_bytes()
    path = tmp_path / "cut.tif"
    for length in (4, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "cut.tif", "copy it again")


HOSTILE = {
    "first page far outside": lambda data, places: struct.pack_into("<I", data, 4, 2**32 - 2),
    "65,535 tags": lambda data, places: struct.pack_into("<H", data, struct.unpack_from("<I", data, 4)[0], 65_535),
    "no tags": lambda data, places: struct.pack_into("<H", data, struct.unpack_from("<I", data, 4)[0], 0),
    "huge count": lambda data, places: struct.pack_into("<I", data, places[273] + 4, 2**32 - 1),
    "type of none": lambda data, places: struct.pack_into("<H", data, places[273] + 2, 99),
    "signed type": lambda data, places: struct.pack_into("<H", data, places[256] + 2, 9),
    "values outside": lambda data, places: struct.pack_into("<I", data, places[273] + 8, 2**31),
    "no rows in a strip": lambda data, places: struct.pack_into("<H", data, places[278] + 8, 0),
    "strips for one row": lambda data, places: struct.pack_into("<H", data, places[278] + 8, 1),
    "tag twice": lambda data, places: struct.pack_into("<H", data, places[262], 259),
    "no size": lambda data, places: struct.pack_into("<H", data, places[256], 65_000),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_tags(tmp_path: Path, attack: str) -> None:
    path = write_tiff(tmp_path / "h.tif", bands(3, "uint8"), photometric="rgb", blockysize=8)
    data = bytearray(path.read_bytes())
    HOSTILE[attack](data, first_page(bytes(data))[2])
    path.write_bytes(data)
    refused(path, "copy it again")


@pytest.mark.parametrize(
    "head", [b"II+\0\x08\0\0\0", b"II+\0\x04\0\0\0" + b"\0" * 40, b"II+\0\x08\0\x01\0" + b"\xff" * 60]
)
def test_a_bigtiff_header_of_garbage(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "g.tif"
    path.write_bytes(head)
    refused(path, "copy it again")


def test_pages_that_go_round_and_tags_that_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ring.tif"
    pages = [Image.fromarray(bands(3, "uint8", seed).transpose(1, 2, 0)) for seed in (1, 2)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    end = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    second = struct.unpack_from("<I", data, end)[0]
    struct.pack_into("<I", data, second + 2 + 12 * struct.unpack_from("<H", data, second)[0], second)
    path.write_bytes(data)
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, np.asarray(pages[0]))
    assert "frame 1 was taken" in loaded.notes[0]


FLIPPED: dict[str, dict[str, object]] = {
    "raw": {"photometric": "rgb"},
    "lzw": {"photometric": "rgb", "compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "bigtiff": {"photometric": "rgb", "bigtiff": "yes", "compress": "deflate"},
    "masked": {"photometric": "rgb", "compress": "deflate"},
    "wide": {"photometric": "rgb", "compress": "deflate", "predictor": 2, "nodata": 0},
    "palette": {"photometric": "palette"},
}


@pytest.mark.parametrize("name", FLIPPED)
def test_flipped_bits_give_an_image_or_an_image_error_soon(tmp_path: Path, name: str) -> None:
    samples = bands(1 if name == "palette" else 3, "uint16" if name == "wide" else "uint8")
    path = tmp_path / "flip.tif"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        create(path, samples.shape, str(samples.dtype), **FLIPPED[name]) as out,
    ):
        if name == "palette":
            out.write_colormap(1, {index: (index, index, 255 - index, 255) for index in range(256)})
        out.write(samples)
        if name == "masked":
            out.write_mask(samples[0] > 90)
    data = path.read_bytes()
    rng = np.random.default_rng(sum(name.encode()))
    started = time.monotonic()
    outcomes = {"image": 0, "refused": 0}
    for turn in range(FLIPS_PER_FILE):
        bad = bytearray(data)
        reach = len(bad) if turn % 3 == 0 else 300
        for _ in range(int(rng.integers(1, 4))):
            bad[int(rng.integers(4, reach))] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bad)
        try:
            outcomes["image"] += load_image(path).pixels.ndim == 3
        except ImageError as error:
            outcomes["refused"] += path.name in str(error)
    assert sum(outcomes.values()) == FLIPS_PER_FILE
    assert min(outcomes.values()) > 0
    assert time.monotonic() - started < 60
