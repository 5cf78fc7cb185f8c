"""A verification that can fail: small faults in any block move its second record by more than is allowed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from geopixel_edge import Pipeline, cli
from geopixel_edge.engine import BUNDLED
from geopixel_edge.engine.digests import describe_file
from geopixel_edge.engine.directory import read_manifest, write_manifest
from geopixel_edge.engine.golden import DRIFT, NO_RECORD, Check, verify
from geopixel_edge.engine.golden_files import GOLDEN_FILES, RECORD_FILE
from geopixel_edge.engine.manifest import BLOCKS
from geopixel_edge.engine.probes import drift, sketch
from geopixel_edge.errors import EngineCorruptError

from ..support.engines import linked, put, sign
from ..support.faults import KINDS, plant

PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture(scope="module")
def engines(engine_fp32: Path, engine_fp16: Path) -> Mapping[str, Path]:
    """An engine of each precision."""
    return {"fp32": engine_fp32, "fp16": engine_fp16, "int8": BUNDLED}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Path]:
    """The bundled engine, to be damaged."""
    root = linked(BUNDLED, tmp_path)
    yield root
    shutil.rmtree(root)


def checks_of(root: Path, threads: int = 2) -> list[Check]:
    return verify(Pipeline(root, device="cpu", threads=threads).model)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_untouched_engine_passes_by_a_wide_margin(engines: Mapping[str, Path], precision: str, threads: int) -> None:
    checks = checks_of(engines[precision], threads)
    assert [check for check in checks if not check.passed] == []
    drifts = [check.drift for check in checks if check.drift is not None]
    assert len(drifts) == 9
    assert max(drifts) <= DRIFT / 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.long), "int8"])
def test_a_small_fault_in_any_block_is_caught(
    engines: Mapping[str, Path], tmp_path: Path, precision: str, kind: str
) -> None:
    root = shutil.copytree(engines[precision], tmp_path / "engine")
    rng = np.random.default_rng(KINDS.index(kind))
    # Each block has inputs of its own, so that one fault in each shows as one fault alone would.
    planted = {block: plant(root, block, kind, rng) for block in BLOCKS}
    sign(root)
    checks = checks_of(root)
    worst = {block: max(check.drift or 0.0 for check in checks if check.block == block) for block in BLOCKS}
    assert {block: worst[block] > DRIFT for block in BLOCKS} == dict.fromkeys(BLOCKS, True), planted
    failed = {check.block for check in checks if not check.passed}
    assert failed == set(BLOCKS)


def test_the_first_record_holds_a_device_to_the_distance_measured_at_export(copy: Path) -> None:
    """An allowed distance that is a little more than what was measured; it was 0.6 for every quantity once."""
    checks = checks_of(copy)
    stated = json.loads((copy / GOLDEN_FILES["facts"]).read_text())["record"]["distance"]
    assert all(check.tolerance <= 2 * stated[check.quantity] + 2e-4 for check in checks)
    assert max(check.tolerance for check in checks) < 0.05
    with np.load(copy / GOLDEN_FILES["arrays"]) as kept:
        arrays: dict[str, Any] = dict(kept)
    arrays["iou"] = arrays["iou"] * 1.05
    (copy / GOLDEN_FILES["arrays"]).unlink()
    np.savez_compressed(copy / GOLDEN_FILES["arrays"], **arrays)
    sign(copy)
    assert [check.quantity for check in checks_of(copy) if not check.passed] == ["iou"]


def without_record(root: Path) -> None:
    """What engines looked like before the second record."""
    facts = json.loads((root / GOLDEN_FILES["facts"]).read_text())
    old = {name: value for name, value in facts.items() if name not in ("states", "record")}
    put(root, GOLDEN_FILES["facts"], json.dumps(old).encode())
    (root / RECORD_FILE).unlink()
    manifest = read_manifest(root)
    golden = tuple(describe_file(root, name) for name in GOLDEN_FILES.values())
    for name in ("manifest.json", "manifest.sha256"):
        (root / name).unlink()
    write_manifest(root, msgspec.structs.replace(manifest, golden=golden))


def test_an_engine_without_the_second_record_says_so(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without_record(copy)
    assert all(check.drift is None and check.passed for check in checks_of(copy))
    assert cli.main(["verify", str(copy)]) == 0
    assert f"note: {NO_RECORD}" in capsys.readouterr().out
    assert cli.main(["verify", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [NO_RECORD]
    assert cli.main(["info", str(copy)]) == 0
    assert "no record of what these blocks gave" in capsys.readouterr().out
    assert cli.main(["verify", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["notes"] == []
    assert all(row["drift"] <= row["drift_allowed"] for row in whole["checks"])


def change_record(root: Path, change: dict[str, np.ndarray | None]) -> None:
    with np.load(root / RECORD_FILE) as kept:
        arrays: dict[str, Any] = {**kept, **change}
    (root / RECORD_FILE).unlink()
    np.savez_compressed(root / RECORD_FILE, **{name: value for name, value in arrays.items() if value is not None})
    sign(root)


@pytest.mark.parametrize("change", [{"logits": None}, {"strange": np.zeros((2, 2), np.float32)}])
def test_a_record_that_lacks_or_adds_a_sketch_is_damaged(copy: Path, change: dict[str, np.ndarray | None]) -> None:
    change_record(copy, change)
    with pytest.raises(EngineCorruptError, match=r"blocks\.npz has not .*export the engine again"):
        checks_of(copy)


@pytest.mark.parametrize("value", [np.zeros((3, 5), np.float32), np.full((48, 48), np.nan, np.float32)])
def test_a_sketch_of_another_shape_or_without_numbers_fails(copy: Path, value: np.ndarray) -> None:
    change_record(copy, {"image_tokens.tokens": value})
    assert [check.quantity for check in checks_of(copy) if not check.passed] == ["image_tokens"]


@pytest.mark.parametrize("name", [RECORD_FILE, GOLDEN_FILES["facts"]])
def test_garbage_in_the_place_of_a_record_is_damaged(copy: Path, name: str) -> None:
    put(copy, name, b"PK\x03\x04 no archive")
    sign(copy)
    with pytest.raises(EngineCorruptError, match="cannot be read"):
        checks_of(copy)


def test_half_of_the_second_record_is_damaged(copy: Path) -> None:
    manifest = read_manifest(copy)
    (copy / RECORD_FILE).unlink()
    golden = tuple(spec for spec in manifest.golden if spec.path != RECORD_FILE)
    for name in ("manifest.json", "manifest.sha256"):
        (copy / name).unlink()
    write_manifest(copy, msgspec.structs.replace(manifest, golden=golden))
    with pytest.raises(EngineCorruptError, match="half of its second golden record"):
        checks_of(copy)


@pytest.mark.parametrize("shape", [(1, 7), (1, 92_544), (5, 100_000), (700, 96), (64, 4096)])
def test_no_number_is_outside_a_sketch(shape: tuple[int, int]) -> None:
    """One number that changes, wherever it stands, moves the sketch by about its own share of the whole."""
    rng = np.random.default_rng(6)
    matrix = rng.standard_normal(shape).astype(np.float32)
    whole = sketch(matrix)
    assert whole.size <= 48 * 48
    for _ in range(20):
        changed = matrix.copy()
        place = tuple(int(rng.integers(side)) for side in shape)
        changed[place] += np.float32(10)
        share = 10 / float(np.linalg.norm(matrix))
        assert 0.3 * share < drift(sketch(changed), whole) < 3 * share
