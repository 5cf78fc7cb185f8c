"""What clients get, as records: bodies are made of them, and the OpenAPI document is written from them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from ..document import RegionEntry

FinishReason = Literal["stop", "length"]


class GroundedRegion(RegionEntry, frozen=True, kw_only=True):
    """One region: `polygons`, on request, are rings of x, y pixel edges, the outer one first."""

    index: int
    polygons: list[list[list[tuple[float, float]]]] | UnsetType = UNSET


class Grounding(msgspec.Struct, frozen=True, kw_only=True):
    """What ties text to pixels. `span` of a region counts characters of `content`; `image_size` is width, height.

    While an answer streams there are `regions` alone, the new ones; its last chunk has everything.
    """

    regions: list[GroundedRegion]
    finish_reason: Literal["eos", "length", "deadline", "cancelled", "watchdog"] | UnsetType = UNSET
    response: str | UnsetType = UNSET
    image_size: tuple[int, int] | UnsetType | None = UNSET
    images: list[str] | UnsetType = UNSET
    notes: list[str] | UnsetType = UNSET
    geojson: dict[str, Any] | UnsetType = UNSET
    coco: dict[str, Any] | UnsetType = UNSET


class CachedTokens(msgspec.Struct, frozen=True):
    """Tokens of the prompt whose work was kept from an earlier question about the same image."""

    cached_tokens: int


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class _OneChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What every choice has: there is one, and no log probabilities."""

    index: int = 0
    logprobs: None = None


class _Completion(msgspec.Struct, frozen=True):
    """What a whole answer and each chunk of it begin with; `created` in seconds since 1970."""

    id: str
    created: int
    model: str


class AnswerMessage(msgspec.Struct, frozen=True):
    """The assistant's turn; `grounding` is ours."""

    content: str
    grounding: Grounding
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class Choice(_OneChoice, frozen=True):
    """The only choice."""

    message: AnswerMessage
    finish_reason: FinishReason


class ChatCompletion(_Completion, frozen=True):
    """A whole answer."""

    choices: list[Choice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is new: text, regions, or at the end all of `grounding`."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    grounding: Grounding | None = None


class ChunkChoice(_OneChoice, frozen=True):
    """The only choice of a chunk."""

    delta: Delta
    finish_reason: FinishReason | None = None


class ChatChunk(_Completion, frozen=True):
    """One event of a stream."""

    choices: list[ChunkChoice]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    usage: Usage | None = None


class SegmentResult(msgspec.Struct, frozen=True):
    """The regions of one phrase in one image; `image` and `phrase` count from 0 in the request."""

    image: int
    phrase: int
    image_size: tuple[int, int]
    regions: list[GroundedRegion]
    finish_reason: str
    notes: list[str]


class Segmentation(msgspec.Struct, frozen=True):
    """Results by image, and within an image by phrase."""

    model: str
    results: list[SegmentResult]
    usage: Usage
    object: Literal["segmentation"] = "segmentation"


class Ground(msgspec.Struct, frozen=True):
    """Metres a pixel to the right and down, and where north is, degrees clockwise from upwards."""

    gsd_m: tuple[float, float]
    north_degrees: float


class KeptImage(msgspec.Struct, frozen=True):
    """An image kept for follow-ups; `bytes` it takes by now, `worker` holds it."""

    id: str
    worker: str
    width_px: int
    height_px: int
    bytes: int
    notes: list[str]
    ground: Ground | None = None
    object: Literal["image"] = "image"


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted."""

    id: str
    deleted: bool
    object: Literal["image"] = "image"


class ModelCard(msgspec.Struct, frozen=True):
    """The engine, as OpenAI lists models."""

    id: str
    created: int = 0
    owned_by: str = "geopixel-edge"
    object: Literal["model"] = "model"


class ModelList(msgspec.Struct, frozen=True):
    """The one model that is loaded."""

    data: list[ModelCard]
    object: Literal["list"] = "list"


class Health(msgspec.Struct, frozen=True):
    """`status` is "ok", or in a word why not; `reason` a sentence."""

    status: str
    version: str
    reason: str = ""
