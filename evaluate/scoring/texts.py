"""CIDEr and METEOR of a whole split; the name of a figure says which tokeniser it had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..metrics.bootstrap import Evidence, Ratio, Whole, told
from ..metrics.captions import cider, simple_tokens
from ..metrics.java import Java


def score(references: Sequence[str], captions: Sequence[str], java: Java | str) -> dict[str, Any]:
    """Figure -> value (tables print a hundred times that) and interval, or why it was not computed."""
    found: dict[str, Any] = {name: told(one) for name, one in evidence(references, captions, java).items()}
    if isinstance(java, str):
        found["METEOR"] = {"value": None, "interval": None, "missing": f"not computed: {java}"}
    return found


def evidence(references: Sequence[str], captions: Sequence[str], java: Java | str) -> dict[str, Evidence]:
    """Figure -> its evidence. That of CIDEr keeps the split's own weights of n-grams in every draw."""
    if isinstance(java, str):
        tokens = [[simple_tokens(text) for text in texts] for texts in (references, captions)]
    else:
        tokens = [java.tokenise(texts) for texts in (references, captions)]
    each = cider([[text] for text in tokens[0]], tokens[1])
    name = "CIDEr (simple tokeniser)" if isinstance(java, str) else "CIDEr"
    found: dict[str, Evidence] = {name: Ratio.mean(each)}
    if not isinstance(java, str):
        found["METEOR"] = Whole(java.meteor([[text] for text in tokens[0]], tokens[1])[0])
    return found
