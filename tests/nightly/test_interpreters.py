"""The wheel on every Python that the metadata names and this machine has: built, installed and asked one question."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.places import copy_clone
from ..support.project import pyproject

ROOT = Path(__file__).parents[2]
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def named_versions() -> list[str]:
    """The Python versions of the classifiers, "3.11" and so on."""
    project = pyproject()["project"]
    return [line.rpartition(" ")[2] for line in project["classifiers"] if line.startswith("Programming Language :: Py")]


def interpreters() -> dict[str, Path]:
    """One interpreter for each named version that is found on PATH, among pyenv's or in the system's usual folders."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    folders += [*pyenv.glob("versions/*/bin"), Path("/usr/bin"), Path("/usr/local/bin")]
    found: dict[str, Path] = {}
    for version in named_versions():
        for program in (folder / f"python{version}" for folder in folders):
            if program.is_file() and _version(program) == version:
                found[version] = program
                break
    return found


def _version(program: Path) -> str:
    """What an interpreter says it is, with a working `venv`; "" for one that does not start, as a shim of pyenv's."""
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([str(program), "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def test_the_running_python_is_named_and_found() -> None:
    assert RUNNING in named_versions()
    assert RUNNING in interpreters()


@pytest.mark.long
def test_every_named_python_of_this_machine_answers(tmp_path: Path) -> None:
    found = interpreters()
    print(f"tried: {', '.join(f'{version} ({program})' for version, program in found.items())}")
    assert RUNNING in found
    answers = {}
    for version, program in found.items():
        clone = copy_clone(tmp_path / f"clone-{version}")
        answers[version] = _ask(program, clone, tmp_path / version)
    assert len(answers) == len(found)
    assert len({json.dumps(answer) for answer in answers.values()}) == 1, answers


def _ask(program: Path, clone: Path, environment: Path) -> tuple[str, list[int]]:
    """Response and areas of the bundled engine's answer, by the wheel that this interpreter builds and installs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GEOPIXEL"))}

    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=environment.parent, env=kept)
        assert done.returncode == 0, f"{program}: {done.stderr[-4000:]}"
        return done.stdout

    run(str(program), "-m", "venv", str(environment))
    run(str(environment / "bin" / "pip"), "install", "--quiet", str(clone))
    image = str(ROOT / "examples" / "scene.png")
    told = json.loads(
        run(str(environment / "bin" / "geopixel-edge"), "segment", image, "the bridge", "--json", "--device", "cpu")
    )
    assert told["regions"]
    return told["response"], [region["area_px"] for region in told["regions"]]


@pytest.mark.long
def test_the_tests_that_need_no_torch_pass_on_every_other_python(tmp_path: Path) -> None:
    found = {version: program for version, program in interpreters().items() if version != RUNNING}
    if not found:
        pytest.skip(f"no other Python is here than {RUNNING}; install one with pyenv")
    print(f"tried: {', '.join(found)}")
    for version, program in found.items():
        clone, environment = copy_clone(tmp_path / f"clone-{version}"), tmp_path / version
        subprocess.run([str(program), "-m", "venv", str(environment)], check=True)
        python = str(environment / "bin" / "python")
        own, others = _torchless()
        editable = f"{clone}[{','.join(['bench', *own])}]"
        install = [python, "-m", "pip", "install", "--quiet", "-e", editable, "protobuf", *others]
        subprocess.run(install, check=True, cwd=tmp_path)
        command = [python, "-m", "pytest", "-q", "tests/unit", "tests/training", "-m", "not long"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=clone)
        assert done.returncode == 0, f"{program}: {done.stdout[-4000:]}"
        assert " passed" in done.stdout


def _torchless() -> tuple[list[str], list[str]]:
    """What the tests need, less PEFT, which brings torch: extras of this package, and other packages."""
    wanted: list[str] = pyproject()["project"]["optional-dependencies"]["test"]
    kept = [line for line in wanted if not line.startswith("peft")]
    assert len(kept) == len(wanted) - 1
    ours = "geopixel-edge["
    own = [line.removeprefix(ours).rstrip("]") for line in kept if line.startswith(ours)]
    return own, [line for line in kept if not line.startswith(ours)]
