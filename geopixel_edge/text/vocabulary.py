"""What a tokenizer file says, whichever library reads it, and how that library is imported: when it is needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from ..engine.manifest import AddedToken
from ..errors import RuntimeUnavailableError
from ..resources import shortage
from .detokenizer import Pieces


@dataclass(frozen=True)
class Vocabulary:
    """One tokenizer: ids of a chunk of text, the pieces behind them, and the tokens that stand between chunks."""

    encode: Callable[[str], list[int]]  # valid Unicode, never empty; knows nothing of the added tokens
    pieces: Pieces
    added: tuple[AddedToken, ...]


def added_texts(added: Sequence[AddedToken]) -> dict[int, str]:
    """What decoding writes for each added token's id: nothing for a special one."""
    return {token.id: "" if token.special else token.text for token in added}


def import_library(name: str) -> ModuleType:
    """The package `name`; RuntimeUnavailableError, naming the command that installs it, where there is none."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = RuntimeUnavailableError(f"this engine's tokenizer needs {name} ({error}); pip install {name}")
        raise shortage(error, f"{name} cannot be imported") or missing from None
