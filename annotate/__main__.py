"""`python -m annotate SOURCE OUT --describer ...` annotates; `python -m annotate apply PATCH` applies a review."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
