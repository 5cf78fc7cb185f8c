"""A checkpoint with GeoPixel-7B's keys and shapes and random numbers, for what only real sizes can show.

`python -m tests.support.random_checkpoint OUT [--layers N] [--brief] [--bin] [--dead-adapters]`. Numbers are drawn and
written in small parts, so that it takes little memory; they depend on the key alone, so that a slice has the whole's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from tqdm import tqdm

from export.torch_model.grounding_encoder import HIERA_LARGE

DATA = Path(__file__).parents[1] / "data"
TINY = DATA / "tiny-geopixel" / "checkpoint"
CONFIG = json.loads((DATA / "geopixel-7b-config.json").read_text())
SHAPES: dict[str, tuple[int, ...]] = {
    key: tuple(shape) for key, shape in json.loads((DATA / "geopixel-7b-shapes.json").read_text())["shapes"].items()
}
SHARD_BYTES = 4 * 10**9
LAYERS: int = CONFIG["num_hidden_layers"]
TAGS = ("[SEG]", "<p>", "</p>")
_DEAD = re.compile(r"\.lora_(sft|dpo|web)_")
_LAYER = re.compile(r"^model\.layers\.(\d+)\.")
_GAINS = re.compile(r"(norm\d?|norm_final_attn|layrnorm|norm_attn)\.weight$|output_upscaling\.1\.weight$")
# What adds to a residual stream; scaled down so that the stream's size does not grow with the depth.
_BRANCHES = re.compile(r"(attention\.wo|feed_forward\.w2|out_proj|mlp\.fc2|attn\.proj|mlp\.layers\.1)\.weight$")
_TABLES = re.compile(r"(tok_embeddings|position_embedding|_tokens?|_embed|point_embeddings\.\d)(\.weight|_window)?$")
# A brief checkpoint: widths are the real ones, while CLIP has one layer, Hiera one block of each kind (the block of
# 7B's that each is like) on a smaller image, and the vocabulary as many rows as a test has time and disk for.
BRIEF_VOCABULARY = 8192
_BRIEF_BLOCKS = {0: 0, 2: 1, 8: 2, 23: 3, 44: 4}
_HIERA = {**HIERA_LARGE["hiera"], "stages": [1, 1, 2, 1], "global_att_blocks": [3]}
BRIEF = {
    "vocab_size": BRIEF_VOCABULARY,
    "clip_config": {"num_hidden_layers": 1},
    "sam2_config": {**HIERA_LARGE, "image_size": 512, "hiera": _HIERA},
}
_CLIP_LAYER = re.compile(r"\.encoder\.layers\.(\d+)\.")
_HIERA_BLOCK = re.compile(r"(trunk\.blocks\.)(\d+)(?=\.)")
_NUMBERS_AT_ONCE = 1 << 22
_BYTES_PER_NUMBER = 2


def selected(layers: int, dead_adapters: bool) -> dict[str, tuple[int, ...]]:
    """The keys of the first `layers` decoder layers and all other blocks, with or without adapters nobody reads."""

    def kept(key: str) -> bool:
        layer = _LAYER.match(key)
        return (layer is None or int(layer[1]) < layers) and (dead_adapters or not _DEAD.search(key))

    return {key: shape for key, shape in SHAPES.items() if kept(key)}


def brief(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The keys of a checkpoint whose config has `BRIEF`'s entries."""
    found = {}
    for key, shape in shapes.items():
        clip, block = _CLIP_LAYER.search(key), _HIERA_BLOCK.search(key)
        if (clip and int(clip[1]) > 0) or (block and int(block[2]) not in _BRIEF_BLOCKS):
            continue
        name = _HIERA_BLOCK.sub(lambda match: f"{match[1]}{_BRIEF_BLOCKS[int(match[2])]}", key)
        cut = key in ("model.tok_embeddings.weight", "output.weight")
        found[name] = (BRIEF_VOCABULARY, *shape[1:]) if cut else shape
    return found


