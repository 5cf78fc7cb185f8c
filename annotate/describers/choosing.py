"""Which describer `--describer` names."""

from __future__ import annotations

from pathlib import Path

from geopixel_edge.errors import OptionError

from ..settings import Settings
from .base import Describer
from .engine import EngineDescriber
from .openai import OpenAI, Options
from .rules import Rules


def describer_of(words: str, options: Options, settings: Settings) -> Describer:
    """`rules`, `engine:DIR` or `openai:URL,MODEL`; OptionError for other words, for one that cannot be asked what the
    settings want, and as each describer says."""
    kind, _, rest = words.partition(":")
    if words == "rules":
        if settings.smooth:
            raise OptionError("merge='describer' asks the describer to join sentences, and rules cannot; give rules")
        for name, wanted in (("batch_marks", settings.batch_marks), ("both", settings.both)):
            if wanted:
                raise OptionError(
                    f"{name}=True is for a describer that looks at pictures, and rules do not; leave it out"
                )
        return Rules()
    if kind == "engine" and rest:
        return EngineDescriber(Path(rest))
    if kind == "openai" and "," in rest:
        url, _, model = rest.partition(",")
        return OpenAI(url, model, options)
    raise OptionError(f"describer={words!r} is none of rules, engine:DIR and openai:URL,MODEL; give one of them")
