"""Drive an avatar: weights of named blendshapes and the head's pose of every frame, as JSON lines.

python examples/avatar_driver.py clip.mp4 > weights.jsonl
python examples/avatar_driver.py 0 --send 127.0.0.1:9000    # camera; a UDP datagram a frame
python examples/avatar_driver.py clip.mp4 --preview head.mp4

The names are those of the face model's expressions. facegeo-head and ICT-FaceKit have ARKit's:
``facegeo predict photo.jpg --save glb`` writes a head that has the same.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
from scipy.optimize import lsq_linear

from facegeo import FaceGeometry, MorphableModel
from facegeo.errors import FacegeoError, InvalidInputError
from facegeo.morphable.basis import EYE_PARTS
from facegeo.render import draw_mesh, draw_textured, interpolate, rasterize
from facegeo.render.texture import texel_positions
from facegeo.results import Face
from facegeo.surface.dense import dense_faces
from facegeo.zoo.face_models import load_face_model

#: A weight of one is held back like this displacement of one landmark. Without it blendshapes that
#: move the landmarks alike would be played against each other.
RESTRAINT_MM = 1.0

#: Where the eyes look, the tongue and whether the cheeks are full cannot be seen in 68 landmarks;
#: the lids and lips, which these move a little, would be explained by them all the same.
UNSEEN = ("eyeLook", "cheekPuff", "tongueOut")

#: Linear in [0, 1], as ARKit has it; models that say nothing else are blendshapes too.
BLENDSHAPES = (0.0, 1.0)


class BlendshapeSolver:
    """Displacements of the 68 landmarks to weights of blendshapes.

    Parameters
    ----------
    model : MorphableModel
        Its expression modes are the blendshapes; they have names.
    """

    def __init__(self, model: MorphableModel) -> None:
        offsets = model.landmark_basis.expression_basis.reshape(model.num_expression, -1)
        if len(model.expression_names) != model.num_expression or not model.num_expression:
            raise InvalidInputError(
                f"face model: expected expressions with names, {model.name!r} has none"
            )
        shapes = arkit_shapes(model.expression_names, offsets * model.unit_mm)
        self.all_names = arkit_names(model.expression_names)
        self.names = list(shapes)
        self.bounds = model.expression_range or (
            BLENDSHAPES if "jawOpen" in shapes else (-np.inf, np.inf)
        )
        self._columns = np.stack(list(shapes.values()), axis=1).astype(np.float64)
        # |A w - d|^2 + r^2 |w|^2 = |R w - R^-T A^T d|^2 + constant, with R^T R = A^T A + r^2:
        # 42 rows to solve instead of 246.
        gram = self._columns.T @ self._columns + RESTRAINT_MM**2 * np.eye(len(shapes))
        self._root = np.linalg.cholesky(gram).T

    def __call__(self, displacement_mm: np.ndarray) -> dict[str, float]:
        """Weights by bounded least squares, of :attr:`names`.

        Parameters
        ----------
        displacement_mm : (68, 3) float
            From the person's neutral face, in the model frame (no pose), millimetres.
        """
        target = np.linalg.solve(self._root.T, self._columns.T @ np.ravel(displacement_mm))
        weights = lsq_linear(self._root, target, bounds=self.bounds, method="bvls").x
        return {name: round(float(w), 4) for name, w in zip(self.names, weights, strict=True)}


def arkit_name(name: str) -> str:
    """ICT-FaceKit's name as ARKit has it: sides spelt out, and browInnerUp whole as there."""
    stem, _, side = name.partition("_")
    if stem == "browInnerUp":
        return stem
    return stem + {"L": "Left", "R": "Right"}[side] if side in ("L", "R") else name


def arkit_names(names: Sequence[str]) -> list[str]:
    """Names of blendshapes, each once."""
    return list(dict.fromkeys(map(arkit_name, names)))


def arkit_shapes(names: Sequence[str], offsets: np.ndarray) -> dict[str, np.ndarray]:
    """Blendshapes under ARKit's names, those that 68 landmarks show."""
    shapes: dict[str, np.ndarray] = {}
    for name, offset in zip(names, offsets, strict=True):
        if not name.startswith(UNSEEN):
            shapes[arkit_name(name)] = shapes.get(arkit_name(name), 0) + offset
    return shapes


