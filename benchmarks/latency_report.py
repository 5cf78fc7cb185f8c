"""What `benchmarks.latency` measured, as tables for people."""

from __future__ import annotations

from typing import Any

from geopixel_edge.cli.terminal import human_bytes, table


def report(found: dict[str, Any]) -> str:
    """The measurements as tables."""
    environment, settings, decode, facts = (found[key] for key in ("environment", "settings", "decode", "answer"))
    rows = [
        (
            row["name"],
            str(row["runs"]),
            *(f"{1000 * row[key]:.2f}" for key in ("median_s", "min_s", "max_s")),
            human_bytes(row["peak_bytes"]),
            human_bytes(row["growth_bytes"]),
        )
        for row in found["phases"]
    ]
    lines = [
        ", ".join(f"{name} {value}" for name, value in environment.items()),
        ", ".join(f"{name} {value}" for name, value in settings.items()),
        "",
        table(("phase", "runs", "median, ms", "min, ms", "max, ms", "peak memory", "growth"), rows),
        "",
        f"decode          {decode['tokens_per_s']:.1f} tokens/s, {1000 / decode['tokens_per_s']:.3f} ms each; "
        f"reading {human_bytes(decode['weight_bytes'])} of weights and {human_bytes(decode['kv_bytes'])} of KV cache "
        f"at {human_bytes(int(decode['copy_bytes_per_s']))}/s takes {1000 * decode['floor_s']:.3f} ms",
        f"first token     {1000 * facts['first_token_s']:.1f} ms after {facts['prompt_tokens']} prompt tokens; "
        f"follow-up {1000 * facts['follow_up_first_token_s']:.1f} ms with {facts['reused_tokens']} of them reused "
        f"and {facts['follow_up_rows']} read, {100 * facts['follow_up_first_token_part']:.1f} % of the first's",
        f"whole answer    {facts['new_tokens']} tokens and {facts['regions']} masks; the follow-up takes "
        f"1/{facts['follow_up_speedup']:.1f} of the time and says {'the same' if facts['same_response'] else 'OTHER'}",
    ]
    lines.append(f"energy          {energy_text(facts['energy'])}")
    return "\n".join(lines)


def energy_text(found: dict[str, Any]) -> str:
    """Joules an image, and who says so, in a line."""
    if found.get("joules_per_image") is None:
        return found["source"] if found["source"] == "not measured" else f"{found['source']} gave no sample in time"
    state = ", throttled" if found["throttled"] else ""
    return (
        f"{found['joules_per_image']:.3g} J an image, {found['joules_per_token']:.3g} J a token, "
        f"{found['median_w']:.1f} W by {found['source']}{state}"
    )
