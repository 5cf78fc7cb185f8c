"""Builds that are killed themselves, not the process of a block: the next one to the same place clears up."""

from __future__ import annotations

import contextlib
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geopixel_edge.build.float8_engine import build_float8
from geopixel_edge.build.forms import build_form
from geopixel_edge.build.plan_cache import PlanCache
from geopixel_edge.build.tensorrt import PLANS, build_tensorrt
from geopixel_edge.build.tensorrt_builder import Wanted
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.errors import GeoPixelError

BUILDS: dict[str, Callable[[Path], object]] = {
    "tensorrt": lambda target: build_tensorrt(BUNDLED, target, Wanted("tensorrt", ("none",))),
    "form": lambda target: build_form(BUNDLED, target, read_manifest(BUNDLED).form),
    "float8": lambda target: build_float8(BUNDLED, target, ("none",)),
}


@pytest.mark.parametrize("kind", BUILDS)
def test_an_engine_that_a_killed_build_moved_aside_is_put_back(kind: str, tmp_path: Path) -> None:
    """Even by a build that is refused."""
    old, new = (tmp_path / f".out.partial-0123abcd{end}" for end in ("-replaced", ""))
    for path in (old, new):
        path.mkdir()
    (old / "kept").touch()
    with pytest.raises(GeoPixelError):
        BUILDS[kind](tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["out", "out/kept"]


def test_what_a_running_build_writes_is_left_alone(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    left, kept = tmp_path / "key.json.partial-01234567", tmp_path / "key.plan"
    for path in (left, kept):
        path.touch()
    with cache.writing("key") as path:
        cache.clear_leftovers()
        assert sorted(tmp_path.iterdir()) == sorted([path, kept])
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="TensorRT-RTX has wheels for Linux on x86-64"
)
def test_a_command_that_is_killed_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """Its child ends with it, by either signal; the next run removes what it wrote aside of engine and plans."""
    out, plans = tmp_path / "out", tmp_path / PLANS
    arguments = (str(BUNDLED), str(out), "--runtime", "tensorrt-rtx", "--sm", "86", "--blocks", "pixel_decoder")
    command = (sys.executable, "-m", "geopixel_edge", "build", *arguments)
    seen: set[Path] = set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            left = new_leftovers(tmp_path, seen)
            assert not any(path.exists() for path in seen)
            assert wait_until(lambda pid=process.pid: bool(children_of(pid)))  # type: ignore[misc]
            (child,) = children_of(process.pid)
            assert wait_until(lambda pid=child: "tensorrt" in (Path("/proc") / str(pid) / "maps").read_text())  # type: ignore[misc]
            process.send_signal(number)
            assert process.wait(30) == -number
        assert wait_until(lambda pid=child: not Path(f"/proc/{pid}/cwd").exists())  # type: ignore[misc]
        assert all(path.exists() for path in left)
        assert [path.stat().st_size for path in left if path.is_file()] == [0], "it went on building"
        seen |= left
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [PLANS, "out"]
    assert sorted(path.suffix for path in plans.iterdir()) == [".json", ".plan"]


def new_leftovers(root: Path, seen: set[Path]) -> set[Path]:
    """The directory written aside and the plan being built, once both are there."""
    found: set[Path] = set()

    def both() -> bool:
        found.update({*root.glob(".out.partial-*"), *(root / PLANS).glob("*.partial-*")} - seen)
        return len(found) == 2

    assert wait_until(both)
    return found


def wait_until(asked: Callable[[], bool], seconds: float = 60) -> bool:
    deadline_s = time.monotonic() + seconds
    while not (done := asked()) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return done


def children_of(pid: int) -> list[int]:
    """Processes that it started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found