def expression_displacements_mm(faces: Sequence[Face]) -> np.ndarray:
    """Displacements of the landmarks by the expression alone, (N, 68, 3), model frame, millimetres.

    By the network's own expression coefficients where its face model is installed, else by those of
    the default face model, fitted to the landmarks. Either way pose and identity have parameters of
    their own.
    """
    dense = dense_faces(faces)
    basis = dense.model.landmark_basis.expression_basis.astype(np.float64)
    return np.tensordot(dense.expression, basis, axes=1) * dense.model.unit_mm


def blendshapes(faces: Sequence[Face], solve: BlendshapeSolver) -> list[dict[str, float]]:
    """Weights of each face, under all names of the solver's model.

    A face model that has the very names is asked for its own coefficients; the landmarks'
    displacements by any other are explained by the solver's blendshapes.
    """
    if not faces:
        return []
    own = dense_faces(faces)
    if arkit_names(own.model.expression_names) == solve.all_names:
        return [
            {name: round(float(w), 4) for name, w in zip(solve.all_names, weights, strict=True)}
            for weights in own.expression
        ]
    still = dict.fromkeys(solve.all_names, 0.0)
    return [still | solve(moved) for moved in expression_displacements_mm(faces)]


def records(stream: Iterable[Any], model: MorphableModel) -> Iterator[dict[str, Any]]:
    """A JSON record a frame."""
    for _, record in records_of_frames(stream, model):
        yield record


def records_of_frames(
    stream: Iterable[Any], model: MorphableModel
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each frame with its record."""
    solve = BlendshapeSolver(model)
    for frame in stream:
        yield (
            frame,
            {
                "frame": frame.index,
                "timestamp_s": frame.timestamp_s,
                "faces": [
                    {
                        "track_id": face.track_id,
                        "yaw": round(face.pose.yaw, 2),
                        "pitch": round(face.pose.pitch, 2),
                        "roll": round(face.pose.roll, 2),
                        "rotation": face.pose.rotation.tolist(),
                        "blendshapes": weights,
                    }
                    for face, weights in zip(
                        frame.faces, blendshapes(frame.faces, solve), strict=True
                    )
                ],
            },
        )


class Avatar:
    """A head that makes the faces of records.

    Parameters
    ----------
    model : MorphableModel
        Its mean face is drawn.
    size : int
        Side of the picture in pixels.
    """

    BACKGROUND = (52, 44, 40)

    def __init__(self, model: MorphableModel, size: int = 480) -> None:
        self._model, self._size = model, size
        rows = np.unique(model.triangles)
        low, high = model.mean[rows].min(axis=0), model.mean[rows].max(axis=0)
        self._centre = (low + high) / 2
        self._scale = 0.85 * size / float((high - low).max())
        has_layout = model.uv is not None and model.parts
        self._texture = painted_texture(model) if has_layout else None

    def draw(self, record: dict[str, Any]) -> np.ndarray:
        """A picture, (size, size, 3) uint8 BGR, of one face of a record."""
        weights = record["blendshapes"]
        model, size = self._model, self._size
        names = map(arkit_name, model.expression_names)
        expression = np.array([[weights.get(name, 0.0) for name in names]], np.float32)
        vertices = model.vertices(np.zeros((1, model.num_shape), np.float32), expression)[0]
        turned = (vertices - self._centre) @ np.asarray(record["rotation"]).T
        # Camera axes have y up, pictures y down.
        points = (turned * (1, -1, 1) * self._scale + (size / 2, size / 2, 0)).astype(np.float32)
        picture = np.full((size, size, 3), self.BACKGROUND, np.uint8)
        if self._texture is None:
            return draw_mesh(picture, points, model.triangles, opacity=1.0)
        return draw_textured(
            picture, points, model.triangles, self._texture, model.uv, model.uv_triangles
        )


#: Colours of a head's parts, BGR.
SKIN, LIPS, BROWS = (150, 176, 226), (122, 128, 200), (60, 78, 104)
PARTS = {
    "mouth_inside": (38, 36, 92),
    "teeth_upper": (214, 226, 234),
    "teeth_lower": (214, 226, 234),
    "tongue": (96, 98, 184),
    "lid_lining": (126, 142, 204),
}
WHITE, IRIS, PUPIL = (226, 228, 232), (46, 66, 92), (14, 12, 12)
#: Angles from the axis of sight, degrees.
IRIS_DEG, PUPIL_DEG = 25.0, 10.0


def painted_texture(model: MorphableModel, size: int = 1024) -> np.ndarray:
    """A texture for a model's parts and regions, (S, S, 3) uint8 BGR."""
    layout = rasterize(texel_positions(model.uv, size), model.uv_triangles, size, size)
    shares = [
        model.regions.get(name, np.zeros(model.num_vertices, bool)) for name in ("lips", "brows")
    ]
    attributes = np.concatenate([model.mean, np.stack(shares, axis=1)], axis=1).astype(np.float32)
    texels = interpolate(layout, model.triangles, attributes)
    image = np.full((size, size, 3), SKIN, np.float32)
    for share, colour in zip(np.moveaxis(texels[..., 3:], 2, 0), (LIPS, BROWS), strict=True):
        soft = cv2.GaussianBlur(share, (0, 0), 2)[..., None]
        image += soft * (np.array(colour) - image)
    for name, mask in model.parts.items():
        texel = layout.covered & mask[layout.triangle]
        if name in PARTS:
            image[texel] = PARTS[name]
        if name in EYE_PARTS and model.eyes is not None:
            image[texel] = eye_colours(model, name, texels[texel][:, :3])
    return np.rint(image).astype(np.uint8)


def eye_colours(model: MorphableModel, name: str, points: np.ndarray) -> np.ndarray:
    """Colours, (N, 3), of points of an eyeball that looks straight ahead."""
    away = points - model.eyes.centre[EYE_PARTS.index(name)]
    angle = np.degrees(np.arctan2(np.hypot(away[:, 0], away[:, 1]), away[:, 2]))[:, None]
    return np.where(angle < PUPIL_DEG, PUPIL, np.where(angle < IRIS_DEG, IRIS, WHITE))


def beside(image: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A frame, scaled to the picture's height, with the picture at its right."""
    height = len(picture)
    width = round(image.shape[1] * height / len(image))
    return np.hstack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), picture])


