"""Which Jetson this is, read from files alone: without root, and without a daemon."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_RELEASE = re.compile(r"# R([0-9]+) \(release\), REVISION: ([0-9.]+)")
_MODE = re.compile(r"pmode:([0-9]+)")


@dataclass(frozen=True)
class Board:
    """A Jetson's name, its Linux for Tegra ("36.4.3"), JetPack and power mode; "" where it is not told."""

    model: str
    l4t: str
    jetpack: str
    power_mode: str


def read_board(root: Path = ROOT) -> Board | None:
    """This machine's board; None where it is no Jetson."""
    release = _RELEASE.search(_text(root / "etc/nv_tegra_release"))
    if release is None:
        return None
    model = _text(root / "proc/device-tree/model").strip("\0\n ") or "Jetson"
    return Board(model, f"{release[1]}.{release[2]}", package_version("nvidia-jetpack", root), power_mode(root))


def power_mode(root: Path = ROOT) -> str:
    """The mode that `nvpmodel` set last, as "15W (0)": its name in the board's configuration, and its number."""
    mode = _MODE.search(_text(root / "var/lib/nvpmodel/status"))
    if mode is None:
        return ""
    number = int(mode[1])
    name = re.search(rf"^< POWER_MODEL ID={number} NAME=(\S+) >", _text(root / "etc/nvpmodel.conf"), re.MULTILINE)
    return f"{name[1]} ({number})" if name else f"mode {number}"


def package_version(name: str, root: Path = ROOT) -> str:
    """Version of an installed Debian package; "" where there is none, or no dpkg."""
    command = (
        "dpkg-query",
        f"--admindir={root / 'var/lib/dpkg'}",
        "--show",
        "--showformat=${db:Status-Status} ${Version}",
    )
    try:
        done = subprocess.run((*command, name), capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    status, _, version = done.stdout.partition(" ")
    return version if done.returncode == 0 and status == "installed" else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
