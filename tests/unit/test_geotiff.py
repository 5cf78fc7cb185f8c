"""Rasters through GDAL: every fixture as its manifest says, windows like the whole, and what is refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pyproj
import pytest

from geopixel_edge.errors import GeoReferenceError, ImageError, OptionError
from geopixel_edge.rasters.colouring import Reading
from geopixel_edge.rasters.gdal import gdal
from geopixel_edge.rasters.geotiff import open_raster

from ..support.geo_fixtures import FIXTURES, FOLDER, OPENED, REFUSED, crs_of
from ..support.rasters import create, write_tiff

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

GEOREFERENCING = {
    **{"transform": ("affine", True), "transform_without_crs": ("affine", False)},
    **{"gcps": ("gcps", True), "rpc": ("rpc", True), "none": (None, False)},
}


@pytest.mark.parametrize("name", OPENED)
def test_a_fixture_is_read_as_its_manifest_says(name: str) -> None:
    entry = FIXTURES[name]
    with open_raster(FOLDER / name) as scene:
        window = scene.read(0, 0, scene.width_px, scene.height_px)
        assert (scene.width_px, scene.height_px) == (entry["width"], entry["height"])
        assert (scene.place.georeferencing, scene.place.has_crs) == GEOREFERENCING[entry["georef"]]
        if entry["stretch"] is None:
            assert scene.stretch is None
        else:
            np.testing.assert_allclose(np.array(scene.stretch), entry["stretch"], rtol=1e-6)
        assert list(scene.bands) == entry.get("bands_used", list(scene.bands))
        for word in ("bands", "pages"):
            assert any(word in note for note in scene.notes) == (word in entry.get("note", ""))
        if scene.place.wkt and (truth := crs_of(entry)):
            assert pyproj.CRS(scene.place.wkt).equals(pyproj.CRS(truth).to_2d(), ignore_axis_order=True)
    assert int(window.valid.sum()) == entry["valid_px"]
    assert (window.rgb[~window.valid] == 255).all()
    for pixel in entry["pixels"]:
        found = window.rgb[pixel["row"], pixel["col"]].astype(int)
        assert np.abs(found - pixel["rgb"]).max() <= pixel["tol"], (pixel, found)


@pytest.mark.parametrize("name", [name for name in REFUSED if "nodata" not in name and "inverted" not in name])
def test_a_fixture_that_cannot_be_used_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ImageError, match=r"^image=") as caught, open_raster(FOLDER / name) as scene:
        scene.read(0, 0, scene.width_px, scene.height_px)
    assert "\n" not in str(caught.value)
    remedy = {"giant_strip": "gdal_translate -of COG", "complex": "amplitude", "vrt_in_disguise": "no TIFF"}
    assert remedy.get(FIXTURES[name]["kind"], "image=") in str(caught.value)


@pytest.mark.parametrize(
    "name", ["uint16_bgrn_interp_1.tif", "alpha_rgba_1.tif", "cog_overviews_1.tif", "one_bit_1.tif"]
)
def test_windows_are_cuts_of_the_whole(name: str) -> None:
    with open_raster(FOLDER / name) as scene:
        whole = scene.read(0, 0, scene.width_px, scene.height_px)
        for x, y, w, h in ((0, 0, 1, 1), (7, 11, 30, 20), (scene.width_px - 5, scene.height_px - 9, 5, 9)):
            part = scene.read(x, y, w, h)
            np.testing.assert_array_equal(part.rgb, whole.rgb[y : y + h, x : x + w])
            np.testing.assert_array_equal(part.valid, whole.valid[y : y + h, x : x + w])
        for box in ((-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, scene.width_px + 1, 1), (scene.width_px, 0, 1, 1)):
            with pytest.raises(OptionError, match="is not inside"):
                scene.read(*box)
        small = scene.overview(32)
        assert max(small.valid.shape) <= 32
        assert abs(small.rgb[small.valid].mean() - whole.rgb[whole.valid].mean()) < 12
        assert scene.overview(10_000).rgb.shape == whole.rgb.shape


def test_bands_and_ends_can_be_chosen() -> None:
    path = FOLDER / "uint16_bgrn_interp_1.tif"
    with open_raster(path) as usual, open_raster(path, Reading(bands=(4,))) as infrared:
        assert infrared.bands == (4,)
        assert infrared.stretch is not None
        rgb = infrared.read(0, 0, 20, 20).rgb
        assert (rgb == rgb[..., :1]).all()
        assert usual.stretch is not None
        onto = ((44.0, 212.0), (67.0, 194.0), (57.0, 172.0))
        fixed = Reading(bands=usual.bands, stretch=usual.stretch, onto=onto)
        whole = usual.read(0, 0, usual.width_px, usual.height_px)
    with open_raster(path, fixed) as learnt:
        seen = learnt.read(0, 0, learnt.width_px, learnt.height_px)
        assert any("given" in note and "learnt" in note for note in learnt.notes)
    inside = whole.valid & (whole.rgb > 0).all(axis=2) & (whole.rgb < 255).all(axis=2)
    for band, (low, high) in enumerate(onto):
        expected = low + whole.rgb[inside][:, band] * (high - low) / 255
        assert np.abs(seen.rgb[inside][:, band] - expected).max() <= 0.85


@pytest.mark.parametrize("bands", [(0,), (5,), (1, 2), (1, 2, 3, 4), (1.5,), "123", 7, (True,)])
def test_bands_that_the_file_lacks_are_refused(bands: object) -> None:
    with pytest.raises(OptionError, match=r"^bands="):
        open_raster(FOLDER / "uint16_bgrn_interp_1.tif", Reading(bands=bands))  # type: ignore[arg-type]


def test_what_was_never_written_is_known_without_reading(tmp_path: Path) -> None:
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "sparse_ok": True}
    with create(tmp_path / "big.tif", (3, 4000, 6000), "uint8", nodata=0, photometric="rgb", **layout) as out:
        from rasterio.windows import Window

        out.write(np.full((3, 100, 100), 77, np.uint8), window=Window(3000, 2000, 100, 100))
    with open_raster(tmp_path / "big.tif") as scene:
        assert not scene.stored(0, 0, 2000, 2000)
        assert scene.stored(2900, 1900, 200, 200)
        window = scene.read(2990, 1990, 120, 120)
        assert int(window.valid.sum()) == 10_000
        small = scene.overview(1000)
        assert small.rgb.shape == (667, 1000, 3)
        assert 250 <= int(small.valid.sum()) <= 361
        assert (small.rgb[small.valid] == 77).all()


def test_gdals_cache_holds_blocks_not_64_bytes() -> None:
    """With less than a block GDAL decodes one again for every row and band of a decimated picture: minutes."""
    with gdal("it") as rasterio:
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 64 * 2**20


def test_sentinel_bands_are_found_by_their_names(tmp_path: Path) -> None:
    values = np.stack([np.full((8, 9), 100 * band + 5, np.uint16) for band in range(13)])
    path = write_tiff(tmp_path / "s2.tif", values)
    import rasterio

    with rasterio.open(path, "r+") as out:
        out.descriptions = tuple(f"B{number:02}" for number in range(1, 14))
    with open_raster(path) as scene:
        assert scene.bands == (4, 3, 2)
        assert scene.notes[0] == "bands found by description B04, B03, B02"


def test_white_is_zero_is_turned_round(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint16) * 200, (4, 1))
    dark = write_tiff(tmp_path / "dark.tif", ramp, photometric="minisblack")
    light = write_tiff(tmp_path / "light.tif", ramp.max() - ramp, photometric="miniswhite")
    with open_raster(dark) as one, open_raster(light) as other:
        pair = [scene.read(0, 0, 200, 4).rgb.astype(int) for scene in (one, other)]
    assert np.abs(pair[0] - pair[1]).max() <= 3  # the 2nd percentile of one is the 98th of the other
    write_tiff(tmp_path / "byte.tif", np.array([[0, 10, 255]], np.uint8), photometric="miniswhite")
    with open_raster(tmp_path / "byte.tif") as scene:
        assert scene.read(0, 0, 3, 1).rgb[0, :, 0].tolist() == [255, 245, 0]


def test_a_prj_counts_beside_a_world_file_and_must_be_a_crs(tmp_path: Path) -> None:
    for suffix in (".jpg", ".jgw"):
        shutil.copy(FOLDER / f"world_file_1{suffix}", tmp_path / f"it{suffix}")
    (tmp_path / "it.prj").write_text(pyproj.CRS("EPSG:32733").to_wkt("WKT1_ESRI"))
    with open_raster(tmp_path / "it.jpg") as scene:
        assert scene.place.located
    (tmp_path / "it.prj").write_text("no CRS at all")
    with pytest.raises(GeoReferenceError, match=r"it.prj' beside it is no CRS; write WKT"):
        open_raster(tmp_path / "it.jpg")
    (tmp_path / "it.prj").unlink()
    with open_raster(tmp_path / "it.jpg") as scene:
        assert scene.place.reason == "it has a transform but no CRS"


def test_sidecars_that_gdal_would_open_with_any_driver_are_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "rgb_utm_1.tif", tmp_path / "it.tif")
    for suffix in (".msk", ".ovr"):
        beside = tmp_path / f"it.tif{suffix}"
        beside.write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>")
        with pytest.raises(ImageError, match=f"it.tif{suffix}' beside it is no TIFF"):
            open_raster(tmp_path / "it.tif")
        beside.unlink()


def test_gdals_warnings_become_notes_and_reach_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray((FOLDER / "no_georeferencing_1.tif").read_bytes())
    count = int.from_bytes(data[8:10], "little") if data[4:8] == b"\x08\0\0\0" else 0
    assert count > 5
    last = 10 + 12 * (count - 1)
    data[last : last + 2] = (65_001).to_bytes(2, "little")
    data[last + 2 : last + 4] = (99).to_bytes(2, "little")  # a tag of no known type
    (tmp_path / "odd.tif").write_bytes(data)
    with caplog.at_level(logging.DEBUG), open_raster(tmp_path / "odd.tif") as scene:
        notes = scene.notes
    assert any(note.startswith("GDAL warned: ") for note in notes), notes
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_one_control_point_places_nothing(tmp_path: Path) -> None:
    import rasterio
    from rasterio.control import GroundControlPoint

    points = [GroundControlPoint(row=3, col=4, x=500_000, y=2_000_000)]
    path = write_tiff(tmp_path / "one.tif", np.zeros((3, 9, 9), np.uint8), gcps=points, crs="EPSG:32640")
    with rasterio.open(path) as written:
        assert len(written.gcps[0]) == 1
    with pytest.raises(GeoReferenceError, match="has 1 ground control points; at least 3 are needed"):
        open_raster(path)


def test_a_closed_raster_says_so() -> None:
    scene = open_raster(FOLDER / "rgb_utm_1.tif")
    scene.close()
    with pytest.raises(ImageError, match="was closed"):
        scene.read(0, 0, 1, 1)
