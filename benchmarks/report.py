"""Write the tables of benchmarks/README.md and README.md from the JSON files in benchmarks/results.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import report_ablation
import report_accuracy
import report_head
import report_outside
import report_video

from facegeo.base.files import write_bytes

_HERE = Path(__file__).resolve().parent
_FRONT = _HERE.parent / "README.md"
_MARK = "<!-- tables, made by report.py -->"
_FIRST, _LAST = "<!-- {} table, made by benchmarks/report.py -->", "<!-- end of {} table -->"

#: What a data-centre GPU has to show, by the suite's names.
_GPU_ROWS = {
    "landmarks_per_s": "landmarks, host to host, batch 256",
    "dense_per_s": "dense meshes left on the device, batch 256",
    "mesh_over_copy": "mesh kernel, part of the copy bandwidth",
    "mesh_over_cublas": "mesh kernel, times as fast as cuBLAS",
}

#: Heading, what a report of this kind looks like, its section.
KINDS = (
    *report_accuracy.KINDS,
    *report_outside.KINDS,
    *report_ablation.KINDS,
    *report_head.KINDS,
    *report_video.KINDS,
)

Report = Mapping[str, Any]


def main() -> None:
    """Write both files."""
    reports = read_results(_HERE / "results")
    readme = _HERE / "README.md"
    write_bytes(readme, with_sections(readme.read_text(encoding="utf-8"), reports).encode())
    write_bytes(_FRONT, with_tables(_FRONT.read_text(encoding="utf-8"), reports).encode())


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Name of each file of results, without its ending -> its content."""
    paths = sorted(folder.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def with_sections(text: str, reports: Mapping[str, Report]) -> str:
    """The text of benchmarks/README.md with all tables anew: a section for each machine first."""
    head = text.split(_MARK)[0]
    machines = [_section(name, report) for name, report in reports.items() if _is_machine(report)]
    others = {name: report for name, report in reports.items() if not _is_machine(report)}
    return "\n".join([f"{head}{_MARK}\n", *machines, *_sections(others)])


def with_tables(text: str, reports: Mapping[str, Report]) -> str:
    """The text of README.md with its tables anew."""
    text = _replaced(text, "accuracy", report_accuracy.front_table(reports))
    return _replaced(text, "speed", _speed_table(reports))


def _replaced(text: str, name: str, lines: Sequence[str]) -> str:
    first, last = _FIRST.format(name), _LAST.format(name)
    head, rest = text.split(first)
    return "\n".join([f"{head}{first}", *lines, f"{last}{rest.split(last)[1]}"])


def _speed_table(reports: Mapping[str, Report]) -> list[str]:
    lines = ["| what | machine | figure |", "|---|---|--:|"]
    # What the first command installs, on any processor; then the best.
    lines += report_outside.speed_rows(reports)
    gpu = []
    for report in reports.values():
        if report_video.is_speed(report):
            machine = _machine_name(report["machine"])
            lines += [f"| {what} | {machine} | {it} |" for what, it in report_video.figures(report)]
        if report_head.is_head(report):
            machine = _machine_name(report["machine"])
            rows = report_head.speed_rows(report)
            lines += [f"| {what} | {machine} | {figure} |" for what, figure in rows]
        if not _is_machine(report):
            continue
        machine = _machine_name(report["machine"])
        lines += [f"| {what} | {machine} | {figure} |" for what, figure in _figures(report)]
        gpu += [
            f"| {_GPU_ROWS[name]} | {machine} | {_gpu_figure(name, found)} |"
            for name, found in report.get("targets", {}).items()
        ]
    return lines + (gpu or [f"| {what} | GPU | not measured |" for what in _GPU_ROWS.values()])


def _sections(reports: Mapping[str, Report]) -> Iterator[str]:
    """Accuracy, the network's parts, then video; what is of no known kind by its name."""
    shown: set[str] = set()
    for heading, known, section in KINDS:
        found = {name: report for name, report in reports.items() if known(report)}
        if found and heading:
            yield heading
        yield from map(section, found.values())
        shown |= found.keys()
    rest = sorted(reports.keys() - shown)
    if rest:
        names = ", ".join(f"[`{name}.json`](results/{name}.json)" for name in rest)
        yield f"More results: {names}.\n"


def _is_machine(report: Report) -> bool:
    """True if speed.py or gpu_suite.py wrote it, and not a single benchmark."""
    return "commit" in report and "benchmark" not in report


def _figures(report: Report) -> list[tuple[str, str]]:
    """Figures that a user wants to know first, of those that were measured."""
    results = report["results"]
    found = []
    for row in _best(results.get("fps", {}).get("rows", [])):
        what = f"{row['task']}, `{row['model']}`, batch {row['batch']}, {row['backend']}"
        times = f"{row['speedup_over_fp32_onnxruntime']:.1f} times ONNX Runtime float32"
        found.append((f"{what} {row['precision']}", f"{row['fps']:,.0f} faces/s, {times}"))
    if "photo" in results:
        image = results["photo"]
        found.append(
            ("`predictor(photo)`, 640x480, one face", f"{image['predictor']['p50_ms']:.1f} ms")
        )
        if "time_over_upstream" in image:
            part = f"{image['time_over_upstream']:.0%} of the time"
            found.append(("the same with its mesh, beside upstream's networks and NumPy", part))
    for row in results.get("mesh", []):
        if row["batch"] == 64:
            what = f"mesh kernel, {_mesh_size(row)}, batch 64"
            found.append((what, f"{row['faces_per_s']:,.0f} faces/s"))
    return found


def _best(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The fastest engine of each task, model and batch."""
    fastest: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for row in rows:
        key = (row["task"], row["model"], row["batch"])
        if key not in fastest or row["fps"] > fastest[key]["fps"]:
            fastest[key] = row
    return list(fastest.values())


def _section(name: str, report: Report) -> str:
    machine, results = report["machine"], report["results"]
    packages = ("numpy", "opencv-python", "onnxruntime", "openvino", "torch", "tensorrt")
    versions = [f"{key} {machine[key]}" for key in packages if machine.get(key)]
    tables: dict[str, Callable[[Any], list[str]]] = {"fps": _fps_table, "mesh": _mesh_table}
    lines = [
        f"## {name}",
        "",
        f"{_machine_name(machine)}, Python {machine['python']}, {', '.join(versions)}; "
        f"commit {report['commit']}.",
        "",
        *_summary_table(results),
    ]
    for key, table in tables.items():
        if key in results:
            lines += table(results[key])
    for what, found in report.get("targets", {}).items():
        lines.append(f"- {_GPU_ROWS[what]}: {_gpu_figure(what, found)}")
    return "\n".join([*lines, ""] if report.get("targets") else lines)


def _gpu_figure(name: str, found: Mapping[str, Any]) -> str:
    unit = " faces/s" if name.endswith("_per_s") and found["value"] != "not measured" else ""
    return _number(found["value"]) + unit


def _machine_name(machine: Mapping[str, Any]) -> str:
    gpus = "".join(f", {gpu.split(',')[0]}" for gpu in machine.get("gpus", []))
    return f"{machine['cpu']}, {machine['cpus']} cores{gpus}"


def _summary_table(results: Mapping[str, Any]) -> list[str]:
    rows = []
    if "crops" in results:
        rows += _crop_rows(results["crops"])
    if "photo" in results:
        rows += _image_rows(results["photo"])
    if "detectors" in results:
        rows += _detector_rows(results["detectors"])
    if "raster" in results:
        time = results["raster"]["rasterize_ms"]
        rows.append(f"| 70,000 triangles on 1280x720, z-buffer | {time:.1f} | |")
    return ["| what | median ms | beside |", "|---|--:|---|", *rows, ""] if rows else []


def _mesh_size(row: Mapping[str, Any]) -> str:
    """Of the model; results made before there were two are of Basel's size."""
    size = f"{row.get('vertices', 53215):,} vertices"
    return f"{size} of a head with {row['coefficients']} modes" if row.get("local") else size


def _mesh_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        "| mesh kernel | batch | faces/s | over NumPy | time over a copy | largest error, px |",
        "|---|--:|--:|--:|--:|--:|",
        *(
            f"| {_mesh_size(row)} | {row['batch']} | {row['faces_per_s']:,.0f} "
            f"| {row['speedup_over_numpy']:.1f} | {row['time_over_copy']:.2f} "
            f"| {row['max_error_px']:.4f} |"
            for row in rows
        ),
        "",
    ]


def _fps_table(fps: Mapping[str, Any]) -> list[str]:
    return [
        "| task | model | engine | batch | faces/s | p50 ms | p95 ms | over ONNX Runtime float32 |",
        "|---|---|---|--:|--:|--:|--:|--:|",
        *(
            f"| {row['task']} | {row['model']} | {row['backend']} {row['precision']} "
            f"| {row['batch']} | {row['fps']:,.0f} | {row['p50_ms']:.2f} | {row['p95_ms']:.2f} "
            f"| {row['speedup_over_fp32_onnxruntime']:.2f} |"
            for row in fps["rows"]
        ),
        "",
    ]


def _crop_rows(crops: Mapping[str, Any]) -> list[str]:
    return [
        f"| `predict_crops`, {name.replace('_', ' ')} | {row['predict_crops']['p50_ms']:.2f} "
        f"| bare ONNX Runtime call on the same file {row['bare']['p50_ms']:.2f} |"
        for name, row in crops.items()
    ]


def _image_rows(image: Mapping[str, Any]) -> list[str]:
    parts = sum(image[part]["p50_ms"] for part in ("detector", "crop", "network"))
    rows = [
        f"| `predictor(photo)`, 640x480, one face | {image['predictor']['p50_ms']:.2f} | detector, "
        f"crop and network alone, together {parts:.2f} |"
    ]
    if "time_over_upstream" in image:
        rows.append(
            f"| the same with its mesh | {image['predictor_and_mesh']['p50_ms']:.2f} | FaceBoxes, "
            f"MobileNetV1 x1 and a mesh in NumPy {image['upstream']['p50_ms']:.2f} |"
        )
    return rows


def _detector_rows(detectors: Mapping[str, Any]) -> list[str]:
    rows = []
    for size, by_name in detectors.items():
        if size == "not_measured":
            continue
        faceboxes = by_name.get("faceboxes")
        for name in (name for name in ("fp32", "int8") if name in by_name):
            ours = by_name[name]
            beside = (
                f"the released FaceBoxes {faceboxes['p50_ms']:.2f}, of which "
                f"{ours['time_over_faceboxes']:.2f}"
                if faceboxes
                else ""
            )
            rows.append(f"| face detector, {size}, {name} | {ours['p50_ms']:.2f} | {beside} |")
    return rows


def _number(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    main()
