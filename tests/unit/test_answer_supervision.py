"""An answer as `supervision.Detections`, and drawn by that library where it is installed."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from geopixel_edge.errors import RuntimeUnavailableError
from tests.support.answers import HEIGHT, PIXELS, WIDTH, answer, sample

NOTHING = answer("the sea", [], PIXELS)
NO_IMAGE = answer("the sea", [])


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
