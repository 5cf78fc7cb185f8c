"""TIFFs that Pillow reads wrongly or not at all are refused by the name of their structure, with the remedy."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image

from ..support.rasters import HEIGHT_PX, WIDTH_PX, bands, create, first_page, set_tag, write_tiff

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("without_geo"),
]

BLAME = ("damaged", "truncated", "wrongly named", "copy it again")


def refused(path: Path, *fragments: str) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    message = str(caught.value)
    for fragment in (path.name, *fragments):
        assert fragment in message
    assert len(message) < 600
    assert "\n" not in message
    return message


def refused_by_name(path: Path, *fragments: str) -> None:
    message = refused(path, "gdal_translate", *fragments)
    assert not [word for word in BLAME if word in message]


BANDS_APART = "TIFF of 4 bands of uint16, band after band (PlanarConfiguration 2), deflate; it does not declare"
STRUCTURES: list[tuple[int, str, dict[str, object], str]] = [
    (4, "uint16", {"interleave": "band", "compress": "deflate"}, BANDS_APART),
    (3, "uint8", {"photometric": "minisblack"}, "TIFF of 3 bands of uint8, uncompressed; it does not declare"),
    (2, "uint8", {}, "TIFF of 2 bands of uint8, uncompressed; it does not declare"),
    (5, "float32", {"tiled": True, "blockxsize": 16, "blockysize": 16}, "TIFF of 5 bands of float32"),
    (3, "uint16", {"photometric": "rgb", "interleave": "band"}, "uint16, RGB, band after band"),
    (3, "uint16", {"photometric": "rgb", "endianness": "big", "compress": "zstd"}, "ZSTD, big-endian"),
    (4, "uint16", {"photometric": "rgb", "alpha": "premultiplied"}, "4 bands of uint16, RGB"),
    (3, "uint8", {"photometric": "rgb", "bigtiff": "yes", "endianness": "big"}, "BigTIFF of 3 bands of uint8, RGB"),
    (3, "uint8", {"photometric": "rgb", "compress": "webp"}, "RGB, WebP"),
    (3, "uint8", {"photometric": "rgb", "compress": "lerc"}, "RGB, LERC"),
    (3, "int8", {"photometric": "rgb"}, "3 bands of int8"),
    (1, "uint16", {"endianness": "big", "compress": "lzw"}, "1 band of uint16, LZW, big-endian"),
    (1, "int32", {"endianness": "big", "compress": "packbits"}, "1 band of int32, PackBits, big-endian"),
    (1, "uint16", {"photometric": "miniswhite"}, "1 band of uint16, 0 is white"),
    (1, "uint32", {}, "1 band of uint32"),
    (1, "int8", {"compress": "lzw"}, "1 band of int8, LZW"),
    (1, "float64", {"compress": "deflate", "predictor": 3}, "1 band of float64, deflate, predictor 3"),
    (1, "complex64", {}, "1 band of complex64"),
    (1, "float32", {"nbits": 16}, "1 band of float16"),
    (1, "uint16", {"nbits": 11}, "1 band of uint11"),
    (1, "uint16", {"nbits": 12, "compress": "jpeg"}, "1 band of uint12, JPEG"),
    (4, "uint8", {"photometric": "cmyk", "interleave": "band"}, "4 bands of uint8, CMYK, band after band"),
    (2, "uint8", {"alpha": "yes", "interleave": "band", "compress": "deflate"}, "2 bands of uint8, band after band"),
]


@pytest.mark.parametrize(("count", "dtype", "options", "name"), STRUCTURES)
def test_a_structure_that_is_not_read_is_named(
    tmp_path: Path, count: int, dtype: str, options: dict[str, object], name: str
) -> None:
    refused_by_name(write_tiff(tmp_path / "s.tif", bands(count, dtype), **options), name)


def test_blocks_that_were_never_written(tmp_path: Path) -> None:
    for compress in ("none", "lzw"):
        path = tmp_path / f"{compress}.tif"
        options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True, "compress": compress}
        with create(path, (1, 64, 64), "float32", **options) as out:
            out.write(np.ones((1, 16, 16), np.float32), window=Window(16, 16, 16, 16))
        refused_by_name(path, "sparse")


@pytest.mark.parametrize(("tag", "value", "name"), [(259, 6, "old JPEG"), (259, 34_676, "compression 34676")])
def test_a_compression_that_is_not_read_is_named(tmp_path: Path, tag: int, value: int, name: str) -> None:
    refused_by_name(set_tag(write_tiff(tmp_path / "c.tif", bands(1, "uint8")), tag, value), name)


@pytest.mark.parametrize(("tag", "value", "name"), [(339, 4, "untyped 8"), (262, 10, "PhotometricInterpretation 10")])
def test_samples_that_are_not_read_are_named(tmp_path: Path, tag: int, value: int, name: str) -> None:
    refused_by_name(set_tag(write_tiff(tmp_path / "c.tif", bands(1, "uint8")), tag, value), name)


def test_bands_declared_in_another_order_and_a_late_alpha(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "b.tif", bands(3, "uint8"), photometric="rgb")
    item = '<Item name="COLORINTERP" sample="{}" role="colorinterp">{}</Item>'
    texts = [item.format(band, name) for band, name in enumerate(["Blue", "Green", "Red"])]
    Image.fromarray(np.moveaxis(bands(3, "uint8"), 0, 2)).save(
        path, tiffinfo={42112: f"<GDALMetadata>{''.join(texts)}"}
    )
    refused_by_name(path, "its bands are declared blue, green, red")
    texts = [item.format(3, "Alpha")]
    with create(path, (4, HEIGHT_PX, WIDTH_PX), "uint8", photometric="rgb", alpha="no") as out:
        out.write(bands(4, "uint8"))
        assert out.colorinterp[3] != ColorInterp.alpha
    assert load_image(path).notes == ("1 bands that are declared no colour were left out",)


def test_a_palette_of_8_bit_entries(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    Image.fromarray(bands(1, "uint8")[0]).convert("P").save(path)
    data = bytearray(path.read_bytes())
    _, _, places = first_page(bytes(data))
    count, place = struct.unpack_from("<II", data, places[320] + 4)
    struct.pack_into(f"<{count}H", data, place, *(index % 256 for index in range(count)))
    path.write_bytes(data)
    refused_by_name(path, "its palette has 8 of 16 bits")


@pytest.mark.parametrize("content", ["other size", "three bands", "no mask at all"])
def test_a_mask_file_that_is_none(tmp_path: Path, content: str) -> None:
    path = write_tiff(tmp_path / "m.tif", bands(3, "uint8"), photometric="rgb")
    beside = tmp_path / "m.tif.msk"
    if content == "no mask at all":
        beside.write_bytes(b"text")
    else:
        mask = bands(3, "uint8") if content == "three bands" else bands(1, "uint8")[:, :20]
        write_tiff(tmp_path / "other.tif", mask).rename(beside)
    refused(path, "m.tif.msk")


def test_a_size_over_the_limit_is_told_the_limit(tmp_path: Path) -> None:
    for suffix in (".tif", ".png", ".bmp"):
        path = tmp_path / f"large{suffix}"
        Image.new("1", (13_500, 13_500)).save(path)
        message = refused(path, "pixels, over the limit of", "cut it into smaller scenes")
        assert not [word for word in BLAME if word in message]


def test_a_pillow_image_of_a_refused_structure(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "p.tif", bands(1, "int8"))
    for decoded in (False, True):
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            if decoded:
                image.load()
            with pytest.raises(ImageError, match="'image'> is a TIFF of 1 band of int8, uncompressed; such samples"):
                load_image(image)
