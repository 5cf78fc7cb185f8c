"""What may be asked of every window: a kind of thing, not one that is chosen by comparing or by its place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import limits
from ..errors import QueryError

_COMPARING = """
largest biggest greatest smallest tiniest longest shortest widest narrowest tallest highest lowest nearest closest
farthest furthest brightest darkest newest oldest busiest densest leftmost rightmost topmost bottommost uppermost
lowermost northernmost southernmost easternmost westernmost northmost southmost eastmost westmost outermost innermost
most least larger bigger smaller longer shorter wider taller nearer closer farther
first second third fourth fifth sixth seventh eighth ninth tenth last
"""
_PLACING = (
    r"(?:at|in|on|near|to|towards?|along) the (?:very )?"
    r"(?:top|bottom|left|right|upper|lower|middle|cent(?:er|re)|corner|edge|border|far)\b"
)
_WORDS = re.compile(
    rf"\b(?:{'|'.join(_COMPARING.split())}|\d+(?:st|nd|rd|th))\b|{_PLACING}|\b(?:left|right)[- ]hand\b", re.IGNORECASE
)


def comparing(phrase: str) -> str | None:
    """The words of a phrase that compare things or place them in the picture; None for a kind of thing."""
    found = _WORDS.search(phrase)
    return None if found is None else found[0]


def check_phrases(phrases: Sequence[str], per_window: bool) -> tuple[str, ...]:
    """Phrases to ask of every window, each once.

    QueryError for none or too many, for one given twice, and, unless `per_window` insists, for one that compares: each
    window would answer it for itself.
    """
    if isinstance(phrases, str):
        phrases = (phrases,)
    if not 1 <= len(phrases) <= limits.MAX_PHRASES:
        raise QueryError(f"phrases: {len(phrases)} are given; give 1 to {limits.MAX_PHRASES}")
    seen: dict[str, str] = {}
    for phrase in phrases:
        if not isinstance(phrase, str) or not phrase.strip():
            raise QueryError(f"phrase={phrase!r} names nothing; give a kind of thing, as 'ships'")
        if (key := " ".join(phrase.lower().split())) in seen:
            raise QueryError(f"phrase={phrase!r} is given twice; give each kind once")
        seen[key] = " ".join(phrase.split())
        words = comparing(phrase)
        if words and not per_window:
            raise QueryError(
                f"phrase={phrase!r} compares ({words!r}) and would be answered once per window; ask for the kind and "
                "choose from the layer, or insist with per_window (--per-window)"
            )
    return tuple(seen.values())
