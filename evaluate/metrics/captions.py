"""CIDEr-D of tokenised captions, and captions as GLaMM's script takes them from an answer."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from .grounding import Floats

LENGTHS = (1, 2, 3, 4)
SIGMA = 6.0
_TAG, _PHRASE = re.compile(r"<.*?>"), re.compile(r"<p>(.*?)</p>")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")

Gram = tuple[str, ...]


def caption_of(response: str) -> str:
    """The answer without tags and `[SEG]`, white space collapsed, quotes at its ends stripped; phrases stay."""
    return " ".join(_TAG.sub("", response).replace("[SEG]", "").split()).strip("'")


def phrases_in(response: str) -> list[str]:
    """What stands between `<p>` and `</p>`, stripped."""
    return [phrase.strip() for phrase in _PHRASE.findall(response)]


def simple_tokens(text: str) -> str:
    """Lower-case words without punctuation: what stands in for Stanford's tokeniser where there is no Java."""
    return " ".join(word.lower() for word in _WORD.findall(text))


def cider(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Floats:
    """CIDEr-D of each image, 0..10: n-grams of 1 to 4 tokens, weighed by how few images' references have them.

    Texts are tokens separated by spaces. A caption's length is its number of bigrams, as in the original. One image
    alone, or all references alike, gives 0.
    """
    counted = [[_grams(text) for text in texts] for texts in references]
    images_with: Counter[Gram] = Counter()
    for texts in counted:
        images_with.update({gram for text in texts for gram in text})
    images = math.log(len(references)) if references else 0.0
    found = []
    for texts, hypothesis in zip(counted, hypotheses, strict=True):
        said = _Weighed(_grams(hypothesis), images_with, images)
        per_length = sum((said.likeness(_Weighed(text, images_with, images)) for text in texts), np.zeros(4))
        found.append(10.0 * float(np.mean(per_length)) / len(texts))
    return np.array(found, np.float64)


def _grams(text: str) -> Counter[Gram]:
    words = text.split()
    return Counter(tuple(words[at : at + n]) for n in LENGTHS for at in range(len(words) - n + 1))


class _Weighed:
    """A caption's n-grams by length, each times its weight; their norms; and the caption's length in bigrams."""

    def __init__(self, grams: Mapping[Gram, int], images_with: Mapping[Gram, int], images: float) -> None:
        self.weights: list[dict[Gram, float]] = [{} for _ in LENGTHS]
        for gram, count in grams.items():
            self.weights[len(gram) - 1][gram] = count * (images - math.log(max(1, images_with.get(gram, 0))))
        self.norms = [math.sqrt(sum(value**2 for value in weights.values())) for weights in self.weights]
        self.length = sum(count for gram, count in grams.items() if len(gram) == 2)

    def likeness(self, reference: _Weighed) -> Floats:
        """float64 (4,): clipped cosine of each length, less for captions of unlike length."""
        found = np.zeros(len(LENGTHS))
        for n, (mine, theirs) in enumerate(zip(self.weights, reference.weights, strict=True)):
            found[n] = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in mine.items() if gram in theirs)
            if self.norms[n] and reference.norms[n]:
                found[n] /= self.norms[n] * reference.norms[n]
        return found * math.exp(-((self.length - reference.length) ** 2) / (2 * SIGMA**2))
