"""Draw `scene.png`, a scene that no training has seen: `python examples/make_scene.py [OUT.png]`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from synthetic.scenes import EVALUATION_SEED, make_scene

SEED = EVALUATION_SEED + 500_006  # outside the seeds that figures are measured on
SIDE_PX = 640

if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("scene.png")
    Image.fromarray(make_scene(SEED, SIDE_PX).image).save(out, optimize=True)
