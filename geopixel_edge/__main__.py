"""`python -m geopixel_edge` is `geopixel-edge`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
