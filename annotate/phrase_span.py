"""Where in a sentence the words for a thing are."""

from __future__ import annotations

import re

from .names import mention

Span = tuple[int, int]
# Words that end a noun phrase to the left of its noun.
_STOPS = re.compile(
    r"is|are|was|were|be|has|have|had|with|without|and|or|of|in|on|at|by|to|from|near|beside|along|next|behind|under|"
    r"above|below|between|among|around|over|across|into|onto|through|there|here|this|these|those|it|its|their|which|that|who|"
    r"while|as|for|but|not|can|could|see|seen|shows?|showing|contains?|includes?|including|features?|featuring|appears?|"
    r"lies?|stands?|sits?|located|situated|positioned|parked|surrounded|bordered|visible|image|picture|scene",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w'-]+")


def find(sentence: str, class_name: str, phrase: str = "") -> Span | None:
    """Start and end of the words for a thing of a class.

    A phrase that the describer named counts if it occurs once and names the class; else it is the longest noun phrase
    around the first word for the class, from its article on. None where no word names the class.
    """
    words = mention([class_name])
    if phrase and words.search(phrase):
        hits = [hit.span() for hit in re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", sentence, re.IGNORECASE)]
        if len(hits) == 1:
            return hits[0]
    noun = words.search(sentence)
    return (_start(sentence, noun.start()), noun.end()) if noun else None


def _start(sentence: str, noun: int) -> int:
    """Where the noun phrase begins whose noun begins at `noun`: with the first word that belongs to it."""
    start = noun
    for word in reversed(list(_WORD.finditer(sentence, 0, noun))):
        between = sentence[word.end() : start]
        if between.strip(" ") not in ("", ",") or _STOPS.fullmatch(word[0]) or (start == noun and "," in between):
            break
        if "," in between and word[0].lower() in ("a", "an", "the"):
            break
        start = word.start()
        if word[0].lower() in ("a", "an", "the", "some", "several", "many", "numerous", "all"):
            break
    return start
