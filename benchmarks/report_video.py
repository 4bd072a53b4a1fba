"""Sections of benchmarks/README.md on video: speed, smoothing, presence; and its rows in README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Report = Mapping[str, Any]


def is_speed(report: Report) -> bool:
    """True if ``facegeo-bench video --out`` wrote it."""
    return report.get("benchmark") == "video"


def figures(report: Report) -> Iterator[tuple[str, str]]:
    """Figures that a user wants to know first: what it is, the figure."""
    results, clip = report["results"], report["results"]["clip"]
    size = f"{clip['width']}x{clip['height']}"
    fps = results["plain"]["fps"]
    yield f"`predictor.stream`, {size}, one face, with decoding", f"{fps:.0f} frames/s"
    overlay = results["overlay"]
    what = f"the same with the {overlay['draw']} drawn and encoded"
    yield what, f"{overlay['fps']:.0f} frames/s"
    if "live" in results:
        live = results["live"]
        what = f"live at {live['input_fps']:.0f} frames/s: latency, 95th percentile"
        yield what, f"{live['p95_ms']:.1f} ms"


def _speed(report: Report) -> str:
    results, machine = report["results"], report["machine"]
    clip, runs, plain, overlay = (results[name] for name in ("clip", "runs", "plain", "overlay"))
    lines = [
        f"### {clip['name']}, {clip['width']}x{clip['height']}, {machine['cpus']} cores",
        "",
        f"`facegeo-bench video` with `{runs['model']}`, {runs['backend']} {runs['precision']}, "
        f"detector `{runs['detector']}`, on {machine['cpu']}; {results['loops']} loops forwards "
        f"and backwards, decoding included; PyAV {machine['av']}, commit {machine['commit']}.",
        "",
        "| | |",
        "|---|--:|",
        f"| faces followed | {plain['fps']:.0f} frames/s |",
        f"| the same, {overlay['draw']} drawn, encoded | {overlay['fps']:.0f} frames/s |",
    ]
    if "live" in results:
        live = results["live"]
        lines.append(
            f"| live at {live['input_fps']:.0f} frames/s: latency p50, p95; dropped "
            f"| {live['p50_ms']:.1f}, {live['p95_ms']:.1f} ms; {live['dropped']} |"
        )
    if "growth_mb" in results.get("memory", {}):
        memory = results["memory"]
        lines.append(
            f"| growth of memory over {memory['frames']:,} frames | {memory['growth_mb']:.1f} MB |"
        )
    return "\n".join([*lines, ""])


def _is_jitter(report: Report) -> bool:
    return "stream_reduction" in report


def _jitter(report: Report) -> str:
    lines = [
        f"### {report['picture']}, face of {report['face_px']:.0f} px",
        "",
        f"`video_jitter.py` with `{report['model']}` at {report['fps']:.0f} frames a second, "
        f"sensor noise with a standard deviation of {report['noise_std']:g}.",
        "",
        "| | |",
        "|---|--:|",
        f"| landmarks' standard deviation falls by | {report['reduction']:.1f} |",
        f"| the same through the whole stream | {report['stream_reduction']:.1f} |",
        f"| rotation's falls by | {report['rotation_reduction']:.1f} |",
    ]
    for speed in (5, 90):
        pose, points = (
            round(report[f"turn_{speed}_delay_frames_{what}"], 2) + 0.0
            for what in ("pose", "landmarks")
        )
        lines.append(
            f"| delay of a turn of {speed} degrees a second: pose, landmarks "
            f"| {pose:.2f}, {points:.2f} frames |"
        )
    lines.append(
        f"| a blink of 150 ms: delay, amplitude | {report['blink_delay_frames']:.2f} frames, "
        f"{report['blink_amplitude']:.0%} |"
    )
    return "\n".join([*lines, ""])


def _is_presence(report: Report) -> bool:
    return report.get("benchmark") == "presence"


def _presence(report: Report) -> str:
    said, runs = report["covered"], report["runs"]
    lines = [
        f"### {runs['model']}, doubt below {report['threshold']:g}",
        "",
        f"`video_presence.py`: two faces side by side, {said['frames']} frames, {said['swaps']} "
        f"swapped, {said['strays']} reported where no face is.",
        "",
        "| covered by | frames | reported meanwhile | back after | number kept |",
        "|---|--:|--:|--:|---|",
        *(
            f"| {cover['kind']} | {cover['frames']} | {cover['reported_while_covered']} "
            f"| {cover['frames_until_back']} "
            f"| {'yes' if cover['number_after'] == cover['number_before'] else 'no'} |"
            for cover in said["covers"]
        ),
        "",
    ]
    if "regions" in report:
        lines += [
            "| region | n | presence: 5 % | median | 95 % | below the threshold |",
            "|---|--:|--:|--:|--:|--:|",
            *(
                f"| {row['kind']} | {row['n']} | {row['q05']:.3f} | {row['q50']:.3f} "
                f"| {row['q95']:.3f} | {row['below_' + format(report['threshold'], 'g')]:.1%} |"
                for row in report["regions"]
            ),
            "",
        ]
    return "\n".join(lines)


#: Heading, what belongs under it, how it is shown.
KINDS = (
    ("## Video\n", is_speed, _speed),
    ("## Smoothing of video\n", _is_jitter, _jitter),
    ("## Presence in video\n", _is_presence, _presence),
)
