"""What a describer is asked: templates as data, versioned, without a model's name in them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from geopixel_edge.errors import OptionError

from .facts import Facts
from .names import plural

_SLOTS = {
    "scene": set[str](),
    "instance": {"class", "place", "number"},
    "group": {"class", "place", "count", "arrangement"},
    "marks": {"list"},
    "merge": {"text"},
}
_SLOT = re.compile(r"\{(\w*)\}")
MAX_PROMPT_BYTES = 64 * 1024
_ANSWER = 'Answer as JSON: {{"sentence": "...", "phrase": "..."}}, the phrase being the words in it for the {class}.'


@dataclass(frozen=True)
class Prompts:
    """One template a level. Slots stand in braces; braces of JSON are doubled. `version` is part of every request."""

    version: str = "1"
    scene: str = (
        "Describe this aerial image in four short sentences: what kind of place it shows, how it is laid out, what "
        "stands out. Say only what can be seen; write 'unclear' for what cannot."
    )
    instance: str = (
        "In one short sentence, list the visible attributes of the {class} {place} that is marked {number}: its "
        "colour, its form, what is next to it. Do not mention the number or the mark. Do not count. Write 'unclear' if "
        "you cannot see it. " + _ANSWER
    )
    group: str = (
        "Describe the {count} {class} {place} in one brief sentence, as one group{arrangement}. Use no numbers and add "
        "no explanation. Write 'unclear' if you cannot see them. " + _ANSWER
    )
    marks: str = (
        "For each marked thing of this list, one short sentence with its visible attributes: its colour, its form, "
        "what is next to it. Do not mention the numbers or the marks. Do not count. Write 'unclear' for what you "
        "cannot see.\n\n{list}\n\n"
        'Answer as a JSON list: [{{"number": 1, "sentence": "...", "phrase": "..."}}, ...], the phrase being the words '
        "in the sentence for the thing."
    )
    merge: str = (
        "Make this one fluent description. Keep every placeholder such as {{m0}} exactly once and as it is, add no "
        "other braces or brackets, and add no facts.\n\n{text}"
    )

    def names(self) -> dict[str, str]:
        """Level -> what stands for its template in a request's key: another text asks that level anew, and no other."""
        return {
            level: f"{level}-{self.version}-{hashlib.sha256(getattr(self, level).encode()).hexdigest()[:12]}"
            for level in _SLOTS
        }

    def ask(self, facts: Facts, number: int | None = None) -> str:
        """The question about a unit or a picture; a number asks about a marked thing."""
        if facts.level == "scene":
            return _filled(self.scene, {})
        place = _place(facts)
        single = facts.level == "instance" or facts.count_word == "one"
        noun = facts.class_name if single else plural(facts.class_name)
        if facts.level == "instance":
            return _filled(self.instance, {"class": noun, "place": place, "number": str(number or "")})
        arrangement = {"row": " in a row", "rows": " in rows", "cluster": " close together", "scattered": " far apart"}
        return _filled(
            self.group,
            {
                "class": noun,
                "place": place,
                "count": facts.count_word or "",
                "arrangement": arrangement.get(facts.arrangement or "", ""),
            },
        )

    def ask_together(self, marked: Sequence[tuple[int, Facts]]) -> str:
        """The question about all things that are marked in a picture, by number."""
        lines = [f"{number}: the {facts.class_name} {_place(facts)}" for number, facts in marked]
        return _filled(self.marks, {"list": "\n".join(lines)})

    def smooth(self, text: str) -> str:
        """The question that turns a draft with placeholders into fluent text."""
        return _filled(self.merge, {"text": text})


def _place(facts: Facts) -> str:
    if facts.half:
        return f"across the {facts.half} half of the image"
    return f"at the {facts.place}" if facts.place else "in the image"


def _filled(template: str, values: dict[str, str]) -> str:
    """Slots filled in and doubled braces made single; what is filled in is not read again."""
    return re.sub(r"\{\{|\}\}|\{(\w+)\}", lambda hit: values[hit[1]] if hit[1] else hit[0][0], template)


def load_prompts(path: str | Path) -> Prompts:
    """Templates of a JSON file, {"version": ..., "instance": ...}; what it leaves out stays as it is.

    OptionError for a file that cannot be read, other keys, and slots that a level does not have.
    """
    what = f"prompts={str(path)!r}"
    try:
        data = Path(path).read_bytes()
        found = json.loads(data) if len(data) <= MAX_PROMPT_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise OptionError(f"{what} cannot be read ({error}); give a JSON file of templates") from None
    known = asdict(Prompts())
    if not isinstance(found, dict) or not found or not set(found) <= set(known):
        raise OptionError(f"{what} is no JSON object with the keys {', '.join(known)}; correct it")
    for level, text in found.items():
        if not isinstance(text, str) or not text.strip():
            raise OptionError(f"{what}: {level}={text!r} is no text; give the template")
        bare = text.replace("{{", "").replace("}}", "")
        wrong = set(_SLOT.findall(bare)) - _SLOTS.get(level, set())
        if level != "version" and (wrong or set("{}") & set(_SLOT.sub("", bare))):
            raise OptionError(
                f"{what}: {level} has a slot or brace that is not one of {sorted(_SLOTS[level])}; double literal braces"
            )
    return Prompts(**{**known, **found})
