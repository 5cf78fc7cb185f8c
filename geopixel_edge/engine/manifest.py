"""What `manifest.json` says: the records of the engine directory's format, each field with its allowed range."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .. import limits

SCHEMA_VERSION = 2
CHUNK_BYTES = 64 * 2**20
BLOCKS = ("vision_encoder", "language_model", "grounding_encoder", "pixel_decoder")
# The blocks an engine of each family must have; `families` holds what the family does with them.
FAMILY_BLOCKS = {"geopixel": BLOCKS}

Name = Annotated[str, Meta(min_length=1)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=1, le=limits.MAX_ENGINE_SIZE)]
Dimension = Annotated[int, Meta(ge=0, le=limits.MAX_ENGINE_SIZE)]
TokenId = Dimension
Byte = Annotated[int, Meta(ge=0, le=255)]
Levels = tuple[Annotated[float, Meta(ge=0, le=255)], Annotated[float, Meta(ge=0, le=255)]]  # the lower first
Mean = Annotated[float, Meta(ge=0, le=1)]
Deviation = Annotated[float, Meta(ge=1 / 255, le=1)]
Distance = Annotated[float, Meta(ge=0)]
# How graphs are written: in standard operators, or for ONNX Runtime with its own.
Form = Literal["portable", "ready"]
# What a block may store or compute otherwise than the rest of it.
Part = Literal["lora", "head", "embeddings", "kv"]
Range = tuple[Dimension, Dimension, Dimension]  # least, usual, most
Dtype = Literal["float32", "float16", "bfloat16", "float8", "int64", "int32", "int8", "int4", "uint8", "bool"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Immutable record; a field it does not know is an error."""


class FileSpec(Struct, frozen=True):
    """One file: path relative to the engine directory (POSIX form), size in bytes, SHA-256 in hex.

    `chunks` are the SHA-256 of its pieces of 64 MiB; a file of one piece needs none.
    """

    path: str
    bytes: Annotated[int, Meta(ge=0)]
    sha256: Sha256
    chunks: tuple[Sha256, ...] = ()

    def pieces(self) -> list[tuple[int, str]]:
        """Offset and digest of every piece that vouches for the file: the chunks, or the file as a whole."""
        return [(index * CHUNK_BYTES, digest) for index, digest in enumerate(self.chunks)] or [(0, self.sha256)]


class TensorSpec(Struct, frozen=True):
    """One graph input or output: NumPy dtype name and shape; a string is a symbolic dimension."""

    name: Name
    dtype: Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool"]
    shape: tuple[Dimension | Name, ...]


class Precision(Struct, frozen=True):
    """How a block's numbers are stored and computed with.

    `group` numbers along an input share a scale, 0 when all that make an output channel do. `tolerance` is the largest
    distance to torch float32 that an export may have. `ort_options` are session entries for ONNX Runtime. `parts` are
    dtypes of the language model's parts that differ: partial LoRA, output head, token embeddings, KV cache.
    """

    name: Name
    weights: Dtype
    compute: Dtype
    bytes_per_number: Annotated[float, Meta(gt=0, le=8)]
    tolerance: Distance
    group: Annotated[int, Meta(ge=0)] = 0
    ort_options: dict[str, str] = {}
    parts: dict[Part, Dtype] = {}

    @property
    def widened(self) -> bool:
        """Whether quantised weights become float32 when the block is loaded."""
        return self.ort_options.get("session.disable_quant_qdq") == "1"


class Term(Struct, frozen=True):
    """Memory that grows with the product of some of a block's symbolic dimensions; none: it is always taken."""

    bytes: Annotated[float, Meta(ge=0)]
    dims: tuple[Name, ...]


class Footprint(Struct, frozen=True, omit_defaults=True):
    """Memory of a loaded block as measured: its weights, what a run adds, what "reading" or "writing" do without."""

    weights_bytes: Annotated[int, Meta(ge=0)]
    workspace: tuple[Term, ...]
    spared: dict[Name, Annotated[int, Meta(ge=0)]] = {}


class EnginePlan(Struct, frozen=True):
    """What a block of TensorRT's was built by and for. `in_place`: past and present of the cache share memory."""

    version: Name  # of the library
    sm: Count  # the GPU's compute capability, 87 for 8.7
    profiles: tuple[dict[str, Range], ...]  # of symbolic dimensions
    build_peak_bytes: Annotated[int, Meta(ge=0)]
    in_place: bool = True
    verified: bool = False  # its golden values were met on such a GPU


