"""An answer in other forms: a pickle, COCO, supervision, a plot, a notebook's cell."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import pickle
import subprocess
import sys
import types
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from geopixel_edge.answer import Answer, Region
from geopixel_edge.errors import ImageError, RuntimeUnavailableError
from geopixel_edge.image_ref import ImageRef
from geopixel_edge.images import load_image
from geopixel_edge.masks import Mask
from geopixel_edge.writers import overlay
from tests.support.answers import EMPTY, HEIGHT, MASKS, PIXELS, WIDTH, answer, disc, picture, sample
from tests.unit.test_report import Page

ROOT = Path(__file__).parents[2]
NOTHING = answer("the sea", [], PIXELS)
NO_IMAGE = answer("the sea", [])


def test_xyxy_is_the_box_with_an_exclusive_end() -> None:
    region = Region("x", (0, 0), Mask.from_array(np.pad(np.ones((2, 3), bool), ((4, 1), (5, 2)))), 0.5)
    assert region.bbox == (5, 4, 3, 2)
    assert region.xyxy == (5, 4, 8, 6)
    x0, y0, x1, y1 = region.xyxy
    assert region.mask.to_array()[y0:y1, x0:x1].sum() == region.area_px
    assert Region("x", (0, 0), EMPTY, 0.5).xyxy == (0, 0, 0, 0)


# --- Pickles --------------------------------------------------------------------------------------------------


def large(path: Path | None) -> Answer:
    """An answer about a 6 MP image of noise, 18 MB of pixels, from a file or an array."""
    pixels = np.random.default_rng(3).integers(0, 256, (2000, 3000, 3), np.uint8)
    if path is not None:
        Image.fromarray(pixels).save(path, compress_level=1)
    found = load_image(path if path is not None else pixels)
    return answer("a <p> ship </p> [SEG]", [disc(2000, 3000, 900, 800, 300)], image=ImageRef.of(found))


def test_a_pickle_holds_no_pixels_and_another_process_reads_them_from_the_file(tmp_path: Path) -> None:
    made = large(tmp_path / "a.png")
    data = pickle.dumps(made)
    assert len(data) < 20_000
    code = (
        "import pickle, sys, hashlib\n"
        "answer = pickle.load(sys.stdin.buffer)\n"
        "assert answer.image.held is None\n"
        "print(answer.text, answer.regions[0].area_px, hashlib.sha256(answer.image.pixels()).hexdigest())\n"
        f"answer.save({str(tmp_path / 'theirs')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()
    assert made.image is not None
    digest = hashlib.sha256(made.image.pixels().tobytes()).hexdigest()
    assert done.stdout.decode().split() == ["a", "ship", str(made.regions[0].area_px), digest]
    made.save(tmp_path / "ours")
    for path in (tmp_path / "ours").iterdir():
        assert (tmp_path / "theirs" / path.name).read_bytes() == path.read_bytes()


def test_a_pickled_answer_about_an_array_has_no_pixels_and_says_so() -> None:
    made = large(None)
    data = pickle.dumps(made)
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert again.to_dict() == made.to_dict()
    with pytest.raises(ImageError, match=r"no file of it is known.*answer\.with_image\(image\)"):
        again.plot()
    assert made.image is not None
    assert again.with_image(made.image.pixels()).plot().size == (3000, 2000)


def test_a_mask_from_a_pickle_is_as_constant_as_before() -> None:
    for mask in pickle.loads(pickle.dumps([*MASKS, EMPTY])):
        assert not mask.counts.flags.writeable
    assert pickle.loads(pickle.dumps([*MASKS, EMPTY])) == [*MASKS, EMPTY]


def test_a_copy_shares_the_pixels() -> None:
    made = sample()
    assert made.image is not None
    for again in (copy.copy(made), copy.deepcopy(made)):
        assert again.image is made.image
        assert again.plot().size == (WIDTH, HEIGHT)
    assert not made.image.pixels().flags.writeable


# --- COCO -----------------------------------------------------------------------------------------------------


def test_coco_reads_the_data_set(tmp_path: Path) -> None:
    made = sample()
    made.regions = (*made.regions, Region("ship", (0, 0), EMPTY, math.nan), Region("ship", (0, 0), MASKS[0], 0.5))
    (tmp_path / "coco.json").write_text(json.dumps(made.to_coco(), allow_nan=False))
    found = COCO(str(tmp_path / "coco.json"))
    assert found.loadImgs(found.getImgIds()) == [{"id": 1, "file_name": "", "width": WIDTH, "height": HEIGHT}]
    names = {category["id"]: category["name"] for category in found.loadCats(found.getCatIds())}
    assert names == {1: "storage tanks", 2: "region", 3: "ship"}
    annotations = found.loadAnns(found.getAnnIds(imgIds=[1]))
    assert [one["category_id"] for one in annotations] == [1, 1, 2, 3, 3]
    assert [one["score"] for one in annotations] == [*(region.score for region in sample().regions), None, 0.5]
    for annotation, region in zip(annotations, made.regions, strict=True):
        assert (found.annToMask(annotation).astype(bool) == region.mask.to_array()).all()
        assert (annotation["area"], tuple(annotation["bbox"])) == (region.area_px, region.bbox)
    assert len(found.getAnnIds(catIds=[3])) == 2


def test_coco_of_nothing_and_of_a_file() -> None:
    assert NO_IMAGE.to_coco() == {"images": [], "annotations": [], "categories": []}
    image = ImageRef(Path("/data/harbour.png"), None, (9, 8))
    assert replace(NOTHING, image=image).to_coco()["images"] == [
        {"id": 1, "file_name": "harbour.png", "width": 9, "height": 8}
    ]


# --- supervision ----------------------------------------------------------------------------------------------


class FakeDetections:
    """Keeps what it was made of."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields


