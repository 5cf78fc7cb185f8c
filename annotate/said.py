"""What a sentence says of a thing: sides, numbers, colours, marks, doubts. Patterns of English alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .colour import NAMES as COLOURS
from .names import forms, mention, plural
from .phrase_span import find

_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = {word: value for value, word in enumerate((*_UNITS, *_TEENS), 1)}
NUMBERS |= {ten: 10 * at for at, ten in enumerate(_TENS, 2)}
NUMBERS |= {f"{ten}-{one}": 10 * at + NUMBERS[one] for at, ten in enumerate(_TENS, 2) for one in _UNITS}
_ANY = 1_000_000
# Least and most that a word for a number may stand for.
_COUNTS: dict[str, tuple[int, int]] = {
    **{word: (value, value) for word, value in NUMBERS.items()},
    "a pair of": (2, 2),
    "both": (2, 2),
    "a couple of": (2, 3),
    "a few": (2, 6),
    "several": (3, 15),
    "half a dozen": (5, 7),
    "a dozen": (11, 13),
    "many": (7, _ANY),
    "numerous": (10, _ANY),
    "dozens of": (20, _ANY),
    "countless": (20, _ANY),
    "hundreds of": (80, _ANY),
}
_COUNT_WORDS = "|".join(sorted(map(re.escape, _COUNTS), key=lambda word: (-len(word), word)))
_COLOURS = "|".join((*COLOURS, "gray"))
_WHOLE = r"group|row|rows|cluster|number|lot|collection|line|set|pair|couple|fleet"
# Words that stand between no number and its noun.
_BREAKS = rf"(?:and|or|of|with|at|in|on|to|by|near|beside|is|are|from|that|which|the|an?|{_COUNT_WORDS})\b"
# Before a number: it counts other things than those spoken of.
_OTHERS = re.compile(
    r"\b(?:of (?:the|these|those|its|their)|(?:among|amongst|amid|beside|between|near|behind|before|alongside"
    r"|opposite|like|than|next to|close to|in front of)(?: (?:the|these|those|its))?)\s+$",
    re.IGNORECASE,
)
_SIDES = {
    "left": r"left|leftmost|west|western|westernmost|(?:north|south)-?west(?:ern)?",
    "right": r"right|rightmost|east|eastern|easternmost|(?:north|south)-?east(?:ern)?",
    "top": r"top|upper|topmost|uppermost|north|northern|northernmost|north-?(?:east|west)(?:ern)?",
    "bottom": r"bottom|lower|bottommost|lowermost|south|southern|southernmost|south-?(?:east|west)(?:ern)?",
}
_SIDE = "|".join(_SIDES.values())
_AWAY = r"point|fac|head|turn|lean|look|orient|aim|open"  # and an ending: which way, not where
# Words for sides that do not say where the thing is in the picture.
_ELSEWHERE = re.compile(
    rf"\b(?:(?:to the )?(?:{_SIDE})(?: side)? of (?!the (?:image|picture|photo|scene|frame))"
    r"|from (?:the )?[\w ]{4,16} to (?:the )?(?:bottom right|top right|bottom left|top left|right|bottom|left|top)"
    r"|reaching [\w ]+? edges?|(?:left|right|top|bottom|upper|lower) (?:edge|side|end|half|part|corner|lane)s? of the "
    r"(?!image|picture|photo|scene|frame)|on (?:its|their) (?:left|right)"
    rf"|(?:(?:{_AWAY})\w*(?: to| towards?)?|shadows? towards?)(?: the)?(?: (?:{_SIDE}))+"
    r"|(?<!the )right (?:next to|beside|by|behind|above|below|under|along|alongside|against|between|in front"
    r"|at the edge)|right[- ]angle[sd]?"
    r"|(?:an?|its|their) (?:[\w-]+ )?(?:top|bottom)(?![- ](?:left|right|corner|part|half|edge|side)))\b",
    re.IGNORECASE,
)
_MARKS = re.compile(
    r"\b(?:marked|marker|labell?ed|label|numbered|annotated|digits?|numeral)\b|#|\d|\bnumber(?! of)\b"
    r"|\bblack (?:box|square|tag)\b|\byellow (?:number|figure)",
    re.IGNORECASE,
)
_DOUBTS = (
    r"unclear|cannot|can't|can not|unable to|not visible|as an ai|language model|sorry|apologi[sz]e"
    r"|hard to (?:say|tell|see)|not sure|impossible to|might be|blurry|blurred"
    r"|(?:do|does|could|can) ?(?:not|n't) (?:see|make out|tell|be seen)"
)


def sides(said: str) -> set[str]:
    """The sides of the picture, of left, right, top and bottom, on which the sentence has its thing."""
    own = _ELSEWHERE.sub(" ", said)
    return {side for side, words in _SIDES.items() if re.search(rf"\b(?:{words})\b", own, re.IGNORECASE)}


def counts(said: str, class_name: str) -> list[tuple[str, int, int]]:
    """The words for how many things of a class are spoken of, with the least and the most that each may stand for."""
    pattern = (
        rf"(?<!-)\b({_COUNT_WORDS})\s+(?!(?:can|sees?|may)\b)(?:of\s+(?:the|these|those)\s+)?"
        rf"(?:(?!{_BREAKS})[\w-]+,?\s+){{0,4}}?(?:{_nouns(class_name)})\b"
    )
    found = []
    for hit in re.finditer(pattern, said, re.IGNORECASE):
        before = said[: hit.start()]
        further = re.search(r"\b(?:and|with)\s+$", before, re.IGNORECASE) and mention([class_name]).search(before)
        if not further and not _OTHERS.search(before):
            found.append((hit[1], *_COUNTS[hit[1].lower()]))
    return found


def speaks_of_one(said: str, class_name: str) -> bool:
    """Whether a sentence without a number speaks of one thing of the class and no others."""
    single = "|".join(re.escape(one) for one in _singular(class_name))
    whole = rf"(?!(?:[\w-]+ ){{0,2}}(?:{_WHOLE}) of\b)(?:[\w-]+ ){{0,4}}?(?:{single})\b"
    if not single or re.search(r"\b(?:others?|another|more)\b", said, re.IGNORECASE):
        return False
    several = speaks_of_several(said, class_name)
    return re.search(rf"\b{'an?' if several else '(?:an?|the|this|that)'} {whole}", said, re.IGNORECASE) is not None


def speaks_of_several(said: str, class_name: str) -> bool:
    """Whether a word for several things of the class occurs, not as those of which one is meant."""
    words = "|".join(re.escape(plural(one)) for one in _singular(class_name))
    return bool(words) and re.search(rf"(?<!\w)(?<!of the )(?:{words})(?!\w)", said, re.IGNORECASE) is not None


def names_one(said: str, class_name: str) -> bool:
    """Whether a word for the class occurs that is no plural."""
    plurals = {plural(one) for one in _singular(class_name)}
    return any(hit[0].lower() not in plurals for hit in mention([class_name]).finditer(said))


def colours(said: str, class_name: str) -> list[set[str]]:
    """The colours before the thing's noun, and those that the sentence then says it has; where none, no set."""
    span = find(said, class_name)
    if span is None:
        return []
    before = re.search(rf"\b(?:{_COLOURS})\s*(?:,|-|/|\band\b|\bor\b)\s*$", said[: span[0]], re.IGNORECASE)
    has = re.match(
        r"\s*(?:,?\s*(?:which|that)\s+)?(?:(?:is|are|was|were|looks?|appears?|seems?|painted|colou?red)\s+)+"
        rf"(?:(?:all|mostly|mainly|entirely|very|bright|dark|light|deep|pale|in)\s+)*((?:{_COLOURS})"
        rf"(?:(?:,|\s+and)\s+(?:{_COLOURS}))*)(?=\s*(?:[.,;!]|$|\s(?:and|at|on|in|with|beside|near|by|from|lies|lie|sits|stands|floats)\b))",
        said[span[1] :],
        re.IGNORECASE,
    )
    texts = [(before[0] if before else "") + said[slice(*span)], has[1] if has else ""]
    found = [{one.lower().replace("gray", "grey") for one in _colours_in(text)} for text in texts]
    return [one for one in found if one]


