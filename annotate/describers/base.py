"""What every describer takes and gives, and how its untrusted text is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..facts import Facts

MAX_REPLY_CHARS = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_BRACKETS = re.compile(r"[<>{}\[\]]")
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


@dataclass(frozen=True)
class Request:
    """One question. `level` is scene, instance, group or merge; `phrase` is what the rules call the unit, `used` the
    facts in it; `png` the marked picture for a describer that looks."""

    level: str
    prompt: str
    facts: Facts
    phrase: str = ""
    used: tuple[str, ...] = ()
    png: bytes | None = None
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
    if reply.fault:
        return Words(fault=reply.fault)
    if len(reply.text) > 4 * MAX_REPLY_CHARS:
        return Words(fault=f"wrong-form: {len(reply.text)} characters")
    text = _FENCE.sub("", _CONTROL.sub("", reply.text).strip())
    sentence, phrase = text, ""
    if text.startswith(("{", "[")) and level != "merge":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return Words(fault="wrong-form: JSON that does not parse")
        if not isinstance(found, dict) or not isinstance(found.get("sentence"), str):
            return Words(fault='wrong-form: JSON without a text "sentence"')
        sentence, phrase = found["sentence"], found.get("phrase", "")
        if not isinstance(phrase, str):
            return Words(fault='wrong-form: "phrase" is no text')
    sentence, phrase = _tidy(sentence), _tidy(phrase)
    if not sentence:
        return Words(fault="wrong-form: no words")
    if len(sentence) > MAX_REPLY_CHARS or len(phrase) > MAX_REPLY_CHARS:
        return Words(fault=f"wrong-form: over {MAX_REPLY_CHARS} characters")
    if level != "merge" and _BRACKETS.search(sentence + phrase):
        return Words(fault="tags: brackets in the text")
    return Words(sentence, phrase)


def _tidy(text: str) -> str:
    """Text on one line, without control characters."""
    return " ".join(_CONTROL.sub("", text).split())
