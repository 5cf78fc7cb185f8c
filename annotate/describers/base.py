"""What every describer takes and gives, and how its untrusted text is read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..facts import Facts

MAX_REPLY_CHARS = 2_000
# And halves of surrogate pairs, which JSON can hold and UTF-8 cannot.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_BRACKETS = re.compile(r"[<>{}\[\]]")
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


@dataclass(frozen=True)
class Request:
    """One question. `level` is scene, instance, group, marks (all things marked in a picture) or merge.

    `phrase` is what the rules call the unit, `used` the facts in it; `png` the marked picture for a describer that
    looks, `plain` the same without marks where both are wanted.
    """

    level: str
    prompt: str
    facts: Facts
    phrase: str = ""
    used: tuple[str, ...] = ()
    png: bytes | None = None
    plain: bytes | None = None
    max_tokens: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """What came back. `text` is as it came; `fault` says why it cannot be used, or is empty."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    fault: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


class Describer(Protocol):
    """`looks`: whether it wants the picture; `input_side_px`: the longer side it sees of pictures, None for theirs;
    `levels`: what it can be asked."""

    name: str
    looks: bool
    input_side_px: int | None
    levels: tuple[str, ...]

    def fingerprint(self) -> str:
        """What its replies follow from: a digest of the model, or endpoint, model and decoding."""

    def describe(self, request: Request) -> Reply:
        """The reply; DescriberError once it cannot be asked any more."""

    def close(self) -> None:
        """Let what it holds go."""


@dataclass(frozen=True)
class Words:
    """A reply, read: `sentence`, the `phrase` it names for the thing, or the `fault` for which it is dropped."""

    sentence: str = ""
    phrase: str = ""
    fault: str = ""


def read_reply(reply: Reply, level: str) -> Words:
    """The words of a reply: JSON {"sentence", "phrase"}, or plain text.

    Control characters are removed. Tags and brackets, an empty or over-long text, and JSON of another form are faults.
    """
    text, fault = _text(reply, 1)
    if fault:
        return Words(fault=fault)
    if not text.startswith(("{", "[")) or level == "merge":
        return _words(text, "", brackets=level == "merge")
    try:
        return _entry(json.loads(text))
    except (ValueError, RecursionError):
        return Words(fault="wrong-form: JSON that does not parse")


def read_replies(reply: Reply, numbers: Sequence[int]) -> dict[int, Words]:
    """The words for each mark of a picture: a JSON list of {"number", "sentence", "phrase"}, each read as `read_reply`
    reads one; a mark that is not there once has a fault."""
    text, fault = _text(reply, len(numbers))
    try:
        found = [] if fault else json.loads(text)
    except (ValueError, RecursionError):
        found, fault = [], "wrong-form: JSON that does not parse"
    if not isinstance(found, list):
        found, fault = [], "wrong-form: no JSON list"
    words = {}
    for number in numbers:
        own = [one for one in found if isinstance(one, dict) and type(one.get("number")) is int]
        own = [one for one in own if one["number"] == number]
        missing = fault or f"wrong-form: mark {number} is {'twice' if own else 'not'} in the list"
        words[number] = _entry(own[0]) if len(own) == 1 else Words(fault=missing)
    return words


def _text(reply: Reply, count: int) -> tuple[str, str]:
    """The text of a reply that may hold so many sentences, without a fence around it; and its fault, or none."""
    if reply.fault:
        return "", reply.fault
    if len(reply.text) > 4 * MAX_REPLY_CHARS * count:
        return "", f"wrong-form: {len(reply.text)} characters"
    return _FENCE.sub("", _CONTROL.sub("", reply.text).strip()), ""


def _entry(found: object) -> Words:
    """One JSON object of a reply."""
    if not isinstance(found, dict) or not isinstance(found.get("sentence"), str):
        return Words(fault='wrong-form: JSON without a text "sentence"')
    if not isinstance(found.get("phrase", ""), str):
        return Words(fault='wrong-form: "phrase" is no text')
    return _words(found["sentence"], found.get("phrase", ""))


def _words(sentence: str, phrase: str, brackets: bool = False) -> Words:
    """The words, tidied and bounded; a draft that was smoothed has brackets."""
    sentence, phrase = _tidy(sentence), _tidy(phrase)
    if not sentence:
        return Words(fault="wrong-form: no words")
    if len(sentence) > MAX_REPLY_CHARS or len(phrase) > MAX_REPLY_CHARS:
        return Words(fault=f"wrong-form: over {MAX_REPLY_CHARS} characters")
    if not brackets and _BRACKETS.search(sentence + phrase):
        return Words(fault="tags: brackets in the text")
    return Words(sentence, phrase)


def _tidy(text: str) -> str:
    """Text on one line, without control characters."""
    return " ".join(_CONTROL.sub("", text).split())
