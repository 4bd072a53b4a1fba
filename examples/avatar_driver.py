"""Drive an avatar: ARKit blendshape weights of every frame, as JSON lines.

python examples/avatar_driver.py clip.mp4 > weights.jsonl
python examples/avatar_driver.py 0                         # camera

Needs ICT-FaceKit once: facegeo import face-model ict_facekit_light.npz --name ict-facekit
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

from facegeo import FaceGeometry, MorphableModel
from facegeo.errors import FacegeoError, InvalidInputError
from facegeo.results import Face
from facegeo.surface.dense import dense_faces
from facegeo.zoo.face_models import load_face_model

#: A weight of one is held back like this displacement of one landmark. Without it blendshapes that
#: move the landmarks alike would be played against each other.
RESTRAINT_MM = 1.0

#: Where the eyes look and whether the cheeks are full cannot be seen in 68 landmarks; the lids and
#: lips, which these blendshapes move a little, would be explained by them all the same.
UNSEEN = ("eyeLook", "cheekPuff")


class BlendshapeSolver:
    """Displacements of the 68 landmarks to weights 0..1 of ARKit's blendshapes.

    Parameters
    ----------
    model : MorphableModel
        Its expression modes are blendshapes with ICT-FaceKit's names.
    """

    def __init__(self, model: MorphableModel) -> None:
        offsets = model.landmark_basis.expression_basis.reshape(model.num_expression, -1)
        shapes = arkit_shapes(model.expression_names, offsets * model.unit_mm)
        if not shapes:
            raise InvalidInputError(
                f"face model: expected ICT-FaceKit's blendshapes, {model.name!r} names none"
            )
        self.names = list(shapes)
        self._columns = np.stack(list(shapes.values()), axis=1).astype(np.float64)
        # |A w - d|^2 + r^2 |w|^2 = |R w - R^-T A^T d|^2 + constant, with R^T R = A^T A + r^2:
        # 42 rows to solve instead of 246.
        gram = self._columns.T @ self._columns + RESTRAINT_MM**2 * np.eye(len(shapes))
        self._root = np.linalg.cholesky(gram).T

    def __call__(self, displacement_mm: np.ndarray) -> dict[str, float]:
        """Weights by bounded least squares.

        Parameters
        ----------
        displacement_mm : (68, 3) float
            From the person's neutral face, in the model frame (no pose), millimetres.
        """
        target = np.linalg.solve(self._root.T, self._columns.T @ np.ravel(displacement_mm))
        weights = lsq_linear(self._root, target, bounds=(0, 1), method="bvls").x
        return {name: round(float(w), 4) for name, w in zip(self.names, weights, strict=True)}


def arkit_shapes(names: Sequence[str], offsets: np.ndarray) -> dict[str, np.ndarray]:
    """ICT-FaceKit's modes under ARKit's names: sides spelt out, and browInnerUp whole as there."""
    shapes: dict[str, np.ndarray] = {}
    for name, offset in zip(names, offsets, strict=True):
        stem, _, side = name.partition("_")
        arkit = stem + {"L": "Left", "R": "Right", "": ""}.get(side, side)
        if stem == "browInnerUp":
            arkit = stem
        if not stem.startswith(UNSEEN):
            shapes[arkit] = shapes.get(arkit, 0) + offset
    return shapes


def expression_displacements_mm(faces: Sequence[Face]) -> np.ndarray:
    """Displacements of the landmarks by the expression alone, (N, 68, 3), model frame, millimetres.

    By the network's own expression coefficients where its face model is installed, else by those of
    facegeo-generic, fitted to the landmarks. Either way pose and identity have parameters of their
    own.
    """
    dense = dense_faces(faces)
    basis = dense.model.landmark_basis.expression_basis.astype(np.float64)
    return np.tensordot(dense.expression, basis, axes=1) * dense.model.unit_mm


def records(stream: Any, model: MorphableModel) -> Iterator[dict[str, Any]]:
    """A JSON record a frame; the model is ICT-FaceKit."""
    solve = BlendshapeSolver(model)
    for frame in stream:
        moved = expression_displacements_mm(frame.faces) if frame.faces else []
        yield {
            "frame": frame.index,
            "timestamp_s": frame.timestamp_s,
            "faces": [
                {
                    "track_id": face.track_id,
                    "rotation": face.pose.rotation.tolist(),
                    "blendshapes": solve(displacement),
                }
                for face, displacement in zip(frame.faces, moved, strict=True)
            ],
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="video file, folder, URL or camera index")
    parser.add_argument("--model", default="default", help="an installed landmark model")
    parser.add_argument("--face-model", default="ict-facekit", help="ICT-FaceKit as imported")
    options = parser.parse_args()
    camera = options.source.isdigit()
    try:
        model = load_face_model(options.face_model)
        predictor = FaceGeometry(options.model)
        source = int(options.source) if camera else options.source
        with predictor.stream(source, mode="live" if camera else "offline") as stream:
            for record in records(stream, model):
                print(json.dumps(record), flush=True)
    except FacegeoError as error:
        print(f"avatar_driver.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
