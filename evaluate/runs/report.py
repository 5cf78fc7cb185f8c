"""report.json and report.html: figures side by side with their reasons, curves, and the worst and best answers.

Both say nothing of where or when: the same predictions give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..files import write_bytes, write_json
from .charts import bars, curve
from .pictures import Picture, data_url

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child,td.w{text-align:left}svg{width:420px;font-size:11px}figure{margin:1em 0}"
    "img{max-width:100%}figcaption{font-size:13px;white-space:pre-wrap}.n{background:#fe9;padding:.3em .6em}"
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(out: Path, report: Mapping[str, Any], pictures: Sequence[Picture]) -> tuple[Path, Path]:
    """Both files in `out`; OutputError where they cannot be written."""
    page = html(report, pictures)
    paths = out / "report.json", out / "report.html"
    write_json(paths[0], report, indent=1)
    write_bytes(paths[1], page.encode("utf-8", "replace"))
    return paths


def percent(value: float | None) -> str:
    """A share as tables print it, with one more digit: "21.64"."""
    return "-" if value is None else f"{100 * value:.2f}"


def with_interval(found: Mapping[str, Any]) -> str:
    """ "21.64 (20.10 to 23.05)", or why there is none."""
    if found["value"] is None:
        return str(found.get("missing", "-"))
    bounds = found.get("interval")
    return percent(found["value"]) + (f" ({percent(bounds[0])} to {percent(bounds[1])})" if bounds else "")


def labelled(name: str, similarity: str | None) -> str:
    """A figure's name with that of the similarity it counts by: "recall (words)"."""
    return f"{name} ({similarity})" if similarity and name.split(",")[0] in ("recall", "precision", "F1") else name


def rows(report: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """The tables of figures: title, header and rows, figures times 100."""
    if report["task"] == "rrsisd":
        return [_rrsisd_rows(report)]
    said = [[name, with_interval(found)] for name, found in report["captions"].items()]
    return [("Captions", ["figure", "value"], said), *(_part_rows(report, part) for part in report["parts"])]


def _part_rows(report: Mapping[str, Any], part: str) -> tuple[str, list[str], list[list[str]]]:
    found, similarity = report["parts"][part], report["similarity"]
    rasters = list(found["published"])
    lines = []
    for name, value in found["strict"].items():
        published = [_as_published(found, raster, name) for raster in rasters]
        lines.append([labelled(name, similarity), *published, with_interval(value), report["reasons"].get(name, "")])
    header = ["figure", *(f"published, {raster} (95 %)" for raster in rasters), "strict (95 %)", "why they differ"]
    bites = ", ".join(f"{found['published'][raster]['stopped_by_phrase']} ({raster})" for raster in rasters)
    return f"{part}: {found['images']} images; the phrase ended the search in {bites}", header, lines


def _as_published(found: Mapping[str, Any], way: str, name: str) -> str:
    """One cell: a figure as published in one of its ways, with its interval."""
    return with_interval(
        {
            "value": found["published"][way].get(name),
            "interval": found["published_intervals"][way].get(name),
        }
    )


def _rrsisd_rows(report: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    lines = []
    for name, value in report["strict"].items():
        published = [_as_published(report, size, name) for size in report["published"]]
        reason = report["reasons"]["P@t" if name.startswith("P@") else name]
        lines.append([name, *published, with_interval(value), reason])
    sizes = (f"published, {size} (95 %)" for size in report["published"])
    header = ["figure", *sizes, "strict (95 %)", "why they differ"]
    counts = f"{report['without_mask']} without a mask, {report['several_masks']} with several"
    return f"{report['expressions']} expressions, {counts}", header, lines


def html(report: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    """One page that fetches nothing; every text is escaped."""
    title = f"{report.get('dataset', report['task'])}: {report['images']} images"
    parts = [f"<h1>{escape(title)}</h1>"]
    if report["partial"]:
        parts.append(note("Not every image has a prediction: no figure here is one of the whole split."))
    parts += [note(f"{one['count']} of {one['what']}") for one in report["exclusions"]]
    parts += [f"<h2>{escape(name)}</h2>{table(header, lines)}" for name, header, lines in rows(report)]
    parts += _charts(report)
    parts += [_group(kind, groups, report.get("similarity")) for kind, groups in report["groups"].items()]
    parts += [figure(picture) for picture in pictures]
    facts = [[name, str(value)] for name, value in report.items() if isinstance(value, (str, int, float))]
    return page(title, [*parts, "<h2>Settings</h2>", table(["", ""], facts)])


def note(text: str) -> str:
    """A line that is to be seen."""
    return f'<p class="n">{escape(text)}</p>'


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Cells escaped; long ones are words and stand to the left."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td{' class=w' if len(one) > 40 else ''}>{escape(one)}</td>" for one in line) + "</tr>"
        for line in lines
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _charts(report: Mapping[str, Any]) -> list[str]:
    found = []
    if report.get("curve"):
        points = [(at / 100, value) for at, value in enumerate(report["curve"])]
        found.append(curve(points, "recall", "precision at IoU 0.5, strict"))
    figure = "recall" if report["task"] == "rsgcg" else "P@0.5"
    label = labelled(figure, report.get("similarity"))
    sizes = [(name, float(one[figure]), int(one["count"])) for name, one in report["groups"]["size"].items()]
    return [
        *found,
        bars([(name.replace(" px", ""), value, count) for name, value, count in sizes], f"{label} by size"),
    ]


def _group(kind: str, groups: Mapping[str, Mapping[str, Any]], similarity: str | None) -> str:
    names = [name for name in next(iter(groups.values()), {}) if name not in ("count", "intervals")]
    lines = [
        [group or "none", str(one["count"])]
        + [with_interval({"value": one[name], "interval": one["intervals"][name]}) for name in names]
        for group, one in groups.items()
    ]
    header = [kind, "count", *(labelled(name, similarity) for name in names)]
    return f"<h2>By {escape(kind)}, strict</h2>{table(header, lines)}"


def figure(picture: Picture) -> str:
    told = "\n".join(escape(text) for text in picture.texts)
    return (
        f'<figure><img alt="{escape(picture.title)}" src="{data_url(picture)}">'
        f"<figcaption><b>{escape(picture.title)}</b>\n{told}</figcaption></figure>"
    )
