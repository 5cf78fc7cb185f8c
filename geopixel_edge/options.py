"""The options of one question: one frozen record for the API, the command line, batches and servers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from . import limits
from .checks import check_integer
from .errors import OptionError
from .text.questions import check_history


@dataclass(frozen=True)
class AskOptions:
    """How one question is answered. Plain values: it can be kept, sent to another process and used again.

    `max_new_tokens`: length limit. `history`: earlier (question, answer) pairs. `deadline_s`: seconds, counted from
    the question, after which the answer ends with what is known. `temperature` 0 is greedy; `top_p` and `seed` shape
    sampling. `compat=True` keeps two habits of the original: a prompt over its limit is refused, and a `[SEG]` that is
    the last allowed token gets no mask. `draft`: what `segment` asks is answered in fewer runs, by the
    same tokens: its usual answer is guessed and verified. OptionError or QueryError names the one out of range.
    """

    max_new_tokens: int = 1024
    history: tuple[tuple[str, str], ...] = ()
    deadline_s: float | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    compat: bool = False
    draft: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "max_new_tokens", check_integer("max_new_tokens", self.max_new_tokens, 1, limits.MAX_NEW_TOKENS)
        )
        object.__setattr__(self, "history", check_history(self.history))
        if self.deadline_s is not None and not (_is_number(self.deadline_s) and self.deadline_s > 0):
            raise OptionError(f"deadline_s={self.deadline_s!r} is not a time; give seconds above 0, or None")
        if not _is_number(self.temperature) or not 0 <= self.temperature <= 100:
            raise OptionError(f"temperature={self.temperature!r} is out of range; give 0 (greedy) to 100")
        if not _is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise OptionError(f"top_p={self.top_p!r} is out of range; give a number above 0, up to 1")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0):
            raise OptionError(f"seed={self.seed!r} is not a seed; give an integer of 0 or more, or None")
        for name in ("compat", "draft"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name}={getattr(self, name)!r} is not True or False")

    @classmethod
    def of(cls, options: AskOptions | None, overrides: Mapping[str, Any]) -> AskOptions:
        """`options`, or the defaults, with some fields given anew; OptionError for a field there is not."""
        if options is not None and not isinstance(options, AskOptions):
            raise OptionError(f"options={str(options)[:80]!r} is no AskOptions; give one, or single options by name")
        known = [field.name for field in fields(cls)]
        if unknown := sorted(overrides.keys() - set(known)):
            raise OptionError(f"option {unknown[0]!r} is unknown; give one of {', '.join(known)}")
        return replace(options or cls(), **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `AskOptions(**values)` is the same again."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
