"""The review pages: 50 pictures each, every sentence with its masks, facts and findings; nothing is fetched or sent.

They hold every picture that has something to review, and of the others a part by hash; of the test split all.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any

from PIL import Image

from geopixel_edge.masks import Mask
from geopixel_edge.writers.colours import hex_colour
from geopixel_edge.writers.outlines import svg_path
from geopixel_edge.writers.report_page import STYLE

from .review_page import SCRIPT
from .review_page import STYLE as OWN_STYLE
from .settings import REVIEW_PART, SECOND_PART
from .write import REVIEW, Folder

PER_PAGE = 50
_SHOWN_SIDE_PX, _QUALITY = 800, 82
_UNTOLD = ("level", "classes", "class_name", "count_word")
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


def sampled(folder: Folder, names: Sequence[str]) -> list[str]:
    """The pictures that a reviewer sees."""
    found = []
    for name in names:
        record = folder.record(name) or {}
        if record.get("state") != "drop" and (
            folder.split == "test" or record.get("state") == "review" or _part(name) < REVIEW_PART
        ):
            found.append(name)
    return found


def write_pages(folder: Folder, names: Sequence[str]) -> None:
    """Write all pages anew, those for a second reviewer too, and remove those of an earlier, longer run."""
    chosen = sampled(folder, names)
    wanted = set()
    for kind, shown in (
        ("page", chosen),
        ("second", [name for name in chosen if in_second(name)]),
    ):
        for number, start in enumerate(range(0, len(shown), PER_PAGE), 1):
            path = folder.root / REVIEW / f"{kind}_{number:03d}.html"
            wanted.add(path)
            folder.put(path, page(folder, shown[start : start + PER_PAGE], path.stem))
    for path in (folder.root / REVIEW).glob("*_[0-9]*.html"):
        if path not in wanted:
            path.unlink()


def in_second(name: str) -> bool:
    """Whether a picture that is shown is one for a second reviewer."""
    return _part(f"{name} again") < SECOND_PART


def _part(words: str) -> float:
    """From 0 to 1, evenly spread and the same each time."""
    return int(hashlib.sha256(words.encode()).hexdigest()[:8], 16) / 2**32


def page(folder: Folder, names: Sequence[str], title: str) -> bytes:
    """One page in UTF-8."""
    body = "".join(_picture(folder, name) for name in names)
    style = STYLE + OWN_STYLE
    allowed = "'sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode() + "'"
    policy = f"default-src 'none';img-src data:;style-src 'unsafe-inline';script-src {allowed}"
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>Review, {title.replace('_', ' ')}</title><style>{style}</style>\n"
        f"<header><b><i></i>Review</b><ul><li>{title.replace('_', ' ')}</li><li>{len(names)} pictures</li>"
        "<li>keys: 1 keep, 2 fix, 3 drop, arrows move</li></ul>"
        "<label class=who>Reviewer <input id=who autocomplete=off maxlength=60></label>"
        "<button id=save type=button disabled>Save decisions (<span id=count>0</span>)</button></header>\n"
        f"<main class=review data-page={title}>{body}</main>\n<script>{SCRIPT}</script></html>\n"
    ).encode()


def _picture(folder: Folder, name: str) -> str:
    record = folder.record(name) or {}
    with Image.open(folder.picture(name)) as image:
        image = image.convert("RGB")
        scale = min(1.0, _SHOWN_SIDE_PX / max(image.size))
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        stream = io.BytesIO()
        image.resize(size).save(stream, "JPEG", quality=_QUALITY)
    shown = base64.b64encode(stream.getvalue()).decode("ascii")
    total = sum(len(one["masks"]) for one in record["sentences"])
    paths, rows = [], []
    for place, one in enumerate(record["sentences"]):
        for rle in one["masks"]:
            path = svg_path(Mask.from_coco(rle), size, total, 40_000)
            paths.append(f'<path class=mask data-row={place} d="{path}" style="--c:{hex_colour(place)}"/>')
        rows.append(_row(one, place, hex_colour(place)))
    return (
        f'<section class="item card" data-item="{_text(name)}"><figure>'
        f'<div class=stage style="--ratio:{size[0] / size[1]:.5f}"><img alt="" src="data:image/jpeg;base64,{shown}">'
        f'<svg viewBox="0 0 {size[0]} {size[1]}">{"".join(paths)}</svg>'
        f"</div></figure><div><h2>{_text(name)}</h2><ol>{''.join(rows)}</ol></div></section>\n"
    )


def _row(one: dict[str, Any], place: int, colour: str) -> str:
    said = bracketed(one)
    facts = ", ".join(_fact(key, value) for key, value in one["facts"].items() if key not in _UNTOLD)
    findings = "; ".join(f"{found['name']}: {found['reason']}" for found in one["findings"])
    words = " ".join([*one["edits"], *([findings] if findings else [])])
    return (
        f'<li class="row {one["state"]}" tabindex=0 data-row={place} data-was="{_text(json.dumps(said))}" '
        f'data-state={one["state"]} style="--c:{colour}"><p>{_text(said)}</p>'
        f"<small>{_text(one['level'])} &middot; {_text(facts)}</small>"
        + (f"<small class=found>{_text(words)}</small>" if words else "")
        + "<textarea hidden rows=2></textarea><span class=keys><button type=button data-do=keep>1 keep</button>"
        "<button type=button data-do=fix>2 fix</button><button type=button data-do=drop>3 drop</button></span></li>"
    )


def bracketed(one: dict[str, Any]) -> str:
    """A sentence of a record as a reviewer reads and edits it: its phrases in square brackets."""
    text: str = one["text"]
    for slot, phrase in enumerate(one["phrases"]):
        text = text.replace(f"{{{slot}}}", f"[{phrase}]")
    return text


def _fact(key: str, value: Any) -> str:
    """A fact as the page shows it."""
    if key == "share":
        return f"{value:.2%} of the picture"
    return f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}"


def _text(words: str) -> str:
    """Text that a page shows as it is."""
    return escape(words.translate(_CONTROLS), quote=True)
