"""The Dockerfiles copy what is there, name extras that exist, and leave no package list and no foreign kernel behind.

No image is built here: that takes a network, and the L4T one a Jetson.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ..support.project import pyproject

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("Dockerfile.*"))


def steps(path: Path) -> list[tuple[str, str]]:
    """Instruction and argument of every step, lines that go on put together, comments left out."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def of(path: Path, instruction: str) -> list[str]:
    return [rest for word, rest in steps(path) if word == instruction]


def test_both_are_looked_at() -> None:
    assert [path.name for path in FILES] == ["Dockerfile.cuda", "Dockerfile.jetson"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_instruction_is_one(path: Path) -> None:
    known = {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in steps(path)} == known
    (base,) = (rest.partition("=")[2] for rest in of(path, "ARG") if rest.startswith("BASE="))
    assert re.fullmatch(r"[a-z0-9./-]+:[a-z0-9.-]+", base), "a base image has a tag"
    assert not base.endswith(":latest")
    assert of(path, "FROM") == ["${BASE}"]
    assert all(rest.startswith("/") for rest in of(path, "WORKDIR"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_suffices(path: Path) -> None:
    copied = [source for rest in of(path, "COPY") for source in rest.split()[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    project = pyproject()["project"]
    assert {"pyproject.toml", "setup.py", "CMakeLists.txt", "csrc", "geopixel_edge"} <= {*copied}
    assert {project["readme"], *project["license-files"]} <= {*copied}
    allowed = {line.removeprefix("!") for line in ignored() if line.startswith("!")}
    assert {*copied} == allowed


def ignored() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_kernels_that_were_built_here_stay_here() -> None:
    lines = ignored()
    assert lines[0] == "*"
    assert lines.index("geopixel_edge/_native*.so") > lines.index("!geopixel_edge"), "the last rule that matches counts"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_installed_exists(path: Path) -> None:
    runs, extras = of(path, "RUN"), pyproject()["project"]["optional-dependencies"]
    named = [extra for run in runs for group in re.findall(r"\.\[([a-z,-]+)\]", run) for extra in group.split(",")]
    assert set(named) <= extras.keys()
    for run in runs:
        assert "apt-get install" not in run or (run.startswith("apt-get update") and "rm -rf /var/lib/apt/lists" in run)
        assert "pip install" not in run or run.count("pip install") == run.count("pip install --no-cache-dir")
    (entry,), (command,) = (json.loads(rest) for word in ("ENTRYPOINT", "CMD") for rest in of(path, word))
    assert (entry, command) == ("geopixel-edge", "doctor")


def test_onnxruntimes_two_packages_never_meet() -> None:
    (run,) = (rest for rest in of(ROOT / "docker/Dockerfile.cuda", "RUN") if "onnxruntime-gpu" in rest)
    places = [run.index(part) for part in (".[tensorrt]", "pip uninstall --yes onnxruntime", "onnxruntime-gpu>=")]
    assert places == sorted(places)
