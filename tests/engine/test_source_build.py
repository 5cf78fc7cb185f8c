"""Building from source: what a source distribution holds, and machines with little more than Python and a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from ..support.places import copy_clone, copy_sources
from ..support.project import pyproject

ROOT = Path(__file__).parents[2]
RUNTIME = ("geopixel_edge", "csrc", "CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "setup.py")
# What a compiler on Linux is: itself, the assembler and linker it calls, and a shell. No make, no ninja, no cmake.
COMPILER = ("c++", "g++", "cc", "gcc", "as", "ld", "ar", "ranlib", "nm", "sh")


def build(python: Path | str, sdist: Path, out: Path, path: str, *options: str, **steering: str) -> tuple[int, str]:
    """Exit code and messages of `pip wheel`, with `path` as its PATH and `steering` as the build's other variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CMAKE", "CXX", "CC", "PYTHON"))}
    command = [str(python), "-m", "pip", "wheel", str(sdist), "--no-deps", "--wheel-dir", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | {"PATH": path} | steering)
    return done.returncode, done.stderr


def tools(folder: Path, names: tuple[str, ...]) -> str:
    """A folder with links to the named programs and no others."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None, f"{name} is needed to build from source"
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with what `build-system.requires` names."""
    root = tmp_path_factory.mktemp("builder")
    venv.create(root, with_pip=True)
    required = pyproject()["build-system"]["requires"]
    subprocess.run([str(root / "bin" / "pip"), "install", "--quiet", *required], check=True, capture_output=True)
    return root / "bin" / "python"


def backend(python: Path, sources: Path, call: str) -> str:
    """What a function of the build backend returns for `sources`."""
    code = f"import setuptools.build_meta as backend; print(backend.{call})"
    done = subprocess.run([str(python), "-c", code], cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sdist")
    clone = copy_clone(root / "clone")
    return root / backend(builder, clone, f"build_sdist({str(root)!r})")


def test_a_source_distribution_holds_what_is_built(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = ("geopixel_edge/", "export/", "csrc/")
    wanted = {name for name in listed if name.startswith(folders) and (ROOT / name).is_file()}
    assert wanted
    assert wanted | {"CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "setup.py"} <= inside


def test_a_source_distribution_builds_where_python_and_a_compiler_are_all_there_is(sdist: Path, tmp_path: Path) -> None:
    code, messages = build(sys.executable, sdist, tmp_path, tools(tmp_path / "bin", COMPILER))
    assert code == 0, messages
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entries,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/entry_points.txt"))
    exporter = {
        f"geopixel_edge_export/{path.relative_to(ROOT / 'export').as_posix()}"
        for path in (ROOT / "export").rglob("*.py")
    }
    assert {name for name in names if name.startswith("geopixel_edge_export/")} == exporter
    assert any(name.startswith("geopixel_edge/_native.") and not name.endswith(".pyi") for name in names)
    assert "[geopixel_edge.verbs]\nexport = geopixel_edge_export.verb" in entries
    assert "[console_scripts]\ngeopixel-edge = geopixel_edge.cli:main" in entries


@pytest.mark.parametrize("steering", [{}, {"CXX": "no-such-c++"}, {"CMAKE_ARGS": "-DCMAKE_CXX_COMPILER=no-such-c++"}])
def test_a_missing_compiler_is_one_line_with_the_remedy(
    sdist: Path, tmp_path: Path, builder: Path, steering: dict[str, str]
) -> None:
    # The builder's environment has all but a compiler; without isolation nothing is downloaded.
    path = os.pathsep.join([tools(tmp_path / "bin", ("sh",)), str(builder.parent)])
    code, messages = build(builder, sdist, tmp_path, path, "--no-build-isolation", **steering)
    assert code != 0
    told = [line.strip() for line in messages.splitlines() if "compiler" in line]
    assert told == [
        "error: no C++17 compiler was found; install one (Debian: apt install g++, Fedora: dnf install gcc-c++, "
        "macOS: xcode-select --install), name yours in CXX, or install a wheel"
    ]
    assert "Traceback" not in messages
    assert "CMake Error" not in messages
    assert not list(tmp_path.glob("*.whl"))


def test_a_generator_of_the_users_own_is_taken(sdist: Path, tmp_path: Path, builder: Path) -> None:
    path = os.pathsep.join([tools(tmp_path / "bin", COMPILER), str(builder.parent)])
    steering = {"CMAKE_GENERATOR": "Unix Makefiles"}
    code, messages = build(builder, sdist, tmp_path, path, "--no-build-isolation", **steering)
    assert code != 0
    assert "error: CMAKE_GENERATOR=Unix Makefiles needs a tool that is missing; unset it" in messages


def test_the_runtime_alone_builds_without_the_exporter(builder: Path, tmp_path: Path) -> None:
    sources = copy_sources(tmp_path / "runtime", RUNTIME)
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    information = metadata / backend(builder, sources, f"prepare_metadata_for_build_wheel({str(metadata)!r})")
    assert (information / "top_level.txt").read_text().split() == ["geopixel_edge"]
    entries = (information / "entry_points.txt").read_text()
    assert "geopixel-edge = geopixel_edge.cli:main" in entries
    assert "geopixel_edge_export" not in entries
