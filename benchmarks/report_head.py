"""The section of the head in benchmarks/README.md, and its rows of README.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]

_STAGES = {
    "read": "the file",
    "landmarks": "landmarks of a face, which make no mesh",
    "mesh": "its mesh",
}
_PROCESSORS = {"native": "this processor", "avx2": "compiled for AVX2"}


def is_head(report: Report) -> bool:
    """True for what ``head.py`` wrote."""
    return report.get("benchmark") == "head"


def speed_rows(report: Report) -> list[tuple[str, str]]:
    """Figures for README.md: what, and how fast."""
    bare, first, later = (
        report["reading"][way]["mesh"]["cpu_ms_median"]
        for way in ("first", "first, SciPy imported", "later")
    )
    rows = [
        (
            "`facegeo-head`, its mesh the first time; with SciPy's import; later",
            f"{first:.0f} ms; {bare:.0f} ms; {later:.0f} ms",
        )
    ]
    return rows + [
        (
            f"mesh kernel, `facegeo-head`, batch {row['batch']}, {_PROCESSORS[row['processor']]}",
            f"{row['faces_per_s']:,.0f} faces/s",
        )
        for row in report["kernel"]
    ]


def _section(report: Report) -> str:
    machine = report["machine"]
    processes, rounds = report["processes"], report["rounds"]
    lines = [
        f"### {machine['cpu']}, {machine['cpus']} cores",
        "",
        f"`head.py`, Python {machine['python']}, numpy {machine['numpy']}; commit "
        f"{report['commit']}. Reading: median (least) of {processes} new processes, milliseconds "
        "of the processor, imports included: the first mesh needs SciPy, which `facegeo.predictor` "
        "has imported and a process that only reads the model has not. Memory is the peak of the "
        f"process. The kernel: the best of calls in {rounds} processes each, in turns on a busy "
        "machine.",
        "",
        "| reading | " + " | ".join(_STAGES.values()) + " | peak MB |",
        "|---|" + "--:|" * (len(_STAGES) + 1),
        *(_reading(name, stages) for name, stages in report["reading"].items()),
        "",
        "| mesh kernel, 112 modes | batch | ms a face | faces/s | before blocks were skipped |",
        "|---|--:|--:|--:|--:|",
        *(_kernel(row) for row in report["kernel"]),
        "",
        *_sizes(report),
    ]
    return "\n".join(lines)


def _reading(name: str, stages: Mapping[str, Mapping[str, float]]) -> str:
    times = [
        f"{stages[stage]['cpu_ms_median']:.1f} ({stages[stage]['cpu_ms_least']:.1f})"
        for stage in _STAGES
    ]
    return f"| {name} | " + " | ".join(times) + f" | {stages['mesh']['peak_mb_median']:.0f} |"


def _kernel(row: Mapping[str, Any]) -> str:
    before = f"{row['before']:,}" if row["before"] else ""
    return (
        f"| {_PROCESSORS[row['processor']]} | {row['batch']} | {row['ms_per_face']:.3f} "
        f"| {row['faces_per_s']:,.0f} | {before} |"
    )


def _sizes(report: Report) -> list[str]:
    text = f"The file has {report['file_bytes'] / 1e6:.1f} MB"
    if "wheel" not in report:
        return [text + ".", ""]
    wheel = report["wheel"]
    models = ", ".join(f"`{n}` {size / 1e6:.1f}" for n, size in wheel["face_models"].items())
    return [f"{text}; the wheel {wheel['bytes'] / 1e6:.1f}, of which face models: {models}.", ""]


#: Heading, what belongs under it, how it is shown.
KINDS = (("## The head\n", is_head, _section),)
