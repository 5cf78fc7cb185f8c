"""Pictures with grounded answers, of which nothing else is known, as training samples; and what they can teach."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from export.config import ModelConfig
from export.torch_model.vision_encoder import stitch
from geopixel_edge.blocks.divider import divide, grounding_input, plan_grid
from geopixel_edge.masks import Mask
from geopixel_edge.text.tokenizer import Tokenizer

from .batches import GROUNDING, VISION, Packed, pack
from .dataset import Dataset
from .losses import IGNORED, answer_loss, mask_losses
from .model import GeoPixel
from .step import language_states


class AnnotatedPictures:
    """An endless sequence over a data set: each round takes every picture once, in an order of its own."""

    def __init__(self, data: Dataset, config: ModelConfig, tokenizer: Tokenizer, hd_num: int, masks: int) -> None:
        """At most `masks` masks of a picture are taught at a time."""
        self.data, self.config, self.tokenizer, self.hd_num, self.masks = data, config, tokenizer, hd_num, masks

    def sample(self, number: int) -> Packed:
        """Sample `number` of the sequence, the same whenever it is made."""
        epoch, place = divmod(number, len(self.data))
        entry = self.data[int(np.random.default_rng([epoch, 12]).permutation(len(self.data))[place])]
        image, config = entry.pixels(), self.config
        grid, _ = plan_grid(entry.width_px, entry.height_px, self.hd_num, int(config.clip["image_size"]))
        packed = pack(entry.turns, self.tokenizer, 1 + grid.image_tokens(config.tokens_per_side))
        chosen = np.random.default_rng([number, 13]).permutation(len(entry.masks))[: self.masks]
        truths = [covered(entry.masks[at], config.mask_px) for at in np.sort(chosen)]
        side = config.mask_px
        return Packed(
            views=torch.from_numpy(divide(image, grid, VISION, threads=1)),
            grid=(grid.rows, grid.cols),
            pixels=torch.from_numpy(grounding_input(image, int(config.sam2["image_size"]), GROUNDING, threads=1)),
            supervised=torch.from_numpy(np.sort(chosen)),
            masks=torch.from_numpy(np.stack(truths) if truths else np.zeros((0, side, side), np.float32)),
            **packed,
        )


def covered(mask: Mask, side: int) -> NDArray[np.float32]:
    """float32 (side, side): the part of each cell that the mask covers; the picture need not be square."""
    whole = Image.fromarray(mask.to_array().astype(np.float32))
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX), np.float32)


def losses_of(model: GeoPixel, sample: Packed, bos: int) -> dict[str, Tensor]:
    """GeoPixel's losses of one picture, the encoders left as they are: of the answers' words and, for those of its
    masks that are taught, as `mask_losses`; and their `total`."""
    device = model.token_embeddings.weight.device
    with torch.no_grad():
        tokens, separators = model.vision_encoder(sample.views.to(device))
        pyramid = model.grounding_encoder(sample.pixels.to(device))
        image = stitch(tokens, separators, *sample.grid)[None]
    _, _, hidden, targets = language_states(model, image, [sample], bos)
    answered = targets != IGNORED
    answer = answer_loss(model.language_model.output(hidden[answered]), targets[answered])
    if not len(sample.supervised):
        return {"answer": answer, "total": answer}
    states = hidden[0][sample.seg_positions[sample.supervised].to(device)]
    masks4, iou4, _ = model.pixel_decoder.all_masks(states, *pyramid)
    masks = mask_losses(masks4, iou4, sample.masks.to(device))
    return {"answer": answer, **vars(masks), "total": answer + masks.total}
