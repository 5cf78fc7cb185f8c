"""Answers drafted from those that questions of the same kind had before: guesses, which the model itself verifies."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

PHRASE, NAME = "{phrase}", "{name}"  # in a form: what was asked for, and the same without its article
MOST_FORMS = 64  # kept of each kind
_ARTICLES = ("all the ", "the ", "an ", "a ")


class Draft(Protocol):
    """What the answer to one question is likely to be."""

    def rest(self, written: Sequence[int], most: int) -> list[int]:
        """At most `most` token ids that are likely to follow those `written`; none where nothing is known."""
        ...

    def learn(self, response: str) -> None:
        """What the whole answer was."""
        ...


class Drafts:
    """The forms of answers about a phrase, the phrase left out, and how often each was given to its kind of phrase.

    `usual` has the forms of each kind that are known before any answer, the likeliest first. Threads may share it.
    """

    def __init__(self, usual: Mapping[str, Sequence[str]]) -> None:
        self._counts = {kind: Counter(dict.fromkeys(forms, 0)) for kind, forms in usual.items()}
        self._lock = threading.Lock()

    def forms(self, kind: str) -> list[str]:
        """Every form, the most frequent of this kind of phrase first and those of other kinds last."""
        with self._lock:
            kinds = sorted(self._counts, key=lambda one: one != kind)
            return [form for one in kinds for form, _ in self._counts[one].most_common()]

    def learn(self, phrase: str, kind: str, response: str) -> None:
        """Count the form of an answer; one that does not say the phrase has none."""
        said, place = (phrase, PHRASE) if phrase in response else (without_article(phrase), NAME)
        if said not in response:
            return
        form = response.replace(said, place)
        with self._lock:
            counts = self._counts[kind]
            if form not in counts and len(counts) == MOST_FORMS:
                del counts[counts.most_common()[-1][0]]
            counts[form] += 1

    def about(self, phrase: str, kind: str, encode: Callable[[str], list[int]]) -> PhraseDraft:
        """The draft of one answer, of the forms known when it is first asked for; its own is learnt from in the end."""

        def candidates() -> list[list[int]]:
            name = without_article(phrase)
            texts = [form.replace(NAME, name).replace(PHRASE, phrase) for form in self.forms(kind)]
            return [encode(text) for text in dict.fromkeys(texts)]

        return PhraseDraft(candidates, lambda response: self.learn(phrase, kind, response))


class PhraseDraft:
    """Whole answers as token ids, the likeliest first: what is written decides which of them are still possible."""

    def __init__(self, candidates: Callable[[], list[list[int]]], learn: Callable[[str], None]) -> None:
        self._make, self._learn = candidates, learn

    @functools.cached_property
    def _candidates(self) -> list[list[int]]:
        return self._make()

    def rest(self, written: Sequence[int], most: int) -> list[int]:
        """Of the first candidate that begins with `written` and is longer."""
        begun = list(written)
        for ids in self._candidates:
            if len(ids) > len(begun) and ids[: len(begun)] == begun:
                return ids[len(begun) : len(begun) + most]
        return []

    def learn(self, response: str) -> None:
        """Count its form."""
        self._learn(response)


def without_article(phrase: str) -> str:
    """What a phrase names: "red ship" of "the red ship"; all of it where nothing else is left."""
    article = next((one for one in _ARTICLES if phrase.lower().startswith(one)), "")
    return phrase[len(article) :] or phrase
