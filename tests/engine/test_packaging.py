"""The wheel: small, nothing but the package and its exporter, and enough for an answer where no torch is."""

from __future__ import annotations

import ast
import email
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from geopixel_edge import Pipeline
from geopixel_edge.engine import BUNDLED

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "tests" / "data" / "tiny-geopixel" / "images" / "square.png"
SOURCES = ("geopixel_edge", "export", "csrc", "CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "setup.py")
QUESTION = "Segment what you see."
# The package without the engine, and the engine in it.
MAX_WHEEL_BYTES, MAX_BUNDLED_BYTES = 5_000_000, 20_000_000
MAX_DISTRIBUTIONS = 10
FORBIDDEN = ("torch", "transformers", "onnx", "tokenizers", "export")
HEAVY = (*FORBIDDEN, "geopixel_edge_export")
LIGHT = f"""
import sys
import geopixel_edge
heavy = [name for name in ("numpy", "PIL", "onnxruntime", "sentencepiece", "msgspec", *{HEAVY}) if name in sys.modules]
import json
print(json.dumps({{"heavy": heavy, "version": geopixel_edge.__version__}}))
"""
ANSWER = f"""
import importlib.util, json, sys
import geopixel_edge, geopixel_edge.kernels.native
pipeline = geopixel_edge.Pipeline(sys.argv[1] or None, device="cpu")
answer = pipeline(sys.argv[2], {QUESTION!r}, hd_num=1, max_new_tokens=8)
answer.save(sys.argv[3])
print(json.dumps({{
    "response": answer.response,
    "areas": [region.area_px for region in answer.regions],
    "found": [name for name in {FORBIDDEN} if importlib.util.find_spec(name)],
    "loaded": [name for name in {HEAVY} if name in sys.modules],
    "home": geopixel_edge.__file__,
    "kernels": geopixel_edge.kernels.native.load().__name__,
}}))
"""


def pip(python: str | Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(python: Path, cwd: Path, *arguments: str) -> str:
    # The checkout must not be importable: only what the wheel installed counts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GEOPIXEL"))}
    done = subprocess.run([str(python), *arguments], capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that leftovers of earlier builds cannot slip in."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(ROOT / name, sources / name)
    pip(sys.executable, "wheel", str(sources), "--no-deps", "--wheel-dir", str(out))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the wheel and what it asks for, nothing else."""
    root = tmp_path_factory.mktemp("clean")
    venv.create(root, with_pip=True)
    python = root / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip(python, "install", str(wheel))
    return python


def test_the_wheel_is_small_and_holds_the_package_and_the_exporter_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        bundled = [one for one in archive.infolist() if one.filename.startswith("geopixel_edge/bundled/")]
    assert 0 < sum(one.file_size for one in bundled) <= MAX_BUNDLED_BYTES
    assert wheel.stat().st_size - sum(one.compress_size for one in bundled) < MAX_WHEEL_BYTES
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"geopixel_edge", "geopixel_edge_export"}
    exporter = {
        f"geopixel_edge_export/{path.relative_to(ROOT / 'export').as_posix()}"
        for path in (ROOT / "export").rglob("*.py")
    }
    assert {name for name in names if name.startswith("geopixel_edge_export/")} == exporter
    inside = {name.removeprefix("geopixel_edge/") for name in names if name.startswith("geopixel_edge/")}
    expected = {
        path.relative_to(ROOT / "geopixel_edge").as_posix()
        for path in (ROOT / "geopixel_edge").rglob("*")
        if path.suffix in (".py", ".pyi", ".css", ".js") or path.parent.name == "page_parts"
    }
    engine = {path.relative_to(ROOT / "geopixel_edge").as_posix() for path in BUNDLED.rglob("*") if path.is_file()}
    expected |= engine
    assert {name for name in inside if not name.startswith("_native.")} == expected - {"_native.pyi"} | {"py.typed"}
    assert "_native.pyi" in inside
    assert sum(name.startswith("_native.") and not name.endswith(".pyi") for name in inside) == 1
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_new_environment_holds_few_distributions(clean_python: Path, tmp_path: Path) -> None:
    listed = run(clean_python, tmp_path, "-m", "pip", "--disable-pip-version-check", "list", "--format=json")
    names = {one["name"] for one in json.loads(listed)} - {"pip", "setuptools"}
    assert "geopixel-edge" in names
    assert len(names) <= MAX_DISTRIBUTIONS, sorted(names)


def test_import_is_light(clean_python: Path, tmp_path: Path) -> None:
    found = json.loads(run(clean_python, tmp_path, "-c", LIGHT))
    assert found["heavy"] == []


def test_the_wheel_alone_answers_as_the_checkout_does(
    clean_python: Path, engine_fp32: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    found = json.loads(run(clean_python, tmp_path, "-c", ANSWER, str(engine_fp32), str(IMAGE), str(tmp_path / "out")))
    assert found["found"] == []
    assert found["loaded"] == []
    assert clean_python.parent.parent in Path(found["home"]).parents
    assert found["kernels"] == "geopixel_edge._native"
    here = pipeline(IMAGE, QUESTION, hd_num=1, max_new_tokens=8)
    assert (found["response"], found["areas"]) == (here.response, [region.area_px for region in here.regions])
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_wheel_alone_answers_with_its_own_engine(clean_python: Path, tmp_path: Path) -> None:
    found = json.loads(run(clean_python, tmp_path, "-c", ANSWER, "", str(IMAGE), str(tmp_path / "out")))
    here = Pipeline(device="cpu")(IMAGE, QUESTION, hd_num=1, max_new_tokens=8)
    assert (found["response"], found["areas"]) == (here.response, [region.area_px for region in here.regions])


def test_the_command_is_installed_and_finds_nothing_missing(clean_python: Path, tmp_path: Path) -> None:
    program = clean_python.with_name("geopixel-edge" + clean_python.suffix)
    done = subprocess.run([str(program), "doctor", "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_the_exporters_command_says_what_it_needs_where_no_torch_is(clean_python: Path, tmp_path: Path) -> None:
    program = clean_python.with_name("geopixel-edge" + clean_python.suffix)
    command = [str(program), "export", str(tmp_path / "checkpoint"), str(tmp_path / "engine")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    needed = "error: torch is not installed, which the export needs; pip install 'geopixel-edge[export]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (5, "", needed)
    described = subprocess.run([str(program), "export", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert "usage: geopixel-edge export" in described.stdout


class Imports(ast.NodeVisitor):
    """Collects the top-level modules that running a file imports; what only a type checker sees is left out."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name.partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module:
            self.found.add(node.module.partition(".")[0])


def imports(directory: str) -> set[str]:
    """Modules from outside this repository and the standard library that a directory's files import."""
    visitor = Imports()
    for path in (ROOT / directory).rglob("*.py"):
        visitor.visit(ast.parse(path.read_text(encoding="utf-8")))
    own = {path.name for path in ROOT.iterdir() if path.is_dir()}
    return visitor.found - own - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("directory", "extras"),
    [
        ("geopixel_edge", ("cuda", "supervision", "geo", "geoparquet", "server", "cluster", "float8")),
        ("benchmarks", ("bench", "bench-gpu", "bench-scale", "cuda", "export", "geo")),  # torch is a peer
        ("export", ("export",)),
        ("tests", ("export", "bench", "test", "geo", "server", "cluster", "float8")),
    ],
)
def test_every_import_is_a_declared_dependency(wheel: Path, directory: str, extras: tuple[str, ...]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    declared = set()
    for line in metadata.get_all("Requires-Dist", []):
        name, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        if extra is None or extra[1] in extras:
            declared.add(re.split(r"[^\w-]", name.strip())[0].lower())
    names = {"PIL": "pillow", "google": "protobuf", "yaml": "pyyaml", "cuda": "cuda-core"}
    names |= {
        "onnx_ir": "onnx-ir",
        "pynvml": "nvidia-ml-py",
        "llama_cpp": "llama-cpp-python",
        "referencing": "jsonschema",
    }
    names |= {"cv2": "opencv-python-headless", "prometheus_client": "prometheus-client", "ray": "ray"}
    # Peers in environments of their own, and what a system's package brings.
    elsewhere = {"benchmarks": {"sahi", "geopandas"}, "tests": {"qgis"}}.get(directory, set())
    assert {names.get(module, module) for module in imports(directory) - elsewhere} <= declared
