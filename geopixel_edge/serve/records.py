"""What clients send, as records: bodies are checked by them, and the OpenAPI document is written from them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from .. import limits

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
HdNum = Annotated[int, Meta(ge=1, le=limits.MAX_HD_NUM)]
Tokens = Annotated[int, Meta(ge=1, le=limits.MAX_NEW_TOKENS)]
Text = Annotated[str, Meta(max_length=limits.MAX_QUERY_CHARS)]
Bounds = tuple[float, float, float, float]
# No format has more bands than TIFF, which counts them in 16 bits.
Band = Annotated[int, Meta(ge=1, le=65_535)]
Bands = Annotated[list[Band], Meta(min_length=1, max_length=3)]
# What is only looked at to be refused: its text, of which nothing is made.
Seen = Raw | UnsetType


class ImageUrl(msgspec.Struct, frozen=True):
    """`url`: a data URL in base64, the id of an image that was uploaded, or a name, where the server takes names."""

    url: str


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """A part of a message that is text."""

    text: Text


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """A part of a message that is an image; `bounds` in `crs` place it, `bands` choose what a raster shows."""

    image_url: ImageUrl
    bounds: Bounds | None = None
    crs: str | None = None
    bands: Bands | None = None


class OwnResponse(msgspec.Struct, frozen=True):
    """What an assistant's message of ours carries: the model's own string."""

    response: Text = ""


class Message(msgspec.Struct, frozen=True):
    """One turn. An assistant's message may come back as it was sent, with its `grounding`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart | ImagePart] | None = None
    grounding: OwnResponse | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What the answer's `grounding` is to hold beside the masks' run lengths."""

    polygons: bool = False
    geojson: bool = False
    coco: bool = False


class StreamOptions(msgspec.Struct, frozen=True):
    """`include_usage`: a last chunk with the token counts."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True):
    """A chat completion as OpenAI has it. `grounding`, `deadline_s` and `hd_num` are ours."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1, max_length=4 * limits.MAX_HISTORY_TURNS)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    n: Seen = UNSET
    stop: Seen = UNSET
    tools: Seen = UNSET
    tool_choice: Seen = UNSET
    functions: Seen = UNSET
    function_call: Seen = UNSET
    response_format: Seen = UNSET
    logprobs: Seen = UNSET
    top_logprobs: Seen = UNSET
    logit_bias: Seen = UNSET
    frequency_penalty: Seen = UNSET
    presence_penalty: Seen = UNSET
    grounding: Wanted = Wanted()
    deadline_s: Seconds | None = None
    hd_num: HdNum = 9


class SegmentImage(msgspec.Struct, frozen=True):
    """`image`: a data URL, plain base64, an image id, or a name, where the server takes names."""

    image: str
    bounds: Bounds | None = None
    crs: str | None = None
    bands: Bands | None = None


class SegmentRequest(msgspec.Struct, frozen=True):
    """Every image is asked for every phrase."""

    images: Annotated[list[SegmentImage | str], Meta(min_length=1)]
    phrases: Annotated[list[Text], Meta(min_length=1)]
    polygons: bool = False
    max_new_tokens: Tokens = 1024
    deadline_s: Seconds | None = None
    hd_num: HdNum = 9


# A form's fields are the records': those of each image repeat, as `image` and `phrase` do, the others do not.
PLACED = tuple(name for name in SegmentImage.__struct_fields__ if name != "image")
SINGLE = tuple(name for name in SegmentRequest.__struct_fields__ if name not in ("images", "phrases"))
