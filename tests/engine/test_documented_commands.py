"""Every command and snippet that the pages and `--help` show, typed as shown where a reader would type it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from ..support.command_table import INT8, SNIPPETS, TABLE
from ..support.documented import shown
from ..support.places import Place, developer, editable, installed  # noqa: F401
from ..support.ways import EXPORT, PLAIN

Request = pytest.FixtureRequest
COMMANDS = [pytest.param(command, marks=[pytest.mark.long] if how.long else []) for command, how in TABLE.items()]
PAGES = [
    pytest.param(page, marks=[pytest.mark.long] if TABLE[after].long else []) for page, (_, after) in SNIPPETS.items()
]


def type_in(place: Place, command: str) -> str:
    """Type a command of the table, after those it needs, and return what it printed; once in each place."""
    how = TABLE[command]
    for program in how.programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; the page that shows the command says how")
    for before in how.after:
        type_in(place, before)
    if command not in place.done:
        how.prepare(place)
        where = place.clone if how.in_clone else place.folder
        if how.until:
            place.done[command] = place.watch(command, where, how.until)
        else:
            done = place.run(command, where)
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            place.done[command] = done.stdout + done.stderr
        missing = [path for path in how.writes if not (where / path).exists()]
        assert not missing, f"{command} did not write {missing}"
    return place.done[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_as_it_is_shown(command: str, request: Request) -> None:
    printed = type_in(request.getfixturevalue(TABLE[command].place), command)
    assert re.search(TABLE[command].shows, printed), printed[-4000:]
    assert "Traceback" not in printed or TABLE[command].until


@pytest.mark.parametrize("page", PAGES)
def test_a_snippet_as_it_is_shown(page: str, request: Request) -> None:
    name, after = SNIPPETS[page]
    place: Place = request.getfixturevalue(name)
    type_in(place, after)
    snippets = [code for code, pages in shown().snippets.items() if page in pages]
    assert snippets
    for code in snippets:
        where = place.clone if name == "editable" else place.folder
        done = subprocess.run(
            [str(place.python), "-c", code], cwd=where, env=place.variables(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    if page == "README.md":
        assert done.stdout.strip()
        assert (place.folder / "out" / "report.html").is_file()


# --- From nothing: a new environment, a clone, nothing editable ----------------------------------------------------


@pytest.mark.long
def test_the_exporter_works_in_a_folder_that_is_not_the_clone(installed: Place) -> None:  # noqa: F811
    """The example of `geopixel-edge export --help` writes an engine, which `ask` then answers with."""
    printed = type_in(installed, INT8)
    checks = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])["checks"]
    assert {check["block"] for check in checks} >= {"vision_encoder", "language_model", "pixel_decoder"}
    question = "geopixel-edge ask scene.png 'Segment what you see.' --engine engine --json --max-new-tokens 8"
    asked = installed.run(question, installed.folder)
    assert asked.returncode == 0, asked.stderr
    assert len(json.loads(asked.stdout)["token_ids"]) == 8


HIDING = (
    "export GeoPixel-7B engine",
    "benchmarks.latency",
    "benchmarks.kernels",
    "benchmarks.accuracy",
    "training.train run",
    "training.write data",
)


OF_THE_RUNTIME = "geopixel_edge ask scene.png What?"
PROGRAMS = [*(pytest.param(program, marks=pytest.mark.long) for program in HIDING), OF_THE_RUNTIME]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_clone_that_hides_the_installed_package_says_so_in_a_line(installed: Place, program: str) -> None:  # noqa: F811
    type_in(installed, PLAIN if program == OF_THE_RUNTIME else EXPORT)
    TABLE["geopixel-edge export GeoPixel-7B engine --precision fp16"].prepare(installed)
    done = installed.run(f"python -m {program}", installed.clone)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 5
    assert line.startswith(f"error: {installed.clone} holds the sources of geopixel_edge and hides the package ")
    assert f"installed in {installed.environment}/" in line
    assert f"run `pip install -e .` in {installed.clone}" in line
    assert done.stdout == ""
