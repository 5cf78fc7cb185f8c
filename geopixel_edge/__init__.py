"""GeoPixel on the edge: text answers about aerial and satellite images, tied to pixel masks.

The public names below load at their first use, so that `import geopixel_edge` costs milliseconds.

Comments cite the original model's habits as "reference behaviour N": the list is docs/reference.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import (
    CheckpointError,
    EngineCorruptError,
    EngineError,
    EngineMismatchError,
    EngineNotFoundError,
    EnginePathError,
    EngineSchemaError,
    ExportError,
    GeoPixelError,
    ImageError,
    InferenceError,
    MemoryBudgetError,
    NativeMissingError,
    OptionError,
    OutputError,
    ProcessError,
    PromptTooLongError,
    QueryError,
    ResourceError,
    RuntimeUnavailableError,
    SceneIncompleteError,
    SessionClosedError,
)
from .resources import shortage_told
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .answer import Answer, MaskFound, Phrase, Region, Text
    from .image_ref import ImageRef
    from .masks import Mask
    from .options import AskOptions
    from .pipeline import Pipeline
    from .scenes.result import SceneObject, SceneResult
    from .session import OpenedImage
    from .stop import StopToken
    from .timings import Timings
    from .turn import AnswerStream

__all__ = [
    "Answer",
    "AnswerStream",
    "AskOptions",
    "CheckpointError",
    "EngineCorruptError",
    "EngineError",
    "EngineMismatchError",
    "EngineNotFoundError",
    "EnginePathError",
    "EngineSchemaError",
    "ExportError",
    "GeoPixelError",
    "ImageError",
    "ImageRef",
    "InferenceError",
    "Mask",
    "MaskFound",
    "MemoryBudgetError",
    "NativeMissingError",
    "OpenedImage",
    "OptionError",
    "OutputError",
    "Phrase",
    "Pipeline",
    "ProcessError",
    "PromptTooLongError",
    "QueryError",
    "Region",
    "ResourceError",
    "RuntimeUnavailableError",
    "SceneIncompleteError",
    "SceneObject",
    "SceneResult",
    "SessionClosedError",
    "StopToken",
    "Text",
    "Timings",
]

_HOMES = {
    "AnswerStream": "turn",
    "AskOptions": "options",
    "ImageRef": "image_ref",
    "Mask": "masks",
    "OpenedImage": "session",
    "Pipeline": "pipeline",
    "SceneObject": "scenes.result",
    "SceneResult": "scenes.result",
    "StopToken": "stop",
    "Timings": "timings",
    **dict.fromkeys(("Answer", "MaskFound", "Phrase", "Region", "Text"), "answer"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with shortage_told(f"geopixel_edge.{name} cannot be imported"):
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