class BlockSpec(Struct, frozen=True, omit_defaults=True):
    """One exported block: `files[0]` is handed to the runtime, the rest is its external data.

    `dims` holds the symbolic dimensions that the files fix or bound, `options` the runtime's settings beyond those of
    the precision. A block without `footprint` is planned for by the size of its files. `plan` is TensorRT's.
    """

    runtime: Name
    precision: Precision
    files: tuple[FileSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    footprint: Footprint | None = None
    dims: dict[str, Count] = {}
    options: dict[str, str] = {}
    plan: EnginePlan | None = None

    @property
    def session_options(self) -> dict[str, str]:
        """The runtime's settings for this block."""
        return {**self.precision.ort_options, **self.options}

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(file.bytes for file in self.files)


class Sizes(Struct, frozen=True):
    """Sizes of the model, from the checkpoint's config; nothing in the runtime hard-codes one."""

    tile_px: Count  # side of a CLIP view
    tokens_per_side: Count  # image tokens along one side of a view, after the 2x2 merge
    hidden: Count
    layers: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    vocabulary: Count
    max_positions: Count  # up to here RoPE needs no NTK rescaling
    max_prompt_tokens: Count
    grounding_px: Count  # side of SAM 2's input
    mask_px: Count  # side of the pixel decoder's masks


class Normalisation(Struct, frozen=True):
    """Per-channel mean and standard deviation of an image in [0, 1]."""

    mean: tuple[Mean, Mean, Mean]
    std: tuple[Deviation, Deviation, Deviation]


class Preprocessing(Struct, frozen=True):
    """Constants of both image paths."""

    vision: Normalisation
    grounding: Normalisation
    pad_value: Byte  # what the divider pads with


class AddedToken(Struct, frozen=True):
    """A token cut out of the text before SentencePiece sees it, and the sides on which it takes whitespace along."""

    text: Name
    id: TokenId
    lstrip: bool
    rstrip: bool
    special: bool  # left out of decoded text


class SpecialTokens(Struct, frozen=True):
    """Token ids the pipeline acts on, the strings of the chat template, and the tokens beside `tokenizer.model`."""

    bos: TokenId
    eos: TokenId
    unk: TokenId
    seg: TokenId
    phrase_open: TokenId
    phrase_close: TokenId
    turn_open: Name
    turn_close: Name
    added: tuple[AddedToken, ...] = ()  # none where the tokenizer's file is a `tokenizer.json`, which holds its own


class Embeddings(Struct, frozen=True):
    """The token-embedding table: a NumPy file of shape (vocabulary, hidden), read by row through a memory map."""

    file: FileSpec


class Provenance(Struct, frozen=True, omit_defaults=True):
    """Where the engine came from; an adapter is what was merged into the checkpoint, if anything was."""

    exporter_version: str
    source_sha256: str  # digest over the checkpoint's files
    source_name: str
    created_utc: str
    quantisation: str
    packages: dict[str, str]
    adapter_sha256: str | None = None  # digest over its weights and config
    adapter_name: str | None = None


class Manifest(Struct, frozen=True):
    """`manifest.json`, whole."""

    schema_version: int
    family: str
    sizes: Sizes
    preprocessing: Preprocessing
    tokens: SpecialTokens
    tokenizer: FileSpec
    embeddings: Embeddings
    blocks: dict[str, BlockSpec]
    golden: tuple[FileSpec, ...]
    provenance: Provenance
    distance: dict[str, Distance]  # per block: largest difference from torch float32 on the golden picture, relative
    form: Form = "portable"  # of the language model
    # The 2nd and 98th percentile of red, green and blue in the pictures it learnt from: wide samples become these.
    pixel_percentiles: tuple[Levels, Levels, Levels] | None = None
    # The side of a scene's windows at which the engine was measured; None: 5/4 of `grounding_px`.
    scene_window_px: Annotated[int, Meta(ge=128, le=limits.MAX_SCENE_WINDOW_PX)] | None = None

    @property
    def precision(self) -> str:
        """The blocks' precision in a word where they share one, else a word for each; "int8" is of either kind."""
        names = {block: spec.precision.name.partition("-")[0] for block, spec in self.blocks.items()}
        same = len(set(names.values())) == 1
        return next(iter(names.values())) if same else ",".join(f"{block}={name}" for block, name in names.items())

    @property
    def verified(self) -> bool:
        """Whether every plan was verified on its GPU."""
        return all(block.plan is None or block.plan.verified for block in self.blocks.values())

    def files(self) -> list[FileSpec]:
        """Every file the manifest vouches for."""
        return [self.tokenizer, self.embeddings.file, *self.golden, *(f for b in self.blocks.values() for f in b.files)]
