"""Put the page, the models and ONNX Runtime Web into a folder that can be served.

python examples/browser/prepare.py FOLDER [--model NAME] [--detector NAME] [--runtime PATH]

ONNX Runtime Web comes from npm (`npm pack`, once; it is kept in facegeo's cache) unless PATH names
the package: the .tgz file, or the folder that it unpacks to. Its files are verified either way.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from facegeo import MorphableModel
from facegeo.backends import open_graph
from facegeo.base import files
from facegeo.base.cache import cache_dir
from facegeo.conventions import CLOSED_REGIONS, DEPTH_ORIGIN, LANDMARK_REGIONS
from facegeo.detect import DetectorOptions, Search, faceboxes, one_stage
from facegeo.errors import (
    CorruptFileError,
    DownloadError,
    FacegeoError,
    InvalidInputError,
    MissingBasisError,
    UnreadableFileError,
)
from facegeo.geometry import crop
from facegeo.morphable.fitting import LANDMARK_NOISE_MM
from facegeo.render import coarse_mesh
from facegeo.track import TrackerOptions, tracker
from facegeo.zoo.mesh_source import ModelMesh
from facegeo.zoo.store import InstalledModel, find

PAGE = ("index.html", "style.css", *(f"{name}.js" for name in ("app", "draw", "sources")))
PAGE_WORKER = tuple(
    f"{name}.js" for name in ("worker", "pipeline", "geometry", "detector", "tracker", "mesh")
)

#: The version that the page was tested with, and the SHA-256 of the files of it that it loads.
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_FILES = {
    "ort.wasm.min.mjs": ("219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b"),
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}

#: Most faces that the page follows at once.
MAX_FACES = 8


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default", help="a landmark model")
    parser.add_argument("--detector", default="default", help="a detection model")
    parser.add_argument("--runtime", type=Path, help="onnxruntime-web, a .tgz file or a folder")
    options = parser.parse_args(arguments)
    try:
        prepare(options.folder, options.model, options.detector, options.runtime)
    except FacegeoError as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 1
    print(f"ready; serve it with: python {Path(__file__).with_name('serve.py')} {options.folder}")
    return 0


def prepare(folder: Path, model: str, detector: str, runtime: Path | None = None) -> None:
    """Write everything that the page needs.

    Raises
    ------
    FacegeoError
        If a model or ONNX Runtime Web is missing, damaged, or of a kind that the page cannot run.
    """
    landmarks = find(model)
    finder = find(detector, task="detection")
    if finder.card.architecture not in DETECTORS:
        raise InvalidInputError(
            f"detector: the page runs {', '.join(DETECTORS)}, but {finder.card.name!r} is "
            f"{finder.card.architecture!r}; take the default one"
        )
    mesh, arrays = mesh_constants(landmarks)
    layout, packed = pack(arrays)
    constants = {
        "landmarks": landmark_constants(landmarks),
        "detector": {
            "name": finder.card.name,
            "architecture": finder.card.architecture,
            "score_threshold": DetectorOptions().score_threshold,
            **DETECTORS[finder.card.architecture](),
        },
        "roi": roi_constants(landmarks),
        "tracker": tracker_constants(),
        "regions": region_constants(),
        "mesh": {**mesh, "arrays": layout},
    }
    for name, content in read_runtime(runtime).items():
        files.write_bytes(folder / "ort" / name, content)
    files.write_bytes(folder / "models" / "landmarks.onnx", landmarks.read("network"))
    files.write_bytes(folder / "models" / "detector.onnx", finder.read("network"))
    files.write_bytes(folder / "models" / "mesh.bin", packed)
    files.write_bytes(folder / "models" / "constants.json", json.dumps(constants).encode())
    for name in PAGE + PAGE_WORKER:
        files.write_bytes(folder / name, Path(__file__).with_name(name).read_bytes())


def landmark_constants(model: InstalledModel) -> dict[str, Any]:
    """The network's name, the side of its crops, and where its points lie in the photo.

    The side is what the file itself takes. Points are in pixels of a crop of side ``size`` whatever
    the side.
    """
    convention = crop.find_convention(model.card.crop_convention)
    with open_graph(model.read("network")) as network:
        side = network.input_metadata["crops"].shape[1]
    return {
        "name": model.card.name,
        "licence": model.card.licence,
        "crop": {
            "side": side,
            "size": crop.CROP_SIZE,
            "shift": convention.shift,
            "centre": convention.centre,
            "depth_origin": list(DEPTH_ORIGIN),
        },
    }


def one_stage_constants() -> dict[str, Any]:
    """Scaling, cells, decoding and suppression of facegeo's own detector."""
    return {
        "max_side": Search().max_side,
        "strides": list(one_stage.STRIDES),
        **one_stage.search_rules(),
    }


def faceboxes_constants() -> dict[str, Any]:
    """Scaling, anchors, decoding and suppression of FaceBoxes."""
    return {
        "max_width": faceboxes.MAX_WIDTH,
        "max_height": faceboxes.MAX_HEIGHT,
        "anchors": [
            {"stride": stride, "sizes": [{"side": s, "along": a} for s, a in sizes]}
            for stride, sizes in faceboxes.ANCHORS
        ],
        "variance": faceboxes.VARIANCE,
        "candidate_score": faceboxes.CANDIDATE_SCORE,
        "max_candidates": faceboxes.MAX_CANDIDATES,
        "max_overlap": faceboxes.MAX_OVERLAP,
    }


