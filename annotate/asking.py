"""Asking a describer through the ledger: a question once, within a budget."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from geopixel_edge.masks import Mask

from .describers.base import Describer, Reply, Request
from .errors import DescriberError
from .items import Item
from .ledger import Ledger, key_of
from .settings import Settings


class Asker:
    """A describer, its ledger and what a run may still cost; `asked` and `tokens` count what was not in the ledger."""

    def __init__(
        self,
        describer: Describer,
        ledger: Ledger,
        settings: Settings,
        budget_tokens: int | None = None,
        budget_requests: int | None = None,
    ) -> None:
        self.describer, self.ledger, self.settings = describer, ledger, settings
        self.budget_tokens, self.budget_requests = budget_tokens, budget_requests
        self.asked = self.tokens = 0
        self._names = settings.prompts.names()
        self._fingerprint = describer.fingerprint()

    def key(self, item_hash: str, masks: list[str], request: Request, look: str = "") -> str:
        """The digest of a question; `look` says what was drawn into the picture."""
        return key_of(
            level=request.level,
            image=item_hash,
            masks=masks,
            prompt=self._names[request.level],
            text=request.prompt if request.level in ("marks", "merge") else "",
            facts=request.facts.as_dict(),
            phrase=request.phrase,
            used=list(request.used),
            look=look if self.describer.looks else "",
            describer=self._fingerprint,
            seed=self.settings.seed,
        )

    def ask(self, key: str, item_id: str, request: Request) -> Reply:
        """The reply, of the ledger or the describer; DescriberError once the budget is spent."""
        known = self.ledger.get(key)
        if known is not None:
            return known
        if self.budget_tokens is not None and self.tokens >= self.budget_tokens:
            raise DescriberError(
                f"budget_tokens={self.budget_tokens} is spent ({self.tokens} tokens in this run); the same command "
                "goes on from here"
            )
        if self.budget_requests is not None and self.asked >= self.budget_requests:
            raise DescriberError(f"budget_requests={self.budget_requests} is spent; the same command goes on from here")
        reply = self.describer.describe(replace(request, seed=seed_of(key)))
        self.asked += 1
        self.tokens += reply.tokens_in + reply.tokens_out
        self.ledger.add(key, item_id, request.level, reply)
        return reply


def seed_of(key: str) -> int:
    """A number from 0 to 2^31 - 1 that follows from a question's key."""
    return int(key[:8], 16) >> 1


def image_hash(item: Item) -> str:
    """The digest of a picture's pixels and size."""
    digest = hashlib.sha256(f"{item.height_px}x{item.width_px}:".encode())
    digest.update(item.image.tobytes())
    return digest.hexdigest()


def mask_hash(mask: Mask) -> str:
    """The digest of a mask."""
    digest = hashlib.sha256(f"{mask.height_px}x{mask.width_px}:{mask.bbox}:".encode())
    digest.update(mask.counts.tobytes())
    return digest.hexdigest()
