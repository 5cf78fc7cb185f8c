"""`docs/manifest.schema.json` is what the code declares, and the bundled engine's manifest is one by it."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from geopixel_edge.engine.manifest import CHUNK_BYTES, SCHEMA_VERSION, Manifest

from ..support.documented import ROOT

PAGE = ROOT / "docs" / "manifest.schema.json"


def declared() -> dict[str, Any]:
    """JSON Schema 2020-12 of `manifest.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"manifest.json of a GeoPixel Edge engine directory, schema {SCHEMA_VERSION}",
        **_dedented(msgspec.json.schema(Manifest)),
    }


def _dedented(value: Any) -> Any:
    """Descriptions are docstrings, of which newer interpreters keep no indentation."""
    if isinstance(value, dict):
        return {key: inspect.cleandoc(one) if key == "description" else _dedented(one) for key, one in value.items()}
    return [_dedented(one) for one in value] if isinstance(value, list) else value


def test_the_page_is_what_the_code_declares() -> None:
    shown = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    current = json.dumps(declared(), indent=1) + "\n"
    assert shown == current, (
        "write it again: python -c 'from tests.unit.test_manifest_schema import *; "
        'PAGE.write_text(json.dumps(declared(), indent=1) + "\\n")\''
    )


def test_it_refuses_what_the_code_refuses() -> None:
    schema = json.loads(PAGE.read_text(encoding="utf-8"))
    records = schema["$defs"]
    assert {"Manifest", "FileSpec", "BlockSpec", "Precision", "Footprint", "Sizes", "SpecialTokens"} <= records.keys()
    assert all(record["additionalProperties"] is False for record in records.values())
    assert set(records["FileSpec"]["required"]) == {"path", "bytes", "sha256"}
    assert "family" in records["Manifest"]["required"]


def test_the_specification_names_every_field() -> None:
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    for name, record in declared()["$defs"].items():
        missing = [field for field in record["properties"] if f"`{field}`" not in page]
        assert missing == [], f"docs/format.md does not say what {name} has"
    assert f"{CHUNK_BYTES:,} bytes" in page
