"""Token embeddings, tokenizer and golden files that are damaged or another model's, behind hashes that fit."""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tokenizer import MODEL_NAME, sp_model
from geopixel_edge.engine.directory import Engine
from geopixel_edge.engine.golden import verify
from geopixel_edge.engine.golden_files import GOLDEN_FILES
from geopixel_edge.errors import (
    EngineCorruptError,
    EngineError,
    EngineMismatchError,
    EnginePathError,
    EngineSchemaError,
    GeoPixelError,
    InferenceError,
    RuntimeUnavailableError,
)
from geopixel_edge.pipeline import Pipeline
from tests.support.engines import linked, put, sign

TABLE = "token_embeddings.npy"
CONVERTED = Path(__file__).parents[1] / "data" / "schema-1" / "tokenizer.json"


@pytest.fixture
def root(engine_fp32: Path, tmp_path: Path) -> Path:
    return linked(engine_fp32, tmp_path)


def refused(action: Callable[[], object], kind: type[GeoPixelError], *fragments: str) -> None:
    with pytest.raises(GeoPixelError) as caught:
        action()
    assert type(caught.value) is kind, repr(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npz(**arrays: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


# --- Token embeddings -------------------------------------------------------------------------------------------


def test_token_embeddings_that_are_no_table(root: Path) -> None:
    whole = (root / TABLE).read_bytes()
    table = np.load(root / TABLE)
    bad = [
        b"",
        whole[:20],
        whole[:-1],
        b"\0" * 500,
        npz(table=table),
        pickle.dumps(table),
        npy(table.astype(object)),
        npy(table[:-1]),
        npy(table[:, :-1]),
        npy(table.reshape(-1)),
        npy(table.astype(np.float64)),
        npy(table.astype(np.int32)),
        npy(table.astype(str)),
        npy(np.zeros(table.shape, np.complex64)),
        npy(table.T),
        whole.replace(b"'fortran_order': False", b"'fortran_order': [[[["),
        whole.replace(b"<f4", b"|O4"),
    ]
    for data in bad:
        put(root, TABLE, data)
        sign(root)
        refused(lambda: Pipeline(root, device="cpu"), EngineCorruptError, TABLE)


def test_a_table_that_would_run_code_is_not_unpickled(root: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path / "it-ran").touch, ()

    put(root, TABLE, npy(np.full((1003, 64), Hostile())))
    sign(root)
    refused(lambda: Pipeline(root, device="cpu"), EngineCorruptError)
    assert not (tmp_path / "it-ran").exists()


def test_embeddings_that_are_not_finite(root: Path) -> None:
    put(root, TABLE, npy(np.full_like(np.load(root / TABLE), np.nan)))
    sign(root)
    pipeline = Pipeline(root, device="cpu")
    refused(lambda: pipeline(None, "Why?", max_new_tokens=1), InferenceError, "not finite")


# --- Tokenizer --------------------------------------------------------------------------------------------------


def edit_tokenizer(root: Path, change: Callable[[Any], object]) -> None:
    model = sp_model.ModelProto()
    model.ParseFromString((root / MODEL_NAME).read_bytes())
    change(model)
    put(root, MODEL_NAME, model.SerializeToString())
    sign(root)


def edit_added(root: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    sign(root, lambda manifest: manifest["tokens"].update(added=changed(list(manifest["tokens"]["added"]), change)))


def changed(tokens: list[dict[str, Any]], change: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
    change(tokens)
    return tokens


def rotate_letters(model: Any) -> None:
    letters = [piece for piece in model.pieces if len(piece.piece) == 1 and piece.type == piece.NORMAL]
    names = [piece.piece for piece in letters]
    for piece, name in zip(letters, names[1:] + names[:1], strict=True):
        piece.piece = name


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b"{" * 10_000, b"\n\x05\n\x03abc", b"\0" * 99])
def test_a_tokenizer_that_is_none(root: Path, data: bytes) -> None:
    put(root, MODEL_NAME, data)
    sign(root)
    refused(lambda: Pipeline(root, device="cpu"), EngineCorruptError, MODEL_NAME)


def test_a_tokenizer_of_a_larger_vocabulary(root: Path) -> None:
    def add(model: Any) -> None:
        for index in range(10):
            model.pieces.add(piece=f"another{index}")

    edit_tokenizer(root, add)
    refused(lambda: Pipeline(root, device="cpu"), EngineCorruptError, MODEL_NAME, "piece 1000", "[SEG]")
    edit_added(root, lambda tokens: [token.update(id=token["id"] + 4000) for token in tokens if token["id"] >= 1000])
    sign(root, lambda manifest: manifest["tokens"].update(seg=1000, phrase_open=1001, phrase_close=1002))
    refused(lambda: Pipeline(root, device="cpu"), EngineMismatchError, "1000 is not a seg token")


def test_added_tokens_outside_the_vocabulary(root: Path) -> None:
    extra = {"text": "<more>", "id": 5000, "lstrip": True, "rstrip": True, "special": False}
    edit_added(root, lambda tokens: tokens.append(extra))
    refused(lambda: Pipeline(root, device="cpu"), EngineMismatchError, "5001", "1003")


def test_added_tokens_that_are_others(root: Path) -> None:
    edit_added(root, lambda tokens: tokens.pop())
    refused(lambda: Pipeline(root, device="cpu"), EngineMismatchError, MODEL_NAME)
    edit_added(root, lambda tokens: tokens.clear())
    refused(lambda: Pipeline(root, device="cpu"), EngineMismatchError, MODEL_NAME)


def test_an_added_token_given_twice(root: Path) -> None:
    with pytest.raises(EngineSchemaError, match="added token is listed twice"):
        edit_added(root, lambda tokens: tokens.append(tokens[-1]))


def test_a_tokenizer_of_another_model_is_noticed_by_verify(root: Path) -> None:
    edit_tokenizer(root, rotate_letters)
    pipeline = Pipeline(root, device="cpu")
    refused(lambda: verify(pipeline.model), EngineMismatchError, "tokenizer")


def test_an_engine_with_a_converted_tokenizer(root: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, CONVERTED.name, CONVERTED.read_bytes())
    (root / MODEL_NAME).unlink()

    def of_before(manifest: dict[str, Any]) -> None:
        manifest["tokenizer"]["path"] = CONVERTED.name
        del manifest["tokens"]["added"]

    sign(root, of_before)
    before = Pipeline(root, device="cpu")
    verify(before)
    query = "What is \u65e5 here?"
    assert before(None, query, max_new_tokens=8).response == pipeline(None, query, max_new_tokens=8).response
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    refused(lambda: Pipeline(root, device="cpu"), RuntimeUnavailableError, "pip install tokenizers")


# --- Golden files -----------------------------------------------------------------------------------------------


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


def test_a_precision_nobody_knows(root: Path) -> None:
    sign(root, lambda manifest: manifest.update(precision="fp99"))
    pipeline = Pipeline(root, device="cpu")
    refused(lambda: verify(pipeline.model), EngineSchemaError, "fp99")
