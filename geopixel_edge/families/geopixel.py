"""GeoPixel: what its model expects and what its answers mean. A second family is a file beside this one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from ..arrays import Floats
from ..blocks.divider import Grid, divide, divide_half, grounding_input
from ..draft import NAME, PHRASE
from ..engine.manifest import Manifest, Sizes, SpecialTokens
from ..errors import EngineMismatchError
from ..images import LoadedImage
from ..text.questions import check_phrase
from ..text.tokenizer import Tokenizer
from .borders import differences
from .layout import plan_images
from .prompt import Prompt, build_prompt

SEGMENT_QUERY = "Could you provide a segmentation mask for {} in this image?"
_ASKED = re.compile(re.escape(SEGMENT_QUERY).replace(r"\{\}", "(.+)"), re.DOTALL)
# The noun of a phrase stands before the first of these.
_BEHIND = re.compile(r"\b(above|at|below|beside|between|from|in|near|nearest|next|of|on|to|with)\b.*", re.I | re.DOTALL)
ONE, SEVERAL = "one", "several"


class GeoPixel:
    """Adaptive division, InternLM2's chat template, masks where `[SEG]` is consumed, SAM 2 on a squashed image."""

    name = "geopixel"
    # What `segment_query` is answered with, by how many things it asks for, before the answers of a model are known.
    usual_answers: Mapping[str, Sequence[str]] = MappingProxyType(
        {
            kind: (
                f"Sure, here {verb} <p> {PHRASE} </p> [SEG] .",
                f"There {verb} no {NAME} in this image.",
                f"Sure, here {verb} <p> the {NAME} </p> [SEG] .",
            )
            for kind, verb in ((ONE, "is"), (SEVERAL, "are"))
        }
    )

    def check_block(self, manifest: Manifest, block: str) -> None:
        """EngineMismatchError when a block's inputs and outputs are not those that the main path feeds and reads."""
        if found := differences(block, manifest.blocks[block], manifest.sizes):
            raise EngineMismatchError(f"block {block!r} is another's or has other sizes: {'; '.join(found[:3])}")

    def segment_query(self, phrase: str) -> str:
        """The question that asks for the mask of a phrase and nothing else; QueryError when it cannot be put."""
        return SEGMENT_QUERY.format(check_phrase(phrase))

    def segmented(self, query: str) -> tuple[str, str] | None:
        """The phrase of a question that `segment_query` made, and which of `usual_answers` fit it; None for others."""
        found = _ASKED.fullmatch(query)
        if found is None:
            return None
        noun = _BEHIND.sub("", found[1]).strip().lower()
        return found[1], SEVERAL if noun.endswith("s") and not noun.endswith("ss") else ONE

    def prompt(
        self, query: str, history: Sequence[tuple[str, str]], images: int, tokenizer: Tokenizer, tokens: SpecialTokens
    ) -> Prompt:
        """Token ids of the text parts between which the images stand."""
        return build_prompt(query, history, images, tokenizer, tokens)

    def layout(
        self,
        images: Sequence[LoadedImage],
        hd_num: int,
        text_tokens: int,
        max_new_tokens: int,
        sizes: Sizes,
        compat: bool,
    ) -> tuple[tuple[Grid, ...], list[str]]:
        """How finely each image is divided, and what had to be done differently from what was asked."""
        return plan_images(images, hd_num, text_tokens, max_new_tokens, sizes, compat)

    def views(self, image: LoadedImage, grid: Grid, manifest: Manifest, threads: int) -> Floats:
        """The global view and the tiles, (1 + tiles, 3, S, S) float32 or float16, as the Vision Encoder takes them."""
        constants = manifest.preprocessing
        divided = divide_half if _takes_half(manifest, "vision_encoder") else divide
        return divided(image.pixels, grid, constants.vision, constants.pad_value, threads)

    def grounding_input(self, image: LoadedImage, manifest: Manifest, threads: int) -> Floats:
        """The image squashed to SAM 2's square, (1, 3, S, S), as its encoder takes it (reference behaviour 21)."""
        constants, side_px = manifest.preprocessing.grounding, manifest.sizes.grounding_px
        squashed: Floats = grounding_input(image.pixels, side_px, constants, threads)
        return squashed.astype(np.float16) if _takes_half(manifest, "grounding_encoder") else squashed

    def shared_rows(self, prompt: Prompt, image_tokens: Sequence[int]) -> int:
        """Rows at the prompt's beginning that any question about the image shares: BOS and the image; 0 if none."""
        return 1 + image_tokens[0] if prompt.starts_with_image and len(image_tokens) == 1 else 0

    def grounds(self, images: int) -> bool:
        """Whether answers about so many images point at pixels."""
        return images == 1

    def points(self, token: int, tokens: SpecialTokens) -> bool:
        """Whether the hidden state where this token is the input asks for a mask (reference behaviour 19)."""
        return token == tokens.seg


def _takes_half(manifest: Manifest, block: str) -> bool:
    """Whether a block takes its pixels as float16."""
    return manifest.blocks[block].inputs[0].dtype == "float16"
