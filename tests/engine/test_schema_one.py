"""Engines of schema 1 are upgraded when they are read, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geopixel_edge import cli
from geopixel_edge.engine.directory import read_manifest
from geopixel_edge.engine.golden import verify
from geopixel_edge.engine.manifest import SCHEMA_VERSION
from geopixel_edge.engine.precision import WIDENED
from geopixel_edge.errors import EngineMismatchError, EngineSchemaError
from geopixel_edge.pipeline import Pipeline

from ..support.engines import sign
from ..support.sam2_reference import DATA
from ..support.schema_one import as_schema_one

SQUARE = DATA / "images" / "square.png"
DESCRIBE = "Describe this image with interleaved segmentation masks."


@pytest.fixture(scope="module")
def old(engine_portable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_schema_one(engine_portable, tmp_path_factory.mktemp("schema_one"))


def test_it_is_what_the_new_schema_would_say(old: Path, engine_portable: Path) -> None:
    upgraded, new = read_manifest(old), read_manifest(engine_portable)
    assert json.loads((old / "manifest.json").read_text())["schema_version"] == 1
    assert (upgraded.schema_version, upgraded.family) == (SCHEMA_VERSION, "geopixel")
    assert (upgraded.precision, upgraded.sizes) == (new.precision, new.sizes)
    assert all(block.footprint is None for block in upgraded.blocks.values())


def test_it_answers_as_the_new_one_does(old: Path, engine_portable: Path) -> None:
    with Pipeline(old, device="cpu") as before, before.open(SQUARE, hd_num=1) as image:
        pipeline = Pipeline(engine_portable, device="cpu")  # the form it had: the same bits
        for query in (DESCRIBE, "Where is the red car?"):
            found = image.ask(query, max_new_tokens=16)
            wanted = pipeline(SQUARE, query, hd_num=1, max_new_tokens=16)
            assert found.token_ids == wanted.token_ids
            assert [region.mask for region in found.regions] == [region.mask for region in wanted.regions]


def test_it_passes_its_own_golden_values(old: Path) -> None:
    with Pipeline(old, device="cpu") as before:
        checks = verify(before.model)
    assert [check for check in checks if not check.passed] == []
    assert len([check for check in checks if check.drift is not None]) == 9


def test_a_batch_of_it_is_written_one_by_one(old: Path, pipeline: Pipeline) -> None:
    pairs = [(SQUARE, DESCRIBE), (SQUARE, "Where is the red car?")]
    with Pipeline(old, device="cpu") as before:
        assert not before.model.takes_batches
        answers = list(before.batch(pairs, hd_num=1, max_new_tokens=8))
    wanted = [pipeline(image, query, hd_num=1, max_new_tokens=8).token_ids for image, query in pairs]
    assert [answer.token_ids for answer in answers] == wanted


def test_int8_weights_are_widened_as_they_were(engine_portable: Path, tmp_path: Path) -> None:
    manifest = read_manifest(as_schema_one(engine_portable, tmp_path, "int8"))
    assert manifest.precision == "int8"
    assert {name: dict(block.session_options) for name, block in manifest.blocks.items()} == dict.fromkeys(
        manifest.blocks, WIDENED
    )


def test_its_commands_work(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(old)]) == 0
    assert cli.main(["plan", "--engine", str(old), "--size", "500x400"]) == 0
    assert "peak" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "value", "fragment"),
    [
        ("schema_version", 3, "reads 1 and 2"),
        ("schema_version", 0, "reads 1 and 2"),
        ("schema_version", "1", "schema_version"),
        ("family", "lisa", "family 'lisa' is unknown; this version runs geopixel"),
        ("precision", None, "precision"),
        ("footprint", {}, "unknown field"),
    ],
)
def test_what_no_version_wrote_is_refused(
    engine_portable: Path, tmp_path: Path, field: str, value: object, fragment: str
) -> None:
    from ..attacks.test_manifest import edit

    root = as_schema_one(engine_portable, tmp_path)
    edit(root, lambda manifest: manifest.update({field: value}))
    with pytest.raises(EngineSchemaError, match=fragment):
        read_manifest(root)


def test_options_that_no_engine_may_set_are_refused(engine_portable: Path, tmp_path: Path) -> None:
    from ..support.engines import linked

    root = linked(engine_portable, tmp_path)
    name = "session.model_external_initializers_file_folder_path"
    sign(root, lambda manifest: manifest["blocks"]["pixel_decoder"].update(options={name: "/etc"}))
    with pytest.raises(EngineMismatchError, match="which no engine may"):
        Pipeline(root, device="cpu")
