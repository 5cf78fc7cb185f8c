"""The exporter as a verb: what it loads, what it says where its packages are missing, and who hides whom."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export import verb
from export.__main__ import main
from geopixel_edge.cli import machine as doctor
from geopixel_edge.cli.finding import Finding
from geopixel_edge.errors import NativeMissingError, RuntimeUnavailableError
from geopixel_edge.kernels.native import HERE, hidden_install, load

from ..support.command_table import TABLE
from ..support.documented import examples_of
from ..support.project import pyproject

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "tests" / "data" / "tiny-geopixel" / "checkpoint"
Capture = pytest.CaptureFixture[str]
HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "transformers", "sentencepiece")
LOADED = f"""
import json, sys
import export.verb
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def arguments(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    return parser.parse_args(argv)


def test_the_verb_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_the_verb_describes_itself() -> None:
    assert verb.SUMMARY[0].islower()
    assert "\n" not in verb.SUMMARY
    assert set(examples_of(verb.EPILOG)) <= TABLE.keys()
    assert vars(arguments("a", "b")) == {
        "checkpoint": Path("a"),
        "engine_dir": Path("b"),
        "precision": "fp32",
        "adapter": None,
        "calibrate": None,
        "form": "ready",
        "overwrite": False,
        "json": False,
        "verbose": False,
    }


def test_the_option_that_chose_nothing_is_gone(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["a", "b", "--runtime", "onnx"])
    assert stopped.value.code == 2
    assert "--runtime" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("onnx", "onnx"),
        ("onnxscript", "onnxscript"),
        ("google", "protobuf"),
        ("safetensors", "safetensors"),
        ("tqdm", "tqdm"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    code = main([str(CHECKPOINT), str(tmp_path / "engine")])
    assert code == RuntimeUnavailableError.exit_code
    error = capsys.readouterr().err
    expected = f"error: {package} is not installed, which the export needs; pip install 'geopixel-edge[export]'\n"
    assert error == expected
    assert list(tmp_path.iterdir()) == []


def test_the_missing_packages_are_those_of_the_extra() -> None:
    extras = pyproject()["project"]["optional-dependencies"]["export"]
    named = {re.split(r"[^\w-]", requirement)[0] for requirement in extras}
    assert {verb._DISTRIBUTIONS.get(name, name) for name in verb._NEEDED} == named


def test_a_package_that_cannot_be_loaded_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, f"{verb.__package__}.publish", None)
    with pytest.raises(RuntimeUnavailableError, match="cannot be loaded"):
        verb.run(arguments(str(CHECKPOINT), str(tmp_path / "engine")))


def test_without_the_kernels_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GEOPIXEL_EDGE_NATIVE", raising=False)
    monkeypatch.setitem(sys.modules, "geopixel_edge._native", None)
    with pytest.raises(NativeMissingError):
        verb.run(arguments(str(tmp_path / "no checkpoint"), str(tmp_path / "engine")))


def test_the_handler_of_sigterm_is_put_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture) -> None:
    def terminate(args: argparse.Namespace, signals: list[int]) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(verb, "run_export", terminate)
    before = signal.getsignal(signal.SIGTERM)
    assert verb.run(arguments(str(CHECKPOINT), str(tmp_path / "engine"))) == 130
    assert capsys.readouterr().err == "interrupted: nothing was published\n"
    assert signal.getsignal(signal.SIGTERM) is before


# --- A folder that hides the installed package ---------------------------------------------------------------------

NAMES = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
from geopixel_edge.kernels.native import load
from geopixel_edge.errors import NativeMissingError
try:
    load()
except NativeMissingError as error:
    print(error)
"""


def copy_package(parent: Path, kernels: bool) -> Path:
    parent.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "bundled", *([] if kernels else ["_native*.so", "_native*.pyd"]))
    shutil.copytree(HERE, parent / "geopixel_edge", ignore=ignored)
    return parent


@pytest.mark.parametrize("installed", [True, False])
def test_sources_that_hide_the_installed_package_are_named_with_it(tmp_path: Path, installed: bool) -> None:
    clone, site = copy_package(tmp_path / "clone", kernels=False), copy_package(tmp_path / "site", kernels=installed)
    code = f"import sys; sys.path.append({str(site)!r})\n{NAMES}"
    done = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=True)
    hides = (
        f"{clone} holds the sources of geopixel_edge and hides the package installed in {site}; run "
        f"`geopixel-edge ...`, start Python in another folder, or run `pip install -e .` in {clone}\n"
    )
    if installed:
        assert done.stdout == hides
    else:
        assert done.stdout.startswith("geopixel_edge._native cannot be loaded (")
        assert "install a wheel" in done.stdout


def test_an_editable_install_elsewhere_is_found_through_its_finder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.machinery import PathFinder

    assert hidden_install() is None
    other = copy_package(tmp_path / "other", kernels=True)

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:
            return PathFinder.find_spec(name, [str(other)])

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert hidden_install() == (other / "geopixel_edge").resolve()
    monkeypatch.delenv("GEOPIXEL_EDGE_NATIVE", raising=False)
    monkeypatch.setitem(sys.modules, "geopixel_edge._native", None)
    with pytest.raises(NativeMissingError, match=f"hides the package installed in {re.escape(str(other))};"):
        load()
    (remedy,) = (finding.remedy for finding in doctor.examine() if not finding.ok)
    assert f"run `pip install -e .` in {HERE.parent}" in remedy


# --- The oldest Python ---------------------------------------------------------------------------------------------


def test_every_place_that_names_the_oldest_python_names_the_same() -> None:
    project = pyproject()
    oldest = ".".join(map(str, doctor.OLDEST_PYTHON))
    assert project["project"]["requires-python"] == f">={oldest}"
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert "target-version" not in project["tool"]["ruff"]  # then it is requires-python's
    named = [line.rpartition(" ")[2] for line in project["project"]["classifiers"] if "Python ::" in line]
    assert named == sorted(named, key=lambda version: int(version.partition(".")[2]))
    assert named[0] == oldest
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"Python\s+(3\.\d+) or newer", readme) == [oldest]


def test_doctor_refuses_an_older_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def python() -> Finding:
        (found,) = (finding for finding in doctor.examine() if finding.name == "python")
        return found

    assert python().ok
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    assert not python().ok
    assert "install Python 3.10 or newer" in python().remedy
    monkeypatch.setattr(sys, "version_info", (3, 13, 0, "final", 0))
    assert python().ok
