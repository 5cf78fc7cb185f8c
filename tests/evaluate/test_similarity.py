"""Similarity by BERT from a local path, through transformers and through ONNX Runtime."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluate.errors import EvaluationError
from evaluate.metrics.embedding import open_similarity

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ship", "plane", "red", "the", "pier"]
PAIRS = [("ship", "ship"), ("the red ship", "the red plane"), ("pier", "plane")]


def test_words_and_tables(tmp_path: Path) -> None:
    assert open_similarity("words")(PAIRS).tolist() == [1.0, 0.5, 0.0]
    path = tmp_path / "table.json"
    path.write_text(json.dumps([["pier", "plane", 0.25]]))
    table = open_similarity(f"table:{path}")
    assert table.name == "table"
    assert table([("plane", "pier"), ("pier", "plane"), ("a", "b")]).tolist() == [0.25, 0.25, 0.0]


@pytest.mark.parametrize("text", ["", "bert", "bert:", "bert:/nowhere", "other:x", "table:/nowhere.json"])
def test_what_is_not_there_is_named(text: str) -> None:
    with pytest.raises(EvaluationError, match=r"similarity="):
        open_similarity(text)


@pytest.mark.long
def test_bert_is_the_mean_of_the_last_layer_in_both_runtimes(tmp_path: Path) -> None:
    import torch

    transformers: Any = importlib.import_module("transformers")  # its types leave out BertTokenizerFast
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = transformers.BertModel(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt"))
    tokenizer.save_pretrained(tmp_path)
    ids = {phrase: torch.tensor([tokenizer(phrase)["input_ids"]]) for pair in PAIRS for phrase in pair}
    assert ids["the red ship"].shape == (1, 5)  # [CLS] and [SEP] among them
    with torch.inference_mode():
        vectors = {phrase: model(one).last_hidden_state[0].mean(0).double().numpy() for phrase, one in ids.items()}
    wanted = [
        float(vectors[one] @ vectors[other] / np.linalg.norm(vectors[one]) / np.linalg.norm(vectors[other]))
        for one, other in PAIRS
    ]
    found = open_similarity(f"bert:{tmp_path}")
    assert found.name.startswith("bert ")
    assert found(PAIRS) == pytest.approx(wanted, abs=1e-6)

    class Hidden(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    given = (torch.ones(1, 5, dtype=torch.long), torch.ones(1, 5, dtype=torch.long))
    tokens = torch.export.Dim("tokens", min=2, max=64)
    shapes = {"input_ids": {1: tokens}, "attention_mask": {1: tokens}}
    target = str(tmp_path / "model.onnx")
    torch.onnx.export(Hidden(), given, target, input_names=list(shapes), dynamic_shapes=shapes, dynamo=True)
    other = open_similarity(f"onnx-bert:{tmp_path}")
    assert other.name.startswith("onnx-bert ")
    assert other(PAIRS) == pytest.approx(wanted, abs=1e-5)
