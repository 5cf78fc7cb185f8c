"""Builds geopixel_edge._native with CMake and names the packages; everything else is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ninja
import pybind11
from setuptools import Extension, find_namespace_packages, find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
GENERATOR = "Ninja"
NO_COMPILER = (
    "no C++17 compiler was found; install one (Debian: apt install g++, Fedora: dnf install gcc-c++, macOS: "
    "xcode-select --install), name yours in CXX, or install a wheel"
)


class Build(build):
    """Compiles first, so that what is missing is told at once and not below a list of copied files."""

    sub_commands = sorted(build.sub_commands, key=lambda command: command[0] != "build_ext")


class CMakeBuild(build_ext):
    """Configures and builds CMakeLists.txt; CMAKE_ARGS adds options, CMAKE_GENERATOR takes another tool than Ninja."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        generator = os.environ.get("CMAKE_GENERATOR", GENERATOR)
        # A folder for each generator: CMake refuses one that another generator configured.
        build = Path(self.build_temp).resolve() / f"cmake-{generator.lower().replace(' ', '-')}"
        build.mkdir(parents=True, exist_ok=True)
        cmake = shutil.which("cmake")
        if cmake is None:
            sys.exit("error: cmake was not found; pip install cmake, or build without --no-build-isolation")
        configure(
            [
                cmake,
                "-S",
                str(ROOT),
                "-B",
                str(build),
                "-G",
                generator,
                *([f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}"] if generator == GENERATOR else []),
                "-DCMAKE_BUILD_TYPE=" + ("Debug" if self.debug else "Release"),
                f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}",
                f"-DPython_EXECUTABLE={sys.executable}",
                f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
                *os.environ.get("CMAKE_ARGS", "").split(),
            ]
        )
        if subprocess.run([cmake, "--build", str(build), "--parallel"]).returncode:
            sys.exit("error: the C++ kernels do not compile; the compiler's own message stands above")


def configure(command: list[str]) -> None:
    """Run CMake's first step; a compiler that is missing ends the build with one line, not with CMake's report."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode and "CMAKE_MAKE_PROGRAM is not set" in done.stdout:
        sys.exit(f"error: CMAKE_GENERATOR={os.environ.get('CMAKE_GENERATOR')} needs a tool that is missing; unset it")
    # CMake names this variable when it finds no compiler, or not the one that CXX or CMAKE_ARGS asks for.
    if done.returncode and "CMAKE_CXX_COMPILER" in done.stdout:
        sys.exit(f"error: {NO_COMPILER}")
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit("error: CMake cannot configure the C++ kernels; its own message stands above")


def packages() -> tuple[list[str], dict[str, str]]:
    """The runtime, and the exporter where the sources hold it, under a name that nothing else in site-packages has."""
    runtime = find_namespace_packages(str(ROOT), include=["geopixel_edge", "geopixel_edge.*"])
    if not (ROOT / "export").is_dir():
        return runtime, {}
    inner = find_packages(str(ROOT / "export"))
    exporter = ["geopixel_edge_export", *(f"geopixel_edge_export.{name}" for name in inner)]
    return [*runtime, *exporter], {"geopixel_edge_export": "export"}


# Named for source distributions; CMakeLists.txt decides what is compiled.
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "csrc").glob("*.*"))
PACKAGES, PACKAGE_DIR = packages()

setup(
    packages=PACKAGES,
    package_dir=PACKAGE_DIR,
    entry_points={
        "console_scripts": ["geopixel-edge = geopixel_edge.cli:main"],
        "geopixel_edge.verbs": ["export = geopixel_edge_export.verb"] if PACKAGE_DIR else [],
    },
    ext_modules=[Extension("geopixel_edge._native", sources=[*SOURCES, "CMakeLists.txt"])],
    cmdclass={"build": Build, "build_ext": CMakeBuild},
)
