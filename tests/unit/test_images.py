"""Every mode an image can arrive in: RGB byte for byte as Pillow decodes it, the others by the written rule."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.errors import ImageError
from geopixel_edge.images import load_image

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
GREY = RGB[..., 0].copy()
ALPHA = np.where(np.arange(53)[None, :] < 20, 0, np.where(np.arange(53)[None, :] < 40, 255, 100)).astype(np.uint8)
ALPHA = np.broadcast_to(ALPHA, (37, 53)).copy()


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weight = alpha.astype(np.float64)[..., None] / 255
    return colour * weight + 255 * (1 - weight)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.bmp", "a.webp", "a.TIF", "a.tiff"])
def test_rgb_files_are_what_pillow_decodes(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, Image.fromarray(RGB))
    loaded = load_image(str(path))
    with Image.open(path) as image:
        expected = np.asarray(image)
    assert np.array_equal(loaded.pixels, expected)
    assert loaded.notes == ()
    assert loaded.name == name
    assert (loaded.width_px, loaded.height_px) == (53, 37)
    assert loaded.pixels.dtype == np.uint8
    assert loaded.pixels.flags.c_contiguous


def test_exif_orientation_is_ignored_as_by_the_original(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "turned.png", Image.fromarray(RGB), exif=exif)
    assert np.array_equal(load_image(path).pixels, RGB)


def test_rgb_with_a_transparent_colour_stays_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(RGB), transparency=tuple(int(value) for value in RGB[0, 0]))
    assert np.array_equal(load_image(path).pixels, RGB)


def test_arrays_of_any_stride_become_an_owned_contiguous_copy() -> None:
    view = np.ascontiguousarray(RGB[::-1])[::-1].transpose(1, 0, 2)[::2]
    loaded = load_image(view)
    assert np.array_equal(loaded.pixels, RGB.transpose(1, 0, 2)[::2])
    assert loaded.pixels.flags.c_contiguous
    own = RGB.copy()
    kept = load_image(own)
    own[:] = 0
    assert np.array_equal(kept.pixels, RGB)
    with pytest.raises(ValueError, match="read-only"):
        kept.pixels[0, 0, 0] = 1


def test_the_digest_covers_bytes_and_shape() -> None:
    loaded = load_image(RGB)
    assert loaded.sha256 == hashlib.sha256(b"37x53x3:" + RGB.tobytes()).hexdigest()
    assert load_image(RGB.reshape(53, 37, 3)).sha256 != loaded.sha256


def test_a_pillow_image_and_a_lazy_one(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.png", Image.fromarray(RGB))
    with Image.open(path) as image:
        loaded = load_image(image)
    assert (loaded.name, loaded.notes) == ("scene.png", ())
    assert np.array_equal(loaded.pixels, RGB)
    assert load_image(Image.fromarray(RGB)).name == "image"


@pytest.mark.parametrize("mode", ["1", "L"])
def test_one_band_is_repeated(mode: str) -> None:
    source = Image.fromarray(GREY).convert(mode)
    loaded = load_image(source)
    expected = np.asarray(source.convert("L"))
    assert all(np.array_equal(loaded.pixels[..., band], expected) for band in range(3))
    assert loaded.notes == (f"mode {mode} was converted to RGB",)


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    colour = np.repeat(GREY[..., None], 3, axis=2) if mode.startswith("L") else RGB
    rgba = Image.fromarray(np.dstack([colour, ALPHA]))
    source = rgba.convert("LA").convert(mode) if mode.startswith("L") else rgba.convert(mode)
    loaded = load_image(source)
    assert np.abs(loaded.pixels - over_white(colour, ALPHA)).max() <= (1 if mode[-1] == "A" else 3)
    assert (loaded.pixels[ALPHA == 0] == 255).all()
    assert loaded.notes == (f"mode {mode} was laid over white",)


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    paletted = Image.fromarray(RGB).quantize(16)
    plain = load_image(save(tmp_path / "p.png", paletted))
    expected = np.asarray(paletted.convert("RGB"))
    assert np.array_equal(plain.pixels, expected)
    assert plain.notes == ("mode P was converted to RGB",)
    index = np.asarray(paletted)
    cut = load_image(save(tmp_path / "t.png", paletted, transparency=3))
    assert (cut.pixels[index == 3] == 255).all()
    assert np.array_equal(cut.pixels[index != 3], expected[index != 3])
    with_alpha = load_image(paletted.convert("PA"))
    assert np.array_equal(with_alpha.pixels, expected)
    assert with_alpha.notes == ("mode PA was laid over white",)


def test_a_transparent_grey_level_is_laid_over_white(tmp_path: Path) -> None:
    level = int(GREY[0, 0])
    loaded = load_image(save(tmp_path / "l.png", Image.fromarray(GREY), transparency=level))
    hidden = np.equal(GREY, level)
    assert (loaded.pixels[hidden] == 255).all()
    assert np.array_equal(loaded.pixels[~hidden], np.repeat(GREY[~hidden][:, None], 3, axis=1))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_colour_spaces_go_through_pillow(mode: str) -> None:
    source = Image.fromarray(RGB).convert(mode)
    loaded = load_image(source)
    assert np.array_equal(loaded.pixels, np.asarray(source.convert("RGB")))
    assert loaded.notes == (f"mode {mode} was converted to RGB",)


def test_lab_becomes_srgb() -> None:
    lab = Image.merge("LAB", [Image.new("L", (4, 4), level) for level in (255, 128, 128)])
    loaded = load_image(lab)
    assert loaded.pixels.min() >= 250
    assert loaded.notes == ("mode LAB was converted to sRGB",)


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", "<u2"), ("I;16B", ">u2"), ("I", "<i4"), ("F", "<f4")])
def test_wide_values_are_stretched_between_percentiles(tmp_path: Path, mode: str, dtype: str) -> None:
    values = np.arange(1000, 1000 + 101 * 10).reshape(101, 10)
    source = Image.frombuffer(mode, (10, 101), values.astype(dtype).tobytes(), "raw", mode, 0, 1)
    low, high = np.percentile(values, (2, 98), method="nearest")
    expected = np.rint((np.clip(values, low, high) - low) * (255 / (high - low)))
    for loaded in (load_image(source), load_image(save(tmp_path / "wide.tif", source))):
        assert all(np.array_equal(loaded.pixels[..., band], expected) for band in range(3))
        assert loaded.notes[0].endswith(f"stretched from {low:g}..{high:g} (2nd..98th percentile) to 0..255")


def test_a_16_bit_png_is_stretched(tmp_path: Path) -> None:
    values = (GREY.astype(np.uint16) << 8) | 7
    loaded = load_image(save(tmp_path / "a.png", Image.fromarray(values)))
    assert loaded.pixels.min() == 0
    assert loaded.pixels.max() == 255
    assert np.array_equal(loaded.pixels[..., 0], loaded.pixels[..., 2])


def test_a_stretch_without_spread_uses_all_values_and_a_flat_one_is_black() -> None:
    sparse = np.zeros((100, 100), np.uint16)
    sparse[0, 0] = 900
    loaded = load_image(Image.fromarray(sparse))
    assert loaded.pixels[0, 0].tolist() == [255, 255, 255]
    assert loaded.pixels[1:].max() == 0
    assert "0..900 (least..greatest value)" in loaded.notes[0]
    assert load_image(Image.new("F", (3, 2), 4.5)).pixels.max() == 0


def test_pixels_that_are_not_finite_are_white() -> None:
    values = np.linspace(0, 1, 300, dtype=np.float32).reshape(300, 1).repeat(2, axis=1)
    values[280, 0], values[281, 1], values[5, 0] = np.nan, np.inf, -np.inf
    loaded = load_image(Image.fromarray(values))
    assert [loaded.pixels[at][0] for at in [(280, 0), (281, 1), (5, 0)]] == [255, 255, 255]
    assert loaded.pixels[5, 1, 0] == 0
    assert loaded.notes[0].endswith("3 pixels that are not finite became white")


def test_extreme_wide_values_do_not_overflow() -> None:
    top = float(np.finfo(np.float32).max)
    assert load_image(Image.fromarray(np.array([[-top, 0, top]], np.float32))).pixels[0, :, 0].tolist() == [0, 128, 255]
    ends = np.iinfo(np.int32)
    assert load_image(Image.fromarray(np.array([[ends.min, 0, ends.max]], np.int32))).pixels[0, 2, 0] == 255


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, suffix: str) -> None:
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())
    options: dict[str, object] = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"several{suffix}", first, save_all=True, append_images=[second], **options)
    loaded = load_image(path)
    assert np.array_equal(loaded.pixels, RGB)
    assert "frame 1 was taken" in loaded.notes[0]
    with Image.open(path) as image:
        image.seek(1)
        assert np.array_equal(load_image(image).pixels, RGB[::-1])


@pytest.mark.parametrize("shape", [(1, 1), (20_000, 1), (1, 20_000)])
def test_a_single_pixel_and_long_strips_are_images(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.array_equal(load_image(save(tmp_path / "strip.png", Image.fromarray(pixels))).pixels, pixels)


def test_a_name_that_is_not_unicode_can_still_be_written_down(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG")
    if sys.platform == "linux":
        path = tmp_path / b"sc\xffne.png".decode("utf-8", "surrogateescape")
        path.write_bytes(buffer.getvalue())
        assert load_image(path).name.encode("utf-8") == b"sc?ne.png"
    with pytest.raises(ImageError, match="not there"):
        load_image(tmp_path / "sc\udcffne2.png")


def test_the_example_scene_needs_no_conversion() -> None:
    path = Path(__file__).parents[2] / "examples" / "scene.png"
    loaded = load_image(path)
    assert (loaded.width_px, loaded.height_px, loaded.notes) == (640, 640, ())
    assert path.stat().st_size < 2_000_000
