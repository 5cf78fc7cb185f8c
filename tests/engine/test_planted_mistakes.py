"""Porting mistakes, each planted once: the reference values must catch every one. Several leave the text unchanged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from export import reference
from export.checkpoint import Checkpoint
from export.config import CLIP_MEAN, CLIP_STD
from export.torch_model.grounding_encoder import GroundingEncoder
from export.torch_model.language_model import LanguageModel, PartialLoRALinear
from export.torch_model.pixel_decoder import PixelDecoder
from export.torch_model.vision_encoder import VisionEncoder, stitch

from ..conftest import CHECKPOINT
from ..support.reference_prompts import prompt_of
from ..support.sam2_reference import DATA, golden, sam_input

CASE = golden("s2_tall_hd9_seg_last")
PICTURE = DATA / "images" / CASE.facts["image"]
TOLERANCES = {
    "image_embeds": 2e-5,
    "prefill_final_norm": 2e-5,
    "clip_in_global": 1e-5,
    "clip_in_tiles": 1e-5,
    "sam_in": 1e-5,
    "sam_image_embed": 2e-5,
    "seg_hidden": 5e-5,
    "low_res_masks": 1e-4,
}
# A caught mistake is far outside, not just over the edge.
FAR = 100


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(CHECKPOINT)


@pytest.fixture(scope="module")
def views() -> reference.Divided:
    return reference.divide(Image.open(PICTURE), CASE.facts["hd_num"], 560)


def judge(key: str, right: Tensor, wrong: Tensor) -> None:
    """The right value agrees with the reference, the wrong one of the same shape is far off."""
    assert wrong.shape == right.shape
    assert CASE.distance(key, right) <= TOLERANCES[key]
    assert CASE.distance(key, wrong) > FAR * TOLERANCES[key]


# --- Divider ----------------------------------------------------------------------------------------------


def test_global_view_with_antialias(views: reference.Divided) -> None:
    rows = [torch.cat(list(views.views[1 + r * views.cols :][: views.cols]), dim=2) for r in range(views.rows)]
    padded = torch.cat(rows, dim=1)[None]
    wrong = F.interpolate(padded, size=(560, 560), mode="bicubic", antialias=True)
    judge("clip_in_global", views.views[:1], wrong)


def test_portrait_without_transpose(views: reference.Divided) -> None:
    """Resized upright and padded below, as a landscape image would be."""
    picture = Image.open(PICTURE)
    resized = picture.resize((627, 2240), Image.Resampling.BILINEAR)
    padded = Image.new("RGB", (1120, 2240), (255, 255, 255))
    padded.paste(resized)
    pixels = reference._normalised(padded, CLIP_MEAN, CLIP_STD)
    tiles = pixels.reshape(3, 4, 560, 2, 560).permute(1, 3, 0, 2, 4).reshape(-1, 3, 560, 560)
    # Same padding side here, so only Pillow's rounding order differs: a few grey levels of 255.
    right, wrong = CASE.distance("clip_in_tiles", views.views[1:]), CASE.distance("clip_in_tiles", tiles)
    assert right <= TOLERANCES["clip_in_tiles"] < FAR * TOLERANCES["clip_in_tiles"] < wrong


# --- Vision Encoder ---------------------------------------------------------------------------------------


def embeds_of(module: VisionEncoder, views: reference.Divided, swap: bool = False) -> Tensor:
    with torch.no_grad():
        tokens, separators = module(views.views)
    return stitch(tokens, separators.flip(0) if swap else separators, views.rows, views.cols)[None]


def test_separators_swapped(checkpoint: Checkpoint, views: reference.Divided) -> None:
    module = checkpoint.load("vision_encoder")
    assert isinstance(module, VisionEncoder)
    judge("image_embeds", embeds_of(module, views), embeds_of(module, views, swap=True))


def test_clip_read_one_layer_early(checkpoint: Checkpoint, views: reference.Divided) -> None:
    right, wrong = checkpoint.load("vision_encoder"), checkpoint.load("vision_encoder")
    assert isinstance(right, VisionEncoder)
    assert isinstance(wrong, VisionEncoder)
    wrong.clip.encoder.layers = wrong.clip.encoder.layers[:-1]
    judge("image_embeds", embeds_of(right, views), embeds_of(wrong, views))


# --- Large Language Model ---------------------------------------------------------------------------------


def states(checkpoint: Checkpoint, mistake: Callable[[LanguageModel, Tensor], Tensor]) -> Tensor:
    embeds, image_rows = prompt_of(CASE, checkpoint)
    module = checkpoint.load("language_model")
    assert isinstance(module, LanguageModel)
    image_rows = mistake(module, image_rows)
    with torch.no_grad():
        return module(embeds[None], image_rows)


def add_other_adapters(checkpoint: Checkpoint, module: LanguageModel) -> None:
    """Merge the sft and dpo adapters into the base weights, as if all modes were active at once."""
    for name, linear in module.named_modules():
        if isinstance(linear, PartialLoRALinear):
            for kind in ("sft", "dpo"):
                down, up = (checkpoint.tensor(f"model.{name}.lora_{kind}_{side}.weight").float() for side in "AB")
                linear.weight.data += up @ down


def test_partial_lora_skipped_everywhere_or_with_other_adapters(checkpoint: Checkpoint) -> None:
    length = CASE.facts["prompt_len"]
    right = states(checkpoint, lambda _module, rows: rows)

    def with_others(module: LanguageModel, rows: Tensor) -> Tensor:
        add_other_adapters(checkpoint, module)
        return rows

    judge("prefill_final_norm", right, states(checkpoint, lambda _module, rows: rows[:0]))
    judge("prefill_final_norm", right, states(checkpoint, lambda _module, _rows: torch.arange(length)))
    judge("prefill_final_norm", right, states(checkpoint, with_others))


def test_hidden_state_of_the_position_that_predicted_seg(checkpoint: Checkpoint) -> None:
    embeds, image_rows = prompt_of(CASE, checkpoint)
    module = checkpoint.load("language_model")
    table = checkpoint.tensor("model.tok_embeddings.weight").float()
    answer = table[torch.tensor(CASE.facts["generated_ids"])]
    with torch.no_grad():
        hidden = module(torch.cat([embeds, answer])[None], image_rows)[0]
    positions = torch.tensor(CASE.facts["seg_positions_in_sequence"])
    judge("seg_hidden", hidden[positions], hidden[positions - 1])


# --- Grounding Vision Encoder and Pixel Decoder -----------------------------------------------------------


def test_sam_input_without_antialias() -> None:
    judge("sam_in", sam_input("tall.png"), sam_input("tall.png", antialias=False))


def test_no_memory_embedding_omitted(checkpoint: Checkpoint) -> None:
    module = checkpoint.load("grounding_encoder")
    assert isinstance(module, GroundingEncoder)
    with torch.no_grad():
        right = module(sam_input("tall.png"))[0]
        wrong = right - module.no_mem_embed.reshape(1, -1, 1, 1)
    judge("sam_image_embed", right, wrong)


def test_stability_fallback_off(checkpoint: Checkpoint) -> None:
    encoder, decoder = checkpoint.load("grounding_encoder"), checkpoint.load("pixel_decoder")
    assert isinstance(decoder, PixelDecoder)
    hidden = torch.from_numpy(CASE.arrays["seg_hidden"])
    with torch.no_grad():
        pyramid = encoder(sam_input("tall.png"))
        right, _ = decoder(hidden, *pyramid)
        masks4 = decoder.all_masks(hidden, *pyramid)[0]
    judge("low_res_masks", right[:, None], masks4[:, :1])
