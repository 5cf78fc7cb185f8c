"""`info`, `verify` and `doctor`: what they say of an engine and of the machine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from geopixel_edge import cli
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest

Capture = pytest.CaptureFixture[str]


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
    stored = json.loads((engine_fp32 / "manifest.json").read_text())
    assert json.loads(capsys.readouterr().out) == {**stored, "precision": "fp32"}


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
