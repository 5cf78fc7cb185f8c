"""What GeoPixelD's images are asked: published wordings, those of the index, and anyone's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluate.cli import main
from evaluate.data.geopixeld import GeoPixelD
from evaluate.data.opening import open_dataset
from evaluate.data.questions import DEFAULT, PUBLISHED, in_index, wording
from evaluate.errors import DataError

NINE = [f"Question {number} of the data set?" for number in range(9)]


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    """A folder whose index asks nine questions, the last one the most often."""
    asked = [question for at, question in enumerate(NINE) for _ in range(at + 1)]
    turns = [[{"from": "human", "value": f"{one}\n"}, {"from": "bot", "value": "It shows."}] for one in asked]
    (tmp_path / "GeoPixelD.json").write_text(json.dumps([{"conversations": one} for one in turns]))
    return tmp_path


def test_all_nine_of_an_index_can_be_asked(indexed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_index(indexed) == {question: at + 1 for at, question in reversed(list(enumerate(NINE)))}
    assert [wording(str(number), indexed) for number in range(1, 10)] == NINE[::-1]
    assert main(["questions", "--data", str(indexed)]) == 0
    told = capsys.readouterr().out
    assert all(text in told for text in (*NINE, *PUBLISHED.values()))
    for wrong in ("0", "10"):
        with pytest.raises(DataError, match=rf"question={wrong} is out of range.* has 9"):
            wording(wrong, indexed)


def test_published_wordings_go_by_name_and_others_as_they_are(tmp_path: Path) -> None:
    assert "description of the this image?" in wording(None, tmp_path) == PUBLISHED[DEFAULT]
    assert [wording(name, tmp_path) for name in PUBLISHED] == list(PUBLISHED.values())
    assert wording(" What is here? ", tmp_path) == "What is here?"
    with pytest.raises(DataError, match="question='' is empty"):
        wording("  ", tmp_path)
    with pytest.raises(DataError, match=r"GeoPixelD\.json is not there"):
        wording("1", tmp_path)


@pytest.mark.parametrize("document", ["{}", "[1]", '[{"conversations": []}]', '[{"conversations": [{"from": "bot"}]}]'])
def test_an_index_without_questions_is_named(document: str, tmp_path: Path) -> None:
    (tmp_path / "GeoPixelD.json").write_text(document)
    with pytest.raises(DataError, match="entry 0 has no conversation that begins with a question"):
        in_index(tmp_path)


def test_the_published_index_is_read_wherever_its_paths_begin(geopixeld: Path) -> None:
    (entry,) = json.loads((geopixeld / "GeoPixelD.json").read_text())
    assert entry["polygons"].startswith("data/GeoPixelD/train/")
    (item,) = GeoPixelD(geopixeld, "train").items
    assert item.path == geopixeld / "train" / Path(entry["image"]).name
    data = open_dataset("rsgcg", geopixeld, ["train"], "1")
    assert data.items[0].questions[0].text == data.question == PUBLISHED["sample"]
