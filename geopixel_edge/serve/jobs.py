"""What crosses between the front and a worker: msgpack records behind their length, on its streams."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from .problems import Told
from .records import Bounds, Wanted
from .replies import CachedTokens, GroundedRegion, Grounding, KeptImage, SegmentResult, Usage

HEADER = struct.Struct("<Q")
# Bodies are bounded, and so are answers; what is longer is no frame of ours.
MAX_FRAME_BYTES = 4 * 1024 * 1024 * 1024


class Setup(msgspec.Struct, frozen=True):
    """The first frame to a worker: what its Pipeline is made of, and the beginning of its image ids."""

    engine: str | None
    device: str
    threads: int | None
    memory: int | str | None
    keep_bytes: int | None
    worker: str
    prefix: str


class Picture(msgspec.Struct, frozen=True):
    """An image file's `data`, or the `id` of one that is kept."""

    data: bytes = b""
    id: str = ""
    bounds: Bounds | None = None
    crs: str | None = None
    bands: tuple[int, ...] | None = None


# --- To a worker ------------------------------------------------------------------------------------------------


class Job(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`number` is the job's in every frame about it; it ends `within_s` seconds with what is known by then."""

    number: int = 0
    within_s: float = 300.0


class Ask(Job, frozen=True, kw_only=True, tag=True):
    """One question about images; `options` are fields of AskOptions."""

    images: list[Picture]
    query: str
    options: dict[str, Any]
    hd_num: int
    wanted: Wanted


class Segment(Job, frozen=True, kw_only=True, tag=True):
    """Every phrase of every image; `geojson` instead of run lengths."""

    images: list[Picture]
    phrases: list[str]
    max_new_tokens: int
    hd_num: int
    polygons: bool
    geojson: bool


class Keep(Job, frozen=True, kw_only=True, tag=True):
    """Open an image for later questions."""

    image: Picture
    hd_num: int = 9


class Preview(Job, frozen=True, kw_only=True, tag=True):
    """A kept image as JPEG."""

    id: str


class Forget(Job, frozen=True, kw_only=True, tag=True):
    """Let a kept image go."""

    id: str


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Nobody waits for this job any more."""

    number: int


AnyJob = Ask | Segment | Keep | Preview | Forget
ToWorker = Ask | Segment | Keep | Preview | Forget | Cancel

# --- From a worker ----------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The engine is verified and loaded."""

    family: str
    precision: str
    device: str
    keep_bytes: int


class Broken(msgspec.Struct, frozen=True, tag=True):
    """The engine cannot be loaded; the worker ends."""

    message: str
    exit_code: int


class Delta(msgspec.Struct, frozen=True, tag=True):
    """Readable text that is new."""

    number: int
    text: str


class Found(msgspec.Struct, frozen=True, tag=True):
    """A region whose mask is known now."""

    number: int
    region: GroundedRegion


class Cost(msgspec.Struct, frozen=True):
    """What a job took, for the metrics.

    `blocks`: seconds by block. `together`: how many answers were written in step, one entry for each batch of them.
    `kept_images` and `kept_bytes` are those by now.
    """

    blocks: dict[str, float] = {}
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0
    together: list[int] = []
    hits: int = 0
    misses: int = 0
    kept_images: int = 0
    kept_bytes: int = 0


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The end of an `Ask`."""

    text: str
    grounding: Grounding
    usage: Usage


class Segmented(msgspec.Struct, frozen=True, tag=True):
    """The end of a `Segment`; `geojson` where that was asked for."""

    results: list[SegmentResult]
    usage: Usage
    geojson: dict[str, Any] | None = None


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The end of a `Keep`; `found`: it was kept already."""

    image: KeptImage
    found: bool


class Picked(msgspec.Struct, frozen=True, tag=True):
    """The end of a `Preview`."""

    jpeg: bytes


class Forgotten(msgspec.Struct, frozen=True, tag=True):
    """The end of a `Forget`."""

    id: str


Result = Answered | Segmented | Opened | Picked | Forgotten


class Done(msgspec.Struct, frozen=True, tag=True):
    """A job's result and cost."""

    number: int
    result: Result
    cost: Cost


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A job's error; `trace` is for the log alone."""

    number: int
    told: Told
    trace: str = ""


NOTHING_BY_DEADLINE = Answered(
    "",
    Grounding(
        regions=[], finish_reason="deadline", response="", image_size=None, images=[], notes=["its turn had not come"]
    ),
    Usage(0, 0, 0, CachedTokens(0)),
)
Event = Delta | Found | Done | Failed
FromWorker = Hello | Broken | Delta | Found | Done | Failed

_encoder = msgspec.msgpack.Encoder()
to_worker = msgspec.msgpack.Decoder(ToWorker)
from_worker = msgspec.msgpack.Decoder(FromWorker)
setup_of = msgspec.msgpack.Decoder(Setup)


def frame(record: msgspec.Struct) -> bytes:
    """A record as it is sent."""
    body = _encoder.encode(record)
    return HEADER.pack(len(body)) + body


def numbered(job: AnyJob, number: int) -> AnyJob:
    """The same job under another number."""
    return msgspec.structs.replace(job, number=number)


def length_of(header: bytes) -> int:
    """The length of the frame behind its header; ValueError for what cannot be one."""
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes")
    return int(length)
