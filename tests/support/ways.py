"""How a documented command is run: where it is typed, what it must do, and the usual kinds of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .places import Place
from .preparations import checkpoint_in_clone, files_in_clone, instances_in_clone, nothing

PLAIN, EXPORT, BENCH = "pip install .", "pip install '.[export]'", "pip install -e '.[bench]'"
GEO, SERVER = "pip install '.[geo]'", "pip install '.[server]'"
MAKE_TEST, TOOLS = "make test", "pip install 'setuptools>=77' 'pybind11>=3.0,<4' 'cmake>=3.20' 'ninja>=1.11'"
ANNOTATE = "pip install -e '.[annotate]'"


@dataclass(frozen=True)
class How:
    """Where a command is typed and what it must do.

    `shows`: a regular expression that the output matches; `writes`: files or folders there afterwards; `after`:
    commands typed before, once each; `until`: the command is interrupted once its output matches, for the reason in
    `why`. `long`: in `make nightly` alone, as everything is that needs a second environment. `programs`: of the system,
    which a page tells the reader to install; where one is missing the command is skipped.
    """

    place: str
    shows: str = ""
    writes: tuple[str, ...] = ()
    in_clone: bool = True
    after: tuple[str, ...] = ()
    prepare: Callable[[Place], None] = nothing
    until: str = ""
    why: str = ""
    long: bool = False
    programs: tuple[str, ...] = ()


def user(shows: str = "", *writes: str) -> How:
    """A command of somebody who installed the package and is in a folder of their own."""
    return How("installed", shows, writes, in_clone=False, after=(PLAIN,))


def placed(shows: str, *writes: str) -> How:
    """A command of somebody who installed the extra for georeferenced images."""
    return How("installed", shows, writes, in_clone=False, after=(GEO,), long=True)


def exported(prepare: Callable[[Place], None] = checkpoint_in_clone) -> How:
    """An export of the checkpoint that stands for GeoPixel-7B."""
    found = ("engine/manifest.json",)
    return How("installed", "published engine", found, after=(EXPORT,), prepare=prepare, long=True)


def bench(shows: str, *writes: str, after: str = BENCH) -> How:
    """A program of the clone."""
    return How("editable", shows, writes, after=(after,), prepare=files_in_clone, long=True)


def annotating(shows: str, *writes: str) -> How:
    """An annotation of the clone's."""
    return How("editable", shows, writes, after=(ANNOTATE,), prepare=instances_in_clone, long=True)


def scores(after: str, prepare: Callable[[Place], None] = nothing) -> How:
    """500 scenes, of which two or more are seen to be asked about."""
    return How(
        "editable",
        after=(after,),
        prepare=prepare,
        until=r"\b[2-9]/500\b",
        long=True,
        why="500 scenes take ten minutes; `--scenes 20` runs to its end",
    )


def develop(
    shows: str = "", *writes: str, after: tuple[str, ...] = (MAKE_TEST,), programs: tuple[str, ...] = ()
) -> How:
    """A command of the environment that `make test` makes."""
    return How("developer", shows, writes, after=after, long=True, programs=programs)
