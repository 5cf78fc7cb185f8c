"""`geopixel-edge build --runtime tensorrt-rtx`: real plans, built ahead of time where no GPU is.

TensorRT-RTX has the parser and the builder of TensorRT, and is in the extra [test] for Linux on x86-64: there these
tests fail, and are not skipped, when it is absent. Nothing here runs a plan.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from geopixel_edge.build import tensorrt_child
from geopixel_edge.build.products import write_products
from geopixel_edge.build.tensorrt import PLANS, Report, build_tensorrt
from geopixel_edge.build.tensorrt_builder import Wanted
from geopixel_edge.build.tensorrt_profiles import default_capacity
from geopixel_edge.cli import main
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.directory import Engine, read_manifest
from geopixel_edge.engine.manifest import BLOCKS
from geopixel_edge.engine.precision import PRECISIONS
from geopixel_edge.errors import EngineCorruptError, ExportError, OptionError, RuntimeUnavailableError

from ..support.engines import linked, put, sign

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="TensorRT-RTX has wheels for Linux on x86-64"
)
SMALL = ("vision_encoder",)
PIXELS = ("vision_encoder", "grounding_encoder")


def build(source: Path, target: Path, sm: int | None = 86, blocks: tuple[str, ...] = BLOCKS, **more: object) -> Report:
    return build_tensorrt(source, target, Wanted("tensorrt-rtx", blocks, sm, **more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine in the package with one block of TensorRT's, and the folder of kept plans beside it."""
    target = tmp_path_factory.mktemp("small") / "engine"
    build(BUNDLED, target, blocks=SMALL)
    return target


