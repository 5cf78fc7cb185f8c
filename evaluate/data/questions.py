"""What GeoPixel is asked for a description: the wordings that are published, and those of a data set's own index.

Which of them the tables were made with is not published; a run records the one that it asked.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..errors import DataError
from .glamm import load_json

_MASKS = "Please output with interleaved segmentation masks for the corresponding phrases."
# Parity: to the letter, "the this" included.
PUBLISHED = {
    "chat": f"Can you provide a thorough description of the this image? {_MASKS}",
    "guide": f"Can you provide a thorough description of this image? {_MASKS}",
    "sample": (
        "Could you perform an in-depth analysis of this photo, including interleaved segmentation masks to map each "
        "part of your answer to specific image object?"
    ),
}
DEFAULT = "chat"
INDEX = "GeoPixelD.json"


def in_index(root: Path) -> dict[str, int]:
    """Every question that the index of `root` asks -> how often, the most frequent first. DataError without one."""
    entries = load_json(root / INDEX)
    asked = Counter[str]()
    for at, entry in enumerate(entries if isinstance(entries, list) else [None]):
        turns = entry.get("conversations") if isinstance(entry, dict) else None
        said = [one for one in turns if isinstance(one, dict)] if isinstance(turns, list) else []
        values = [one.get("value") for one in said if str(one.get("from")).lower() in ("human", "user")]
        if not values or not isinstance(values[0], str):
            raise DataError(
                f"{root / INDEX}: entry {at} has no conversation that begins with a question; fetch it again"
            )
        asked[values[0].strip()] += 1
    return dict(sorted(asked.items(), key=lambda one: (-one[1], one[0])))


def wording(question: str | None, root: Path) -> str:
    """The question that is meant: by name, by its number in the index of `root` counted from 1, or in full.

    DataError for a number that the index does not have, and for an empty question.
    """
    asked = DEFAULT if question is None else question.strip()
    if not asked:
        raise DataError("question='' is empty; give a name, a number of the index, or the words")
    if not asked.isascii() or not asked.isdigit():
        return PUBLISHED.get(asked, asked)
    there = list(in_index(root))
    if not 1 <= int(asked) <= len(there):
        raise DataError(f"question={asked} is out of range; {root / INDEX} has {len(there)}, counted from 1")
    return there[int(asked) - 1]
