"""report.html: one page that needs nothing else; a phrase lights its mask, and a mask its phrase."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import located
from .colours import hex_colour
from .ground_marks import ground_marks
from .outlines import MAX_CORNERS, svg_path
from .page import CONTROL_BAR, as_html, data_url, jpeg, page
from .report_page import SCRIPT, STYLE

if TYPE_CHECKING:
    from ..rasters.place import Place
    from ..regions import Region

# Below this side an enlarged image shows its pixels instead of a blur.
SMALL_SIDE_PX = 400

Document = Mapping[str, Any]  # as of `Answer.to_dict`


class Detail(NamedTuple):
    """How much of an image and its masks a page holds."""

    side_px: int = 1600
    jpeg_quality: int = 90
    corners: int = MAX_CORNERS


def encode(
    document: Document,
    regions: Sequence[Region],
    pixels: NDArray[np.uint8] | None,
    missing: str = "",
    detail: Detail = Detail(),  # noqa: B008 - immutable
    place: Place | None = None,
) -> bytes:
    """The page in UTF-8 for what answer.json holds, its regions, and the image's uint8 (H, W, 3) pixels.

    `place` is where the image is. `missing` says why the pixels are not there: the masks are shown on plain ground
    then.
    """
    size = document["image_size"]
    figure = _figure(regions, (size[0], size[1]), pixels, detail, ground_marks(place)) if size else ""
    notes = [*document["notes"], *([f"The image is not shown. {missing}"] if missing else [])]
    body = (
        f'<main class="{"split" if figure else "plain"}">{figure}'
        f"<div>{_reading(document, regions, notes)}{_details(document)}</div></main>"
    )
    title = (document["query"] or document["text"] or "Answer")[:90]
    return page(title, _facts(document), body, STYLE, [SCRIPT])


def _facts(document: Document) -> str:
    count, size, total_s = len(document["regions"]), document["image_size"], document["timings"]["total_s"]
    facts = [f"{count} region{'' if count == 1 else 's'}", f"{len(document['token_ids'])} tokens"]
    if size:
        facts.insert(0, f"{size[0]:,} \u00d7 {size[1]:,} px")
    if total_s > 0:
        facts.append(f"{total_s:.2f} s")
    if document["finish_reason"] != "eos":
        facts.append(f"stopped by {as_html(document['finish_reason'])}")
    return "".join(f"<li>{fact}</li>" for fact in facts)


# --- The image ------------------------------------------------------------------------------------------------


def _figure(
    regions: Sequence[Region], size: tuple[int, int], pixels: NDArray[np.uint8] | None, detail: Detail, marks: str
) -> str:
    width_px, height_px = size
    scale = min(1.0, detail.side_px / max(size))
    shown = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    # Small masks lie above large ones, so that each can be pointed at.
    order = sorted(range(len(regions)), key=lambda index: -regions[index].area_px)
    paths = "".join(_path(index, regions[index], shown, len(regions), detail.corners) for index in order)
    tags = "".join(_tag(index, region, size) for index, region in enumerate(regions))
    masks = f"{len(regions)} mask{'' if len(regions) == 1 else 's'}"
    small = " small" if max(size) < SMALL_SIDE_PX else ""
    alt = f"The image asked about, {width_px} by {height_px} pixels, with {masks}"
    image = (
        f'<img alt="{alt}" src="{data_url(jpeg(pixels, shown, detail.jpeg_quality))}">' if pixels is not None else ""
    )
    return (
        f'<figure><div class="stage{small}" style="--ratio:{shown[0] / shown[1]:.5f}">'
        f'{image}<svg viewBox="0 0 {shown[0]} {shown[1]}" preserveAspectRatio="none" aria-hidden="true"><mask id="cut">'
        '<rect width="100%" height="100%" fill="#fff"/><g class="holes" fill-rule="evenodd"></g></mask>'
        f'<rect class="veil" width="100%" height="100%" mask="url(#cut)"/>{paths}</svg>{tags}{marks}</div>'
        f"{CONTROL_BAR if regions else ''}</figure>"
    )


def _path(index: int, region: Region, shown: tuple[int, int], count: int, corners: int) -> str:
    path = svg_path(region.mask, shown, count, corners)
    return f'<path class="mask" data-regions="{index}" style="--c:{hex_colour(index)}" d="{path}"/>' if path else ""


def _tag(index: int, region: Region, image_size: tuple[int, int]) -> str:
    if not region.area_px:
        return ""
    x_px, y_px, w_px, h_px = region.bbox
    left = min(88.0, max(12.0, 100 * (x_px + w_px / 2) / image_size[0]))
    top, bottom = 100 * y_px / image_size[1], 100 * (y_px + h_px) / image_size[1]
    # Above its box; below it at the image's upper edge; inside where the box leaves room for neither.
    place, below = (top, "") if top > 9 else (bottom, " below") if bottom < 91 else (0.0, " below")
    style = f"--c:{hex_colour(index)};left:{left:.2f}%;top:{place:.2f}%"
    name = f"{index + 1}<span> {as_html(region.phrase)}</span>" if region.phrase else f"Region {index + 1}"
    return f'<div class="tag{below}" data-regions="{index}" style="{style}">{name}</div>'


# --- The text -------------------------------------------------------------------------------------------------


def _reading(document: Document, regions: Sequence[Region], notes: Sequence[str]) -> str:
    told = "".join(f"<li>{as_html(note)}</li>" for note in notes)
    question = f'<h1 dir="auto">{as_html(document["query"])}</h1>' if document["query"] else ""
    text = f'<p class="answer" dir="auto">{_marked(document["text"], regions)}</p>'
    if not document["text"] and not regions:
        text = '<p class="answer none">The model gave no text.</p>'
    listed = "".join(_row(index, region, document["image_size"]) for index, region in enumerate(regions))
    table = f'<section class="card"><h2>Regions</h2><ol class="regions">{listed}</ol></section>' if listed else ""
    warning = f'<ul class="notes">{told}</ul>' if told else ""
    return f'<article class="card">{question}{warning}{text}</article>{table}'


def _marked(text: str, regions: Sequence[Region]) -> str:
    """The text with every phrase that has a region marked; a region without a phrase leaves its number."""
    by_span: dict[tuple[int, int], list[int]] = {}
    for index, region in enumerate(regions):
        by_span.setdefault(region.span, []).append(index)
    out, at = [], 0
    for (start, end), indices in sorted(by_span.items()):
        if start < at or end > len(text):
            continue
        out.append(as_html(text[at:start]))
        words = [(text[start:end], indices, "")] if end > start else [(str(i + 1), [i], " pin") for i in indices]
        out += [_phrase(*word) for word in words]
        out.append(_placed([regions[index] for index in indices]))
        at = end
    return "".join(out) + as_html(text[at:])


def _placed(regions: Sequence[Region]) -> str:
    """The coordinates behind a phrase."""
    said = located.places(regions)
    return f' <span class="where">{as_html(said)}</span>' if said else ""


def _phrase(words: str, indices: Sequence[int], kind: str) -> str:
    share = 100 / len(indices)
    stops = ",".join(f"{hex_colour(i)} 0 {share * (n + 1):.1f}%" for n, i in enumerate(indices))
    label = f' aria-label="Region {words}"' if kind else ""
    return (
        f'<span class="phrase{kind}" role="button" tabindex="0" aria-pressed="false"{label} '
        f'data-regions="{" ".join(map(str, indices))}" '
        f'style="--c:{hex_colour(indices[0])};--line2:linear-gradient(90deg,{stops})">{as_html(words)}</span>'
    )


def _row(index: int, region: Region, image_size: Sequence[int] | None) -> str:
    share = f" \u00b7 {100 * region.area_px / math.prod(image_size):.2g} %" if image_size else ""
    size = f"{region.area_px:,} px{share}" if region.area_px else "empty mask"
    if said := located.where(region):
        size += f" \u00b7 {said[1:-1]}"
    name = as_html(region.phrase) or f"<em>Region {index + 1}</em>"
    score, bar = "", ""
    if math.isfinite(region.score):
        score = f'<span class="score" title="Estimated IoU">{region.score:.2f}</span>'
        bar = f'<span class="bar"><i style="width:{100 * min(1.0, max(0.0, region.score)):.0f}%"></i></span>'
    return (
        f'<li><button type="button" data-regions="{index}" aria-pressed="false" style="--c:{hex_colour(index)}">'
        f'<span class="dot">{index + 1}</span><span class="name">{name}</span>{score or "<span></span>"}'
        f'<span class="size">{size}</span>{bar}</button></li>'
    )


def _details(document: Document) -> str:
    timings = dict(document["timings"])
    blocks: dict[str, dict[str, Any]] = timings.pop("blocks", {})
    longest = max((cost["time_s"] for cost in blocks.values()), default=0) or 1
    stages = "".join(
        f'<tr><th>{as_html(stage)}</th><td><span class="bar" style="display:block"><i style="width:'
        f'{100 * cost["time_s"] / longest:.0f}%"></i></span></td><td class="n">{cost["runs"]} \u00d7</td>'
        f'<td class="n">{cost["time_s"]:.3f} s</td></tr>'
        for stage, cost in blocks.items()
    )
    times = f"<h2>Time</h2><table>{stages}</table>" if stages else ""
    facts = {"finish reason": document["finish_reason"], **timings, **document["provenance"]}
    rows = "".join(
        f'<tr><th>{as_html(str(key).replace("_", " "))}</th><td class="v">{as_html(_value(value))}</td></tr>'
        for key, value in facts.items()
        if value not in (None, [], "")
    )
    return (
        f'<details><summary>How this answer was made</summary><div class="card"><h2>Response</h2>'
        f"<pre>{as_html(document['response'])}</pre>{times}<h2>Provenance</h2><table>{rows}</table></div></details>"
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
