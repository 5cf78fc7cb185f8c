"""What was measured, as tables for people."""

from __future__ import annotations

from typing import Any

from geopixel_edge.cli.terminal import human_bytes, table


def text(found: dict[str, Any]) -> str:
    """The parts that were measured, one below the other."""
    lines = [", ".join(f"{name} {value}" for name, value in found["settings"].items())]
    lines.append(
        f"engine {human_bytes(found['engine']['bytes'])}; exported in {found['export']['seconds']:.0f} s with at most "
        f"{human_bytes(found['export']['peak_bytes'])}"
    )
    for part in (_decode, _prefill, _encoders, _whole_answer, _growth, _memory):
        lines += part(found)
    return "\n".join(lines)


def _decode(found: dict[str, Any]) -> list[str]:
    if "decode" not in found:
        return []
    rows = [
        (
            f"{batch} x {cached} cached",
            *(f"{one[key]:.2f}" for key in ("tokens_per_s", "ratio_llamacpp", "ratio_floor")),
        )
        for batch, group in ((1, found["decode"]), (8, found["decode"]["batch8"]))
        for cached, one in group.items()
        if cached != "batch8"
    ]
    return ["", table(("decode", "tokens/s", "times llama.cpp", "of the floor"), rows)]


def _prefill(found: dict[str, Any]) -> list[str]:
    rows = [
        (f"{rows} rows", f"{one['gflops']:.0f}", f"{one['ratio_llamacpp']:.2f}")
        for rows, one in found.get("prefill", {}).items()
    ]
    return ["", table(("prefill", "GFLOP/s", "times llama.cpp"), rows)] if rows else []


def _encoders(found: dict[str, Any]) -> list[str]:
    rows = [
        (
            name,
            found[name]["precision"],
            f"{1000 * found[name]['seconds']['ours']:.0f}",
            *(f"{found[name][key]:.2f}" for key in ("ratio_openvino_bf16", "ratio_torch")),
            f"{found[name]['cosine']:.5f}",
        )
        for name in ("vision_encoder", "grounding_encoder")
        if name in found
    ]
    titles = ("encoder", "precision", "ms", "times OpenVINO bf16", "times torch", "cosine to float32")
    spent = [
        f"{name}: " + ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in found[name]["operators"].items())
        for name in ("vision_encoder", "grounding_encoder")
        if name in found
    ]
    return ["", table(titles, rows), *spent] if rows else []


def _whole_answer(found: dict[str, Any]) -> list[str]:
    if "whole_answer" not in found:
        return []
    ratio = found["whole_answer"]["ratio_recompute"]
    return ["", f"whole answer, 64 tokens: {ratio:.1f} times as fast as recomputing the sequence for each in torch"]


def _growth(found: dict[str, Any]) -> list[str]:
    return [
        f"{name.replace('_', ' ')}: " + ", ".join(f"{count} in {seconds:.3g} s" for count, seconds in series.items())
        for name, series in found.get("growth", {}).items()
    ]


def _memory(found: dict[str, Any]) -> list[str]:
    if "memory" not in found:
        return []
    told = found["memory"]
    names = ("export_peak_bytes", "load_peak_bytes", "run_peak_bytes", "run_limited_peak_bytes")
    lines = ["", table(("memory", "at most"), [(name, human_bytes(told[name])) for name in names if told[name]])]
    block = told["language_model"]
    loaded, after = (block[f"{name}_bytes"] / block["file_bytes"] for name in ("load_peak", "after_prefill"))
    lines.append(f"the language model: {loaded:.2f} times its file while it loads, {after:.2f} after 512 rows")
    for shape in ("square", "wide"):
        for name in ("unlimited", "limited") if shape in told else ():
            one = told[shape][name]
            if "refused" in one:
                lines.append(f"{shape} {name}: {one['refused']}")
                continue
            lines.append(
                f"{shape} {name}: planned {human_bytes(one['planned_bytes'])} ({100 * one['plan_error']:+.1f} %), "
                f"took {human_bytes(one['run_peak_bytes'])} and {one['run_s']:.0f} s"
            )
    return [*lines, f"a follow-up's first token takes {100 * told['follow_up_ratio']:.1f} % of the first question's"]
