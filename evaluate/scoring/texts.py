"""CIDEr and METEOR of a whole split; the name of a figure says which tokeniser it had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..metrics import bootstrap
from ..metrics.captions import cider, simple_tokens
from ..metrics.java import Java


def score(references: Sequence[str], captions: Sequence[str], java: Java | str) -> dict[str, Any]:
    """Figure -> value (tables print a hundred times that) and interval, or why it was not computed.

    The interval of CIDEr keeps the split's own weights of n-grams.
    """
    if isinstance(java, str):
        tokens = [[simple_tokens(text) for text in texts] for texts in (references, captions)]
    else:
        tokens = [java.tokenise(texts) for texts in (references, captions)]
    each = cider([[text] for text in tokens[0]], tokens[1])
    name = "CIDEr (simple tokeniser)" if isinstance(java, str) else "CIDEr"
    found: dict[str, Any] = {name: {"value": float(each.mean()), "interval": bootstrap.mean_interval(each)}}
    if isinstance(java, str):
        return {**found, "METEOR": {"value": None, "interval": None, "missing": f"not computed: {java}"}}
    whole, _ = java.meteor([[text] for text in tokens[0]], tokens[1])
    return {**found, "METEOR": {"value": whole, "interval": None}}