#: Architecture of a detector that the page can run -> its constants.
DETECTORS = {"one-stage": one_stage_constants, "faceboxes": faceboxes_constants}


def roi_constants(model: InstalledModel) -> dict[str, float]:
    """From a detector's box to the region that the network sees."""
    return {
        "enlargement": crop.find_convention(model.card.crop_convention).box_enlargement,
        "centre_drop": crop.BOX_CENTRE_DROP,
        "largest": crop.LARGEST_ROI,
    }


def tracker_constants() -> dict[str, float]:
    """Constants for when faces are looked for, believed and forgotten."""
    options = TrackerOptions()
    return {
        "detect_every": tracker.DETECT_EVERY,
        "detect_every_blind": tracker.DETECT_EVERY_BLIND,
        "search_every": options.search_every,
        "least_presence": options.least_presence,
        "patience": options.patience,
        "max_faces": MAX_FACES,
        "same_face": tracker.SAME_FACE,
        "twice": tracker.TWICE,
        "largest_jump": tracker.LARGEST_JUMP,
        "largest_growth": tracker.LARGEST_GROWTH,
        "roi_slack": tracker.ROI_SLACK,
    }


def region_constants() -> list[dict[str, Any]]:
    """The landmarks' curves."""
    return [
        {"name": name, "start": r.start, "stop": r.stop, "closed": name in CLOSED_REGIONS}
        for name, r in LANDMARK_REGIONS.items()
    ]


def mesh_constants(model: InstalledModel) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A coarse mesh: of the network's own morphable model, else of the generic one, to be fitted.

    Only the vertices of the coarse mesh are exported. Mind the licence of an installed model: what
    a page serves, everybody can copy.
    """
    try:
        morphable, source = ModelMesh(model).morphable, "params"
    except MissingBasisError:
        morphable, source = MorphableModel.default(), "fit"
    rows, triangles = coarse_mesh(morphable.mean, morphable.triangles)
    basis = np.concatenate([morphable.shape_basis, morphable.expression_basis])
    arrays = {"mean": morphable.mean[rows], "basis": basis[:, rows]}
    if source == "fit":
        points = morphable.landmark_basis
        arrays["landmark_mean"] = points.mean
        arrays["landmark_basis"] = np.concatenate([points.shape_basis, points.expression_basis])
        arrays["std"] = np.concatenate([points.shape_std, points.expression_std])
    constants = {
        "name": morphable.name,
        "source": source,
        "unit_mm": morphable.unit_mm,
        "landmark_noise_mm": LANDMARK_NOISE_MM,
        "triangles": triangles.ravel().tolist(),
    }
    return constants, arrays


def pack(arrays: dict[str, np.ndarray]) -> tuple[dict[str, dict[str, int]], bytes]:
    """Arrays as little-endian float32, one after the other, and where each begins (bytes)."""
    layout, parts, offset = {}, [], 0
    for name, array in arrays.items():
        layout[name] = {"offset": offset, "length": array.size}
        parts.append(np.ascontiguousarray(array, "<f4").tobytes())
        offset += len(parts[-1])
    return layout, b"".join(parts)


def read_runtime(path: Path | None) -> dict[str, bytes]:
    """The files of ONNX Runtime Web, verified."""
    path = path or _fetched_runtime()
    found = _read_folder(path) if path.is_dir() else _read_package(path)
    for name, expected in RUNTIME_FILES.items():
        digest = files.sha256(found[name])
        if digest != expected:
            raise CorruptFileError(
                f"{path}: {name} is not that of {RUNTIME}: its SHA-256 is {digest[:12]}..., "
                f"expected {expected[:12]}...; give the right version with --runtime"
            )
    return found


def cached_runtime() -> Path:
    """Path where the package of ONNX Runtime Web is kept."""
    return cache_dir() / "downloads" / f"{RUNTIME.replace('@', '-')}.tgz"


def _read_folder(path: Path) -> dict[str, bytes]:
    try:
        folder = path / "dist" if (path / "dist").is_dir() else path
        return {name: (folder / name).read_bytes() for name in RUNTIME_FILES}
    except OSError as error:
        raise UnreadableFileError(f"{path}: not the package of {RUNTIME} ({error})") from error


def _read_package(path: Path) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                content = archive.extractfile(member)
                if folder == "package/dist" and name in RUNTIME_FILES and content is not None:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError) as error:
        raise CorruptFileError(f"{path}: not the package of {RUNTIME} ({error})") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error})") from error
    missing = sorted(set(RUNTIME_FILES) - set(found))
    if missing:
        raise CorruptFileError(f"{path}: not the package of {RUNTIME}: {missing[0]} is missing")
    return found


def _fetched_runtime() -> Path:
    kept = cached_runtime()
    if kept.is_file():
        return kept
    how = f"run `npm pack {RUNTIME}` elsewhere and give its .tgz with --runtime"
    if os.environ.get("FACEGEO_OFFLINE", "") not in ("", "0"):
        raise DownloadError(f"{RUNTIME} is not in the cache and FACEGEO_OFFLINE is set; {how}")
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadError(f"{RUNTIME} is needed and npm is not installed; {how}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", RUNTIME]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            last = done.stderr.strip().splitlines()[-1:] or ["no file arrived"]
            raise DownloadError(f"{RUNTIME}: npm failed ({last[0]}); {how}")
        read_runtime(packed[0])  # verified before it is kept
        files.write_bytes(kept, packed[0].read_bytes())
    return kept


if __name__ == "__main__":
    sys.exit(main())
