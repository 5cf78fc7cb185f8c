"""Muon for the matrices of the layers, AdamW for all else; torch's own, as one optimiser.

Muon steps along the orthogonalised gradient, so that directions that seldom matter learn as fast as those that always
do. Its steps are scaled to the size of AdamW's, so one rate fits both. From the same weights over the same scenes
nearly every loss came out lower than with AdamW alone, at a seventh more time a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .model import GeoPixel

LEAST_SIDE = 32  # of a matrix; LoRA's are narrower
WEIGHT_DECAY, BETAS, MOMENTUM = 0.02, (0.9, 0.98), 0.95


class Optimizer:
    """Steps `parameters`, those of them that are matrices of the model's layers with Muon; `rate` is set anew before
    each step."""

    def __init__(self, model: GeoPixel, parameters: Sequence[nn.Parameter], rate: float) -> None:
        chosen = {id(matrix) for matrix in matrices(model)}
        inner = [one for one in parameters if id(one) in chosen]
        other = [one for one in parameters if id(one) not in chosen]
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if inner:
            self._parts["muon"] = torch.optim.Muon(
                inner, lr=rate, weight_decay=WEIGHT_DECAY, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
            )
        if other:
            self._parts["adamw"] = torch.optim.AdamW(other, lr=rate, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True)

    def step(self, rate: float) -> None:
        """One step along the gradients, which are forgotten."""
        for part in self._parts.values():
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Of both parts."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As given by `state_dict`; KeyError or ValueError when it is of other parameters."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])


def matrices(model: GeoPixel) -> list[nn.Parameter]:
    """Weights of the model's linear layers, but for those that give the words' scores, and LoRA's."""
    linear = (one for one in model.modules() if isinstance(one, nn.Linear) and one is not model.language_model.output)
    return [
        one.weight for one in linear if isinstance(one.weight, nn.Parameter) and min(one.weight.shape) >= LEAST_SIDE
    ]
