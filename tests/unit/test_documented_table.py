"""The table of commands names those that the pages and `--help` show, all of them and no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from export import verb
from geopixel_edge.cli import scene

from ..support.command_table import SERVED, SNIPPETS, TABLE
from ..support.commands_not_run import NOT_RUN
from ..support.documented import ROOT, Shown, examples_of, read_page, shown

PAGE = """\
Say `pip install it` or `python -m benchmarks.latency`; `area_px` is none.

    first --of x  # why
    # alone
    second \\
        --more

    third

text

    engine/
      file   what it is

```python
import one
```
```sh
fourth
```
"""


def test_what_counts_as_a_command() -> None:
    found = Shown()
    read_page(found, "page.md", PAGE)
    assert list(found.commands) == ["fourth", "first --of x", "second --more", "third", "pip install it"]
    assert list(found.names) == ["python -m benchmarks.latency"]
    assert list(found.snippets) == ["import one\n"]
    read_page(found, "page.md", "```text\na -> b\n```\n")
    assert len(found.commands) == 5
    with pytest.raises(ValueError, match=r"page\.md has a block in 'rust'"):
        read_page(found, "page.md", "```rust\nfn main() {}\n```\n")


def test_the_table_and_the_pages_show_the_same() -> None:
    pages = shown()
    pages.commands = {
        one: where for one, where in pages.commands.items() if not (one.startswith("curl ") and where == {SERVED})
    }
    done = subprocess.run([sys.executable, "-m", "geopixel_edge", "--help"], cwd=ROOT, capture_output=True, text=True)
    in_help = {*examples_of(done.stdout), *examples_of(verb.EPILOG), *examples_of(scene.EPILOG)}
    unknown = {command: pages.commands.get(command) for command in {*pages.commands, *in_help} - {*TABLE, *NOT_RUN}}
    assert not unknown, f"say in tests/support/command_table.py how these are run: {unknown}"
    gone = {*TABLE, *NOT_RUN} - {*pages.commands, *in_help}
    assert not gone, f"no page shows these any more; take them out of tests/support/command_table.py: {gone}"
    assert {page for where in pages.snippets.values() for page in where} == {*SNIPPETS, SERVED}
    modules = {name.removeprefix("python -m ") for name in pages.names if name.startswith("python -m ")}
    places = {name: ROOT / name.replace(".", "/") for name in modules}
    assert [
        name
        for name, place in places.items()
        if not place.with_suffix(".py").is_file() and not (place / "__main__.py").is_file()
    ] == []


def test_interrupted_commands_say_why_and_the_others_do_not() -> None:
    assert [command for command, how in TABLE.items() if bool(how.until) != bool(how.why)] == []
