"""Token embeddings and tokenizers that are damaged or another model's, behind hashes that fit."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tokenizer import MODEL_NAME, sp_model
from geopixel_edge.engine.golden import verify
from geopixel_edge.errors import (
    EngineCorruptError,
    EngineMismatchError,
    EngineSchemaError,
    GeoPixelError,
    InferenceError,
    RuntimeUnavailableError,
)
from geopixel_edge.pipeline import Pipeline
from tests.support.engines import linked, npy, npz, put, sign

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
    verify(before.model)
    query = "What is \u65e5 here?"
    assert before(None, query, max_new_tokens=8).response == pipeline(None, query, max_new_tokens=8).response
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    refused(lambda: Pipeline(root, device="cpu"), RuntimeUnavailableError, "pip install tokenizers")
