"""What a base install brings to a device: counted from the metadata of the packages installed here, offline."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..support.project import pyproject

ROOT = Path(__file__).parents[2]
# This package included; pip itself is not. ONNX Runtime's last release for Python 3.10 brings four more.
MAX_DISTRIBUTIONS = 10 if sys.version_info >= (3, 11) else 14


def installed_by(requirements: list[str]) -> set[str]:
    """The distributions that `requirements` bring, their own requirements included; markers are this Python's."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        assert not requirement.extras, f"{requirement}: extras are not followed here"
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            waiting += [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return found


def test_a_base_install_is_small() -> None:
    project = pyproject()["project"]
    found = {project["name"], *installed_by(project["dependencies"])}
    assert len(found) <= MAX_DISTRIBUTIONS, sorted(found)
    assert {"numpy", "protobuf"} <= found  # one named, one that another brings


def test_the_count_follows_what_packages_bring() -> None:
    assert len(installed_by(["tokenizers"])) > MAX_DISTRIBUTIONS
    assert installed_by(["tokenizers; python_version < '3'"]) == set()
