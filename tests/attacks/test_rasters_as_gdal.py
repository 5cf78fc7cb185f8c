"""Rasters of every type, layout, compression and byte order are read as they were written; and as Pillow reads them
where both readers apply. Damaged ones end in one of this package's errors."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.errors import GeoPixelError, ImageError, ResourceError
from geopixel_edge.images import load_image
from geopixel_edge.rasters.geotiff import open_raster

from ..support.geo_fixtures import FOLDER
from ..support.rasters import HEIGHT_PX, WIDTH_PX, bands, create, write_tiff

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
COMPRESSIONS = ["none", "lzw", "deflate", "packbits", "zstd", "lzma", "lerc"]
TILES: dict[bool, dict[str, Any]] = {
    False: {"blockysize": 9},
    True: {"tiled": True, "blockxsize": 32, "blockysize": 16},
}
PLACED = {"crs": "EPSG:32640", "transform": (0.5, 0.1, 345_678.4, 0.1, -0.5, 2_712_345.6)}
FLIPS = 120


def as_stated(samples: np.ndarray, nodata: float | None) -> np.ndarray:
    """The rule of the docs, written plainly: uint8 (height, width, 3) of samples (bands, height, width)."""
    valid = np.isfinite(samples.astype(float)).all(axis=0)
    if nodata is not None:
        valid &= (samples != nodata).any(axis=0)
    out = np.full((*samples.shape[1:], 3), 255, np.uint8)
    for colour in range(3):
        band = samples[colour if len(samples) > 1 else 0].astype(np.float64)
        if samples.dtype == np.uint8:
            shown = band
        else:
            ranked = np.sort(band[valid])
            low, high = (ranked[round((len(ranked) - 1) * share)] for share in (0.02, 0.98))
            shown = np.rint(np.clip((band - low) * 255 / (high - low), 0, 255))
        out[valid, colour] = shown[valid].astype(np.uint8)
    return out


def read(path: Path) -> np.ndarray:
    with open_raster(path) as scene:
        return scene.read(0, 0, scene.width_px, scene.height_px).rgb


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_layout_is_read_as_it_was_written(tmp_path: Path, dtype: str, compression: str) -> None:
    from rasterio.transform import Affine

    placed = {"crs": PLACED["crs"], "transform": Affine(*PLACED["transform"])}
    kinds = itertools.product((1, 3), ("pixel", "band"), ("little", "big"), (False, True), (None, "set"))
    for number, (count, interleave, order, tiled, marked) in enumerate(kinds):
        samples = bands(count, dtype)
        nodata = float(samples[0, 0, 0]) if marked else None
        if marked:
            samples[:, 5:20, 30:] = samples[0, 0, 0]
        options = {"interleave": interleave, "compress": compression, "endianness": order, "nodata": nodata}
        colour = {"photometric": "rgb"} if count == 3 else {}
        path = write_tiff(tmp_path / f"{number}.tif", samples, **options, **TILES[tiled], **colour, **placed)
        found, right = read(path).astype(int), as_stated(samples, nodata)
        assert np.abs(found - right).max() <= (dtype != "uint8"), (count, options, tiled)
        assert np.array_equal(load_image(path).pixels, found)


@pytest.mark.parametrize("bits", [1, 2, 4, 7, 9, 10, 12, 15])
def test_samples_of_odd_bits(tmp_path: Path, bits: int) -> None:
    kind = np.uint8 if bits <= 8 else np.uint16
    samples = (bands(1, "uint16")[0].astype(int) * 7 % (1 << bits)).astype(kind)
    path = write_tiff(tmp_path / "odd.tif", samples, nbits=bits)
    if bits == 7:
        right = np.repeat(np.rint(samples * (255 / 127)).astype(np.uint8)[..., None], 3, axis=2)
    elif bits < 8:
        right = np.repeat((samples.astype(int) * 255 // ((1 << bits) - 1)).astype(np.uint8)[..., None], 3, axis=2)
    else:
        right = as_stated(samples[None], None)
    assert np.abs(read(path).astype(int) - right).max() <= (bits > 8)


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (1, {}),
        (1, {"photometric": "miniswhite"}),
        (1, {"nbits": 1}),
        (1, {"nbits": 4}),
        (1, {"nodata": 30}),
        (2, {"alpha": "yes", "photometric": "minisblack"}),
        (3, {"photometric": "rgb"}),
        (3, {"photometric": "rgb", "interleave": "band"}),
        (3, {"photometric": "rgb", "nodata": 30}),
        (4, {"photometric": "rgb", "alpha": "yes"}),
        (4, {"photometric": "rgb", "alpha": "premultiplied"}),
        (4, {"photometric": "rgb"}),
        (4, {"photometric": "cmyk"}),
    ],
    ids=str,
)
def test_both_readers_agree_on_8_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, options: dict[str, Any]
) -> None:
    samples = bands(count, "uint8")
    if options.get("nbits"):
        samples = samples % (1 << options["nbits"])
    if options.get("alpha") == "premultiplied":
        samples[:3] = np.minimum(samples[:3], samples[3])
    if "nodata" in options:
        samples[:, 3:9] = options["nodata"]
    path = write_tiff(tmp_path / "it.tif", samples, **options)
    by_gdal = read(path)
    monkeypatch.setenv("GEOPIXEL_EDGE_NO_GEO", "1")
    by_pillow = load_image(path).pixels
    assert np.abs(by_gdal.astype(int) - by_pillow).max() <= ("alpha" in options or count == 4)


def test_both_readers_agree_on_masks_and_palettes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = np.zeros((HEIGHT_PX, WIDTH_PX), np.bool_)
    hidden[7:20, 11:40] = True
    with create(tmp_path / "mask.tif", (3, HEIGHT_PX, WIDTH_PX), "uint8", photometric="rgb") as out:
        out.write(bands(3, "uint8"))
        out.write_mask(~hidden)
    table = Image.fromarray(np.moveaxis(bands(3, "uint8"), 0, 2)).quantize(60)
    table.save(tmp_path / "palette.tif")
    for name in ("mask.tif", "palette.tif"):
        by_gdal = read(tmp_path / name)
        with monkeypatch.context() as alone:
            alone.setenv("GEOPIXEL_EDGE_NO_GEO", "1")
            assert np.array_equal(load_image(tmp_path / name).pixels, by_gdal)


def test_who_reads_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = write_tiff(tmp_path / "plain.tif", bands(3, "uint8"), photometric="rgb")
    assert load_image(plain).reading is None
    assert load_image(plain).place is None
    wide = write_tiff(tmp_path / "wide.tif", bands(3, "uint16"), interleave="band", compress="deflate")
    assert load_image(wide).reading is not None
    shutil.copy(FOLDER / "rgb_utm_1.tif", tmp_path / "big.tif")
    placed = load_image(tmp_path / "big.tif")
    assert placed.place is not None
    monkeypatch.setenv("GEOPIXEL_EDGE_NO_GEO", "1")
    alone = load_image(tmp_path / "big.tif")
    assert np.array_equal(alone.pixels, placed.pixels)
    assert alone.place is None
    assert alone.notes[-1] == "big.tif is georeferenced; install geopixel-edge[geo] to keep its place"
    with pytest.raises(ImageError, match="it does not declare which of its bands are the colours"):
        load_image(wide)
    with pytest.raises(GeoPixelError, match=r"is a JPEG 2000, which GDAL reads; pip install 'geopixel-edge\[geo\]'"):
        load_image(FOLDER / "jp2_1.jp2")


def test_rasters_over_the_bounds_of_one_image_are_sent_to_scene(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    with create(path, (3, 30_000, 40_000), "uint16", nodata=0, tiled=True, sparse_ok=True, compress="deflate"):
        pass
    with pytest.raises(ImageError, match=r"over the limit of .*; ask about it with `geopixel-edge scene`"):
        load_image(path)
    with open_raster(path) as scene:
        assert (scene.width_px, scene.height_px) == (40_000, 30_000)
        assert not scene.read(39_990, 29_990, 10, 10).valid.any()


def test_without_a_valid_pixel_there_is_no_image() -> None:
    for name in ("all_nodata_1.tif", "riotiler_inverted_lat.tif"):
        if (FOLDER / name).exists():
            with pytest.raises(ImageError, match="every pixel is missing"):
                load_image(FOLDER / name)


@pytest.mark.parametrize("name", ["uint16_bgrn_interp_1.tif", "jp2_1.jp2", "gcps_1.tif", "mask_internal_1.tif"])
def test_damaged_rasters_end_in_this_packages_errors(tmp_path: Path, name: str) -> None:
    whole, chance = (FOLDER / name).read_bytes(), np.random.default_rng(11)
    path, told = tmp_path / name, []
    for flip in range(FLIPS):
        data = bytearray(whole[: len(whole) if flip % 5 else int(chance.integers(20, len(whole)))])
        for at in chance.integers(0, min(len(data), 4000 if flip % 2 else len(data)), 3):
            data[at] ^= int(chance.integers(1, 256))
        path.write_bytes(data)
        try:
            image = load_image(path)
        except (ImageError, ResourceError) as error:
            told.append(str(error))
        else:
            assert image.pixels.shape[2] == 3
    assert len(told) > FLIPS // 20
    assert not any("\n" in line for line in told)
