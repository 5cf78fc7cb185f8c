"""QGIS's style of a layer: filled by phrase, see-through, in the colours that every output of the project has."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from ..colours import colour

_OPACITY = 102  # of 255: 40 %


def qml(phrases: Sequence[str], field: str = "phrase") -> str:
    """A QML document that colours features by `field`; phrases that are not listed are grey."""
    categories, symbols = [], []
    for number, phrase in enumerate((*phrases, "")):
        red, green, blue = colour(number) if number < len(phrases) else (160, 160, 160)
        label = phrase or "other"
        categories.append(
            f'<category symbol="{number}" value={quoteattr(phrase)} label={quoteattr(label)} render="true"/>'
        )
        symbols.append(
            f'<symbol type="fill" name="{number}" alpha="1"><layer class="SimpleFill" enabled="1">'
            '<Option type="Map">'
            f'<Option type="QString" name="color" value="{red},{green},{blue},{_OPACITY}"/>'
            f'<Option type="QString" name="outline_color" value="{red},{green},{blue},255"/>'
            '<Option type="QString" name="outline_width" value="0.4"/>'
            '<Option type="QString" name="style" value="solid"/>'
            "</Option></layer></symbol>"
        )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        '<qgis version="3.28" styleCategories="Symbology">'
        f'<renderer-v2 type="categorizedSymbol" attr={quoteattr(field)}>'
        f"<categories>{''.join(categories)}</categories><symbols>{''.join(symbols)}</symbols></renderer-v2></qgis>"
    )
