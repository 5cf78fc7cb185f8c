"""The tags of a grounded answer: `<p> phrase </p> [SEG]`."""

from __future__ import annotations

import re

_TAGS = re.compile(r"<p>|</p>|\[SEG\]")


def phrases_of(answer: str) -> list[str]:
    """The phrase of each `[SEG]`; ValueError for tags that do not pair or a phrase that no `[SEG]` follows."""
    phrases: list[str] = []
    start: int | None = None
    ready: str | None = None
    for tag in _TAGS.finditer(answer):
        if tag[0] == "<p>":
            if start is not None or ready is not None:
                raise ValueError(f"phrase {ready or answer[start : tag.start()].strip()!r} has no [SEG]")
            start = tag.end()
        elif tag[0] == "</p>":
            if start is None:
                raise ValueError("a </p> closes nothing")
            ready, start = answer[start : tag.start()].strip(), None
            if not ready:
                raise ValueError("a phrase is empty")
        else:
            if ready is None:
                raise ValueError("a [SEG] has no phrase")
            phrases.append(ready)
            ready = None
    if start is not None or ready is not None:
        raise ValueError(f"phrase {ready or answer[start:].strip()!r} has no [SEG]")
    return phrases
