"""Put the page, the models and ONNX Runtime Web into a folder that can be served.

python examples/browser/prepare.py FOLDER [--model NAME] [--detector NAME] [--face-model NAME]
                                   [--runtime PATH]

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

from facegeo.backends import open_graph
from facegeo.base import files
from facegeo.base.cache import cache_dir
from facegeo.conventions import CLOSED_REGIONS, DEPTH_ORIGIN, LANDMARK_REGIONS
from facegeo.detect import DetectorOptions, Search, faceboxes, one_stage
from facegeo.detect.base import UNQUESTIONED
from facegeo.errors import (
    CorruptFileError,
    DownloadError,
    FacegeoError,
    InvalidInputError,
    MissingBasisError,
    UnreadableFileError,
)
from facegeo.geometry import crop
from facegeo.morphable import MorphableModel
from facegeo.morphable.bridge import ParameterBridge
from facegeo.morphable.fitting import LANDMARK_NOISE_MM
from facegeo.morphable.model import CageModel
from facegeo.morphable.solver import landmark_problem
from facegeo.predictor import looking
from facegeo.render import coarse_mesh
from facegeo.track import TrackerOptions, tracker
from facegeo.zoo.face_models import load_face_model
from facegeo.zoo.mesh_source import ModelMesh
from facegeo.zoo.store import InstalledModel, find

PAGE = ("index.html", "style.css")
PAGE += tuple(f"{name}.js" for name in ("app", "draw", "sources", "surface"))
PAGE_WORKER = tuple(
    f"{name}.js"
    for name in ("worker", "pipeline", "geometry", "detector", "tracker", "mesh", "fit")
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

#: Vertices of which a mode is kept or left out together.
BLOCK = 32
#: Millimetres on the face that nobody sees: blocks that move less are left out.
UNSEEN_MM = 0.01


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default", help="a landmark model")
    parser.add_argument("--detector", default="default", help="a detection model")
    parser.add_argument(
        "--face-model",
        default="default",
        help="what is fitted for a network without a face model: a name or an .npz file",
    )
    parser.add_argument("--runtime", type=Path, help="onnxruntime-web, a .tgz file or a folder")
    options = parser.parse_args(arguments)
    try:
        prepare(
            options.folder, options.model, options.detector, options.runtime, options.face_model
        )
    except FacegeoError as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 1
    print(f"ready; serve it with: python {Path(__file__).with_name('serve.py')} {options.folder}")
    return 0


def prepare(
    folder: Path,
    model: str,
    detector: str,
    runtime: Path | None = None,
    face_model: str = "default",
) -> None:
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
    mesh, arrays = mesh_constants(landmarks, face_model)
    bridge, more = bridge_constants(landmarks)
    layout, packed = pack(arrays | more)
    constants = {
        "landmarks": landmark_constants(landmarks),
        "detector": {
            "name": finder.card.name,
            "architecture": finder.card.architecture,
            "score_threshold": DetectorOptions().score_threshold,
            **DETECTORS[finder.card.architecture](),
        },
        "roi": roi_constants(landmarks),
        "tracker": tracker_constants(landmarks),
        "regions": region_constants(),
        "mesh": {**mesh, "arrays": layout},
        "bridge": bridge,
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


def tracker_constants(model: InstalledModel) -> dict[str, float]:
    """Constants for when faces are looked for, looked at again, believed and forgotten."""
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
        "looks": looking.LOOKS if model.card.crop_convention == "exact" else 1,
        "first_slack": looking.FIRST_SLACK,
        "fine_slack": looking.FINE_SLACK,
        "unquestioned": UNQUESTIONED,
    }


def region_constants() -> list[dict[str, Any]]:
    """The landmarks' curves."""
    return [
        {"name": name, "start": r.start, "stop": r.stop, "closed": name in CLOSED_REGIONS}
        for name, r in LANDMARK_REGIONS.items()
    ]


