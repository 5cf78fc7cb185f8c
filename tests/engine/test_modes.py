"""The exported engine answers on images of every mode and of extreme shapes, and says what was converted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.answer import Answer
from geopixel_edge.images import LoadedImage
from geopixel_edge.pipeline import ImageSource, Pipeline

from ..support.sam2_reference import DATA

WIDTH_PX, HEIGHT_PX = 60, 40
RGB = Image.fromarray(np.random.default_rng(8).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8))
GREY = np.asarray(RGB.convert("L"))
# Mode -> a lossless format that stores it, or None; HSV has none.
FORMATS = {
    "RGB": "png",
    "1": "png",
    "L": "png",
    "LA": "png",
    "P": "png",
    "P transparent": "png",
    "PA": "tif",
    "RGBA": "png",
    "CMYK": "tif",
    "I;16": "png",
    "I;16B": "tif",
    "I": "tif",
    "F": "tif",
    "YCbCr": "tif",
    "LAB": "tif",
    "HSV": None,
}
OVER_WHITE = ("LA", "P transparent", "PA", "RGBA")
STRETCHED = ("I;16", "I;16B", "I", "F")


def picture(mode: str) -> Image.Image:
    """A small picture of a mode, with something to see in every band."""
    if mode in ("LA", "PA", "RGBA"):
        alpha = RGB.convert("RGBA")
        alpha.putalpha(Image.fromarray(GREY[::-1].copy()))
        return alpha.convert(mode)
    if mode == "P transparent":
        palette = RGB.quantize(16)
        palette.info["transparency"] = 3
        return palette
    if mode.startswith("I;16"):
        return Image.frombytes(mode, RGB.size, (GREY.astype(">u2" if mode.endswith("B") else "<u2") * 200).tobytes())
    if mode in ("I", "F"):
        return Image.fromarray(GREY.astype(np.int32 if mode == "I" else np.float32) * 7 - 300)
    if mode == "LAB":
        return Image.frombytes("LAB", RGB.size, RGB.tobytes())
    return RGB.convert(mode)


def ask(pipeline: Pipeline, image: ImageSource) -> tuple[Answer, LoadedImage]:
    """The answer, and the image as the model saw it."""
    with pipeline.open(image, hd_num=1) as opened:
        # `compat` leaves the step and the note out that a last [SEG] brings.
        return opened.ask("What stands here?", max_new_tokens=2, compat=True), opened.images[0]


@pytest.mark.usefixtures("without_geo")
@pytest.mark.parametrize("mode", FORMATS)
def test_an_image_of_every_mode(pipeline: Pipeline, tmp_path: Path, mode: str) -> None:
    image = picture(mode)
    answer, seen = ask(pipeline, image)
    assert answer.image_size == (WIDTH_PX, HEIGHT_PX)
    assert len(answer.token_ids) == 2
    assert seen.pixels.std() > 10  # neither black nor white
    name = mode.split()[0]
    verb = "laid over white" if mode in OVER_WHITE else "stretched" if mode in STRETCHED else "converted"
    expected = () if mode == "RGB" else (f"mode {name} was {verb}",)
    assert len(answer.notes) == len(expected)
    assert all(note.startswith(start) for note, start in zip(answer.notes, expected, strict=True))
    if FORMATS[mode] is None:
        return
    path = tmp_path / f"picture.{FORMATS[mode]}"
    image.save(path)
    from_file, seen_in_file = ask(pipeline, path)
    assert np.array_equal(seen_in_file.pixels, seen.pixels)
    assert from_file.token_ids == answer.token_ids
    assert from_file.notes == answer.notes


def test_a_lossy_file_in_inks(pipeline: Pipeline, tmp_path: Path) -> None:
    picture("CMYK").save(tmp_path / "inks.jpg", quality=95)
    answer, _ = ask(pipeline, tmp_path / "inks.jpg")
    assert answer.notes == ("mode CMYK was converted to RGB",)


def test_one_pixel(pipeline: Pipeline, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (90, 120, 60)).save(tmp_path / "pixel.png")
    for source in (tmp_path / "pixel.png", np.full((1, 1, 3), 90, np.uint8)):
        answer, _ = ask(pipeline, source)
        assert answer.image_size == (1, 1)
        assert answer.notes == ()


@pytest.mark.long
def test_a_strip_one_pixel_wide(pipeline: Pipeline) -> None:
    strip = np.repeat(np.linspace(0, 255, 20_000).astype(np.uint8)[:, None, None], 3, axis=2)
    answer, _ = ask(pipeline, strip)
    assert answer.image_size == (1, 20_000)
    assert answer.timings.prompt_tokens > 15_000  # 35 tiles in one column
    assert answer.notes == ()


def test_six_megapixels(pipeline: Pipeline) -> None:
    answer = pipeline(DATA / "images" / "big.png", "Where is the largest field?", max_new_tokens=3, compat=True)
    assert answer.image_size == (3000, 2000)
    assert answer.timings.prompt_tokens > 8_421  # 20 tiles and the global view
    assert len(answer.token_ids) == 3
    assert answer.notes == ()
    assert all(region.mask is not None and region.mask.width_px == 3000 for region in answer.regions)
