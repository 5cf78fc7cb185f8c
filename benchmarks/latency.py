"""`python -m benchmarks.latency [ENGINE_DIR]`: what one answer costs, block by block, and what a second one costs."""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geopixel_edge import Answer, Pipeline, __version__, limits
from geopixel_edge.checks import check_integer
from geopixel_edge.cli.board import power_mode
from geopixel_edge.cli.command import run_command
from geopixel_edge.cli.machine import usable_cores
from geopixel_edge.cli.streams import write_json
from geopixel_edge.images import load_image
from geopixel_edge.kernels.native import load as load_kernels
from geopixel_edge.memory.capacity import cache_capacity
from geopixel_edge.stop import Watch
from geopixel_edge.timings import DECODE

from .latency_report import report
from .machine import cpu_name, runtimes
from .measure import Measurement, PeakMemory, copy_bytes_per_s, measure, summarise
from .power import Energy, find_reader

QUERY = "Describe this image with interleaved segmentation masks."
SCENE = Path(__file__).parent.parent / "examples" / "scene.png"
PHASES = 9
MAX_REPEAT = 10_000


def _stages(
    pipe: Pipeline, image_path: Path, hd_num: int, repeat: int, steps: int, tick: Callable[[], object]
) -> tuple[list[Measurement], float]:
    """The verbs of the main path, each fed by the one before it, and what a token takes outside the runtime's run."""
    model, image = pipe.model, load_image(image_path)
    prompt = model.family.prompt(QUERY, (), 1, model.tokenizer, model.manifest.tokens)
    ((grid,), _) = model.family.layout([image], hd_num, prompt.text_tokens, steps, model.manifest.sizes, False)
    kept: dict[str, Any] = {}
    found = []

    def stage(name: str, action: Callable[[], Any]) -> Any:
        found.append(measure(name, lambda: kept.update({name: action()}), repeat))
        tick()
        return kept[name]

    views = stage("divider", lambda: model.divide(image, grid))
    tokens = stage("vision_encoder", lambda: model.see(views, grid))
    rows = model.rows(prompt, [tokens])
    cache = model.new_cache(cache_capacity(model.manifest, len(rows) + steps + 1))

    def prefill() -> Any:
        cache.rewind(0)
        return model.read(rows, cache)

    outputs = stage("language_model.prefill", prefill)
    hidden = outputs.hidden
    seconds, inside = list[float](), list[float]()
    with PeakMemory() as memory:
        outputs = model.step([int(outputs.logits[0].argmax())], cache)
        for _ in range(steps):
            start, watch = time.perf_counter(), Watch()
            outputs = model.step([int(outputs.logits[0].argmax())], cache, watch=watch)
            seconds.append(time.perf_counter() - start)
            inside.append(watch.timings.blocks[DECODE].time_s)
    found.append(summarise(DECODE, seconds, memory))
    tick()
    features = stage("grounding_encoder", lambda: model.ground(image))
    stage("pixel_decoder", lambda: model.point(hidden, features, (image.width_px, image.height_px)))
    return found, statistics.median(whole - run for whole, run in zip(seconds, inside, strict=True))


def _answers(
    pipe: Pipeline, image: Path, hd_num: int, repeat: int, new_tokens: int, tick: Callable[[], object], energy: Energy
) -> tuple[list[Measurement], dict[str, Any]]:
    """The same question on an image opened for it, while `energy` samples, and on one already open."""
    fresh: list[Answer] = []
    again: list[Answer] = []

    def ask_fresh() -> None:
        with pipe.open(image, hd_num=hd_num) as opened:
            fresh.append(opened.ask(QUERY, max_new_tokens=new_tokens))

    with energy:
        rows = [measure("whole answer", ask_fresh, repeat)]
    tick()
    with pipe.open(image, hd_num=hd_num) as opened:
        opened.ask(QUERY, max_new_tokens=new_tokens)
        rows.append(
            measure("follow-up answer", lambda: again.append(opened.ask(QUERY, max_new_tokens=new_tokens)), repeat)
        )
    tick()
    facts = {
        "new_tokens": len(fresh[-1].token_ids),
        "regions": len(fresh[-1].regions),
        "prompt_tokens": fresh[-1].timings.prompt_tokens,
        "reused_tokens": again[-1].timings.reused_tokens,
        "first_token_s": _first_token_s(fresh),
        "follow_up_first_token_s": _first_token_s(again),
        "follow_up_rows": again[-1].timings.prompt_tokens - again[-1].timings.reused_tokens,
        "follow_up_first_token_part": _first_token_s(again) / _first_token_s(fresh),
        "follow_up_speedup": rows[0].median_s / rows[1].median_s,
        "same_response": fresh[-1].response == again[-1].response,
        "energy": energy.each(len(fresh), sum(len(answer.token_ids) for answer in fresh)),
    }
    return rows, facts


