"""Telling which block holds a model back, and drawing a run's curve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from synthetic.scenes import make_scene
from training import diagnose
from training.curves import main as curves
from training.run import Run


def test_every_form_and_class_is_judged_with_the_true_text_given(
    tiny_run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_run.save()
    before = sorted(path.name for path in (tiny_run.directory / "checkpoint").iterdir())
    monkeypatch.setattr(diagnose, "make_scene", lambda seed, side_px: make_scene(seed, 128))
    arguments = [str(tiny_run.directory / "checkpoint"), "--scenes", "2", "--hd-num", "4"]
    assert diagnose.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    total = found["all"]
    forms = {name: one for name, one in found.items() if name.startswith("form ")}
    assert sum(one["questions"] for one in forms.values()) == total["questions"] > 10
    assert 0 <= total["decided"] <= 1
    assert 0 <= total["miou"] < 0.5  # random weights
    assert 0 <= total["pointed"] <= 1
    assert found["form conversation"]["questions"] == 2
    assert sorted(path.name for path in (tiny_run.directory / "checkpoint").iterdir()) == before
    (tiny_run.directory / "heads.safetensors").unlink()
    assert diagnose.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["all"] == {**total, "pointed": None}
    assert diagnose.main(arguments) == 0
    assert "form conversation" in capsys.readouterr().out


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose.main([str(tmp_path)]) == 4
    assert diagnose.main([str(tmp_path), "--scenes", "0"]) == 3
    assert "scenes=0" in capsys.readouterr().err


def test_a_curve_is_drawn_from_what_each_step_measured(tmp_path: Path) -> None:
    lines = [{"step": step, "answer": 0.0 if step < 5 else 1 / step, "tokens": 2 / step} for step in range(1, 30)]
    names = ("decision", "bce", "dice", "near", "selection", "pyramid", "places", "pointers", "looks", "names")
    text = "".join(json.dumps({**line, **dict.fromkeys(names, 0.5)}) + "\n" for line in lines)
    (tmp_path / "curve.jsonl").write_text(text)
    assert curves([str(tmp_path), str(tmp_path / "curve.png")]) == 0
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 500


def test_no_curve_and_no_place_for_it_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert curves([str(tmp_path), str(tmp_path / "out.png")]) == 3
    assert "curve.jsonl" in capsys.readouterr().err
    (tmp_path / "curve.jsonl").write_text("")
    assert curves([str(tmp_path), str(tmp_path / "out.png")]) == 3
    (tmp_path / "curve.jsonl").write_text("{")
    assert curves([str(tmp_path), str(tmp_path / "out.png")]) == 3
    assert not (tmp_path / "out.png").exists()
