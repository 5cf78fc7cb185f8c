"""How a command ends that is not let finish: a closed pipe, an interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

IMAGE = Path(__file__).parents[1] / "data" / "tiny-geopixel" / "images" / "square.png"
QUESTION = "Segment what you see."


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
