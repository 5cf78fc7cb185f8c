"""What a run starts from: its tokenizer and its model's config, in its own directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from export.checkpoint import Checkpoint
from export.config import ModelConfig, read_config
from export.tokenizer import read_tokenizer
from geopixel_edge.text.tokenizer import Tokenizer
from synthetic.questions import conversation, referring
from synthetic.scenes import make_scene

from .model import TOKENIZER_FILES
from .vocabulary import train_tokenizer

CONFIG = Path(__file__).parent / "configs" / "small.json"
VOCABULARY_SCENES, VOCABULARY_SIDE_PX = 300, 256


def prepare_run(run: Path, config: Path, start: str | None = None) -> tuple[dict[str, Any], ModelConfig, Tokenizer]:
    """The run's tokenizer and config: those of `start`, or made on first use from the first training scenes."""
    tokenizer_dir = run / "tokenizer"
    if not (run / "config.json").is_file() and start:
        Checkpoint(Path(start)).check_all()
        tokenizer_dir.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:
            shutil.copy(Path(start) / name, tokenizer_dir / name)
        shutil.copy(Path(start) / "config.json", run / "config.json")
    elif not (run / "config.json").is_file():
        texts = []
        for seed in range(VOCABULARY_SCENES):
            scene = make_scene(seed, VOCABULARY_SIDE_PX)
            for example in (conversation(scene), *referring(scene, 6)):
                texts += [f"user\n{example.question}", f"assistant\n{example.answer}"]
        size = train_tokenizer(texts, tokenizer_dir)
        (run / "config.json").write_text(json.dumps({**json.loads(config.read_text()), "vocab_size": size}, indent=1))
    raw = json.loads((run / "config.json").read_text())
    return raw, read_config(run / "config.json"), read_tokenizer(tokenizer_dir)
