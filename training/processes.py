"""What the processes of a run do together: sums, and mean gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn


def summed(values: Tensor, processes: int) -> Tensor:
    """The sum of `values` over all processes, in each of them."""
    if processes > 1:
        distributed.all_reduce(values)
    return values


def averaged(parameters: Sequence[nn.Parameter], values: Tensor, processes: int) -> Tensor:
    """Make gradients the mean over all processes; returns that of `values`."""
    if processes == 1:
        return values
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([values, *(gradient.flatten() for gradient in gradients)])
    distributed.all_reduce(flat)
    flat /= processes
    parts = flat.split([len(values), *(gradient.numel() for gradient in gradients)])
    for gradient, part in zip(gradients, parts[1:], strict=True):
        gradient.copy_(part.view_as(gradient))
    return parts[0]
