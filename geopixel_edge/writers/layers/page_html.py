"""The markup of a scene's page: the drawing, the script and the style of report.html, and crops that open."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...rasters.region_place import RegionPlace
from ..colours import hex_colour
from ..ground_marks import ground_marks
from ..page import CONTROL_BAR, as_html, data_url, jpeg, page
from ..report_page import SCRIPT, STYLE
from .feature import Polygons, SceneObject, outlines
from .sheet import GENERATOR, Crop, Sheet, Shown

MOST_LISTED = 300
_QUALITY = 85
# A browser stays smooth below this many corners in all.
_CORNERS = 300_000

CROP_STYLE = """
.crops{display:grid;gap:.6rem}
.crop{position:relative;margin:0;border-radius:10px;overflow:hidden;background:var(--line)}
.crop[hidden]{display:none}
.crop img,.crop svg{display:block;width:100%;height:auto}
.crop svg{position:absolute;inset:0;height:100%}
.crop .mask{fill-opacity:0;stroke-opacity:.45}
.crop .mask.lit{fill-opacity:.1;stroke-opacity:1;stroke-width:3}
.hint{margin:0;color:var(--soft);font-size:.88rem}
.regions{max-height:34rem;overflow:auto}
td .dot{display:inline-block;width:.75em;height:.75em;border-radius:3px;background:var(--c);margin-right:.5em}
"""

CROP_SCRIPT = """
(() => {
  const crops = [...document.querySelectorAll('.crop')];
  const hint = document.getElementById('hint');
  const said = hint ? hint.textContent : '';
  for (const part of document.querySelectorAll('[data-regions]')) {
    const open = () => {
      const crop = part.dataset.crop;
      if (part.closest('.crop')) return;
      for (const one of crops) one.hidden = one.id !== 'crop-' + crop;
      if (hint) hint.textContent = crop === undefined ? 'No crop of this one is kept on the page.' : said;
    };
    part.addEventListener('click', open);
    part.addEventListener('keydown', event => { if (event.key === 'Enter' || event.key === ' ') open(); });
  }
})();
"""


def render(sheet: Sheet) -> bytes:
    """The page in UTF-8."""
    width, height = sheet.layer.size_px
    windows = sheet.layer.record["windows"]
    facts = [f"{width:,} \u00d7 {height:,} px", f"{sheet.total:,} objects", f"{windows['done']:,} windows asked"]
    if windows["failed"]:
        facts.append(f"{windows['failed']:,} windows failed")
    cards = [_counts(sheet), _crops(sheet), _list(sheet)]
    body = f'<main class="split">{_figure(sheet)}<div>{"".join(cards)}{_record(sheet)}</div></main>'
    items = "".join(f"<li>{as_html(fact)}</li>" for fact in facts)
    title = f"{sheet.layer.path.name}: {', '.join(sheet.layer.phrases)}"[:90]
    return page(title, items, body, STYLE + CROP_STYLE, [SCRIPT, CROP_SCRIPT], GENERATOR)


def _colour(sheet: Sheet, phrase: str) -> str:
    return hex_colour(list(sheet.counts).index(phrase))


# --- The scene ----------------------------------------------------------------------------------------------------


def _figure(sheet: Sheet) -> str:
    width, height = sheet.layer.size_px
    scale = 1.0
    image = ""
    if sheet.overview is not None:
        rows, columns = sheet.overview.shape[:2]
        scale = columns / width
        alt = f"The scene, {width} by {height} pixels, with {len(sheet.shown)} objects"
        image = f'<img alt="{as_html(alt)}" src="{data_url(jpeg(sheet.overview, (columns, rows), _QUALITY))}">'
    shown = width * scale, height * scale
    most = _CORNERS // max(1, len(sheet.shown))
    paths = "".join(_path(sheet, one, one.outline, (0, 0), scale, most) for one in sheet.shown)
    return (
        f'<figure><div class="stage" style="--ratio:{width / height:.5f}">{image}'
        f'<svg viewBox="0 0 {shown[0]:.1f} {shown[1]:.1f}" preserveAspectRatio="none" aria-hidden="true">'
        '<mask id="cut"><rect width="100%" height="100%" fill="#fff"/><g id="holes" fill-rule="evenodd"></g></mask>'
        f'<rect class="veil" width="100%" height="100%" mask="url(#cut)"/>{paths}</svg>'
        f"{ground_marks(sheet.layer.place)}</div>{CONTROL_BAR if paths else ''}</figure>"
    )


def _path(
    sheet: Sheet, one: Shown, polygons: Polygons, corner: tuple[int, int], scale: float, most_corners: int
) -> str:
    """An object as a path, in pixels of a picture whose upper left is at `corner`, a box where it has too many."""
    rings = [ring for polygon in polygons for ring in polygon]
    if sum(map(len, rings)) > most_corners:
        x, y, w, h = one.thing.bbox
        points = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)]]
    else:
        points = [[(x, y) for x, y in ring[:-1].tolist()] for ring in rings]
    moves = "".join(
        "M" + "L".join(f"{(x - corner[0]) * scale:.6g} {(y - corner[1]) * scale:.6g}" for x, y in ring) + "z"
        for ring in points
    )
    return f'<path class="mask" {_links(one)} style="--c:{_colour(sheet, one.thing.phrase)}" d="{moves}"/>'


def _links(one: Shown) -> str:
    return f'data-regions="{one.thing.id}"' + ("" if one.crop is None else f' data-crop="{one.crop}"')


# --- Beside it ----------------------------------------------------------------------------------------------------


def _counts(sheet: Sheet) -> str:
    rows = "".join(
        f'<tr><td class="v"><span class="dot" style="--c:{_colour(sheet, phrase)}"></span>{as_html(phrase)}</td>'
        f'<td class="n">{number:,}</td></tr>'
        for phrase, number in sheet.counts.items()
    )
    notes = [*sheet.layer.record["notes"], *([f"The scene is not shown. {sheet.missing}"] if sheet.missing else [])]
    told = "".join(f"<li>{as_html(note)}</li>" for note in notes)
    described = sheet.layer.record.get("description")
    text = f'<p class="answer" dir="auto">{as_html(described)}</p>' if described else ""
    return (
        f'<article class="card"><h1 dir="auto">{as_html(sheet.layer.path.name)}</h1>'
        f'{f"""<ul class="notes">{told}</ul>""" if told else ""}{text}<table id="counts">{rows}</table></article>'
    )


def _crops(sheet: Sheet) -> str:
    if not sheet.crops:
        return ""
    most = _CORNERS // max(1, len(sheet.shown))
    figures = [_crop(sheet, number, crop, most) for number, crop in enumerate(sheet.crops)]
    return (
        '<section class="card crops"><h2>At full resolution</h2><p class="hint" id="hint">Click an object: its '
        f"surroundings are shown here in the scene's own pixels.</p>{''.join(figures)}</section>"
    )


def _crop(sheet: Sheet, number: int, crop: Crop, most_corners: int) -> str:
    x, y, w, h = crop.box
    paths = "".join(
        _path(sheet, one, outlines(one.thing.pieces, 0.0), (x, y), 1.0, most_corners)
        for one in sheet.shown
        if one.crop == number
    )
    alt = f"Columns {x} to {x + w} and rows {y} to {y + h} of the scene"
    return (
        f'<figure class="crop" id="crop-{number}" hidden><img alt="{alt}" width="{w}" height="{h}" '
        f'src="{data_url(crop.picture)}"><svg viewBox="0 0 {w} {h}" aria-hidden="true">{paths}</svg></figure>'
    )


def _list(sheet: Sheet) -> str:
    if not sheet.shown:
        return ""
    listed = "".join(_row(sheet, one) for one in _by_id(sheet.shown[:MOST_LISTED]))
    more = sheet.total - min(len(sheet.shown), MOST_LISTED)
    rest = f'<p class="hint">The largest are listed; {more:,} more are in the layer.</p>' if more else ""
    return f'<section class="card"><h2>Objects</h2><ol class="regions">{listed}</ol>{rest}</section>'


def _by_id(shown: Sequence[Shown]) -> list[Shown]:
    return sorted(shown, key=lambda one: one.thing.id)


def _row(sheet: Sheet, one: Shown) -> str:
    thing = one.thing
    score = f'<span class="score" title="Estimated IoU">{thing.score:.2f}</span>' if math.isfinite(thing.score) else ""
    return (
        f'<li><button type="button" {_links(one)} aria-pressed="false" style="--c:{_colour(sheet, thing.phrase)}">'
        f'<span class="dot">{thing.id}</span><span class="name">{as_html(thing.phrase)}</span>'
        f'{score or "<span></span>"}<span class="size">{as_html(_size(thing))}</span></button></li>'
    )


def _size(thing: SceneObject) -> str:
    place: RegionPlace | None = thing.place
    parts = [f"{thing.area_px:,} px"]
    if place is not None and place.area_m2 is not None:
        parts.append(f"{place.area_m2:,.4g} m\u00b2")
    if place is not None and place.centroid is not None:
        lon, lat = place.centroid
        parts.append(f"{abs(lat):.5f} {'N' if lat >= 0 else 'S'}, {abs(lon):.5f} {'E' if lon >= 0 else 'W'}")
    return " \u00b7 ".join(parts)


def _record(sheet: Sheet) -> str:
    known = {key: value for key, value in sheet.layer.record.items() if key not in ("notes", "description")}
    rows = "".join(
        f'<tr><th>{as_html(key.replace("_", " "))}</th><td class="v">{as_html(value)}</td></tr>'
        for key, value in known.items()
        if value not in (None, [], "", {})
    )
    return f'<details><summary>How this layer was made</summary><div class="card"><table>{rows}</table></div></details>'
