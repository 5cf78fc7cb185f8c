"""Without Java, or with one that does not work, METEOR is "not computed" and says why; none other takes its name."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from evaluate.cli import CASES, main
from evaluate.errors import EvaluationError
from evaluate.metrics.java import METEOR_JAR, TOKENISER_JAR, Java
from evaluate.scoring import texts

WORDS = ["a ship lies at the pier", "two planes stand on the apron"]


def program(path: Path, code: str) -> Path:
    """A `java` of our own."""
    path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two empty jars, found as pycocoevalcap."""
    folder = tmp_path / "pycocoevalcap"
    for jar in (METEOR_JAR, TOKENISER_JAR):
        (folder / jar).parent.mkdir(parents=True)
        (folder / jar).touch()
    spec = ModuleSpec("pycocoevalcap", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setenv("PATH", str(tmp_path))
    return folder


def test_what_is_missing_is_said_with_its_remedy(jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Java.find() == "no Java; apt-get install default-jre-headless"
    program(tmp_path / "java", "")
    assert isinstance(Java.find(), Java)
    (jars / METEOR_JAR).unlink()
    assert Java.find() == "no METEOR; pip install '.[eval]'"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert Java.find() == "no METEOR; pip install '.[eval]'"


def test_meteor_is_not_computed_and_ciders_tokeniser_is_in_its_name() -> None:
    found = texts.score(WORDS, WORDS, "no Java; apt-get install default-jre-headless")
    assert set(found) == {"CIDEr (simple tokeniser)", "METEOR"}
    assert found["METEOR"]["value"] is None
    assert found["METEOR"]["missing"] == "not computed: no Java; apt-get install default-jre-headless"


def test_reports_and_the_check_say_that_meteor_was_not_computed(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shutil.copytree(asked, tmp_path / "run")
    assert main(["score", str(tmp_path / "run")]) == 0
    told = "not computed: no Java; apt-get install default-jre-headless"
    assert told in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "report.json").read_text())["captions"]["METEOR"]["missing"] == told
    assert told in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "cases").mkdir()
    shutil.copy(CASES / "cap_000.json", tmp_path / "cases")
    assert main(["check", str(tmp_path / "cases")]) == 0
    assert "METEOR and Stanford's tokeniser were not judged: no Java" in capsys.readouterr().out


def test_a_java_that_does_not_work_is_named(jars: Path, tmp_path: Path) -> None:
    program(tmp_path / "java", "print('a line'); sys.exit('UnsupportedClassVersionError')")
    found = Java.find()
    assert isinstance(found, Java)
    with pytest.raises(EvaluationError, match=r"failed \(UnsupportedClassVersionError\).*--no-java"):
        found.tokenise(WORDS)
    with pytest.raises(EvaluationError, match=r"METEOR ended before its answer.*--no-java"):
        found.meteor([[text] for text in WORDS], WORDS)
    found.close()


def test_captions_go_to_both_programs_line_by_line(jars: Path, tmp_path: Path) -> None:
    """As both jars speak: tokens with punctuation; a statistic for SCORE, then values of each and of all for EVAL."""
    program(
        tmp_path / "java",
        "if '-jar' in sys.argv:\n"
        "    for line in sys.stdin:\n"
        "        kind, *rest = line.rstrip('\\n').split(' ||| ')\n"
        "        values = rest if kind == 'EVAL' else [str(len(rest[-1].split()))]\n"
        "        print('\\n'.join(values) if kind == 'SCORE' else '\\n'.join([*values, '0.25']), flush=True)\n"
        "else:\n"
        "    print('\\n'.join(line.lower().strip() + ' .' for line in open(sys.argv[-1])))\n",
    )
    found = Java.find()
    assert isinstance(found, Java)
    try:
        assert found.tokenise(["A Ship", "two\nplanes"]) == ["a ship", "two planes"]
        assert found.meteor([[text] for text in WORDS], WORDS) == (0.25, [6.0, 6.0])
        scored = texts.score(WORDS, WORDS, found)
    finally:
        found.close()
    assert set(scored) == {"CIDEr", "METEOR"}
    assert scored["METEOR"] == {"value": 0.25, "interval": None}
