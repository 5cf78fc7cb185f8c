"""Engines that were built on another machine: held to their golden values on the first one that can run them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from ..errors import EngineMismatchError, reason
from .golden import Check, verify
from .manifest import BlockSpec, Manifest

if TYPE_CHECKING:
    from ..model import Model

log = logging.getLogger(__name__)


def verified_here(manifest: Manifest) -> Manifest:
    """The manifest with every plan said to be verified on its GPU."""

    def of(block: BlockSpec) -> BlockSpec:
        plan = block.plan and msgspec.structs.replace(block.plan, verified=True)
        return msgspec.structs.replace(block, plan=plan)

    return msgspec.structs.replace(manifest, blocks={name: of(block) for name, block in manifest.blocks.items()})


def verify_and_record(model: Model) -> list[Check]:
    """`verify`; an engine that passes and was not verified yet says so in its manifest from then on.

    A directory that cannot be written is verified again at its next load, with a warning.
    """
    checks = verify(model)
    if model.engine.manifest.verified or not all(check.passed for check in checks):
        return checks
    try:
        model.engine.replace_manifest(verified_here(model.engine.manifest))
    except OSError as error:
        log.warning("%s passed, and cannot be marked as verified: %s", model.engine.root, reason(error))
    else:
        log.info("%s met its golden values on this GPU, and is marked as verified", model.engine.root)
    model.manifest = model.engine.manifest
    return checks


def hold_at_first_load(model: Model) -> None:
    """Verify an engine that says it never was; EngineMismatchError, and the engine as before, where it fails."""
    if model.manifest.verified:
        return
    if failed := [one for one in verify_and_record(model) if not one.passed]:
        told = "; ".join(f"{one.quantity} {one.distance:.1e} (allowed {one.tolerance:.1e})" for one in failed)
        raise EngineMismatchError(
            f"{model.engine.root} was built on another machine and does not give its golden values here: {told}; "
            "build it on this one, or see `geopixel-edge verify`"
        )
