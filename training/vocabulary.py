"""The small model's tokenizer: a SentencePiece BPE trained on what the questions and answers say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

TURNS = ("[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]")
TAGS = ("[SEG]", "<p>", "</p>")


def train_tokenizer(texts: Iterable[str], directory: Path, pieces: int = 1000) -> int:
    """Write tokenizer.model and the files beside it; returns the vocabulary's size, added tokens included."""
    directory.mkdir(parents=True, exist_ok=True)
    plain = (_without_tags(text) for text in texts)
    with (directory / "tokenizer.model").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(plain),
            model_writer=stream,
            model_type="bpe",
            vocab_size=pieces,
            hard_vocab_limit=False,
            byte_fallback=True,
            character_coverage=1.0,
            user_defined_symbols=list(TURNS),
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            minloglevel=2,
            num_threads=1,
        )
    size = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model")).vocab_size()
    specials = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    files = {
        "added_tokens.json": {tag: size + index for index, tag in enumerate(TAGS)},
        "special_tokens_map.json": {**specials, "pad_token": "</s>"},
        "tokenizer_config.json": {
            **specials,
            "pad_token": "</s>",
            "tokenizer_class": "InternLM2Tokenizer",
            "clean_up_tokenization_spaces": False,
        },
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=1))
    return size + len(TAGS)


def _without_tags(text: str) -> str:
    for tag in TAGS:
        text = text.replace(tag, " ")
    return text
