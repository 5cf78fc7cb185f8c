"""Input embeddings of a reference case, made from its picture and token ids by the torch modules alone."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from export import reference
from export.checkpoint import Checkpoint
from export.keys import EMBEDDINGS_KEY

from .sam2_reference import DATA, Golden


@torch.no_grad()
def prompt_of(case: Golden, checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    """Embeddings (L, hidden) and the positions of image rows (n,)."""
    table = checkpoint.tensor(EMBEDDINGS_KEY).float()
    texts = [table[torch.tensor(part["ids"])] for part in case.facts["text_parts"]]
    if case.facts["image"] is None:
        return torch.cat(texts), torch.zeros(0, dtype=torch.int64)
    picture = Image.open(DATA / "images" / case.facts["image"])
    side = int(checkpoint.config.clip["image_size"])
    seen = reference.image_tokens(checkpoint, reference.divide(picture, case.facts["hd_num"], side))
    start = len(texts[0])
    return torch.cat([texts[0], seen, *texts[1:]]), torch.arange(start, start + len(seen))
