"""What was measured, as tables for people."""

from __future__ import annotations

from typing import Any

from geopixel_edge.cli.terminal import table


def text(found: dict[str, Any]) -> str:
    """Blocks, language model, whole answers."""
    lines = [environment_text(found["environment"]), ""]
    lines.append(table(("block", "ms", "TFLOP/s", "of the matrix rate"), _blocks(found)))
    if found["fidelity"]:
        lines += ["", table(("block", "cosine to float32", "equal tokens", "mask IoU"), _fidelity(found["fidelity"]))]
    lines += ["", table(("decode", "ms", "tokens/s", "of the floor"), _decode(found["decode"])), ""]
    lines.append(
        table(("whole answer", "s", "first token, s", "tokens/s", "times ours"), _whole(found["whole_answer"]))
    )
    lines.append(f"power: {power_text(found['whole_answer']['ours']['power'])}")
    return "\n".join(lines)


def environment_text(facts: dict[str, Any]) -> str:
    """Where it was measured, in a line."""
    board = facts["board"]
    named = {
        **facts,
        "cuda": facts["cuda"] and ".".join(map(str, facts["cuda"])),
        "gpus": " and ".join(gpu["name"] for gpu in facts["gpus"]),
        "board": board and f"{board['model']}, power mode {board['power_mode'] or 'not told'}",
    }
    return ", ".join(f"{name} {value}" for name, value in named.items() if value)


def power_text(found: dict[str, Any]) -> str:
    """Joules an image, clocks and heat, in a line."""
    if found.get("joules_per_image") is None:
        return "not measured"
    state = "throttled" if found["throttled"] else "not throttled"
    clock = "" if found["median_clock_mhz"] is None else f", {found['median_clock_mhz']:.0f} MHz"
    heat = "" if found["peak_c"] is None else f", at most {found['peak_c']:.0f} degrees Celsius"
    return (
        f"{found['joules_per_image']:.1f} J an answer, {found['joules_per_token']:.2f} J a token, "
        f"{found['median_w']:.1f} W by {found['source']}{clock}{heat}, {state}"
    )


def _blocks(found: dict[str, Any]) -> list[tuple[str, ...]]:
    named = {**found["blocks"], **{f"prefill of {rows}": one for rows, one in found["prefill"].items()}}
    return [
        (
            _counted(name, one),
            f"{1000 * one['seconds']:.2f}",
            _number(one.get("tflop_per_s")),
            _number(one.get("ratio_matrix_rate")),
        )
        for name, one in named.items()
    ]


def _counted(name: str, one: dict[str, Any]) -> str:
    """With how much was run at once, where that depends on the engine."""
    return next((f"{name}, {one[unit]} {unit}" for unit in ("views", "masks") if unit in one), name)


def _fidelity(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{one['cosine']:.6f}", *(_share(one.get(figure)) for figure in ("token_agreement", "mask_iou")))
        for name, one in found.items()
    ]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _decode(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"{batch} x {cached} cached",
            f"{1000 * one['seconds']:.3f}",
            f"{one['tokens_per_s']:.0f}",
            _number(one.get("ratio_floor")),
        )
        for batch, group in ((1, found), (8, found["batch8"]))
        for cached, one in group.items()
        if cached != "batch8"
    ]


def _whole(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{one['seconds']:.3f}",
            _number(one["first_token_s"]),
            _number(one["decode_tokens_per_s"]),
            _number(one["seconds"] / found["ours"]["seconds"]),
        )
        for name, one in found.items()
        if isinstance(one, dict)
    ]


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"
