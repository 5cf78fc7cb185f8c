"""Machines with too little memory, or where no thread can be started: an answer, or one line that says which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopixel_edge import Pipeline, ResourceError
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine
from geopixel_edge.resources import shortage, shortage_told

resource = pytest.importorskip("resource", reason="limits are set in Unix's way")
IMAGES = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images"
MB = 10**6


def limited(limit_bytes: int, *words: str) -> tuple[int, list[str]]:
    """The command line in at most `limit_bytes` of address space: exit code and lines of standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "geopixel_edge", *words],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes)),
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("limit_mb", [150, 190, 195, 200, 205, 280, 350, 420, 500, 545, 600, 680])
def test_too_little_memory_is_one_line(limit_mb: int) -> None:
    code, lines = limited(limit_mb * MB, "ask", str(IMAGES / "square.png"), "Where is the pier?", "--hd-num", "1")
    lines = [line for line in lines if not line.startswith("note:")]
    assert (code, lines) == (0, []) or (code != 0 and len(lines) == 1 and "memory" in lines[0].lower())


THREADS = """
import threading
from geopixel_edge.runtimes.onnx_import import import_onnxruntime
import_onnxruntime()
def kb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
before, go = kb(), threading.Event()
threads = [threading.Thread(target=go.wait) for _ in range(8)]
[thread.start() for thread in threads]
print(kb() - before)
go.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heaps, /proc")
@pytest.mark.parametrize("is_limited", [True, False])
def test_a_thread_takes_no_heap_of_its_own_where_address_space_is_limited(is_limited: bool) -> None:
    """Eight threads, their stacks of 8 MiB, and else a heap of 64 MiB each; at the limit none of that can be had."""
    limit = 4 << 30 if is_limited else resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY)),
    )
    assert (int(done.stdout) << 10 < 8 * (64 << 20)) is is_limited


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_an_image_that_memory_does_not_hold_is_not_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    Image.new("RGB", (9000, 9000), (80, 110, 70)).save(path)
    code, lines = limited(560 * MB, "ask", str(path), "Where is the pier?")
    assert code == ResourceError.exit_code
    assert len(lines) == 1
    assert path.name in lines[0]
    assert "memory" in lines[0]
    assert "damaged" not in lines[0]


NO_THREADS = """
import sys, threading
def start(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
from geopixel_edge.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("words", [["verify"], ["ask", str(IMAGES / "tiny.png"), "Where?"], ["doctor"]])
def test_files_are_hashed_where_no_thread_starts(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", NO_THREADS, *words], capture_output=True, text=True, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_hashes_are_checked_in_the_calling_thread_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from geopixel_edge.errors import EngineCorruptError
    from tests.support.fakes import make_engine

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    root = make_engine(tmp_path)
    Engine(root)
    path = root / "pixel_decoder" / "pixel_decoder.onnx"
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(EngineCorruptError, match=r"pixel_decoder\.onnx has another SHA-256"):
        Engine(root)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (MemoryError(), "memory"),
        (OSError(12, "Cannot allocate memory"), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "memory"),
        (RuntimeError("can't start new thread"), "thread"),
        (OSError(11, "Resource temporarily unavailable"), "thread"),
        (RuntimeError("pthread_create failed, error code: 11"), "thread"),
    ],
)
def test_each_library_s_words_are_understood(error: Exception, what: str) -> None:
    with pytest.raises(ResourceError, match=rf"the kernel: .*{what}") as caught, shortage_told("the kernel"):
        raise error
    assert caught.value.__cause__ is None


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("shapes differ"), OSError(2, "No such file"), ImportError("no module named x")):
        assert shortage(error, "the kernel") is None
        with pytest.raises(type(error)), shortage_told("the kernel"):
            raise error


def test_a_block_without_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(BUNDLED, device="cpu", threads=1)

    def run(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 17179869184")

    session = pipeline.model.residency.load(frozenset({"vision_encoder"}))["vision_encoder"].session  # type: ignore[attr-defined]
    monkeypatch.setattr(session, "run_with_iobinding", run)
    with pytest.raises(ResourceError, match=r"block 'vision_encoder' failed .* too little memory"):
        pipeline(np.zeros((8, 8, 3), np.uint8), "Where?", hd_num=1)
