"""What may be put to the model: checks that keep a question from being read as control tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import limits
from ..errors import QueryError

IMAGE_MARK = "<ImageHere>"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Spelled out in a question these would be read as control tokens, not as text.
_CONTROL_TOKENS = re.compile(r"\[UNUSED_TOKEN_[0-9]+\]|</?s>|<unk>")
_GROUNDING_TOKENS = re.compile(r"\[SEG\]|</?p>")


def check_text(name: str, text: object) -> str:
    """`text` when a user may put it to the model; QueryError names what is wrong with it."""
    checked = _check(name, text)
    if not checked.strip():
        raise QueryError(f"{name}={text!r} is empty; give the text to ask")
    if found := _CONTROL.search(checked):
        raise QueryError(f"{name} holds the control character {found[0]!r} at {found.start()}; remove it")
    if found := _GROUNDING_TOKENS.search(checked):
        raise QueryError(f"{name} holds {found[0]!r} at {found.start()}; only the model writes it, so remove it")
    return checked


def check_phrase(phrase: object) -> str:
    """`check_text` for what is to be segmented, which is part of a question and has no place for an image."""
    if IMAGE_MARK in (checked := check_text("phrase", phrase)):
        raise QueryError(f"phrase holds {IMAGE_MARK}; name what to segment")
    return checked


def _check(name: str, text: object) -> str:
    """What holds for questions and for the model's own answers, which may be empty or hold odd characters."""
    if not isinstance(text, str):
        raise QueryError(f"{name} is {type(text).__name__}, not a string; give the text to ask")
    if len(text) > limits.MAX_QUERY_CHARS:
        raise QueryError(f"{name} has {len(text)} characters; give at most {limits.MAX_QUERY_CHARS}")
    if found := _SURROGATE.search(text):
        raise QueryError(f"{name} holds the lone surrogate {found[0]!r} at {found.start()}; remove it")
    if found := _CONTROL_TOKENS.search(text):
        raise QueryError(f"{name} holds the control token {found[0]!r} at {found.start()}; remove it")
    return text


def check_history(history: object) -> tuple[tuple[str, str], ...]:
    """Pairs of question and answer; any `Answer.response` will do as answer, with the model's `<p> </p> [SEG]`."""
    if isinstance(history, (str, bytes)) or not isinstance(history, Sequence):
        raise QueryError(f"history is {type(history).__name__}; give a list of (question, answer) pairs")
    if len(history) > limits.MAX_HISTORY_TURNS:
        raise QueryError(f"history has {len(history)} turns; give at most {limits.MAX_HISTORY_TURNS}")
    turns = []
    for index, turn in enumerate(history):
        if isinstance(turn, (str, bytes)) or not isinstance(turn, Sequence) or len(turn) != 2:
            raise QueryError(f"history[{index}]={str(turn)[:50]!r} is not a (question, answer) pair")
        turns.append((check_text(f"history[{index}][0]", turn[0]), _check(f"history[{index}][1]", turn[1])))
    if (total := sum(len(asked) + len(answered) for asked, answered in turns)) > limits.MAX_HISTORY_CHARS:
        raise QueryError(f"history has {total} characters; give at most {limits.MAX_HISTORY_CHARS}")
    return tuple(turns)
