"""What reviewers decided, applied: `python -m annotate apply PATCH`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from geopixel_edge.errors import GeoPixelError
from geopixel_edge.json_text import encode_json

from .errors import PatchError
from .finishing import RUN, finish
from .job import JOB
from .records import Sentence, describe, sentence_from
from .review import bracketed
from .write import ITEMS, Folder

FORMAT = 1
MAX_PATCH_BYTES = 64 << 20
DECISIONS = ("keep", "fix", "drop")
_PHRASE = re.compile(r"\[([^\[\]]*)\]")


def apply(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Apply a patch to the data set above it, or at `root`: its records, its files, its index and pages.

    Everything is checked before anything is written. Where two reviewers decide otherwise of one sentence it is to be
    reviewed again; their agreement, Cohen's kappa over the sentences both saw, is returned. PatchError for a patch that
    does not fit.
    """
    patch, base = _read(path), root or _root_of(path)
    job = json.loads((base / JOB).read_bytes())
    folder = Folder(base, job["split"], "apply")
    if not (base / RUN).is_file():
        raise PatchError(f"{base}: is not annotated to its end; finish the run before its review is applied")
    changed: dict[str, dict[str, Any]] = {}
    for number, one in enumerate(patch["decisions"]):
        name = str(one.get("item")) if isinstance(one, dict) else ""
        record = changed.get(name) or (folder.record(name) if re.fullmatch(r"[\w.-]+", name) else None)
        if record is None:
            raise PatchError(f"{path}: decisions[{number}] is of picture {name!r}, which is not here; remove it")
        _decide(record, one, str(patch["reviewer"]), f"{path}: decisions[{number}]")
        changed[name] = record
    described = {name: _describe(record, path) for name, record in changed.items()}
    for name, record in changed.items():
        folder.write_data(name, described[name])
        folder.put(folder.record_path(name), encode_json(record, indent=1))
    names = sorted(one.stem for one in (base / ITEMS).glob("*.json"))
    finish(folder, names, json.loads((base / RUN).read_bytes()))
    return {
        "pictures": len(changed),
        "sentences": len(patch["decisions"]),
        "reviewer": patch["reviewer"],
        "agreement": agreement([folder.record(name) or {} for name in names]),
    }


def _root_of(path: Path) -> Path:
    for folder in path.resolve().parents:
        if (folder / JOB).is_file():
            return folder
    raise PatchError(f"{path}: lies in no data set's folder; move it there, beside the page it was saved from")


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_PATCH_BYTES:
            raise PatchError(f"{path}: is larger than {MAX_PATCH_BYTES} bytes; it is no patch of a review page")
        found = json.loads(path.read_bytes())
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise PatchError(f"{path}: holds half a surrogate pair, which no file can; correct its text") from None
    except OSError as error:
        raise PatchError(f"{path}: cannot be read ({error.strerror}); give the file that a review page saved") from None
    except (ValueError, RecursionError) as error:
        raise PatchError(f"{path}: is no JSON ({str(error)[:200]}); save it again from the review page") from None
    whole = isinstance(found, dict) and found.get("format") == FORMAT and isinstance(found.get("decisions"), list)
    if not whole or not isinstance(found.get("reviewer"), str) or not found["reviewer"].strip():
        raise PatchError(f"{path}: is no patch of format {FORMAT} with a reviewer; save it again from the review page")
    return dict(found)


def _decide(record: dict[str, Any], one: dict[str, Any], reviewer: str, what: str) -> None:
    """Set one sentence's decision in a record."""
    place, decision = one.get("sentence"), one.get("decision")
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(record["sentences"]):
        raise PatchError(f"{what} is of sentence {place!r}, which is not there; save the patch again from its page")
    if decision not in DECISIONS:
        raise PatchError(f"{what}: decision={decision!r} is none of {', '.join(DECISIONS)}; correct it")
    sentence = record["sentences"][place]
    if one.get("was") not in (bracketed(sentence), sentence.get("before")):
        raise PatchError(f"{what}: the sentence now reads {bracketed(sentence)!r}; review its page anew")
    if decision == "fix":
        _fix(sentence, one.get("text"), reviewer, what)
    votes = sentence.setdefault("votes", {})
    votes[reviewer] = decision
    final = {"drop" if vote == "drop" else "keep" for vote in votes.values()}
    sentence["decision"] = sentence["state"] = final.pop() if len(final) == 1 else "review"
    record["reviewers"] = sorted({*record["reviewers"], reviewer})


def _fix(sentence: dict[str, Any], text: object, reviewer: str, what: str) -> None:
    """Another wording: as many phrases in square brackets as there are masks."""
    phrases = _PHRASE.findall(text) if isinstance(text, str) else []
    bare = _PHRASE.sub("", text) if isinstance(text, str) else ""
    fits = len(phrases) == len(sentence["masks"]) and all(phrase.strip() for phrase in phrases)
    if not isinstance(text, str) or not text.strip() or not fits or re.search(r"[<>{}\[\]]", bare + "".join(phrases)):
        raise PatchError(
            f"{what}: text={text!r} needs {len(sentence['masks'])} phrases in square brackets and no others; correct it"
        )
    numbers = iter(range(len(phrases)))
    fixed = {
        "text": " ".join(_PHRASE.sub(lambda _: f"{{{next(numbers)}}}", text).split()),
        "phrases": [" ".join(phrase.split()) for phrase in phrases],
    }
    if all(sentence[name] == value for name, value in fixed.items()):
        return
    sentence["before"] = bracketed(sentence)
    sentence.update(fixed)
    sentence["edits"] = [*sentence["edits"], f"fixed by {reviewer}"]


def _describe(record: dict[str, Any], path: Path) -> Any:
    """The description of a record after its decisions, and its state; a smoothed text no longer stands."""
    try:
        sentences: Sequence[Sentence] = [sentence_from(one) for one in record["sentences"]]
        kept = [replace(one) for one in sentences]
        described = describe(kept)
    except (GeoPixelError, KeyError, TypeError, ValueError) as error:
        raise PatchError(
            f"{path}: picture {record.get('id')!r} cannot be told so ({error}); correct its text"
        ) from None
    states = [one.state for one in sentences]
    record["state"] = "drop" if not described.masks else "review" if "review" in states else "keep"
    record["description"], record["smooth"] = described.text if described.masks else "", None
    return described


def agreement(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Cohen's kappa of each pair of reviewers over the sentences that both decided."""
    votes = [one["votes"] for record in records for one in record.get("sentences", []) if one.get("votes")]
    names = sorted({name for one in votes for name in one})
    found: dict[str, float] = {}
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            pairs = [(one[first], one[second]) for one in votes if first in one and second in one]
            if pairs:
                found[f"{first}, {second}"] = round(kappa(pairs), 4)
    return found


def kappa(pairs: Sequence[tuple[str, str]]) -> float:
    """Cohen's kappa of two reviewers' words; 1 where chance alone would agree always and they do."""
    agreed = sum(a == b for a, b in pairs) / len(pairs)
    chance = sum(
        (sum(a == word for a, _ in pairs) / len(pairs)) * (sum(b == word for _, b in pairs) / len(pairs))
        for word in DECISIONS
    )
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)
