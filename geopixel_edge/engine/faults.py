"""How a manifest may contradict itself."""

from __future__ import annotations

from collections import Counter

from .manifest import CHUNK_BYTES, FAMILY_BLOCKS, FileSpec, Manifest


def faults(manifest: Manifest) -> list[str]:
    """What is wrong with a manifest that no field shows alone; empty when nothing is."""
    sizes, tokens = manifest.sizes, manifest.tokens
    ids = (tokens.bos, tokens.eos, tokens.unk, tokens.seg, tokens.phrase_open, tokens.phrase_close)
    listed = Counter(spec.path for spec in manifest.files())
    if (blocks := FAMILY_BLOCKS.get(manifest.family)) is None:
        return [f"family {manifest.family!r} is unknown; this version runs {', '.join(FAMILY_BLOCKS)}"]
    found = [f"block {name!r} is missing" for name in blocks if name not in manifest.blocks]
    found += [f"block {name!r} is unknown" for name in manifest.blocks if name not in blocks]
    found += [f"file {spec.path!r} has {len(spec.chunks)} chunks" for spec in manifest.files() if not _whole(spec)]
    found += [f"file {path!r} is listed {count} times" for path, count in listed.items() if count > 1]
    for name, block in manifest.blocks.items():
        if not block.files:
            found.append(f"block {name!r} names no file")
        for side, tensors in (("input", block.inputs), ("output", block.outputs)):
            if len({tensor.name for tensor in tensors}) != len(tensors):
                found.append(f"block {name!r} names an {side} twice")
    if sizes.heads % sizes.kv_heads:
        found.append(f"heads={sizes.heads} is no multiple of kv_heads={sizes.kv_heads}")
    if max(ids) >= sizes.vocabulary:
        found.append(f"token id {max(ids)} is outside the vocabulary of {sizes.vocabulary}")
    if len(set(ids)) != len(ids):
        found.append(f"two special tokens share an id, {ids}")
    if len({token.text for token in tokens.added}) != len(tokens.added):
        found.append("an added token is listed twice")
    if any(low >= high for low, high in manifest.pixel_percentiles or ()):
        found.append(
            f"pixel_percentiles={manifest.pixel_percentiles} has a pair whose lower end is not below the other"
        )
    return found


def _whole(spec: FileSpec) -> bool:
    """Whether the chunks are as many as the file has pieces, or none for a file of one piece."""
    pieces = max(1, -(-spec.bytes // CHUNK_BYTES))
    return len(spec.chunks) == pieces or (pieces == 1 and not spec.chunks)
