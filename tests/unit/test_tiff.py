"""TIFF structures that are read: pixels as GDAL reads them, missing pixels white, rows as stored."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image
from geopixel_edge.rasters.tiff_structure import codec_is_there

from ..support.rasters import HEIGHT_PX, WIDTH_PX, bands, create, gdal_reads, set_tag, write_tiff

UNPLACED = "ignore::rasterio.errors.NotGeoreferencedWarning"
pytestmark = [pytest.mark.filterwarnings(UNPLACED), pytest.mark.usefixtures("without_geo")]
ZSTD = ["zstd"] if codec_is_there(50_000) else []  # not in every build of Pillow
COMPRESSIONS = ["none", "lzw", "deflate", "packbits", "lzma", *ZSTD]
LAYOUTS: list[dict[str, object]] = [{"blockysize": 9}, {"tiled": True, "blockxsize": 32, "blockysize": 16}]
ORDERS = ["little", "big"]
GREY = np.repeat(bands(1, "uint8")[0][..., None], 3, axis=2)
RGB = np.moveaxis(bands(3, "uint8"), 0, 2)


def stretched(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    low, high = np.percentile(values if known is None else values[known], (2, 98), method="nearest").astype(float)
    grey = np.rint((np.clip(values.astype(float), low, high) - low) * (255 / (high - low)))
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_eight_bits_in_every_layout_byte_order_and_interleave(tmp_path: Path, compress: str, photometric: str) -> None:
    for number, (layout, order, interleave, bigtiff) in enumerate(
        itertools.product(LAYOUTS, ORDERS, ["pixel", "band"], ["no", "yes"])
    ):
        if order == "big" and bigtiff == "yes":
            continue
        samples = bands(3 if photometric == "rgb" else 1, "uint8")
        options = {"photometric": photometric, "endianness": order, "interleave": interleave, "bigtiff": bigtiff}
        path = write_tiff(tmp_path / f"{number}.tif", samples, compress=compress, **options, **layout)
        expected = {"rgb": RGB, "minisblack": GREY, "miniswhite": 255 - GREY}[photometric]
        assert np.array_equal(load_image(path).pixels, expected), options


@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize("compress", ["lzw", "deflate", *ZSTD])
def test_predictors(tmp_path: Path, compress: str, predictor: int) -> None:
    for dtype in ("float32",) if predictor == 3 else ("uint8", "uint16", "int16", "int32"):
        samples = bands(1, dtype)
        path = write_tiff(tmp_path / f"{dtype}.tif", samples, compress=compress, predictor=predictor)
        assert np.array_equal(load_image(path).pixels, GREY if dtype == "uint8" else stretched(samples[0])), dtype


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
def test_one_wide_band(tmp_path: Path, dtype: str) -> None:
    samples = bands(1, dtype)
    for number, (order, compress, interleave, layout) in enumerate(
        itertools.product(ORDERS, ["none", "lzw"], ["pixel", "band"], LAYOUTS)
    ):
        if order == "big" and compress != "none":
            continue
        options = {"endianness": order, "compress": compress, "interleave": interleave, **layout}
        loaded = load_image(write_tiff(tmp_path / f"{number}.tif", samples, **options))
        assert np.array_equal(loaded.pixels, stretched(samples[0])), options


@pytest.mark.parametrize("nbits", [1, 2, 4, 12])
def test_samples_of_few_bits(tmp_path: Path, nbits: int) -> None:
    samples = (bands(1, "uint16") % 2**nbits).astype(np.uint16 if nbits > 8 else np.uint8)
    expected = stretched(samples[0]) if nbits > 8 else np.repeat(samples[0][..., None] * (255 // (2**nbits - 1)), 3, 2)
    compressions = ["none", "deflate", *(["ccittfax3", "ccittfax4"] if nbits == 1 else [])]
    for compress, interleave in itertools.product(compressions, ["pixel", "band"]):
        if nbits == 12 and interleave == "band" and compress == "none":
            continue
        path = tmp_path / f"{compress}{interleave}.tif"
        write_tiff(path, samples, nbits=nbits, compress=compress, interleave=interleave, blockysize=11)
        assert np.array_equal(load_image(path).pixels, expected), (compress, interleave)


def test_alpha_and_bands_that_are_no_colours(tmp_path: Path) -> None:
    samples = bands(4, "uint8")
    weight = samples[3][..., None] / 255
    over = RGB * weight + 255 * (1 - weight)
    for interleave in ("pixel", "band"):
        options = {"photometric": "rgb", "interleave": interleave, "compress": "lzw"}
        separate = load_image(write_tiff(tmp_path / "a.tif", samples, alpha="yes", **options))
        assert np.abs(separate.pixels - over).max() <= 1
    samples[:3] = np.minimum(samples[:3], samples[3])
    premultiplied = load_image(write_tiff(tmp_path / "p.tif", samples, photometric="rgb", alpha="premultiplied"))
    assert np.abs(premultiplied.pixels - (np.moveaxis(samples[:3], 0, 2) + 255.0 - samples[3][..., None])).max() <= 2
    five = write_tiff(tmp_path / "five.tif", bands(5, "uint8"), photometric="rgb", alpha="no")
    assert np.array_equal(load_image(five).pixels, RGB)


def test_a_palette_and_jpeg(tmp_path: Path) -> None:
    table = {index: (index, 255 - index, index * 7 % 256, 255) for index in range(256)}
    path = tmp_path / "palette.tif"
    with create(path, (1, HEIGHT_PX, WIDTH_PX), "uint8", photometric="palette", compress="deflate") as out:
        out.write_colormap(1, table)
        out.write(bands(1, "uint8"))
    assert np.array_equal(
        load_image(path).pixels, np.array([table[index][:3] for index in GREY[..., 0].flat]).reshape(RGB.shape)
    )
    rows, columns = np.mgrid[0:64, 0:64]
    smooth = np.stack([rows * 2 + 20, columns * 2 + 40, rows + columns + 60]).astype(np.uint8)
    for photometric in ("ycbcr", "rgb"):
        path = write_tiff(
            tmp_path / f"{photometric}.tif", smooth, photometric=photometric, compress="jpeg", jpeg_quality=90
        )
        assert np.abs(load_image(path).pixels.astype(int) - np.moveaxis(gdal_reads(path), 0, 2)).max() <= 8


def test_reversed_bits(tmp_path: Path) -> None:
    samples = bands(1, "uint8") % 2
    path = write_tiff(tmp_path / "bits.tif", samples, nbits=1)
    plain = load_image(path).pixels
    data = bytearray(path.read_bytes())
    with rasterio.open(path) as back:
        assert back.block_shapes == [(HEIGHT_PX, WIDTH_PX)]
    pixels = data[-HEIGHT_PX * 8 :]
    data[-HEIGHT_PX * 8 :] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in pixels)
    path.write_bytes(data)
    set_tag(path, 284, 2, new_tag=266)  # PlanarConfiguration 1, its default, makes room for FillOrder
    assert np.array_equal(load_image(path).pixels, plain)
    assert np.array_equal(gdal_reads(path), samples)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("float32", -9999.0), ("float32", 1e20), ("int16", -32768), ("uint16", 7)]
)
def test_nodata_is_white_and_outside_the_percentiles(tmp_path: Path, dtype: str, nodata: float) -> None:
    samples = bands(1, dtype)
    samples[0, 4:20, 3:30] = nodata
    loaded = load_image(write_tiff(tmp_path / "n.tif", samples, nodata=nodata))
    with rasterio.open(tmp_path / "n.tif") as back:
        known = back.dataset_mask() > 0
    expected = stretched(samples[0], known)
    expected[~known] = 255
    assert np.array_equal(loaded.pixels, expected)
    assert f"{(~known).sum()} pixels of nodata" in loaded.notes[0]


def test_nodata_of_colours_counts_where_all_bands_have_it(tmp_path: Path) -> None:
    samples = bands(3, "uint8")
    samples[:, :9, :] = 17
    samples[0, 20, :] = 17
    loaded = load_image(write_tiff(tmp_path / "n.tif", samples, photometric="rgb", nodata=17))
    expected = np.moveaxis(samples, 0, 2).copy()
    expected[:9] = 255
    assert np.array_equal(loaded.pixels, expected)
    assert loaded.notes == (f"{9 * WIDTH_PX} pixels of nodata 17 became white",)


@pytest.mark.parametrize("text", ["not a number", "-5", "nan", "1e9", "1_0"])
def test_a_nodata_text_that_marks_no_pixel_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "n.tif"
    Image.fromarray(RGB).save(path, tiffinfo={42113: text})
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, RGB)
    assert loaded.notes == (f"nodata {text!r} marks no pixel of uint8",)


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_mask_in_the_file_or_beside_it(tmp_path: Path, internal: bool, dtype: str) -> None:
    count = 3 if dtype == "uint8" else 1
    samples, hidden = bands(count, dtype), np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    hidden[5:33, 40:] = True
    options = {"photometric": "rgb"} if count == 3 else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        create(tmp_path / "m.tif", samples.shape, dtype, tiled=True, blockxsize=16, blockysize=16, **options) as out,
    ):
        out.write(samples)
        out.write_mask(~hidden)
    assert (tmp_path / "m.tif.msk").exists() != internal
    expected = RGB.copy() if count == 3 else stretched(samples[0], ~hidden)
    expected[hidden] = 255
    loaded = load_image(tmp_path / "m.tif")
    assert np.array_equal(loaded.pixels, expected)
    assert f"{hidden.sum()} pixels outside the mask" in loaded.notes[-1]


def test_overviews_and_masks_are_no_frames(tmp_path: Path) -> None:
    path = write_tiff(
        tmp_path / "o.tif", bands(3, "uint8"), photometric="rgb", tiled=True, blockxsize=16, blockysize=16
    )
    with rasterio.open(path, "r+") as back:
        back.build_overviews([2, 4])
    assert load_image(path).notes == ()
    with Image.open(path) as image:
        assert load_image(image).notes == ()


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png", ".webp", "lzw.tif"])
def test_an_orientation_is_not_applied_in_any_format(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"compression": "tiff_lzw"} if suffix.startswith("lzw") else {"lossless": True}
    path, plain = tmp_path / f"turned{suffix}", tmp_path / f"plain{suffix}"
    Image.fromarray(RGB).save(path, exif=exif, **options)
    Image.fromarray(RGB).save(plain, **options)
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, load_image(plain).pixels)
    assert loaded.notes == (f"orientation {orientation} was not applied: coordinates are those of the stored pixels",)
    with Image.open(path) as image:
        assert np.array_equal(load_image(image).pixels, loaded.pixels)
        if path.suffix == ".tif":
            image.load()
            assert image.size == ((HEIGHT_PX, WIDTH_PX) if orientation > 4 else (WIDTH_PX, HEIGHT_PX))


def test_a_page_of_a_lazy_pillow_image_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pages = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    with Image.open(buffer) as image:
        image.seek(1)
        loaded = load_image(image)
        assert np.array_equal(loaded.pixels, 255 - RGB)
        assert "frame 2 was taken" in loaded.notes[0]
        assert np.array_equal(np.asarray(image), 255 - RGB)


def test_what_pillow_alone_writes_comes_back(tmp_path: Path) -> None:
    opaque = Image.fromarray(RGB).quantize(32).convert("PA")
    for compression in ("raw", "tiff_lzw"):
        opaque.save(tmp_path / "pa.tif", compression=compression)
        assert np.array_equal(load_image(tmp_path / "pa.tif").pixels, load_image(opaque).pixels)
    ycbcr = Image.fromarray(RGB).convert("YCbCr")
    ycbcr.save(tmp_path / "y.tif")
    if Image.open(tmp_path / "y.tif").mode != "YCbCr":  # Pillow 12, Python 3.10's last, takes it for RGB and fails
        with pytest.raises(ImageError, match="this Pillow does not know it"):
            load_image(tmp_path / "y.tif")
        return
    assert np.array_equal(load_image(tmp_path / "y.tif").pixels, np.asarray(ycbcr.convert("RGB")))
    assert (
        np.abs(np.moveaxis(gdal_reads(tmp_path / "y.tif")[:3], 0, 2) - load_image(ycbcr).pixels.astype(int)).max() <= 2
    )
    with Image.open(tmp_path / "y.tif") as image:
        image.load()
        assert np.array_equal(load_image(image).pixels, load_image(ycbcr).pixels)
