"""How alike two phrases are. The name of the measure is part of every figure that used it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from .grounding import Floats

_UNSAID = {"a", "an", "the", "one", "another", "all", "some", "two", "three", "four", "five", "several", "many", "few"}


class Similarity(Protocol):
    """0..1 (or a cosine) for pairs of phrases."""

    @property
    def name(self) -> str:
        """As figures are labelled: "recall (words)"."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """float64 (pairs,)."""


class Words:
    """F1 of the words of both; articles, quantities and plurals aside."""

    name = "words"

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        return np.array([shared_words(first, second) for first, second in pairs], np.float64)


class Table:
    """Values by pair, in either order; what is not in the table is 0."""

    name = "table"

    def __init__(self, values: Mapping[tuple[str, str], float]) -> None:
        self._values = dict(values)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        return np.array([self._values.get(pair, self._values.get(pair[::-1], 0.0)) for pair in pairs], np.float64)


class Cached:
    """Another measure, asked once for each pair."""

    def __init__(self, measure: Similarity) -> None:
        self._measure = measure
        self._known: dict[tuple[str, str], float] = {}

    @property
    def name(self) -> str:
        """The other one's."""
        return self._measure.name

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            self._known.update(zip(new, self._measure(new).tolist(), strict=True))
        return np.array([self._known[pair] for pair in pairs], np.float64)


def shared_words(first: str, second: str) -> float:
    """F1 of the words of two phrases; 0 where they share none."""
    one, other = words_of(first), words_of(second)
    common = len(one & other)
    return 2 * common / (len(one) + len(other)) if common else 0.0


def words_of(phrase: str) -> frozenset[str]:
    """Lower-case words without articles and quantities, a plural s dropped."""
    words = re.findall(r"[a-z0-9]+", phrase.lower())
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words if word not in _UNSAID
    )
