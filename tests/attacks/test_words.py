"""Text that may be a path: never handed to the file system unguarded, and a lone name of a file is no question."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopixel_edge import cli
from geopixel_edge.cli.words import is_there, looks_like_a_file

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "tiny.png"
SHORT = ["--hd-num", "1", "--max-new-tokens", "2", "--device", "cpu"]
LONG = [
    "\u043a\u043e\u0440\u0430\u0431\u043b\u044c " * 40,
    "x" * 400,
    "\U0001f6a2" * 90,
    "a/" * 3000 + "?",
    "lone \ud83d half",
]
NAMES = [
    "harbour/scene.TIF",
    "IMG_0001.jpeg",
    "./scenes",
    "C:\\data\\scene",
    "~/scene",
    "../a",
    "\u6e2f\u53e3.tif",
    "my scenes/north quay.jp2",
    "archive.zip",
    "scene.v2",
    "https://example.org/tile.png",
]
QUESTIONS = [
    "What is a pier?",
    "Describe.",
    "ships",
    "e.g. ships?",
    "\u8239/\u7801\u5934\u5728\u54ea\u91cc\uff1f",
    "U.S.A.",
    "Which of a/b is larger?",
    "What changed since before.png",
    "Is 3.5 px enough?",
    "pier?",
]


@pytest.mark.parametrize("text", LONG)
def test_text_that_cannot_be_a_path_is_none(text: str) -> None:
    assert not is_there(text)
    assert not looks_like_a_file(text)


@pytest.mark.parametrize("text", LONG[:3])
def test_a_long_question_is_answered(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", str(IMAGE), text, *SHORT]) == 0
    assert "error" not in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [["ask"], ["ask", str(IMAGE)], ["segment", str(IMAGE)]])
def test_a_name_in_the_place_of_the_question_is_an_error(
    name: str, before: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*before, name])
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    kind = "phrase" if before[0] == "segment" else "question"
    assert f"the {kind} is missing" in err
    assert "looks like the name of a file" in err
    assert "correct the path" in err


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_is_none(text: str) -> None:
    assert not looks_like_a_file(text)
    assert not is_there(text)


def test_what_is_there_is_no_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "harbour").mkdir()
    (tmp_path / "north quay").write_text("a file without a suffix")
    for word in ("harbour", "north quay"):
        with pytest.raises(SystemExit):
            cli.main(["ask", word])
        assert "is a file or directory" in capsys.readouterr().err


NO_PATHS = ["n" * 300, "./" + "n" * 300, "nul\0byte"]


@pytest.mark.parametrize("path", NO_PATHS)
def test_paths_that_the_file_system_refuses_are_one_line(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, code in (
        (["ask", str(IMAGE), "Where?", "--out", path], 6),
        (["ask", "Where?", "--engine", path], 4),
        (["ask", path + ".png", "Where?"], 3),
        (["info", path], 4),
        (["verify", path], 4),
    ):
        assert cli.main(words) == code, words
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.strip().splitlines()) == 1
        assert err.startswith("error: ")


def test_an_empty_name_for_the_output_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", str(IMAGE), "Where?", "--out", ""]) == 6
    assert "names no directory" in capsys.readouterr().err
