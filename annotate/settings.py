"""How a data set is annotated: one frozen record that every part of a run reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from geopixel_edge.errors import OptionError

from .names import PROFILES, Profile
from .prompts import Prompts

SPLITS = ("train", "test")
REVIEW_PART = 0.05  # of the pictures that nothing was found of, by hash
SECOND_PART = 0.1  # of those shown, for a second reviewer
MAX_SHARDS = 10_000
MAX_TINT = 0.8


@dataclass(frozen=True)
class Settings:
    """`shard` is (number from 1, of how many); `tint` how strongly masks are coloured for a describer that looks;
    `smooth` whether the describer turns the sentences into one text, `show_marks` whether the marked pictures are kept,
    `batch_marks` whether all things marked in a picture are asked about at once, `both` whether the picture without
    marks is sent beside the marked one."""

    profile: Profile = "strict"
    split: str = "train"
    shard: tuple[int, int] = (1, 1)
    seed: int = 0
    tint: float = 0.0
    smooth: bool = False
    show_marks: bool = False
    prompts: Prompts = field(default_factory=Prompts)
    batch_marks: bool = False
    both: bool = False

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise OptionError(f"profile={self.profile!r} is none of {', '.join(PROFILES)}; give one of them")
        if self.split not in SPLITS:
            raise OptionError(f"split={self.split!r} is none of {', '.join(SPLITS)}; give one of them")
        number, count = self.shard
        if not 1 <= number <= count <= MAX_SHARDS:
            raise OptionError(
                f"shard={number}/{count} is no part of {count}; give K/N with 1 <= K <= N <= {MAX_SHARDS}"
            )
        if isinstance(self.seed, bool) or not 0 <= self.seed < 2**31:
            raise OptionError(f"seed={self.seed!r} is not from 0 to {2**31 - 1}; give one that is")
        if not 0 <= self.tint <= MAX_TINT:
            raise OptionError(f"tint={self.tint!r} is not from 0 to {MAX_TINT}; 0 shows the picture as it is")

    def as_dict(self) -> dict[str, Any]:
        """What the sentences follow from; the shard, and what is shown beside, left out."""
        return {
            "profile": self.profile,
            "split": self.split,
            "seed": self.seed,
            "tint": self.tint,
            "smooth": self.smooth,
            "batch_marks": self.batch_marks,
            "both": self.both,
            "prompts": self.prompts.names(),
        }


def parse_shard(words: str) -> tuple[int, int]:
    """ "3/8" as (3, 8); OptionError for other words."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", words)
    if not found:
        raise OptionError(f"shard={words!r} is not K/N, as in 3/8; give one part and how many there are")
    return int(found[1]), int(found[2])
