"""How often two engines say the same: the texts of one run of `benchmarks.accuracy` beside those of another."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geopixel_edge.errors import OptionError, OutputError


@dataclass(frozen=True)
class Text:
    """What an engine answered to a question about the scene of a seed."""

    seed: int
    question: str
    response: str


def write_texts(path: Path, texts: Sequence[Text]) -> None:
    """One JSON object a line; OutputError when it cannot be written."""
    try:
        path.write_text("".join(f"{json.dumps(asdict(text))}\n" for text in texts), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"texts={str(path)!r} cannot be written ({error.strerror}); choose another path") from None


def read_texts(path: Path) -> list[Text]:
    """What `write_texts` wrote; OptionError when it is something else."""
    try:
        return [Text(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise OptionError(f"against={str(path)!r} cannot be read ({error.strerror}); give a file of --texts") from None
    except (ValueError, TypeError) as error:
        raise OptionError(f"against={str(path)!r} is no file of --texts ({error}); run it again") from None


def agreement(found: Sequence[Text], others: Sequence[Text]) -> dict[str, Any]:
    """The share of questions with the same response, and how much of the words of a pair are alike on average.

    OptionError when the other run asked none of the questions.
    """
    known = {(one.seed, one.question): one.response for one in others}
    pairs = [(one.response, known[one.seed, one.question]) for one in found if (one.seed, one.question) in known]
    if not pairs:
        raise OptionError("against: the other run asked none of these questions; give one of the same seeds")
    alike = [difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio() for one, other in pairs]
    return {
        "questions": len(pairs),
        "equal": sum(one == other for one, other in pairs) / len(pairs),
        "words_alike": sum(alike) / len(alike),
    }
