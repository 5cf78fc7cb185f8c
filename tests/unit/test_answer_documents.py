"""An answer, its plain document and its directory say the same, and the way back loses nothing."""

from __future__ import annotations

import ast
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopixel_edge.answer import Answer, Region
from geopixel_edge.errors import ImageError, OutputError
from geopixel_edge.image_ref import ImageRef
from geopixel_edge.images import load_image
from tests.support.answers import HEIGHT, MASKS, PIXELS, WIDTH, answer, sample

PACKAGE = Path(__file__).parents[2] / "geopixel_edge"


def about_a_file(path: Path) -> Answer:
    """The sample answer, about an image written to `path`."""
    Image.fromarray(PIXELS).save(path)
    return sample(image=ImageRef.of(load_image(path)), inputs=(path,), notes=("converted",))


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.mark.parametrize("kind", ["file", "array", "text", "several", "odd"])
def test_from_dict_undoes_to_dict(tmp_path: Path, kind: str) -> None:
    made = {
        "file": about_a_file(tmp_path / "a.png"),
        "array": sample(),
        "text": answer("the sea", []),
        "several": answer("the sea", [], inputs=(Path("/data/a.png"), Path("/data/b.png"))),
        "odd": sample(notes=("\udce9.png",), provenance={"a": [1, 2.5, None, True, {"b": math.nan}], "c": (1, 2)}),
    }[kind]
    document = made.to_dict()
    again = Answer.from_dict(document)
    assert again.to_dict() == document
    assert Answer.from_dict(json.loads(json.dumps(document))).to_dict() == document
    assert (again.regions, again.image, again.inputs, again.timings) == (
        made.regions,
        made.image,
        made.inputs,
        made.timings,
    )
    assert (again.text, again.response, again.token_ids, again.notes) == (
        made.text,
        made.response,
        made.token_ids,
        made.notes,
    )


def test_a_score_that_is_not_finite_comes_back_as_nan() -> None:
    made = sample()
    made.regions = (Region("x", (0, 0), MASKS[0], math.inf),)
    again = Answer.from_dict(made.to_dict())
    assert math.isnan(again.regions[0].score)
    assert again.to_dict() == made.to_dict()


def test_what_is_read_shares_nothing_with_the_document() -> None:
    document = sample(provenance={"image_sha256": ["0" * 64]}).to_dict()
    again = Answer.from_dict(document)
    document["provenance"]["image_sha256"].append("more")
    document["token_ids"].append(3)
    assert again.provenance == {"image_sha256": ["0" * 64]}
    assert again.token_ids == sample().token_ids


def test_a_loaded_answer_saved_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    about_a_file(tmp_path / "a.png").save(tmp_path / "one")
    paths = Answer.load(tmp_path / "one").save(tmp_path / "two")
    assert len(paths) == 4
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    Answer.load(str(tmp_path / "two")).save(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_answer_of_the_first_documents_is_read() -> None:
    document = sample(provenance={"image_sha256": ["a" * 64]}).to_dict()
    del document["image"], document["inputs"]
    again = Answer.from_dict(document)
    assert again.image == ImageRef(None, "a" * 64, (WIDTH, HEIGHT))
    assert again.inputs == ()


# --- Where the image is gone ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"), [("gone", "is not there"), ("pixels", "has other pixels"), ("size", "has 9 x 8 px")]
)
def test_an_image_that_is_gone_or_changed(tmp_path: Path, change: str, told: str) -> None:
    path = tmp_path / "a.png"
    about_a_file(path).save(tmp_path / "one")
    if change == "gone":
        path.rename(tmp_path / "moved.png")
    else:
        Image.fromarray(255 - PIXELS if change == "pixels" else PIXELS[:8, :9]).save(path)
    loaded = Answer.load(tmp_path / "one")
    with pytest.raises(ImageError, match=told):
        loaded.plot()
    assert {path.name for path in loaded.save(tmp_path / "two")} == {"answer.json", "report.html", "regions.geojson"}
    page = (tmp_path / "two" / "report.html").read_text("utf-8")
    assert "The image is not shown." in page
    assert told in page
    assert "<img" not in page
    assert page.count('<path class="mask"') == len(loaded.regions)
    assert Answer.load(tmp_path / "two").to_dict() == loaded.to_dict()
    assert told in loaded._repr_html_()


def test_an_image_that_moved_is_given_again(tmp_path: Path) -> None:
    made = about_a_file(tmp_path / "a.png")
    made.save(tmp_path / "one")
    shutil.move(tmp_path / "a.png", tmp_path / "moved.png")
    loaded = Answer.load(tmp_path / "one").with_image(tmp_path / "moved.png")
    assert (np.asarray(loaded.plot()) == np.asarray(made.plot())).all()
    assert (np.asarray(Answer.from_dict(made.to_dict()).with_image(PIXELS).plot()) == np.asarray(made.plot())).all()
    with pytest.raises(ImageError, match="other pixels"):
        loaded.with_image(255 - PIXELS)
    with pytest.raises(ImageError, match="about no image or several"):
        answer("the sea", []).with_image(PIXELS)


def test_the_image_given_again_is_not_replaced_either(tmp_path: Path) -> None:
    made = sample()
    made.save(tmp_path / "one")
    Image.fromarray(PIXELS).save(tmp_path / "one" / "overlay.png")
    with pytest.raises(OutputError, match="an image that was asked about"):
        made.with_image(tmp_path / "one" / "overlay.png").save(tmp_path / "one")


def test_an_answer_without_its_pixels_vouches_for_no_overlay(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    about_a_file(path).save(tmp_path / "one")
    path.unlink()
    loaded = Answer.load(tmp_path / "one")
    loaded.save(tmp_path / "one")  # the earlier overlay goes
    assert not (tmp_path / "one" / "overlay.png").exists()
    (tmp_path / "one" / "overlay.png").write_text("mine")
    with pytest.raises(OutputError, match=r"overlay\.png is there and is no earlier answer's"):
        loaded.save(tmp_path / "one")
    assert (tmp_path / "one" / "overlay.png").read_text() == "mine"


def test_replace_keeps_the_image(tmp_path: Path) -> None:
    changed = replace(sample(), text="Another")
    assert (changed.text, changed.image_size) == ("Another", (WIDTH, HEIGHT))
    assert len(changed.save(tmp_path)) == 4


# --- Who knows whom -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["writers/*.py", "interop/*.py", "document.py", "image_ref.py", "regions.py"])
def test_nothing_below_the_answer_imports_it(below: str) -> None:
    paths = sorted(PACKAGE.glob(below))
    assert paths
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                named = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                assert not {"answer", "cli", "session", "pipeline"} & set(named), path


def test_the_answer_s_module_is_light() -> None:
    heavy = ("PIL", "onnxruntime", "msgspec", "supervision")
    code = f"import sys, geopixel_edge.answer; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert done.stdout.strip() == "[]"
