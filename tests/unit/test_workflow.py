"""`.github/workflows/ci.yml` and pre-commit: sound, and everything they call is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..support.documented import ROOT
from ..support.project import pyproject

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PROJECT = pyproject()
NAMED = [
    line.rpartition(" ")[2]
    for line in PROJECT["project"]["classifiers"]
    if line.startswith("Programming Language :: Python ::")
]
_ACTION = re.compile(r"[\w.-]+/[\w./-]+@v\d+(\.\d+)*")


def workflow() -> dict[str, Any]:
    found = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps() -> list[dict[str, Any]]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def targets() -> set[str]:
    """What the Makefile can make by a plain name."""
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def recipe(target: str) -> list[str]:
    """The lines of a Makefile's target."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert found is not None, target
    return [line.strip() for line in found[1].splitlines()]


@cache
def verbs() -> set[str]:
    """The commands that `geopixel-edge --help` lists."""
    command = [sys.executable, "-m", "geopixel_edge", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = set(re.findall(r"^    ([a-z]+) ", done.stdout, re.M))
    assert "ask" in found
    return found


def test_every_job_has_a_machine_and_steps_that_do_one_thing() -> None:
    jobs = workflow()["jobs"]
    assert {"check", "test", "build", "wheels", "docs"} <= jobs.keys()
    for name, job in jobs.items():
        assert job["runs-on"]
        assert set(job.get("needs", "").split()) <= jobs.keys(), name
    assert [step for step in steps() if ("run" in step) == ("uses" in step)] == []
    assert [step["uses"] for step in steps() if "uses" in step and not _ACTION.fullmatch(step["uses"])] == []


def test_the_matrix_is_the_supported_pythons_and_systems() -> None:
    jobs = workflow()["jobs"]
    assert jobs["check"]["strategy"]["matrix"]["python"] == NAMED
    built = {f"cp{version.replace('.', '')}-*" for version in NAMED}
    assert set(PROJECT["tool"]["cibuildwheel"]["build"]) == built
    for job in ("build", "wheels"):
        systems = jobs[job]["strategy"]["matrix"]["os"]
        assert any(name.endswith("-arm") for name in systems)
        assert {name.partition("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}


@pytest.mark.parametrize("line", [step["run"] for step in steps() if "run" in step])
def test_a_command_is_one_that_exists(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program == "make":
        assert arguments
        assert set(arguments) <= targets()
    elif program == "geopixel-edge":
        assert arguments[0] in verbs()
    else:
        assert [program, *arguments] == ["python", "-m", "pip", "install", "."]


def test_folders_and_files_that_steps_name_exist() -> None:
    for step in steps():
        folder = ROOT / step.get("working-directory", ".")
        assert folder.is_dir()
        for word in shlex.split(step.get("run", "")):
            assert not word.endswith(".png") or (folder / word).is_file()


def test_make_check_and_pre_commit_run_the_same_tools() -> None:
    hooks = yaml.safe_load(Path(ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ["ruff check --fix", "ruff format --check", "mypy"]
    assert {"types", "unit"} <= set(recipe("check")[-1].split())
    checked = "\n".join([*recipe("check"), *recipe("types"), *recipe("unit")])
    for tool in ("ruff check", "ruff format --check", "mypy", "pytest"):
        assert f"$(BIN)/{tool}" in checked or f"-m {tool} " in checked


def test_no_test_runs_twice_and_none_is_left_out() -> None:
    (unit,) = recipe("unit")
    (rest,) = (line for line in recipe("test") if "pytest" in line)
    alone, others = (line for line in recipe("nightly") if "pytest" in line)
    assert "tests/unit" in unit.split()
    assert "--ignore=tests/unit" in rest.split()
    assert '-m "not long"' in unit
    assert '-m "not long and not gpu"' in rest
    assert '-m "long and not gpu"' in alone
    assert '-m "long and not gpu"' in others
    assert "tests" not in alone + others
    assert "$(TIMED)" in alone  # and what is left out of the others is the same
    assert "$(addprefix --ignore=,$(TIMED)) || failed=1; \\" in recipe("nightly")
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert "unit" in folders
    assert len(folders) > 2
