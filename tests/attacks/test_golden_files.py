"""Golden files that are damaged or another engine's, behind hashes that fit."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.golden import verify
from geopixel_edge.engine.golden_files import GOLDEN_FILES
from geopixel_edge.errors import EngineCorruptError, EngineError, EngineMismatchError, EnginePathError, GeoPixelError
from geopixel_edge.pipeline import Pipeline
from tests.support.engines import linked, npy, npz, put, sign


@pytest.fixture
def root(engine_fp32: Path, tmp_path: Path) -> Path:
    return linked(engine_fp32, tmp_path)


def refused(action: Callable[[], object], kind: type[GeoPixelError], *fragments: str) -> None:
    with pytest.raises(GeoPixelError) as caught:
        action()
    assert type(caught.value) is kind, repr(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def facts(root: Path, **changes: Any) -> bytes:
    return json.dumps({**json.loads((root / GOLDEN_FILES["facts"]).read_text()), **changes}).encode()


def golden_damages(root: Path) -> list[tuple[str, bytes]]:
    arrays = (root / GOLDEN_FILES["arrays"]).read_bytes()
    stored = dict(np.load(root / GOLDEN_FILES["arrays"]))
    flipped = bytearray(arrays)
    flipped[len(flipped) // 2] ^= 16
    texts = {**stored, "logits": np.array(["a"])}
    return [
        *(("arrays", data) for data in (b"", arrays[:1000], arrays[:-30], bytes(flipped), npy(stored["logits"]))),
        *(("arrays", data) for data in (npz(logits=stored["logits"]), npz(**texts), pickle.dumps(stored))),
        *(("facts", data) for data in (b"", b"{}", b"[]", facts(root, hd_num=0), facts(root, hd_num=10**18))),
        *(("facts", facts(root, query=query)) for query in ("", "[SEG]", "<s>", "\0", "x" * 100_000, 3)),
        ("facts", facts(root, token_ids=[])),
        ("facts", facts(root, token_ids=["a"])),
        ("image", b""),
        ("image", b"no image"),
        ("image", (root / GOLDEN_FILES["image"]).read_bytes()[:60]),
    ]


def test_damaged_golden_files(root: Path) -> None:
    whole = {role: (root / name).read_bytes() for role, name in GOLDEN_FILES.items()}
    pipeline = Pipeline(root, device="cpu")
    for role, data in golden_damages(root):
        put(root, GOLDEN_FILES[role], data)
        sign(root)
        pipeline.model.engine = Engine(root)
        with pytest.raises(EngineError) as caught:
            verify(pipeline.model)
        assert type(caught.value) in (EngineCorruptError, EngineMismatchError), data[:40]
        put(root, GOLDEN_FILES[role], whole[role])
    sign(root)
    pipeline.model.engine = Engine(root)
    assert all(check.passed for check in verify(pipeline.model))


def test_golden_values_of_another_engine_fail_their_checks(root: Path) -> None:
    stored = dict(np.load(root / GOLDEN_FILES["arrays"]))
    wrong = {**stored, "hidden": stored["hidden"] + 1, "iou": stored["iou"] * np.nan, "views": stored["views"][:-1]}
    wrong["low_res_masks"] = np.full_like(stored["low_res_masks"], np.inf)
    put(root, GOLDEN_FILES["arrays"], npz(**wrong))
    put(root, GOLDEN_FILES["facts"], facts(root, token_ids=[7, 8, 9]))
    sign(root)
    failed = {check.quantity for check in verify(Pipeline(root, device="cpu").model) if not check.passed}
    assert failed == {"hidden", "iou", "views", "low_res_masks", "token_ids"}


def test_golden_files_that_no_hash_vouches_for(root: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(root, device="cpu")
    outside = tmp_path / "outside.json"
    (root / GOLDEN_FILES["facts"]).rename(outside)
    (root / GOLDEN_FILES["facts"]).symlink_to(outside)
    refused(lambda: verify(pipeline.model), EnginePathError)
    sign_without = [spec for spec in GOLDEN_FILES.values() if spec != GOLDEN_FILES["facts"]]
    sign(root, lambda m: m.update(golden=[spec for spec in m["golden"] if spec["path"] in sign_without]))
    pipeline.model.engine = Engine(root)
    refused(lambda: verify(pipeline.model), EngineCorruptError, "facts.json")
