"""`tokenizer.model`: SentencePiece's own file, as the checkpoint has it, read by SentencePiece itself."""

from __future__ import annotations

from typing import Any

from ..engine.manifest import AddedToken
from .detokenizer import SPACE, Pieces
from .vocabulary import Vocabulary, added_texts, import_library

_ERRORS = 2  # the least severe message it may print; what is wrong with a model, the exception says


def read_model(data: bytes, added: tuple[AddedToken, ...]) -> Vocabulary:
    """The vocabulary of a serialized model, with the tokens the manifest adds.

    ValueError or RuntimeError when `data` is no model, or when it has another piece at an added token's id.
    """
    sentencepiece = import_library("sentencepiece")
    sentencepiece.set_min_log_level(_ERRORS)
    processor = sentencepiece.SentencePieceProcessor()
    processor.load_from_serialized_proto(data)
    ids = list(range(processor.get_piece_size()))
    text = processor.id_to_piece(ids)
    for token in added:
        if token.id < len(text) and text[token.id] != token.text:
            raise ValueError(f"its piece {token.id} is {text[token.id]!r}, the manifest says {token.text!r}")
    byte = {index: int(text[index][3:5], 16) for index in ids if processor.is_byte(index)}
    for index in ids:
        if processor.is_control(index) or processor.is_unknown(index):
            text[index] = processor.decode([index])
    drops, collapses = _space_rules(processor, text)
    return Vocabulary(processor.encode, Pieces(tuple(text), byte, added_texts(added), drops, collapses), added)


def _space_rules(processor: Any, text: list[str]) -> tuple[bool, bool]:
    """Whether decoding drops a chunk's first space, and every further one until text appears.

    Both follow from flags of the model that SentencePiece does not show, so it is made to decode such pieces.
    """
    spaced = [index for index, piece in enumerate(text) if piece.startswith(SPACE)]
    drops = bool(spaced) and not processor.decode(spaced[:1]).startswith(" ")
    collapses = SPACE in text and not processor.decode([text.index(SPACE)] * 2)
    return drops, collapses
