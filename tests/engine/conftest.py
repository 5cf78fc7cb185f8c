"""A tiny training run, made once for the tests that train."""

from __future__ import annotations

from ..support.tiny_training import prepared_run, run_directory, scene_store, tiny_config, tiny_run  # noqa: F401