@pytest.mark.parametrize("sm", [86, 89])
@pytest.mark.parametrize("kind", ["bundled", "fp16"])
def test_every_block_is_built(kind: str, sm: int, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = BUNDLED if kind == "bundled" else request.getfixturevalue("engine_fp16")
    told: list[str] = []
    target = tmp_path / "engine"
    report = build_tensorrt(source, target, Wanted("tensorrt-rtx", sm=sm), lambda step, done, total: told.append(step))
    before, after = read_manifest(source), Engine(target).manifest
    layers = {one.block: one.layers for one in report.blocks}
    count = before.sizes.layers
    kinds = ("KV_CACHE_UPDATE", "ATTENTION_INPUT", "ROTARY_EMBEDDING", "SCATTER")
    assert [layers["language_model"][kind] for kind in kinds] == [2 * count, count, 2 * count, 1]
    assert all("SCATTER" not in layers[name] for name in BLOCKS if name != "language_model")
    assert after.form == "portable"
    assert not after.verified
    for name, block in after.blocks.items():
        assert (block.runtime, [file.path for file in block.files]) == ("tensorrt-rtx", [f"{name}.plan"])
        assert block.plan is not None
        assert (block.plan.sm, block.plan.version, block.plan.in_place) == (sm, report.version, True)
        assert 100e6 < block.plan.build_peak_bytes < 2e9
        assert [one.name for one in block.outputs] == [one.name for one in before.blocks[name].outputs]
        pixels = "float16" if kind == "fp16" else "float32"
        assert name not in PIXELS or [one.dtype for one in block.inputs] == [pixels], "they cross at their own width"
    language = after.blocks["language_model"]
    assert language.dims == {
        "B": 8,
        "S": 512,
        "image_rows": 512,
        "output_rows": 512,
        "capacity": default_capacity(before.sizes),
    }
    assert language.plan is not None
    assert language.plan.profiles[1] == {
        "B": (1, 1, 8),
        "S": (1, 1, 1),
        "image_rows": (0, 0, 0),
        "output_rows": (1, 1, 8),
    }
    assert any("s left in all" in step for step in told)
    names = {path.name for path in target.iterdir()}
    assert names == {"golden", "manifest.json", "manifest.sha256", "token_embeddings.npy", "tokenizer.model"} | {
        f"{name}.plan" for name in BLOCKS
    }


def test_what_was_built_is_kept_and_nothing_else(small: Path, tmp_path: Path) -> None:
    plans = small.parent / PLANS
    again = build(BUNDLED, tmp_path / "again", blocks=SMALL, plans=plans)
    assert [one.kept for one in again.blocks] == [True]
    assert (tmp_path / "again" / "vision_encoder.plan").read_bytes() == (small / "vision_encoder.plan").read_bytes()
    assert [one.kept for one in build(BUNDLED, tmp_path / "sm", 89, SMALL, plans=plans).blocks] == [False]
    plan = next(path for path in plans.glob("*.plan") if path.samefile(small / "vision_encoder.plan"))
    data = plan.read_bytes()
    plan.unlink()
    plan.write_bytes(data[:-1] + b"x")
    damaged = build(BUNDLED, tmp_path / "damaged", blocks=SMALL, plans=plans)
    assert [one.kept for one in damaged.blocks] == [False]
    assert not [path for path in plans.iterdir() if "partial" in path.name]


def test_other_blocks_stay_as_they_are(small: Path) -> None:
    before, after = read_manifest(BUNDLED), Engine(small).manifest
    assert {name for name, block in after.blocks.items() if block != before.blocks[name]} == set(SMALL)
    assert (after.form, after.provenance.packages["tensorrt-rtx"]) == (before.form, after.blocks[SMALL[0]].plan.version)  # type: ignore[union-attr]


def test_a_block_of_the_ready_form_is_written_anew(tmp_path: Path) -> None:
    """Its products are ONNX Runtime's own, which TensorRT's parser refuses."""
    root, aside = linked(BUNDLED, tmp_path), tmp_path / "aside"
    aside.mkdir()
    written = aside / "vision_encoder.onnx"
    write_products(root / written.name, written, "ready", PRECISIONS["int8"])
    for path in aside.iterdir():
        put(root, path.name, path.read_bytes())
    precision = msgspec.to_builtins(PRECISIONS["int8"])
    sign(root, lambda manifest: manifest["blocks"]["vision_encoder"].update(precision=precision))
    assert b"MatMulNBits" in (root / written.name).read_bytes()
    (built,) = build(root, tmp_path / "out", blocks=SMALL).blocks
    assert built.layers["DEQUANTIZE"] > 10


def test_a_build_that_is_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, runs = tensorrt_child.run, []

    def killed_second(*arguments: object) -> object:
        runs.append(arguments)
        if len(runs) == 2:
            code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
            monkeypatch.setattr(tensorrt_child, "COMMAND", (sys.executable, "-c", code))
        return real(*arguments)  # type: ignore[arg-type]

    blocks = ("vision_encoder", "pixel_decoder")
    with monkeypatch.context() as patch:
        patch.setattr("geopixel_edge.build.tensorrt_builder.run", killed_second)
        with pytest.raises(ExportError, match=r"'vision_encoder'.*signal 9; if memory ran out"):
            build(BUNDLED, tmp_path / "engine", blocks=blocks)
    assert [path.name for path in tmp_path.iterdir()] == [PLANS]
    monkeypatch.undo()
    report = build(BUNDLED, tmp_path / "engine", blocks=blocks)
    assert {one.block: one.kept for one in report.blocks} == {"pixel_decoder": True, "vision_encoder": False}


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"sm": None}, RuntimeUnavailableError, r"no GPU is found here: say which.*--sm 75, 80, 86, 89"),
        ({"sm": 87}, OptionError, "builds for 75, 80, 86, 89, 120, 121 alone; build with --runtime tensorrt on"),
        ({"blocks": ("vision",)}, OptionError, "'vision' is none of the engine's"),
        ({"capacity": 5}, OptionError, r"capacity=5 is outside 128\.\."),
        ({"memory_bytes": 10**6}, OptionError, r"memory=1000000 is too little: building 'vision_encoder' takes about"),
    ],
)
def test_what_cannot_be_built_is_told_before(
    change: dict[str, object], error: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=told):
        build(BUNDLED, tmp_path / "out", **{"blocks": SMALL, **change})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_sources_that_are_no_onnx_engine(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="block 'vision_encoder' is for tensorrt-rtx; give the ONNX engine"):
        build(small, tmp_path / "out", blocks=SMALL)
    damaged = linked(small, tmp_path)
    put(damaged, "vision_encoder.plan", b"\0" * (small / "vision_encoder.plan").stat().st_size)
    with pytest.raises(EngineCorruptError, match="another SHA-256"):
        Engine(damaged)


def test_where_the_library_is_not(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"runtime='tensorrt' cannot be loaded.*JetPack"):
        build_tensorrt(BUNDLED, tmp_path / "out", Wanted("tensorrt"))


def test_the_verb(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    shared = ["--blocks", "vision_encoder", "--sm", "86", "--plans", str(small.parent / PLANS)]
    command = ["build", str(BUNDLED), out, "--runtime", "tensorrt-rtx", *shared]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verified"], told["sm"], [one["block"] for one in told["blocks"]]) == (False, 86, ["vision_encoder"])
    assert main(command) == 6
    assert "exists; give a new path" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert "not verified: it is for a GPU of compute capability 86" in capsys.readouterr().out
    assert main(["build", str(BUNDLED), out, "--sm", "86"]) == 3
    assert "--sm is for TensorRT" in capsys.readouterr().err
    assert main([*command, "--form", "portable"]) == 3
    assert "--form is for ONNX Runtime" in capsys.readouterr().err


def test_it_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, geopixel_edge.build.tensorrt\n"
        "names = {'torch', 'onnx', 'google', 'transformers', 'onnxruntime', 'tensorrt_rtx_bindings'}\n"
        "found = names & sys.modules.keys()\n"
        "raise SystemExit(f'loaded {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
