"""Runs that are ended on the way, by a signal or a full disk: the same command goes on, to the same report."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluate.cli import main
from evaluate.data.miniature import write_miniature

ROOT = Path(__file__).parents[2]
SPLITS = ["--split", "train", "val", "test"]
SHORT = ["--max-new-tokens", "60"]
END_S = 300.0


def command_of(task: str, data: Path, out: Path) -> list[str]:
    more = SHORT if task == "rsgcg" else SPLITS
    return ["-m", "evaluate", task, "bundled", "--data", str(data), "--out", str(out), *more]


def predictions(out: Path) -> list[Path]:
    return sorted((out / "predictions").glob("*.json"))


def kill_at(command: list[str], out: Path, count: int) -> None:
    """End the command without a warning as soon as the ledger has `count` images; it must still be at work then."""
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + END_S
    while len(predictions(out)) < count and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert running


def same_reports(out: Path, whole: Path) -> None:
    assert list(out.rglob("*.partial")) == []
    assert main(["score", str(out), "--no-java"]) == 0
    for name in ("report.json", "report.html"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_killed_after_the_first_and_the_second_image_the_report_is_the_same(
    geopixeld: Path, asked: Path, tmp_path: Path
) -> None:
    command = command_of("rsgcg", geopixeld, tmp_path)
    for count in (1, 2):
        kill_at(command, tmp_path, count)
        assert count <= len(predictions(tmp_path)) < 3
    assert main(command[2:]) == 0
    same_reports(tmp_path, asked)


@pytest.mark.long
@pytest.mark.parametrize("task", ["rsgcg", "rrsisd"])
def test_killed_at_ten_random_points_the_report_is_the_same(task: str, tmp_path: Path) -> None:
    images, data = 24, tmp_path / "data"
    write_miniature(data, "geopixeld" if task == "rsgcg" else "rrsisd", images, side_px=128)
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert main(command_of(task, data, whole)[2:]) == 0
    assert main(["score", str(whole), "--no-java"]) == 0
    command, rng = command_of(task, data, out), random.Random(3)
    for count in sorted(rng.sample(range(1, images - 1), 10)):
        kill_at(command, out, count)
        files = predictions(out)
        assert count <= len(files) < images
        # As if the disk had kept half of a file.
        if rng.random() < 0.3:
            torn = rng.choice(files)
            os.truncate(torn, torn.stat().st_size // 2)
    assert main(command[2:]) == 0
    same_reports(out, whole)


def test_a_disk_that_fills_up_ends_the_run_with_its_name_and_the_same_command_goes_on(
    geopixeld: Path, asked: Path, tmp_path: Path
) -> None:
    sizes = {path.stem: path.stat().st_size for path in (asked / "answers").iterdir()}
    second, largest = sorted(sizes, key=lambda name: sizes[name])[-2:]
    limit = (sizes[second] + sizes[largest]) // 2  # bytes

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = command_of("rsgcg", geopixeld, tmp_path)
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, preexec_fn=full, capture_output=True, text=True, timeout=END_S
    )
    assert done.returncode not in (0, 1)
    assert f"{largest}.json cannot be written (File too large)" in done.stderr
    assert "what is finished is kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("*.partial")) == []
    before = [name for name in sorted(sizes) if name < largest]
    assert [path.stem for path in predictions(tmp_path)] == before
    assert main(command[2:]) == 0
    same_reports(tmp_path, asked)
