"""DOTA's labels, and words, options and folders that are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from annotate.cli import main
from annotate.errors import SourceError
from annotate.sources import open_source
from annotate.sources.dota import DotaSource
from geopixel_edge.errors import GeoPixelError, OptionError

from ..support.annotations import annotated, records


def dota(folder: Path, text: str) -> DotaSource:
    """One picture with these labels."""
    for name in ("labels", "images"):
        (folder / name).mkdir(exist_ok=True)
    Image.new("RGB", (100, 80), (90, 90, 90)).save(folder / "images" / "P1.png")
    (folder / "labels" / "P1.txt").write_text(text)
    source = open_source(str(folder / "labels"))
    assert isinstance(source, DotaSource)
    return source


def test_dota_boxes_become_masks(tmp_path: Path) -> None:
    lines = (
        "imagesource:GoogleEarth\ngsd:0.1\n10 10 30 10 30 20 10 20 ship 0\n200 200 210 200 210 210 200 210 plane 1\n"
    )
    item = dota(tmp_path, lines).item("P1")
    assert [one.class_name for one in item.instances] == ["ship"]
    assert item.instances[0].mask.bbox == (10, 10, 21, 11)
    assert item.dropped == {"empty": 1}


@pytest.mark.parametrize(
    "line", ["1 2 3", "a b c d e f g h ship 0", "1 2 3 4 5 6 7 nan ship 0", "1 2 3 4 5 6 7 8 [SEG] 0"]
)
def test_lines_that_are_no_boxes(line: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"line 1"):
        dota(tmp_path, line)


@pytest.mark.parametrize(
    "words",
    ["scenes:", "scenes:5-3", "scenes:1-2,64", "scenes:a-b", "nothing.json", "coco:nothing", "scenes:0-9999999"],
)
def test_words_that_name_no_source(words: str) -> None:
    with pytest.raises(OptionError, match="source"):
        open_source(words)


@pytest.mark.parametrize(
    "words",
    [
        ["--shard", "4/3"],
        ["--shard", "0/3"],
        ["--shard", "x"],
        ["--seed", "-1"],
        ["--tint", "3"],
        ["--merge", "describer"],
        ["--describer", "other"],
        ["--describer", "openai:http://127.0.0.1"],
        ["--describer", "engine:/nonexistent"],
        ["--prompts", "/nonexistent"],
        ["--timeout", "0", "--describer", "openai:http://127.0.0.1,m"],
    ],
)
def test_options_that_are_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["scenes:1-1,128", str(out), "--describer", "rules", *words]) in (3, 4)
    assert capsys.readouterr().err.startswith("error: ")
    assert not out.exists()


@pytest.mark.parametrize(
    "text", ['{"instance": "{cls}"}', '{"other": "x"}', '{"scene": ""}', "[]", '{"group": "a {"}', '{"scene": 3}']
)
def test_prompts_that_are_refused(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "prompts.json").write_text(text)
    assert main(["scenes:1-1,128", str(tmp_path / "out"), "--describer", "rules", "--prompts", str(path)]) == 3


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(OptionError, match="holds other files"):
        annotated("scenes:1-1,128", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_of_another_source_is_refused(tmp_path: Path) -> None:
    annotated("scenes:2-2,256", tmp_path / "out")
    with pytest.raises(GeoPixelError, match="choose another folder"):
        annotated("scenes:2-3,256", tmp_path / "out")
    assert len(records(tmp_path / "out")) == 1