def _first_token_s(answers: list[Answer]) -> float:
    """Median of all but the first, which warms up."""
    return statistics.median(answer.timings.first_token_s or 0.0 for answer in answers[1:])


def _decode(
    pipe: Pipeline, decode: Measurement, outside_s: float, positions: int, bandwidth: float
) -> dict[str, float]:
    """Decode against the time of reading its weights and the KV cache once at this machine's copying rate.

    `outside_runtime_s`: what a token takes beside the runtime's own run.
    """
    block, sizes = pipe.engine.manifest.blocks["language_model"], pipe.engine.manifest.sizes
    weights = sum(spec.bytes for spec in block.files)
    number = np.dtype(next(tensor.dtype for tensor in block.inputs if tensor.name.startswith("past_"))).itemsize
    cache = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * positions * number
    floor_s = (weights + cache) / bandwidth
    return {
        "tokens_per_s": 1 / decode.median_s,
        "outside_runtime_s": outside_s,
        "weight_bytes": weights,
        "kv_bytes": cache,
        "copy_bytes_per_s": bandwidth,
        "floor_s": floor_s,
        "times_floor": decode.median_s / floor_s,
    }


def _environment(pipe: Pipeline) -> dict[str, Any]:
    manifest = pipe.engine.manifest
    return {
        "geopixel_edge": __version__,
        **runtimes(manifest),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "device": pipe.device,
        **({"power_mode": power_mode()} if power_mode() else {}),
        "kernels": load_kernels().__name__.rpartition(".")[2],
        "engine_source": manifest.provenance.source_name,
        "precision": manifest.precision,
        "engine_bytes": sum(spec.bytes for spec in manifest.files()),
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything; plain values for JSON, seconds and bytes throughout."""
    with tqdm(total=PHASES, disable=None, unit="phase", leave=False) as bar:
        kept: list[Pipeline] = []

        def load() -> None:
            kept.append(Pipeline(args.engine_dir, device=args.device, threads=args.threads))

        rows = [measure("load", load, 1, warm_up=False)]
        pipe = kept[0]
        bar.update()
        stages, outside_s = _stages(pipe, args.image, args.hd_num, args.repeat, args.max_new_tokens, bar.update)
        rows += stages
        energy = Energy(find_reader(pipe.model.device.index) if args.energy else None)
        wholes, facts = _answers(pipe, args.image, args.hd_num, args.repeat, args.max_new_tokens, bar.update, energy)
    decode = next(row for row in rows if row.name == DECODE)
    positions = facts["prompt_tokens"] + args.max_new_tokens
    bandwidth = copy_bytes_per_s(args.threads or usable_cores())
    image = load_image(args.image)
    return {
        "environment": _environment(pipe),
        "settings": {
            "image": args.image.name,
            "width_px": image.width_px,
            "height_px": image.height_px,
            "hd_num": args.hd_num,
            "max_new_tokens": args.max_new_tokens,
            "repeat": args.repeat,
            "threads": args.threads,
        },
        "phases": [asdict(row) for row in rows + wholes],
        "decode": _decode(pipe, decode, outside_s, positions, bandwidth),
        "answer": facts,
    }


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("engine_dir", nargs="?", type=Path, help="default: the engine in the package")
    parser.add_argument("--image", type=Path, default=SCENE, help="default: examples/scene.png")
    parser.add_argument("--repeat", type=int, default=3, help="counted runs of each phase (default: 3)")
    parser.add_argument("--max-new-tokens", type=int, default=32, help="decode steps and answer length (default: 32)")
    parser.add_argument("--hd-num", type=int, default=9, help="how finely to divide (default: 9)")
    parser.add_argument("--threads", type=int, help="CPU threads per block (default: every core)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda[:N] or tensorrt[:N]")
    parser.add_argument("--energy", action="store_true", help="sample power; joules an image and a token")
    parser.add_argument("--json", action="store_true", help="print one JSON object, seconds and bytes")
    args = parser.parse_args(argv)
    check_integer("repeat", args.repeat, 1, MAX_REPEAT)
    check_integer("max_new_tokens", args.max_new_tokens, 1, limits.MAX_NEW_TOKENS)
    found = run(args)
    if args.json:
        write_json(found, indent=1)
    else:
        print(report(found))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run_command(lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