def mesh_constants(
    model: InstalledModel, face_model: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A small mesh: of the network's own morphable model, else of another, to be fitted.

    Mind the licence of an installed model: what a page serves, everybody can copy.
    """
    try:
        morphable, source = ModelMesh(model).morphable, "params"
    except MissingBasisError:
        morphable, source = load_face_model(face_model), "fit"
    mean, basis, triangles = small_mesh(morphable)
    arrays = {
        "mean": mean.astype(np.float32),
        "triangles": triangles.astype(np.uint16),
        **packed_modes(basis, UNSEEN_MM / morphable.unit_mm),
    }
    constants = {
        "name": morphable.name,
        "source": source,
        "block": BLOCK,
        "unit_mm": morphable.unit_mm,
        "num_shape": morphable.num_shape,
        "expression_range": morphable.expression_range,
        "landmark_noise_mm": LANDMARK_NOISE_MM,
    }
    if source == "fit":
        points = morphable.landmark_basis
        problem = landmark_problem(points, LANDMARK_NOISE_MM)
        arrays["landmark_mean"] = problem.mean.astype(np.float32)
        arrays["landmark_basis"] = problem.basis.T.astype(np.float32)
        arrays["std"] = problem.std.astype(np.float32)
        arrays["usual"] = problem.usual.astype(np.float32)
    return constants, arrays


def small_mesh(morphable: MorphableModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (R, 3), modes (M, R, 3) and triangles of a mesh that a page can download and draw.

    The low detail of a head that has one; of other models some hundred vertices.
    """
    if isinstance(morphable, CageModel):
        low = CageModel(morphable.cage, "low", morphable.key)
        return low.mean, np.concatenate([low.shape_basis, low.expression_basis]), low.triangles
    rows, triangles = coarse_mesh(morphable.mean, morphable.triangles)
    basis = np.concatenate([morphable.shape_basis, morphable.expression_basis])
    return morphable.mean[rows], basis[:, rows], triangles


def packed_modes(basis: np.ndarray, unseen: float) -> dict[str, np.ndarray]:
    """Modes as 16-bit numbers with a scale each, and only the blocks of vertices that move.

    Parameters
    ----------
    basis : (M, R, 3) float32
    unseen : float
        Blocks in which nothing moves by more are left out.

    Returns
    -------
    dict of str to array
        ``scale`` (M,); ``starts`` (M + 1,), the first block of each mode and their number;
        ``blocks`` (B,), which vertices each is of; ``offsets`` (B, BLOCK, 3).
    """
    count = len(basis)
    padded = np.zeros((count, -(-basis.shape[1] // BLOCK) * BLOCK, 3), np.float32)
    padded[:, : basis.shape[1]] = basis
    parts = padded.reshape(count, -1, BLOCK, 3)
    moves = np.abs(parts).max(axis=(2, 3)) > unseen
    scale = np.maximum(np.abs(basis).max(axis=(1, 2), initial=0), np.finfo(np.float32).tiny) / 32767
    mode, block = np.nonzero(moves)
    offsets = np.rint(parts[mode, block] / scale[mode, None, None])
    return {
        "scale": scale.astype(np.float32),
        "starts": np.concatenate([[0], moves.sum(axis=1).cumsum()]).astype(np.uint32),
        "blocks": block.astype(np.uint16),
        "offsets": offsets.astype(np.int16),
    }


def bridge_constants(
    model: InstalledModel,
) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
    """The map from what the network says to its card's face model, where the card has one.

    With it come the face model's points from which depth is counted: their middle is linear in the
    coefficients.
    """
    if "bridge" not in model.card.files:
        return None, {}
    bridge = ParameterBridge.parse(model.read("bridge"), str(model.path("bridge")))
    points = ModelMesh(model).morphable.landmark_basis
    modes = np.concatenate([points.shape_basis, points.expression_basis])
    origin = list(DEPTH_ORIGIN)
    constants = {
        "target_num_shape": bridge.target_num_shape,
        "expression_range": bridge.expression_range,
    }
    return constants, {
        "bridge": bridge.matrix,
        "origin_mean": points.mean[origin].mean(axis=0),
        "origin_basis": modes[:, origin].mean(axis=1),
    }


#: Kinds of numbers in the packed file, by the names of JavaScript's arrays.
KINDS = {
    "f4": "Float32Array",
    "i2": "Int16Array",
    "u2": "Uint16Array",
    "u4": "Uint32Array",
}


def pack(arrays: dict[str, np.ndarray]) -> tuple[dict[str, dict[str, Any]], bytes]:
    """Arrays one after the other, little-endian, and where each begins (bytes) and of what kind."""
    layout, parts, offset = {}, [], 0
    for name, array in arrays.items():
        kind = array.dtype.str[1:]
        content = np.ascontiguousarray(array, f"<{kind}").tobytes()
        layout[name] = {"offset": offset, "length": array.size, "kind": KINDS[kind]}
        parts.append(content + b"\0" * (-len(content) % 4))
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
