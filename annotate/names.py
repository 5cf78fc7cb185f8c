"""Classes in words: plain names, plurals, synonyms, and whose colour is worth naming."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Profile = Literal["published", "strict"]
PROFILES: tuple[Profile, ...] = ("published", "strict")

# iSAID's and DOTA's names in plain words.
PLAIN = {
    "soccer ball field": "soccer field",
    "ground track field": "running track",
    "storage tank": "storage tank",
    "harbor": "harbor",
    "container crane": "crane",
}
# Two more that the published descriptions use.
PUBLISHED = {"ship": "boat", "harbor": "pier"}
SYNONYMS: dict[str, tuple[str, ...]] = {
    "plane": ("airplane", "aircraft", "aeroplane", "jet"),
    "ship": ("vessel", "boat"),
    "boat": ("ship", "vessel"),
    "pier": ("jetty", "dock"),
    "harbor": ("harbour", "dock", "pier"),
    "car": ("vehicle", "automobile"),
    "truck": ("lorry", "vehicle"),
    "small vehicle": ("car", "vehicle"),
    "large vehicle": ("truck", "lorry", "bus", "vehicle"),
    "storage tank": ("tank",),
    "tree group": ("cluster of trees", "trees", "wood"),
    "tree": ("trees",),
    "crop field": ("field", "farm field", "farmland"),
    "swimming pool": ("pool",),
    "parking lot": ("car park",),
    "sports field": ("field", "running track"),
    "running track": ("athletics track", "track"),
    "soccer field": ("football field", "football pitch"),
    "baseball diamond": ("baseball field",),
    "building": ("house", "hangar", "warehouse"),
    "road": ("street",),
    "roundabout": ("traffic circle",),
    "person": ("people",),
}
# Synonyms that can mean no other class.
_SAME = frozenset(
    {"airplane", "aircraft", "aeroplane", "vessel", "harbour", "automobile", "lorry", "football pitch"}
) | {"football field", "baseball field", "car park", "athletics track", "traffic circle"}
_IRREGULAR = {"person": "people", "aircraft": "aircraft", "cluster of trees": "clusters of trees", "bus": "buses"}
# Ground and water are named by what they are; their colour is light and season.
_UNCOLOURED = frozenset(
    {"sports field", "swimming pool", "bridge", "road", "tree", "tree group", "roundabout", "parking lot", "runway"}
    | {"soccer field", "running track", "baseball diamond", "basketball court", "harbor"}
)


def plain(class_name: str, profile: Profile) -> str:
    """The class of a source in plain words; `published` says boat and pier where iSAID says ship and harbor."""
    words = " ".join(re.sub(r"[_\-]+", " ", class_name).lower().split())
    words = PLAIN.get(words, words)
    return PUBLISHED.get(words, words) if profile == "published" else words


def plural(name: str) -> str:
    """The class for several things."""
    if name in _IRREGULAR:
        return _IRREGULAR[name]
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return name + ("es" if re.search(r"(s|x|z|ch|sh)$", name) else "s")


def forms(name: str) -> tuple[str, ...]:
    """Every word for the class, singular and plural, the longest first."""
    words = {form for one in (name, *SYNONYMS.get(name, ())) for form in (one, plural(one))}
    return tuple(sorted(words, key=lambda word: (-len(word), word)))


def strict_forms(name: str) -> tuple[str, ...]:
    """Words, singular and plural, that can mean this class alone."""
    return tuple(
        form for one in (name, *SYNONYMS.get(name, ())) if one == name or one in _SAME for form in (one, plural(one))
    )


def mention(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of these words as whole words, longer ones first; one that finds nothing for none."""
    words = sorted({re.escape(one) for name in names for one in forms(name)}, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)" if words else r"(?!)", re.IGNORECASE)


def coloured(name: str) -> bool:
    """Whether the colour of things of this class is worth naming."""
    return name not in _UNCOLOURED


def amount(count: int) -> str:
    """How many, as far as one counts at a glance."""
    exact = {1: "one", 2: "two", 3: "three", 4: "four"}
    return exact.get(count) or ("several" if count < 10 else "many" if count < 30 else "numerous")
