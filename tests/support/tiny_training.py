"""A training run made tiny: a step takes a fraction of a second."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from training import prepare
from training.batches import Samples
from training.plan import Part, Phase, Plan
from training.prepare import CONFIG, prepare_run
from training.run import Run
from training.store import SceneStore

PHASES = (
    Phase(Part.ENCODERS, 1, 1e-3, questions=2, masks=3),
    Phase(Part.MASKS, 2, 1e-3, questions=2, masks=3, kept_scenes=2, anew=True),
    Phase(Part.READING, 1, 1e-3, questions=2, masks=3),
    Phase(Part.ALL, 2, 1e-3, questions=2, masks=3),
)
PLAN = Plan(PHASES, scenes=3, side_px=128, hd_num=4, processes=1)


@pytest.fixture(scope="module")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model made tiny: a step takes a fraction of a second."""
    raw = json.loads(CONFIG.read_text())
    raw |= {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    raw |= {"num_key_value_heads": 2, "out_dim": 32}
    raw["clip_config"] |= {"image_size": 64, "patch_size": 16, "hidden_size": 32, "intermediate_size": 64}
    raw["clip_config"] |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    raw["sam2_config"]["image_size"] = 128
    raw["sam2_config"]["hiera"] |= {"embed_dim": 8, "stages": [1, 1, 1, 1], "global_att_blocks": [2]}
    raw["sam2_config"]["neck"] |= {"d_model": 32, "backbone_channel_list": [64, 32, 16, 8]}
    raw["sam2_config"]["mask_decoder"] |= {"transformer_num_heads": 4, "transformer_mlp_dim": 32}
    raw["sam2_config"]["mask_decoder"]["transformer_depth"] = 2
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(raw))
    return path


@pytest.fixture(scope="module")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> SceneStore:
    kept = SceneStore(tmp_path_factory.mktemp("store"), PLAN.side_px)
    kept.fill(range(10), 1)
    return kept


@pytest.fixture(scope="module")
def prepared_run(tmp_path_factory: pytest.TempPathFactory, tiny_config: Path) -> Path:
    """A run's directory with its tokenizer and config, and no state yet."""
    directory = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "VOCABULARY_SCENES", 8)
        prepare_run(directory, tiny_config)
    return directory


@pytest.fixture
def run_directory(tmp_path: Path, prepared_run: Path) -> Path:
    return shutil.copytree(prepared_run, tmp_path / "run")


@pytest.fixture
def tiny_run(run_directory: Path) -> Run:
    return Run(run_directory, PLAN, "cpu")


def samples_of(run: Run, store: SceneStore, first: int = 0, step: int = 1) -> Samples:
    plan = run.plan
    return Samples(store, plan.seeds, run.model.config, run.tokenizer, plan.hd_num, 2, 3, first, step)