def spread(key: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a tensor: gains near 1, products that keep the size of what they act on."""
    if _GAINS.search(key):
        return 1.0, 0.02
    if len(shape) < 2 or key.endswith(".bias"):
        return 0.0, 0.02
    inputs = shape[0] if "output_upscaling" in key else math.prod(shape[1:])
    if key.endswith("gaussian_matrix"):
        return 0.0, 1.0
    if _TABLES.search(key):
        return 0.0, 0.5
    scale = 0.2 if _BRANCHES.search(key) else 0.3 if "Plora_B" in key else 1.0
    return 0.0, scale / math.sqrt(inputs)


def parts(key: str, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """The tensor's numbers in bfloat16, in order, a few million at a time."""
    mean, std = spread(key, shape)
    random = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    count = math.prod(shape)
    for start in range(0, count, _NUMBERS_AT_ONCE):
        drawn = torch.randn(min(_NUMBERS_AT_ONCE, count - start), generator=random)
        yield drawn.mul_(std).add_(mean).bfloat16()


def shards(shapes: Mapping[str, tuple[int, ...]], limit_bytes: int = SHARD_BYTES) -> list[dict[str, tuple[int, ...]]]:
    """Keys in order, cut where a shard would exceed `limit_bytes`."""
    found: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for key, shape in shapes.items():
        more = math.prod(shape) * _BYTES_PER_NUMBER
        if found[-1] and size + more > limit_bytes:
            found.append({})
            size = 0
        found[-1][key] = shape
        size += more
    return found


def fill(stream: BinaryIO, key: str, shape: tuple[int, ...], bar: tqdm[Any]) -> None:
    for part in parts(key, shape):
        stream.write(part.view(torch.uint8).numpy().data)
        bar.update(part.numel() * _BYTES_PER_NUMBER)


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], bar: tqdm[Any]) -> None:
    """One shard; safetensors' own writer would want every tensor in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for key, shape in shapes.items():
        start, end = end, end + math.prod(shape) * _BYTES_PER_NUMBER
        header[key] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for key, shape in shapes.items():
            fill(stream, key, shape, bar)


def write_bin(path: Path, shapes: Mapping[str, tuple[int, ...]], bar: tqdm[Any]) -> None:
    """One pickled shard: torch writes its directory without numbers, which then go to their places."""
    with FakeTensorMode():
        empty = {key: torch.empty(shape, dtype=torch.bfloat16) for key, shape in shapes.items()}
    with torch.serialization.skip_data(materialize_fake_tensors=True):
        torch.save(empty, path)
    with FakeTensorMode():
        placed = torch.load(path, weights_only=True)
    with path.open("r+b") as stream:
        for key, shape in shapes.items():
            stream.seek(placed[key].untyped_storage()._checkpoint_offset)
            fill(stream, key, shape, bar)


def write_tokenizer(root: Path, rows: int) -> None:
    """The reference's BPE model, filled up with pieces no text is cut into, and the tags: as many ids as rows."""
    sp_model: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
    proto = sp_model.ModelProto()
    proto.ParseFromString((TINY / "tokenizer.model").read_bytes())
    known = len(proto.pieces)
    pieces = rows - len(TAGS)
    for index in range(known, pieces):
        proto.pieces.add(
            piece=f"\u2581filler{index}", score=-float(index), type=sp_model.ModelProto.SentencePiece.NORMAL
        )
    (root / "tokenizer.model").write_bytes(proto.SerializeToString())
    added = {tag: pieces + index for index, tag in enumerate(TAGS)}
    (root / "added_tokens.json").write_text(json.dumps(added, indent=2))
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        (root / name).write_bytes((TINY / name).read_bytes())


def write(
    root: Path, layers: int = LAYERS, pickled: bool = False, dead_adapters: bool = False, is_brief: bool = False
) -> None:
    """The whole checkpoint directory; FileExistsError when there is one."""
    root.mkdir(parents=True)
    config = {**CONFIG, "num_hidden_layers": layers, **(BRIEF if is_brief else {})}
    (root / "config.json").write_text(json.dumps(config, indent=1))
    write_tokenizer(root, int(config["vocab_size"]))
    shapes = selected(layers, dead_adapters)
    pieces = shards(brief(shapes) if is_brief else shapes)
    stem, suffix = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    total = sum(math.prod(shape) for piece in pieces for shape in piece.values()) * _BYTES_PER_NUMBER
    weight_map: dict[str, str] = {}
    with tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar:
        for index, piece in enumerate(pieces, 1):
            name = f"{stem}-{index:05d}-of-{len(pieces):05d}.{suffix}"
            (write_bin if pickled else write_safetensors)(root / name, piece, bar)
            weight_map |= dict.fromkeys(piece, name)
    index_text = json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map})
    (root / f"{stem}.{suffix}.index.json").write_text(index_text)


def main(argv: list[str] | None = None) -> int:
    """Write the checkpoint that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.random_checkpoint", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="directory to create")
    parser.add_argument("--layers", type=int, default=LAYERS, choices=range(1, LAYERS + 1), metavar="N")
    parser.add_argument("--bin", action="store_true", help="pickled shards instead of safetensors")
    parser.add_argument("--brief", action="store_true", help="few layers of the encoders, and a small vocabulary")
    parser.add_argument("--dead-adapters", action="store_true", help="with the adapters that GeoPixel never reads")
    args = parser.parse_args(argv)
    write(args.out, args.layers, args.bin, args.dead_adapters, args.brief)
    return 0


if __name__ == "__main__":
    sys.exit(main())
