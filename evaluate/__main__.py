"""`python -m evaluate`: see docs/evaluate.md."""

from __future__ import annotations

import sys

from geopixel_edge.kernels.native import load_or_exit

load_or_exit()

from .cli import main  # noqa: E402

sys.exit(main())
