"""The command line as a person and as a script use it: output, streaming, exit codes, interruption."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import GeoPixelError, Pipeline, cli, errors
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest
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
        ["doctor", "x"],
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


# --- Engines and machines ---------------------------------------------------------------------------------


def test_info_needs_only_the_manifest(engine_fp32: Path, tmp_path: Path, capsys: Capture) -> None:
    for name in ("manifest.json", "manifest.sha256"):
        shutil.copy(engine_fp32 / name, tmp_path / name)
    manifest = read_manifest(engine_fp32)
    assert cli.main(["info", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for expected in (*manifest.blocks, manifest.provenance.source_sha256, "fp32", "capacity"):
        assert expected in text
    assert all(f"{distance:.1e}" in text for distance in manifest.distance.values())
    assert cli.main(["info", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((engine_fp32 / "manifest.json").read_text())


def test_verify_prints_every_check(engine_fp32: Path, capsys: Capture) -> None:
    assert cli.main(["verify", str(engine_fp32), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.count("  ok") == 10
    assert "token_ids" in out


def test_verify_exits_with_4_when_a_block_gives_other_numbers(
    engine_fp32: Path, tmp_path: Path, capsys: Capture
) -> None:
    engine = shutil.copytree(engine_fp32, tmp_path / "engine")
    path = engine / "golden" / "arrays.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["iou"] = arrays["iou"] + 1
    np.savez_compressed(path, **arrays)
    assert cli.main(["verify", str(engine)]) == 4
    assert "another SHA-256" in (error := capsys.readouterr().err) or "bytes" in error
    manifest = read_manifest(engine)
    golden = tuple(describe_file(engine, spec.path) for spec in manifest.golden)
    write_manifest(
        engine, type(manifest)(**{**{n: getattr(manifest, n) for n in manifest.__struct_fields__}, "golden": golden})
    )
    assert cli.main(["verify", str(engine), "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    assert [row["quantity"] for row in document["checks"] if not row["passed"]] == ["iou"]


def test_doctor_names_what_is_missing_and_its_remedy(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("GEOPIXEL_EDGE_NATIVE", "0")
    assert cli.main(["doctor"]) == 0
    assert "NumPy twins" in capsys.readouterr().out
    monkeypatch.setenv("GEOPIXEL_EDGE_NATIVE", "1")
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    monkeypatch.setitem(sys.modules, "geopixel_edge._native", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.main(["doctor", "--json"]) == 5
    findings = json.loads(capsys.readouterr().out)["findings"]
    missing = {finding["name"]: finding["remedy"] for finding in findings if not finding["ok"]}
    assert missing.keys() == {"onnxruntime", "C++ kernels"}
    assert "pip install onnxruntime" in missing["onnxruntime"]
    assert "compiler" in missing["C++ kernels"]


# --- Ends -------------------------------------------------------------------------------------------------


def start(*argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "geopixel_edge", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def test_a_closed_pipe_ends_quietly(engine_fp32: Path) -> None:
    process = start("info", str(engine_fp32))
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()


def test_control_c_while_the_answer_streams(engine_fp32: Path) -> None:
    import pty  # not on Windows

    leader, follower = pty.openpty()
    argv = [
        "ask",
        str(IMAGE.with_name("tiny.png")),
        QUESTION,
        "--engine",
        str(engine_fp32),
        "--hd-num",
        "1",
        "--max-new-tokens",
        "8000",
    ]
    # Tests that a shell started in the background ignore SIGINT, and what they start would too.
    process = subprocess.Popen(
        [sys.executable, "-m", "geopixel_edge", *argv],
        stdout=follower,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(follower)
    assert os.read(leader, 1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 130
    assert stderr.strip() == b"interrupted"
