"""How expressions and answers are put into words."""

from __future__ import annotations

import numpy as np

from .expressions import Expression
from .scenes.palette import plural as plural_of

# What `Session.segment` asks comes first; it is also the most frequent in training.
REFERRING_QUESTIONS = (
    "Could you provide a segmentation mask for {} in this image?",
    "Please segment {} in this image.",
    "Where is {}? Please answer with a segmentation mask.",
    "Can you segment {}?",
    "Show me {} in this picture.",
    "Find {} in this aerial image and outline it.",
    "Please give the segmentation mask of {}.",
    "I am looking for {}. Can you mark it?",
)
# Those that also ask well about several things.
PLURAL_QUESTIONS = tuple(text for text in REFERRING_QUESTIONS if " it" not in text and "Where is" not in text)
CONVERSATION_QUESTIONS = (
    "Can you provide a thorough description of this image? Please output with interleaved segmentation masks for the "
    "corresponding phrases.",
    "Describe this image with interleaved segmentation masks.",
    "Could you perform an in-depth analysis of this photo, including interleaved segmentation masks to map each part "
    "of your answer to specific image objects?",
    "What can be seen in this aerial image? Please respond with interleaved segmentation masks.",
    "Please describe the scene and ground each phrase with a segmentation mask.",
    "Give me an overview of this picture, with a mask for every object you mention.",
)
SYNONYMS = {
    "plane": "airplane",
    "ship": "vessel",
    "tree group": "cluster of trees",
    "crop field": "farm field",
    "swimming pool": "pool",
    "parking lot": "car park",
}
RANKS = ("first", "second", "third", "fourth")
ENDMOST = {"left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "bottommost"}
KINDS = {
    "port": ("a port", "a harbour area"),
    "river": ("a river landscape", "countryside along a river"),
    "urban": ("a city district", "a dense urban area"),
    "residential": ("a residential neighbourhood", "a suburb"),
    "farmland": ("farmland", "an agricultural landscape"),
    "airfield": ("an airfield", "an airport"),
    "desert": ("a desert landscape", "an arid area"),
}


def noun(class_name: str, plural: bool, synonym: bool = False) -> str:
    """The class in words, for one or for several."""
    word = SYNONYMS.get(class_name, class_name) if synonym else class_name
    if not plural:
        return word
    return "clusters of trees" if word == "cluster of trees" else plural_of(word)


def describe(expression: Expression, synonym: bool = False) -> str:
    """The expression without an article: "second red ship from the left"."""
    words = []
    if expression.order:
        rank, side = expression.order
        words.append(ENDMOST[side] if rank == 1 else RANKS[rank - 1])
    words += [word for word in (expression.extreme, expression.colour) if word]
    words.append(noun(expression.class_name, expression.plural, synonym))
    if expression.order and expression.order[0] > 1:
        words.append(f"from the {expression.order[1]}")
    if expression.place:
        words.append(where(expression.place))
    if expression.relation:
        word, anchor = expression.relation
        before = {"left of": "to the left of", "right of": "to the right of"}.get(word, word)
        words.append(f"{'in' if (word, anchor) == ('on', 'parking lot') else before} the {anchor}")
    return " ".join(words)


def where(place: str) -> str:
    """A place as an adverbial: "at the top left", "on the left", "in the centre"."""
    if place == "centre":
        return "in the centre"
    return f"{'on' if place in ('left', 'right') else 'at'} the {place}"


def refer(rng: np.random.Generator, expression: Expression) -> tuple[str, str]:
    """A question about the expression, and the phrase it asks for."""
    words = describe(expression, synonym=bool(rng.random() < 0.15))
    whole = "all the " if expression.plural and rng.random() < 0.3 else "the "
    questions = PLURAL_QUESTIONS if expression.plural else REFERRING_QUESTIONS
    text = questions[0] if rng.random() < 0.4 else str(rng.choice(questions))
    if rng.random() < 0.15:
        return text.format(words), "the " + words
    return text.format(whole + words), whole + words


def found(phrase: str, plural: bool) -> str:
    """The answer that shows it; one form only, so that it can be drafted."""
    return f"Sure, here {'are' if plural else 'is'} <p> {phrase} </p> [SEG] ."


def absent(expression: Expression) -> str:
    """The honest answer when there is no such thing."""
    return f"There {'are' if expression.plural else 'is'} no {describe(expression)} in this image."


def article(words: str) -> str:
    """The words with "a" or "an"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def amount(count: int) -> str:
    """How many, as far as one counts at a glance."""
    names = {2: "two", 3: "three", 4: "four"}
    return names.get(count, "several" if count < 10 else "many")
