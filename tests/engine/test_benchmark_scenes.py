"""The benchmark of scenes: what it merges is known, its figures have the promised shape, and peers are judged alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scenes
from benchmarks.scene_views import duplicates, make_views, merge, save
from geopixel_edge.errors import OptionError


def test_every_view_is_merged_and_nothing_is_there_twice(tmp_path: Path) -> None:
    views = make_views(600, seed=2)
    assert len(views.views) >= 600 > len(views.truth)
    _, boxes = merge(views)
    assert sorted(map(tuple, boxes.tolist())) == sorted(map(tuple, views.truth.tolist()))
    assert duplicates(views.truth, boxes) == 0
    seen = np.array([(v.runs.x, v.runs.y, v.runs.x + v.runs.w, v.runs.y + v.runs.h) for v in views.views], np.float64)
    assert duplicates(views.truth, seen) == len(views.views) - len(views.truth)
    save(tmp_path / "views.npz", views)
    with np.load(tmp_path / "views.npz") as saved:
        assert saved["corners"].sum() == len(saved["points"])
        assert len(saved["scores"]) == len(views.views)


def test_a_peer_runs_under_its_own_interpreter(tmp_path: Path) -> None:
    peer = tmp_path / "python"
    peer.write_text(
        '#!/bin/sh\necho \'{"seconds": 2.0, "files_s": 1.0, "version": "9", "boxes": [[0, 0, 5, 5], [1, 1, 5, 5]]}\'\n'
    )
    peer.chmod(0o755)
    found = scenes.beside({"sahi": str(peer)}, 200, 1, 1)["by"]
    assert found["sahi"]["objects"] == 2
    assert found["sahi"]["times_ours"] == pytest.approx(2.0 / found["geopixel_edge"]["seconds"])
    assert found["geopixel_edge"]["duplicates"] == 0
    peer.write_text("#!/bin/sh\necho no such module >&2; exit 1\n")
    with pytest.raises(OptionError, match="no such module"):
        scenes.beside({"sahi": str(peer)}, 200, 1, 1)
    with pytest.raises(OptionError, match="NAME=PYTHON"):
        scenes.main(["--peer", "another=python"])


@pytest.mark.long
def test_figures_have_the_promised_shape() -> None:
    command = [sys.executable, "-m", "benchmarks.scenes", "--json", "--windows", "8", "--repeat", "1"]
    command += ["--views", "3000", "--peer-views", "500"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert all(one["answers_equal"] for one in found["windows"]["by_batch"].values())
    assert set(found["windows"]["by_batch"]) == {"1", "4", "8"}
    assert found["merging"]["objects"] == found["merging"]["truth"]
    assert found["merging"]["duplicates"] == 0
    assert 0 < found["windows"]["without_model"]["seconds_a_window"] < 1
    assert found["kept"][f"{found['merging']['views']} views in under 10 s, none twice"]
