"""Scenes, questions and the trainer; run in a clone with an editable install."""

import sys

from geopixel_edge.kernels.native import load_or_exit

if sys.argv[:1] == ["-m"]:  # `python -m training.NAME`, whose own imports come next and may need more
    load_or_exit()
