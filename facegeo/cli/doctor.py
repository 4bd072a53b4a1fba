"""``facegeo doctor``: what is here, what clashes, what ``auto`` would pick."""

from __future__ import annotations

import argparse
import os
import platform
from typing import Any

from facegeo.base.cache import cache_dir
from facegeo.base.versions import installed_version
from facegeo.cli.common import add_json_option, print_json
from facegeo.errors import FacegeoError
from facegeo.zoo.store import InstalledModel, find_any, list_models

_PACKAGES = (
    "facegeo",
    "numpy",
    "scipy",
    "opencv-python",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "openvino",
    "tensorrt",
    "pycuda",
    "av",
)

#: Distributions that install the same module: having two of a group breaks both.
_CLASHES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
_CURES = {
    "onnxruntime": "keep one: pip uninstall -y {all} && pip install {last}",
    "cv2": "keep one: pip uninstall -y {all} && pip install opencv-python",
}


def add_parser(subparsers: Any) -> None:
    """Add the command to ``facegeo``."""
    parser = subparsers.add_parser("doctor", help="versions, devices, models, problems")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the report; 1 if it found a problem."""
    report = examine()
    if options.json:
        print_json(report)
    else:
        _print(report)
    return 1 if report["problems"] else 0


def examine() -> dict[str, Any]:
    """Everything that a bug report needs."""
    problems = clashes(installed_version)
    models, damaged = _models()
    picks, failures = _auto_picks()
    problems += damaged + failures
    cache = cache_dir()
    if not _is_writable(cache):
        problems.append(f"{cache}: not writable; set FACEGEO_CACHE_DIR to a folder that is")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "providers": _providers(),
        "cuda_devices": _cuda_devices(),
        "cache": str(cache),
        "models": models,
        "auto": picks,
        "problems": problems,
    }


def clashes(version: Any) -> list[str]:
    """Groups of installed distributions that overwrite each other's module.

    Parameters
    ----------
    version : callable
        Distribution name -> version or None.
    """
    found = []
    for module, group in _CLASHES.items():
        present = [name for name in group if version(name)]
        if len(present) > 1:
            cure = _CURES[module].format(all=" ".join(present), last=present[-1])
            found.append(f"{' and '.join(present)} share the module {module}; {cure}")
    return found


def _providers() -> list[str]:
    try:
        import onnxruntime

        return list(onnxruntime.get_available_providers())
    except ImportError as error:
        return [f"onnxruntime cannot be imported: {error}"]


def _cuda_devices() -> list[str]:
    """Names of CUDA devices, if PyTorch is there to ask."""
    if installed_version("torch") is None:
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _models() -> tuple[dict[str, str], list[str]]:
    states, problems = {}, []
    for name in list_models():
        try:
            model = find_any(name)
            _verify(model)
            states[name] = f"{model.card.task}, {model.card.architecture}, files verified"
        except FacegeoError as error:
            states[name] = "damaged"
            problems.append(str(error))
    return states, problems


def _verify(model: InstalledModel) -> None:
    for role in model.card.files:
        model.read(role)


def _auto_picks() -> tuple[dict[str, str], list[str]]:
    """Summary of what ``FaceGeometry()`` would run on; a model not installed yet is no problem."""
    from facegeo.errors import ModelNotFoundError
    from facegeo.predictor import FaceGeometry

    try:
        return FaceGeometry().info(), []
    except ModelNotFoundError as error:
        return {"model": str(error)}, []
    except FacegeoError as error:
        return {}, [str(error)]


def _is_writable(folder: Any) -> bool:
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _print(report: dict[str, Any]) -> None:
    print(f"Python {report['python']} on {report['system']}, {report['cpus']} CPUs")
    for name, version in report["packages"].items():
        print(f"  {name:18} {version or '-'}")
    print(f"ONNX Runtime providers: {', '.join(report['providers'])}")
    print(f"CUDA devices: {', '.join(report['cuda_devices']) or 'none seen'}")
    print(f"Cache: {report['cache']}")
    print("Models:" + ("" if report["models"] else " none"))
    for name, state in report["models"].items():
        print(f"  {name:18} {state}")
    print("auto picks: " + ", ".join(f"{key} {value}" for key, value in report["auto"].items()))
    for problem in report["problems"]:
        print(f"PROBLEM: {problem}")
    if not report["problems"]:
        print("No problems found.")