def mark(said: str, names: Iterable[str]) -> str | None:
    """The words that speak of marks or numbers, digits in the names of classes aside; None without."""
    nouns = "|".join(_nouns(name) for name in names)
    numbered = rf"(?:{nouns})\s+(?:{'|'.join(NUMBERS)})(?=\s*(?:[.,;]|$|\s(?:is|are|lies|has|at|on|in)\b))"
    hit = _MARKS.search(mention(names).sub(" ", said)) or re.search(rf"(?<!\w){numbered}", said, re.IGNORECASE)
    return hit[0] if hit else None


def doubt(said: str, class_name: str) -> str | None:
    """The words that say that the thing is not seen, or not there; None without."""
    denied = rf"|no (?!other|further|more)(?:[\w-]+ ){{0,2}}?(?:{_nouns(class_name)})" if class_name else ""
    hit = re.search(rf"\b(?:{_DOUBTS}{denied})\b", said, re.IGNORECASE)
    return hit[0] if hit else None


def _colours_in(text: str) -> list[str]:
    return re.findall(rf"\b(?:{_COLOURS})\b", text, re.IGNORECASE)


def _nouns(class_name: str) -> str:
    return "|".join(map(re.escape, forms(class_name)))


def _singular(class_name: str) -> list[str]:
    """The words for one thing of a class that have another for several."""
    words = forms(class_name)
    plurals = {plural(one) for one in words}
    return [one for one in words if one not in plurals and plural(one) in words and plural(one) != one]
