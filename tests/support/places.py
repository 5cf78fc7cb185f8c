"""Places to type the documented commands in: a copy of the clone, a new virtual environment, a folder of a user's own.

Nothing of the environment that runs the tests can be reached from them.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .documented import ROOT

CHECKPOINT = ROOT / "tests" / "data" / "tiny-geopixel" / "checkpoint"
MINUTES = 60


@dataclass
class Place:
    """A clone, the environment whose programs come first there, and the folder where a user's own files are.

    `done` holds what the commands typed so far printed.
    """

    clone: Path
    folder: Path
    environment: Path
    done: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    def variables(self) -> dict[str, str]:
        """The tests' own, less what leads back to the checkout and its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GEOPIXEL"))}
        own = Path(sys.prefix, "bin").resolve()
        others = [path for path in kept["PATH"].split(os.pathsep) if Path(path).resolve() != own]
        path = os.pathsep.join([str(self.environment / "bin"), *others])
        # Most of what is installed is never imported, so it is compiled when it is.
        quick = {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return kept | quick | {"PATH": path, "VIRTUAL_ENV": str(self.environment)}

    def run(self, command: str, where: Path, limit_s: float = 60 * MINUTES) -> subprocess.CompletedProcess[str]:
        """What a shell in folder `where` makes of a line."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=where,
            env=self.variables(),
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def watch(self, command: str, where: Path, until: str, limit_s: float = 60 * MINUTES) -> str:
        """Type a command at a terminal, interrupt it once what it prints matches `until`, and return what it printed.

        A command that ends before fails, and so does one that goes on for more than two minutes after Ctrl-C.
        """
        leader, follower = pty.openpty()
        # A terminal of no width has no room for a progress bar.
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=where,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            # Tests that a shell started in the background ignore SIGINT, and what they start would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(follower)
        try:
            printed, deadline_s = "", time.monotonic() + limit_s
            while not re.search(until, printed):
                assert time.monotonic() < deadline_s, f"{command} did not get to {until!r}:\n{printed[-4000:]}"
                text = _read(leader, 1)
                assert text is not None, f"{command} ended before {until!r}:\n{printed[-4000:]}"
                printed += text
            os.killpg(process.pid, signal.SIGINT)
            deadline_s = time.monotonic() + 2 * MINUTES
            while _read(leader, 1) is not None:
                assert time.monotonic() < deadline_s, f"{command} went on after an interruption"
            process.wait(2 * MINUTES)
            return printed
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            os.close(leader)


def _read(leader: int, wait_s: float) -> str | None:
    """What came within `wait_s` seconds; None when nothing holds the terminal's other side any more."""
    if not select.select([leader], [], [], wait_s)[0]:
        return ""
    try:
        return os.read(leader, 65536).decode(errors="replace") or None
    except OSError:  # Linux: EIO
        return None


def copy_clone(target: Path) -> Path:
    """What git knows of the checkout and does not ignore, so that nothing that was built slips in."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():  # a file may be deleted and not yet committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def copy_sources(target: Path, names: Sequence[str]) -> Path:
    """The named files and folders of `copy_clone` alone."""
    whole = copy_clone(target.with_name(f"{target.name}-whole"))
    target.mkdir()
    for name in names:
        (whole / name).rename(target / name)
    shutil.rmtree(whole)
    return target


def user_files(folder: Path) -> None:
    """What the pages take for granted: pictures, an engine, a checkpoint; small ones."""
    for name in ("scene.png", "before.png", "after.png"):
        shutil.copy(ROOT / "examples" / "scene.png", folder / name)
    shutil.copytree(ROOT / "geopixel_edge" / "bundled", folder / "engine")
    shutil.copytree(CHECKPOINT, folder / "GeoPixel-7B")
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "scene.png", folder / "examples")


def make_place(root: Path, own_environment: bool = True) -> Iterator[Place]:
    """A place below `root`, removed afterwards; without `own_environment` it is the clone's `.venv`, not made yet."""
    clone, folder = copy_clone(root / "clone"), root / "elsewhere"
    folder.mkdir()
    user_files(folder)
    environment = root / "environment" if own_environment else clone / ".venv"
    if own_environment:
        venv.create(environment, with_pip=True)
    yield Place(clone, folder, environment)
    shutil.rmtree(root)  # gigabytes, with torch


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where the package is installed from the clone, not editable."""
    yield from make_place(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where the clone itself is installed, for what is in the clone alone."""
    yield from make_place(tmp_path_factory.mktemp("editable"))


@pytest.fixture(scope="session")
def developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where `make` makes the clone's own environment."""
    yield from make_place(tmp_path_factory.mktemp("developer"), own_environment=False)
