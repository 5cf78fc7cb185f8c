"""What the command line writes: answers while they are generated, and tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..answer import Event, Region
    from ..timings import Timings

# Control characters in a model's text or a file's name must not reach a terminal, which would obey them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNDERLINE, _RESET = "\x1b[4m", "\x1b[0m"


def printable(text: str) -> str:
    """`text` with control characters, newline and tab excepted, replaced by U+FFFD."""
    return _CONTROL.sub("\ufffd", text)


def human_bytes(count: int) -> str:
    """Bytes with three digits and a decimal unit: "1.07 MB"."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def human_span(seconds: float) -> str:
    """Hours, minutes and seconds: "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Columns two spaces apart; the first `left` ones aligned to the left, the rest to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    texts = []
    for line in lines:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def wants_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colours (https://no-color.org is honoured)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Painter:
    """Text in the colours of regions, or plain."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def paint(self, text: str, region: int, *, underlined: bool = False) -> str:
        """`text` in the colour that region number `region` (from 0) has in every output."""
        if not self.coloured:
            return text
        from ..writers.colours import colour

        red, green, blue = colour(region)
        return f"\x1b[38;2;{red};{green};{blue}m{_UNDERLINE if underlined else ''}{text}{_RESET}"


def write_stream(events: Iterable[Event], stream: TextIO, painter: Painter) -> None:
    """Write an answer while it is generated: phrases underlined, and a number once their mask is known.

    A phrase has the colour of the next region, which is its own unless the model gives it none; the number that
    follows, the one of the table of regions, is always right.
    """
    from ..answer import MaskFound, Phrase

    regions = 0
    for event in events:
        if isinstance(event, MaskFound):
            stream.write(painter.paint(f"[{regions + 1}]", regions))
            regions += 1
        elif isinstance(event, Phrase):
            stream.write(painter.paint(printable(event.text), regions, underlined=True))
        else:
            stream.write(printable(event.text))
        stream.flush()
    stream.write("\n")


def regions_table(regions: Sequence[Region], painter: Painter) -> str:
    """One line per region: number, phrase, box, area and score; centre and area on the ground where they are known."""
    from ..writers.located import area, position

    rows, placed = [], any(region.place is not None and region.place.centroid for region in regions)
    for number, region in enumerate(regions, 1):
        x_px, y_px, w_px, h_px = region.bbox
        phrase = printable(" ".join(region.phrase.split())) or "-"
        row = (str(number), phrase, f"{w_px} x {h_px} at {x_px}, {y_px}", str(region.area_px), f"{region.score:.3f}")
        centre = region.place and region.place.centroid
        size = region.place.area_m2 if region.place else None
        ground = (position(*centre) if centre else "-", area(size) if size is not None else "-")
        rows.append((*row, *(ground if placed else ())))
    header = ("region", "phrase", "box, px", "area, px", "score", *(("centre", "area") if placed else ()))
    head, *lines = table(header, rows, left=2).split("\n")
    return "\n".join([head, *(painter.paint(line, index) for index, line in enumerate(lines))])


def timings_table(timings: Timings) -> str:
    """Seconds and bytes by stage, and the tokens read and written."""
    rows = [
        (name, str(cost.runs), f"{cost.time_s:.3f}", human_bytes(cost.output_bytes))
        for name, cost in timings.blocks.items()
    ]
    rate = timings.decode_tokens_per_s
    first = f"{timings.first_token_s:.3f} s" if timings.first_token_s is not None else "never"
    summary = (
        f"{timings.prompt_tokens} prompt tokens ({timings.reused_tokens} reused), {timings.new_tokens} new, "
        f"{timings.accepted_tokens} of them drafted; first token {first}, whole answer {timings.total_s:.3f} s"
    )
    if rate is not None:
        summary += f", {rate:.1f} tokens/s"
    return f"{table(('stage', 'runs', 'time, s', 'output'), rows)}\n{summary}"