def test_detections_are_made_of_typed_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("supervision")
    fake.Detections = FakeDetections  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", fake)
    fields: dict[str, Any] = sample().to_supervision().fields
    assert fields.keys() == {"xyxy", "mask", "confidence", "class_id", "data"}
    assert (fields["xyxy"].dtype, fields["mask"].dtype, fields["confidence"].dtype) == ("float32", "bool", "float32")
    assert fields["xyxy"].tolist() == [list(region.xyxy) for region in sample().regions]
    assert (fields["mask"] == sample().masks).all()
    assert fields["confidence"].tolist() == pytest.approx([0.97, 0.94, 0.91])
    assert fields["class_id"].tolist() == [0, 0, 1]
    assert fields["data"]["class_name"].tolist() == ["storage tanks", "storage tanks", "region"]
    assert fields["data"]["phrase"].tolist() == ["storage tanks", "storage tanks", ""]
    empty: dict[str, Any] = NOTHING.to_supervision().fields
    assert (empty["xyxy"].shape, empty["mask"].shape) == ((0, 4), (0, HEIGHT, WIDTH))
    assert empty["class_id"].shape == empty["confidence"].shape == empty["data"]["phrase"].shape == (0,)


def test_the_installed_supervision_draws_an_answer() -> None:
    supervision = pytest.importorskip("supervision")
    made = sample()
    found = made.to_supervision()
    assert isinstance(found, supervision.Detections)
    assert len(found) == 3
    assert len(found[found.class_id == 0]) == 2
    assert found.area.tolist() == [region.area_px for region in made.regions]
    drawn = supervision.MaskAnnotator().annotate(PIXELS.copy(), found)
    outside = ~made.masks.any(axis=0)
    assert (drawn[outside] == PIXELS[outside]).all()
    assert (drawn != PIXELS).any()
    assert len(NOTHING.to_supervision()) == len(NO_IMAGE.to_supervision()) == 0
    assert supervision.Detections.merge([found, found]).data["class_name"].tolist()[:1] == ["storage tanks"]


def test_without_supervision_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(RuntimeUnavailableError, match="pip install supervision"):
        sample().to_supervision()


# --- Pictures -------------------------------------------------------------------------------------------------


def test_geojson_is_what_the_file_holds(tmp_path: Path) -> None:
    sample().save(tmp_path)
    assert sample().to_geojson() == json.loads((tmp_path / "regions.geojson").read_text("utf-8"))
    assert NO_IMAGE.to_geojson()["geopixel_edge"]["image_size"] is None


def test_plot_is_the_overlay_with_labels() -> None:
    made = sample()
    assert (np.asarray(made.plot()) == np.asarray(overlay.render(PIXELS, made.regions, labels=True))).all()
    assert (np.asarray(made.plot(labels=False)) == np.asarray(overlay.render(PIXELS, made.regions))).all()
    with pytest.raises(ImageError, match="about no image or several"):
        NO_IMAGE.plot()


def test_a_region_shows_its_mask() -> None:
    shown = Image.open(io.BytesIO(sample().regions[1]._repr_png_()))
    assert (np.asarray(shown.convert("L")) == MASKS[1].to_array() * np.uint8(255)).all()
    wide = Image.open(io.BytesIO(Region("", (0, 0), disc(400, 3000, 1500, 200, 90), 0.5)._repr_png_()))
    assert wide.size == (512, 68)
    assert np.asarray(wide).any()


class Frame(HTMLParser):
    """The attributes of the only tag of a cell."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(cell)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def framed(made: Answer) -> Page:
    """The page within the frame that a notebook shows."""
    ((tag, attributes),) = Frame(made._repr_html_()).found
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts"
    return Page(attributes["srcdoc"] or "")


def test_a_notebook_shows_the_report_in_a_frame() -> None:
    page = framed(sample())
    assert page.words["p"] == "Two storage tanks near a ship3."
    assert len(page.all("path", "mask")) == 3
    assert len(page.all("img")) == 1
    assert framed(NO_IMAGE).all("img") == []


def test_nothing_a_model_writes_leaves_the_frame() -> None:
    evil = '"></iframe></script><img src=x onerror="alert(1)">\'&\x00'
    made = sample(query=evil, notes=(evil,), provenance={evil: evil}, finish_reason=evil)
    made.regions = (Region(evil, (4, 17), MASKS[0], 0.5), Region(evil, (0, 0), MASKS[1], 0.5))
    made.text = made.response = evil
    page = framed(made)
    assert (len(page.all("img")), len(page.all("script")), page.all("iframe")) == (1, 1, [])
    assert "onerror" in page.words["h1"]


def test_a_cell_stays_small() -> None:
    pixels = picture(1000, 2000)
    noise = Mask.from_array(np.random.default_rng(1).random((1000, 2000)) > 0.5)
    made = answer("[SEG] [SEG] [SEG]", [noise] * 3, pixels)
    assert len(made._repr_html_()) < 1_000_000
    assert len(framed(made).all("path", "mask")) == 3
