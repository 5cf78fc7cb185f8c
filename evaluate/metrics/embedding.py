"""Similarity by BERT, as GLaMM's script has it: mean of the last layer over all tokens, cosine. From a local path only.

`bert:DIR` runs transformers (torch), `onnx-bert:DIR` a model.onnx with a tokenizer.json beside it. Nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EvaluationError
from .grounding import Floats
from .similarity import Cached, Similarity, Table, Words

MAX_TOKENS = 512
KINDS = ("words", "table:FILE", "bert:DIR", "onnx-bert:DIR")


def open_similarity(text: str) -> Similarity:
    """ "words", "table:FILE", "bert:DIR" or "onnx-bert:DIR"; EvaluationError for anything else or a missing file."""
    kind, _, place = text.partition(":")
    makers: dict[str, Callable[[Path], Similarity]] = {"table": _table, "bert": _bert, "onnx-bert": _onnx_bert}
    if text == "words":
        return Words()
    if kind not in makers or not place:
        raise EvaluationError(f"similarity={text!r} is unknown; give {', '.join(KINDS)}")
    path = Path(place)
    if not path.exists():
        raise EvaluationError(f"similarity={text!r}: {path} is not there, and nothing is fetched; give a local path")
    return Cached(makers[kind](path))


class Embedded:
    """Cosine of the vectors that `embed` makes of phrases, each made once."""

    def __init__(self, name: str, embed: Callable[[str], Floats]) -> None:
        self.name = name
        self._embed = embed
        self._known: dict[str, Floats] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        return np.array([float(self._unit(first) @ self._unit(second)) for first, second in pairs], np.float64)

    def _unit(self, phrase: str) -> Floats:
        if phrase not in self._known:
            vector = self._embed(phrase).astype(np.float64)
            norm = float(np.linalg.norm(vector))
            self._known[phrase] = vector / norm if norm else vector
        return self._known[phrase]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()[:12]


def _table(path: Path) -> Similarity:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return Table({(str(first), str(second)): float(value) for first, second, value in entries})
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(f"similarity: {path} is no JSON list of [phrase, phrase, value] ({error})") from None


def _bert(folder: Path) -> Similarity:
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise EvaluationError("similarity='bert' needs transformers and torch; pip install '.[export]'") from None
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model: Any = AutoModel.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32).eval()
    except (OSError, ValueError) as error:
        raise EvaluationError(f"similarity: {folder} holds no model for transformers ({error})") from None

    def embed(phrase: str) -> Floats:
        tokens = tokenizer(phrase, return_tensors="pt", truncation=True, max_length=MAX_TOKENS)
        with torch.inference_mode():
            return np.asarray(model(**tokens).last_hidden_state.mean(1)[0].numpy(), np.float64)

    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    return Embedded(f"bert {_digest(weights[0])}", embed)


def _onnx_bert(folder: Path) -> Similarity:
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError:
        raise EvaluationError("similarity='onnx-bert' needs the package tokenizers; pip install tokenizers") from None
    model = folder / "model.onnx"
    if not model.is_file() or not (folder / "tokenizer.json").is_file():
        raise EvaluationError(f"similarity: {folder} holds no model.onnx with a tokenizer.json; export both into it")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}

    def embed(phrase: str) -> Floats:
        tokens = tokenizer.encode(phrase)
        given = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        feeds = {name: np.array([values], np.int64) for name, values in given.items() if name in names}
        return np.asarray(session.run(None, feeds)[0], np.float64)[0].mean(0)

    return Embedded(f"onnx-bert {_digest(model)}", embed)
