"""Standard streams that are closed, full, unread or not Unicode: no traceback, no lost file, JSON stays JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from geopixel_edge.cli.streams import GuardedStream, guarded, write_json
from geopixel_edge.json_text import encode_json

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "tiny.png"
FILES = ["answer.json", "overlay.png", "regions.geojson", "report.html"]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def shell(redirections: str, *words: str, cwd: Path | None = None, **environment: str) -> tuple[int, bytes, str]:
    """Run the command line with `redirections` in shell's words; exit code, standard output and standard error."""
    command = ["bash", "-c", f'exec "$@" {redirections}', "-", sys.executable, "-m", "geopixel_edge", *words]
    done = subprocess.run(command, capture_output=True, cwd=cwd, env={**os.environ, **environment}, timeout=120)
    return done.returncode, done.stdout, done.stderr.decode()


ENDS = [(">&-", 0), ("> >(exec true)", 141), pytest.param(">/dev/full", 6, marks=needs_full)]


@pytest.mark.parametrize(("redirection", "code"), ENDS)
def test_an_answer_is_saved_where_nothing_can_be_printed(tmp_path: Path, redirection: str, code: int) -> None:
    found = shell(redirection, "ask", str(IMAGE), "Where is the pier?", "--hd-num", "1", "--out", "kept", cwd=tmp_path)
    assert found[0] == code
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == FILES
    lines = found[2].splitlines()
    told = [line.split()[0] for line in lines if not line.startswith("note:")]
    assert told == ["wrote"] * 4 + ["error:"] * (code == 6)
    assert ("No space left" in lines[-1]) == (code == 6)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["info"], ["info", "--json"], ["doctor"], ["ask", "-h"]])
@pytest.mark.parametrize(("redirection", "code"), ENDS)
def test_every_command_ends_in_an_exit_code(words: list[str], redirection: str, code: int) -> None:
    found = shell(redirection, *words)
    assert found[:2] == (code, b"")
    assert len(found[2].splitlines()) == (code == 6)


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_what_belongs_on_standard_error_is_never_in_standard_output(redirection: str) -> None:
    assert shell(redirection, "ask", "absent.png", "Where is the pier?", "--json")[:2] == (3, b"")
    assert shell(redirection, "paint")[:2] == (2, b"")
    code, out, _ = shell(redirection, "info", "--json")
    assert code == 0
    assert json.loads(out)["precision"] == "int8"


def test_no_file_that_is_opened_becomes_a_standard_stream(tmp_path: Path) -> None:
    found = shell("<&- >&- 2>&-", "ask", str(IMAGE), "Where?", "--hd-num", "1", "--verbose", "--out", "o", cwd=tmp_path)
    assert found == (0, b"", "")
    assert json.loads((tmp_path / "o" / "answer.json").read_bytes())["query"] == "Where?"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1251", "utf-16", "cp037"])
def test_json_is_utf_8_in_every_locale(encoding: str) -> None:
    question = "\u041f\u0438\u0440\u0441 \u00e0 c\u00f4t\u00e9 \U0001f6a2?"
    words = ["ask", question, "--json", "--max-new-tokens", "4"]
    code, out, _ = shell("", *words, PYTHONIOENCODING=encoding)
    assert code == 0
    assert json.loads(out.decode("utf-8"))["query"] == question
    assert question.encode() in out


def test_text_that_the_locale_cannot_show_is_escaped() -> None:
    code, out, err = shell("", "ask", "\u041f\u0438\u0440\u0441.png", "?", PYTHONIOENCODING="ascii")
    assert (code, out) == (3, b"")
    assert r"'\u041f\u0438\u0440\u0441.png' is not there" in err


def test_numbers_that_json_lacks_become_null_and_lone_surrogates_escapes() -> None:
    document = {"a": [float("nan"), -float("inf"), 1.5, (2, "\udcff\u00e9")], "b": {"c": float("inf")}}
    assert json.loads(encode_json(document)) == {"a": [None, None, 1.5, [2, "\udcff\u00e9"]], "b": {"c": None}}
    assert encode_json({"e": "\u00e9"}) == b'{"e": "\xc3\xa9"}\n'


class Broken(io.StringIO):
    """A stream that takes `room` characters."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, text: str) -> int:
        if len(self.getvalue()) + len(text) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_the_first_failure_is_kept_and_ends_the_output() -> None:
    below = Broken(6)
    stream = GuardedStream(below)
    assert [stream.write(text) for text in ("four", "three", "2")] == [4, 5, 1]
    assert below.getvalue() == "four"
    assert stream.failure is not None
    assert stream.failure.errno == 28
    assert not stream.isatty()


def test_a_stream_that_was_closed_or_never_was(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded() as (out, err):
        print("gone")
        print("gone", file=sys.stderr)
        write_json({"also": "gone"})
    assert isinstance(out.failure, OSError)
    assert err.failure is None
    assert sys.stdout is closed
    assert sys.stderr is None


def test_outside_a_command_a_failed_output_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(3))
    with pytest.raises(OSError, match="No space left"):
        write_json({"too": "long"})
