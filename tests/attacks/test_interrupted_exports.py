"""Exports stopped half-way: a full disk, a signal, blocks that differ from torch. Nothing is published or left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import publish
from export.checkpoint import Checkpoint
from export.publish import export_engine
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.manifest import Manifest
from geopixel_edge.engine.publish import aside, clear_leftovers
from geopixel_edge.errors import ExportError
from geopixel_edge.runtimes.host import HostDevice
from tests.support.checkpoints import SOURCE
from tests.support.engines import sign

REPOSITORY = Path(__file__).parents[2]


def test_too_little_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    monkeypatch.setattr(publish, "write_all", lambda *_: pytest.fail("something was written"))
    with pytest.raises(ExportError, match="1000 bytes free"):
        export_engine(SOURCE, tmp_path / "engine")
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
from pathlib import Path
from export.__main__ import main
from export.writers import WRITERS
writers = dict(WRITERS)
for blocks, file_bytes in (("", 10_000), ("vision_encoder", 100_000), ("", 100_000)):
    WRITERS.update({name: writer if name in blocks.split() else lambda *_: None for name, writer in writers.items()})
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    code = main(sys.argv[1:])
    print("code", code, file=sys.stderr)
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(SOURCE), str(tmp_path / "engine")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=REPOSITORY)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "code "))]
    assert lines[1::2] == [f"code {ExportError.exit_code}"] * 3, done.stderr
    assert [
        fragment in line
        for fragment, line in zip(("tokenizer", "vision_encoder", "File too large"), lines[::2], strict=True)
    ] == [True] * 3
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_terminated_export_cleans_up(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "export", str(SOURCE), str(tmp_path / "engine")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    deadline_s = time.monotonic() + 120
    while not list(tmp_path.glob(".engine.partial-*/tokenizer.model")) and time.monotonic() < deadline_s:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "interrupted: nothing was published"
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from export.__main__ import main
from export.writers import WRITERS
WRITERS["grounding_encoder"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
for name in ("vision_encoder", "language_model"):
    WRITERS[name] = lambda checkpoint, block, path, *_: path.write_bytes(bytes(1_000_000))
main(sys.argv[1:])
"""


def test_the_next_export_removes_what_a_killed_one_left_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "engine"
    command = [sys.executable, "-c", KILLED, str(SOURCE), str(target)]
    done = subprocess.run(command, capture_output=True, timeout=300, cwd=REPOSITORY)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".engine.partial-")
    clear_leftovers(tmp_path / "another")
    assert left.is_dir()
    clear_leftovers(target)
    assert list(tmp_path.iterdir()) == []
    assert f"removed {left} (2.0" in caplog.text


def test_what_a_running_export_writes_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "engine"
    with aside(target) as root:
        clear_leftovers(target)
        assert root.is_dir()
        root.rename(target)
    clear_leftovers(target)
    assert [path.name for path in tmp_path.iterdir()] == ["engine"]


def test_an_engine_moved_aside_by_a_killed_export_is_put_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Between its two renames neither the old engine nor the new one has the name."""
    target = tmp_path / "engine"
    old, new = (tmp_path / f".engine.partial-0123abcd{end}" for end in ("-replaced", ""))
    for path, text in ((old, "old"), (new, "new")):
        path.mkdir()
        (path / "manifest.json").write_text(text)
    (tmp_path / ".engine.partial-mine").mkdir()
    (tmp_path / ".engine.partial-01234567").symlink_to(tmp_path / ".engine.partial-mine")
    clear_leftovers(target)
    assert (target / "manifest.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".engine.partial-01234567",
        ".engine.partial-mine",
        "engine",
    ]
    assert f"put {target} back" in caplog.text


def test_too_little_memory_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HostDevice, "free_bytes", lambda self: 300_000_000)
    monkeypatch.setattr(publish, "write_all", lambda *_: pytest.fail("something was written"))
    with pytest.raises(ExportError, match=r"0\.3 GB of memory are free, the export needs about 0\.7 GB"):
        export_engine(SOURCE, tmp_path / "engine")
    assert list(tmp_path.iterdir()) == []


# --- Blocks that are not what torch says -------------------------------------------------------------------------


def scaled(root: Path) -> None:
    """Double some weights of the last matrix."""
    path = root / "language_model.onnx.data"
    weights = np.fromfile(path, np.float32)
    weights[-4000:-1000] *= 2
    weights.tofile(path)


def not_finite(root: Path) -> None:
    path = root / "language_model.onnx.data"
    np.full(path.stat().st_size // 4, np.nan, np.float32).tofile(path)


def cut(root: Path) -> None:
    os.truncate(root / "pixel_decoder.onnx.data", 1000)


@pytest.mark.parametrize(
    ("damage", "named"), [(scaled, "language_model"), (not_finite, "not finite"), (cut, "pixel_decoder")]
)
def test_blocks_that_differ_from_torch_are_not_published(
    engine_fp32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], named: str
) -> None:
    def write_all(checkpoint: Checkpoint, root: Path, precisions: Any, form: Any) -> Manifest:
        shutil.copytree(engine_fp32, root, dirs_exist_ok=True)
        damage(root)
        sign(root)
        return read_manifest(root)

    monkeypatch.setattr(publish, "write_all", write_all)
    with pytest.raises(ExportError) as caught:
        export_engine(SOURCE, tmp_path / "engine")
    assert "nothing was published" in str(caught.value)
    assert named in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_a_library_swallows_ends_it_before_it_publishes(tmp_path: Path) -> None:
    """The vision encoder's writer meets the interruption and goes on, as some libraries do."""
    code = (
        "import os, signal, sys\n"
        "from export.__main__ import main\n"
        "from export.writers import WRITERS\n"
        "write = WRITERS['vision_encoder']\n"
        "def swallowing(*given):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        "    write(*given)\n"
        "WRITERS['vision_encoder'] = swallowing\n"
        f"raise SystemExit(main([{str(SOURCE)!r}, {str(tmp_path / 'engine')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip().splitlines()[-1] == "interrupted: nothing was published"
    assert list(tmp_path.iterdir()) == []
