"""What files take and what is free beside them, for errors about a full disk to tell."""

from __future__ import annotations

import shutil
from pathlib import Path


def room(*files: Path) -> str:
    """Words that say how many bytes are needed at least, which is what the files hold so far, and how many are free.

    "" where that cannot be known, and where nothing was written yet.
    """
    try:
        taken = sum(file.stat().st_size for file in files if file.exists())
        if not taken:
            return ""
        return f"; over {taken} bytes are needed there, {shutil.disk_usage(files[0].parent).free} are free"
    except OSError:
        return ""
