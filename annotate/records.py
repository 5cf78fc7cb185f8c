"""What is kept of a picture: every sentence with its masks, facts, request, findings and edits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from geopixel_edge.errors import OptionError
from geopixel_edge.masks import Mask
from synthetic.tags import phrases_of

from .facts import Facts

STATES = ("keep", "review", "drop")
_SLOT = re.compile(r"\{(\d+)\}")


@dataclass(frozen=True)
class Finding:
    """What a check found of a sentence, and what follows from it: "review" or "drop"."""

    name: str
    reason: str
    state: str


@dataclass(frozen=True)
class Sentence:
    """One sentence. In `text` the slots {0}, {1} stand for `phrases` and `masks`, in order; `said` is what came back.

    `members` are the ids of the instances, `request` the key of the question in the ledger, `edits` what was changed;
    `decision` is a reviewer's, or empty.
    """

    level: str
    text: str
    phrases: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    members: tuple[int | str, ...] = ()
    facts: Facts | None = None
    request: str = ""
    said: str = ""
    findings: tuple[Finding, ...] = ()
    edits: tuple[str, ...] = ()
    decision: str = ""

    @property
    def state(self) -> str:
        """keep, review or drop: a reviewer's word, or the worst of what was found."""
        return self.decision or max((one.state for one in self.findings), key=STATES.index, default="keep")

    @property
    def plain(self) -> str:
        """The text with its phrases and without tags."""
        return _SLOT.sub(lambda slot: self.phrases[int(slot[1])], self.text)

    def found(self, finding: Finding) -> Sentence:
        """The same with one finding more."""
        return replace(self, findings=(*self.findings, finding))

    def as_dict(self) -> dict[str, Any]:
        """Plain values; masks as COCO RLE."""
        return {
            "level": self.level,
            "state": self.state,
            "text": self.text,
            "phrases": list(self.phrases),
            "members": list(self.members),
            "facts": self.facts.as_dict() if self.facts else {},
            "request": self.request,
            "said": self.said,
            "findings": [{"name": one.name, "reason": one.reason, "state": one.state} for one in self.findings],
            "edits": list(self.edits),
            "decision": self.decision,
            "masks": [mask.to_coco() for mask in self.masks],
        }


def sentence_from(found: dict[str, Any]) -> Sentence:
    """A sentence of a record; facts are not built again. KeyError, TypeError or OptionError where it is damaged."""
    if found["decision"] not in ("", *STATES):
        raise OptionError(f"decision={found['decision']!r} is none of {', '.join(STATES)}")
    return Sentence(
        found["level"],
        found["text"],
        tuple(found["phrases"]),
        tuple(Mask.from_coco(rle) for rle in found["masks"]),
        tuple(found["members"]),
        None,
        found["request"],
        found["said"],
        tuple(Finding(one["name"], one["reason"], one["state"]) for one in found["findings"]),
        tuple(found["edits"]),
        found["decision"],
    )


@dataclass(frozen=True)
class Description:
    """The grounded text of a picture: one mask and one phrase for each `[SEG]`."""

    text: str
    phrases: tuple[str, ...]
    masks: tuple[Mask, ...]


def draft(sentences: Sequence[Sentence]) -> str:
    """The sentences that are not dropped as one text, their masks as {m0}, {m1} ... in order."""
    parts, count = [], 0
    for one in told(sentences):
        parts.append(_SLOT.sub(lambda slot, first=count: f"{{m{first + int(slot[1])}}}", one.text))  # type: ignore[misc]
        count += len(one.masks)
    return " ".join(parts)


def told(sentences: Iterable[Sentence]) -> list[Sentence]:
    """Those that are part of the description."""
    return [one for one in sentences if one.state != "drop"]


def describe(sentences: Sequence[Sentence], text: str | None = None) -> Description:
    """The description; `text` is a smoothed draft with each placeholder once. OptionError where tags do not pair."""
    kept = told(sentences)
    phrases = [phrase for one in kept for phrase in one.phrases]
    masks = [mask for one in kept for mask in one.masks]
    order = [int(number) for number in re.findall(r"\{m(\d+)\}", text or draft(kept))]
    if sorted(order) != list(range(len(masks))) or len(phrases) != len(masks):
        raise OptionError(f"text has placeholders {order} for {len(masks)} masks; name each once")
    tagged = re.sub(r"\{m(\d+)\}", lambda slot: f"<p> {phrases[int(slot[1])]} </p> [SEG]", text or draft(kept))
    tagged = tagged.replace("[SEG].", "[SEG] .").replace("[SEG],", "[SEG] ,")
    try:
        found = phrases_of(tagged)
    except ValueError as error:
        raise OptionError(f"text={tagged[:200]!r} is no grounded description ({error}); correct its tags") from None
    return Description(tagged, tuple(found), tuple(masks[at] for at in order))
