"""The door that recipes and notebooks know: scenes are made in `synthetic.scenes`."""

from synthetic.scenes import CLASS_NAMES, EVALUATION_SEED, GENERATOR_VERSION, KINDS, Instance, Scene, make_scene

__all__ = ["CLASS_NAMES", "EVALUATION_SEED", "GENERATOR_VERSION", "KINDS", "Instance", "Scene", "make_scene"]
