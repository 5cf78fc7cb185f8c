"""The command line as a person and as a script use it: output, streaming, exit codes, interruption."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from geopixel_edge import GeoPixelError, Pipeline, cli, errors
from geopixel_edge.families.geopixel import SEGMENT_QUERY

from ..unit.test_terminal import Terminal

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "square.png"
QUESTION = "Segment what you see."
SHORT = ["--hd-num", "1", "--max-new-tokens", "8", "--device", "cpu"]
COMMANDS = ("ask", "segment", "info", "verify", "doctor")
Capture = pytest.CaptureFixture[str]


def ask(engine: Path, *more: str) -> list[str]:
    return ["ask", str(IMAGE), QUESTION, "--engine", str(engine), *SHORT, *more]


def without_times(document: dict) -> dict:
    return {name: value for name, value in document.items() if name != "timings"}


# --- Help and usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_has_examples_and_every_exit_code(command: tuple[str, ...], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "examples:" in text
    codes = {int(code) for code in re.findall(r"(?:^|\s{2})(\d+)  ", text.partition("exit codes:")[2])}
    kinds = {
        value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, GeoPixelError)
    }
    assert codes == kinds | {0, 2, 130, 141}


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["paint"],
        ["ask"],
        ["segment", "a.png"],
        ["info", "a", "b"],
        ["doctor", "--x"],
        ["ask", "a.png", "q", "--zoom", "2"],
        ["ask", "a.png", "q", "--hd-num", "many"],
        ["ask", str(IMAGE)],
    ],
)
def test_wrong_usage_exits_with_2(argv: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert "usage: geopixel-edge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({IMAGE.name: "absent.png"}, 3, "correct the path"),
        ({QUESTION: " "}, 3, "is empty"),
        ({"1": "1000"}, 3, "hd_num=1000"),
        ({"8": "0"}, 3, "max_new_tokens=0"),
        ({"cpu": "abacus"}, 3, "device='abacus'"),
        ({"ENGINE": "nowhere"}, 4, "no directory"),
        ({"OUT": str(IMAGE)}, 6, "square.png"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    change: dict[str, str], code: int, words: str, engine_fp32: Path, tmp_path: Path, capsys: Capture
) -> None:
    argv = ["ask", str(IMAGE), QUESTION, "--engine", "ENGINE", "--out", "OUT", *SHORT]
    places = {"ENGINE": str(engine_fp32), "OUT": str(tmp_path / "out"), **change}
    argv = [places.get(word, word).replace(IMAGE.name, places.get(IMAGE.name, IMAGE.name)) for word in argv]
    if "OUT" in change:
        argv[argv.index("--out") + 1] = change["OUT"]
    assert cli.main(argv) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert words in lines[-1]
    assert not any("Traceback" in line for line in lines)


# --- Asking -----------------------------------------------------------------------------------------------


def test_ask_prints_the_text_and_the_regions(engine_fp32: Path, pipeline: Pipeline, capsys: Capture) -> None:
    answer = pipeline(IMAGE, QUESTION, hd_num=1, max_new_tokens=8)
    assert cli.main(ask(engine_fp32, "--verbose")) == 0
    out, err = capsys.readouterr()
    assert out.startswith(answer.text + "\n")
    assert "\x1b" not in out
    assert len(answer.regions) == sum(f"{region.area_px}  {region.score:.3f}" in out for region in answer.regions) > 0
    assert "language_model.decode" in err
    assert re.search(r"^device cpu: .+$", err, re.MULTILINE)


def test_ask_json_is_the_content_of_answer_json(engine_fp32: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(ask(engine_fp32, "--json", "--out", str(tmp_path / "out"))) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "out" / "answer.json").read_text())
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"answer.json", "overlay.png", "regions.geojson", "report.html"}
    assert all(name in err for name in written)


def test_options_may_stand_between_image_and_question(engine_fp32: Path, capsys: Capture) -> None:
    assert cli.main(["ask", str(IMAGE), "--engine", str(engine_fp32), *SHORT, "--json", QUESTION]) == 0
    between = json.loads(capsys.readouterr().out)
    assert cli.main(ask(engine_fp32, "--json")) == 0
    assert without_times(between) == without_times(json.loads(capsys.readouterr().out))


def test_no_image_and_several_images(engine_fp32: Path, pipeline: Pipeline, capsys: Capture) -> None:
    assert cli.main(["ask", "What is a pier?", "--engine", str(engine_fp32), *SHORT]) == 0
    assert capsys.readouterr().out == pipeline(None, "What is a pier?", max_new_tokens=8).text + "\n"
    question = "<ImageHere> or <ImageHere>?"
    assert cli.main(["ask", str(IMAGE), str(IMAGE), question, "--engine", str(engine_fp32), *SHORT]) == 0
    out, err = capsys.readouterr()
    assert out == pipeline([IMAGE, IMAGE], question, max_new_tokens=8).text + "\n"
    assert "note: 2 images" in err


def test_sampling_options_reach_the_model(engine_fp32: Path, pipeline: Pipeline, capsys: Capture) -> None:
    argv = ["ask", QUESTION, "--engine", str(engine_fp32), *SHORT, "--json"]
    assert cli.main([*argv, "--temperature", "3", "--top-p", "0.9", "--seed", "5"]) == 0
    sampled = pipeline(None, QUESTION, max_new_tokens=8, temperature=3.0, top_p=0.9, seed=5)
    assert json.loads(capsys.readouterr().out)["response"] == sampled.response
    assert sampled.response != pipeline(None, QUESTION, max_new_tokens=8).response


def test_segment_gives_the_regions_and_their_phrase(engine_fp32: Path, pipeline: Pipeline, capsys: Capture) -> None:
    argv = ["segment", str(IMAGE), "the red ship", "--engine", str(engine_fp32), *SHORT]
    answer = pipeline(IMAGE, SEGMENT_QUERY.format("the red ship"), hd_num=1, max_new_tokens=8)
    assert answer.regions
    assert cli.main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "region"
    assert [line.split()[-2] for line in lines[1:]] == [str(region.area_px) for region in answer.regions]
    assert cli.main([*argv, "--json"]) == 0
    regions = json.loads(capsys.readouterr().out)["regions"]
    assert {region["phrase"] for region in regions} == {region.phrase or "the red ship" for region in answer.regions}


# --- Terminal ---------------------------------------------------------------------------------------------


def test_on_a_terminal_the_same_text_comes_piece_by_piece(
    engine_fp32: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert cli.main(ask(engine_fp32)) == 0
    shown = terminal.getvalue()
    assert "\x1b[38;2;" in shown
    first = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()[0]
    assert re.sub(r"\[\d+\]", "", first) == pipeline(IMAGE, QUESTION, hd_num=1, max_new_tokens=8).text