def address(text: str) -> tuple[str, int]:
    """``host:port``, an argparse type."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, got {text}")
    return host, int(port)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="video file, folder, URL or camera index")
    parser.add_argument("--model", default="default", help="an installed landmark model")
    parser.add_argument(
        "--face-model", default="default", help="whose expressions: a name or an .npz file"
    )
    parser.add_argument("--send", type=address, metavar="HOST:PORT", help="send by UDP as well")
    parser.add_argument("--preview", metavar="FILE", help="a video of a head that does the same")
    options = parser.parse_args(arguments)
    try:
        run(options)
    except FacegeoError as error:
        print(f"avatar_driver.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(options: argparse.Namespace) -> None:
    """Print, send and draw what is asked for, frame by frame."""
    from facegeo.video.writer import VideoWriter

    camera = options.source.isdigit()
    model = load_face_model(options.face_model)
    predictor = FaceGeometry(options.model)
    source = int(options.source) if camera else options.source
    with ExitStack() as stack:
        stream = predictor.stream(source, mode="live" if camera else "offline")
        stack.enter_context(stream)
        if options.preview:
            writer = stack.enter_context(VideoWriter(options.preview, stream.fps or 30.0))
            avatar = Avatar(model)
            picture = np.full((480, 480, 3), Avatar.BACKGROUND, np.uint8)
        if options.send:
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        for frame, record in records_of_frames(stream, model):
            line = json.dumps(record)
            print(line, flush=True)
            if options.send:
                sender.sendto(line.encode(), options.send)
            if options.preview:
                if record["faces"]:  # else the head stays as it was
                    picture = avatar.draw(record["faces"][0])
                writer.write(beside(frame.image, picture), frame.timestamp_s)


if __name__ == "__main__":
    sys.exit(main())
