"""The engine directory: what a manifest says, how it is read, and how a directory is verified before use."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import msgspec

from . import limits
from .errors import EngineCorruptError, EngineError, EngineNotFoundError, EnginePathError, EngineSchemaError

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
BLOCKS = ("vision_encoder", "language_model", "grounding_encoder", "pixel_decoder")


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Immutable record; a field it does not know is an error."""


class FileSpec(Struct):
    """One file: path relative to the engine directory (POSIX form), size in bytes, SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


class TensorSpec(Struct):
    """One graph input or output: NumPy dtype name and shape; a string is a symbolic dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class BlockSpec(Struct):
    """One exported block: `files[0]` is handed to the runtime, the rest is its external data."""

    runtime: str
    precision: str
    files: tuple[FileSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Sizes(Struct):
    """Sizes of the model, from the checkpoint's config; nothing in the runtime hard-codes one."""

    tile_px: int  # side of a CLIP view
    tokens_per_side: int  # image tokens along one side of a view, after the 2x2 merge
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_positions: int  # up to here RoPE needs no NTK rescaling
    max_prompt_tokens: int
    grounding_px: int  # side of SAM 2's input
    mask_px: int  # side of the pixel decoder's masks


class Normalisation(Struct):
    """Per-channel mean and standard deviation of an image in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Preprocessing(Struct):
    """Constants of both image paths."""

    vision: Normalisation
    grounding: Normalisation
    pad_value: int  # 0..255, what the divider pads with


class SpecialTokens(Struct):
    """Token ids the pipeline acts on, and the strings of the chat template."""

    bos: int
    eos: int
    unk: int
    seg: int
    phrase_open: int
    phrase_close: int
    turn_open: str
    turn_close: str


class Embeddings(Struct):
    """The token-embedding table: a NumPy file of shape (vocabulary, hidden), read by row through a memory map."""

    file: FileSpec


class Provenance(Struct):
    """Where the engine came from."""

    exporter_version: str
    source_sha256: str  # digest over the checkpoint's files
    source_name: str
    created_utc: str
    quantisation: str
    packages: dict[str, str]


class Manifest(Struct):
    """`manifest.json`, whole."""

    schema_version: int
    family: str
    precision: str
    sizes: Sizes
    preprocessing: Preprocessing
    tokens: SpecialTokens
    tokenizer: FileSpec
    embeddings: Embeddings
    blocks: dict[str, BlockSpec]
    golden: tuple[FileSpec, ...]
    provenance: Provenance

    def files(self) -> list[FileSpec]:
        """Every file the manifest vouches for."""
        found = [self.tokenizer, self.embeddings.file, *self.golden]
        for block in self.blocks.values():
            found.extend(block.files)
        return found


class _Header(msgspec.Struct):
    schema_version: int


def read_manifest(root: Path) -> Manifest:
    """Parse `root/manifest.json`; EngineNotFoundError, EnginePathError or EngineSchemaError say what is wrong."""
    path = root / MANIFEST_NAME
    if not root.is_dir():
        raise EngineNotFoundError(f"engine_dir={str(root)!r} is not a directory; export a checkpoint with `python -m export`")
    if path.is_symlink() or not path.is_file():
        raise EngineNotFoundError(f"engine_dir={str(root)!r} has no {MANIFEST_NAME}; was the directory copied whole?")
    if path.stat().st_size > limits.MAX_MANIFEST_BYTES:
        raise EngineSchemaError(f"{path} is over {limits.MAX_MANIFEST_BYTES} bytes, so it is not a manifest")
    data = path.read_bytes()
    try:
        version = msgspec.json.decode(data, type=_Header).schema_version
        if version == SCHEMA_VERSION:
            manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineSchemaError(f"{path} is not a manifest of schema {SCHEMA_VERSION}: {error}") from None
    if version != SCHEMA_VERSION:
        raise EngineSchemaError(f"{path} has schema {version}, this package reads {SCHEMA_VERSION}; upgrade or export again")
    missing = [name for name in BLOCKS if name not in manifest.blocks]
    unknown = [name for name in manifest.blocks if name not in BLOCKS]
    if missing or unknown:
        raise EngineSchemaError(f"{path}: missing blocks {missing}, unknown blocks {unknown}")
    for name, block in manifest.blocks.items():
        if not block.files:
            raise EngineSchemaError(f"{path}: block {name!r} names no file")
    return manifest


def resolve(root: Path, spec: FileSpec) -> Path:
    """The file's path, proved to be a regular file inside `root` with no symbolic link on the way."""
    relative = PurePosixPath(spec.path)
    if relative.is_absolute() or ".." in relative.parts or "\\" in spec.path or not relative.parts:
        raise EnginePathError(f"{spec.path!r} in the manifest leaves {root}; do not use this engine")
    path = root
    for part in relative.parts:
        path = path / part
        if path.is_symlink():
            raise EnginePathError(f"{path} is a symbolic link; copy the engine with its real files (cp -L)")
    if not path.is_file():
        raise EngineCorruptError(f"{path} is missing; copy the engine directory again from its source")
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hex, read in 8 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(8 << 20):
            digest.update(piece)
    return digest.hexdigest()


def describe_file(root: Path, relative: str) -> FileSpec:
    """FileSpec of an existing file, for writing a manifest."""
    path = root / relative
    return FileSpec(path=relative, bytes=path.stat().st_size, sha256=sha256_of(path))


def _check_file(root: Path, spec: FileSpec) -> None:
    path = resolve(root, spec)
    size = path.stat().st_size
    if size != spec.bytes:
        raise EngineCorruptError(f"{path} has {size} bytes, the manifest says {spec.bytes}; copy the engine again")
    if sha256_of(path) != spec.sha256:
        raise EngineCorruptError(f"{path} has another SHA-256 than the manifest says; copy the engine again")


class Engine:
    """A verified engine directory.

    Opening it checks every file named by the manifest (path, size, SHA-256) before any is handed to a runtime:
    engines are executable code.
    """

    def __init__(self, engine_dir: str | os.PathLike[str]) -> None:
        try:
            self.root = Path(engine_dir)
        except TypeError:
            raise EngineError(f"engine_dir={engine_dir!r} is not a path; give the directory `python -m export` wrote") from None
        try:
            self.manifest = read_manifest(self.root)
            specs = sorted(self.manifest.files(), key=lambda spec: -spec.bytes)
            with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
                list(pool.map(lambda spec: _check_file(self.root, spec), specs))
        except (OSError, ValueError) as error:
            raise EngineError(f"engine_dir={str(engine_dir)!r} cannot be read: {error}") from None

    def path(self, spec: FileSpec) -> Path:
        """Absolute path of a file of this engine."""
        return resolve(self.root, spec).resolve()
