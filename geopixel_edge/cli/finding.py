"""One line of `geopixel-edge doctor`'s report, and the report as text and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .terminal import table


@dataclass(frozen=True)
class Finding:
    """`ok` False is something that stops the pipeline; `remedy` says what to do."""

    name: str
    value: str
    ok: bool = True
    remedy: str = ""


def describe(findings: list[Finding]) -> str:
    """The report as a table."""
    rows = [("ok" if finding.ok else "MISSING", finding.name, finding.value, finding.remedy) for finding in findings]
    return table(("", "what", "found", "remedy"), rows, left=4)


def document(findings: list[Finding]) -> dict[str, Any]:
    """The report as plain values for JSON."""
    return {"ok": all(finding.ok for finding in findings), "findings": [asdict(finding) for finding in findings]}
