"""A head model as tables for drawing: parts, rims of the lids, eyeballs, regions that fade.

What a model does not have, parts or eyes, its tables leave out. Vertices are found by the names of
parts, regions and landmarks, never by their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from facegeo.conventions import LANDMARK_REGIONS, NUM_POSE
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CropConvention, pose_to_crop
from facegeo.geometry.params import split
from facegeo.morphable import MorphableModel
from facegeo.morphable.basis import EYE_PARTS
from facegeo.render import Raster, rasterize
from facegeo.render.texture import texel_positions

#: Side of the skins' textures: three texels for two pixels of a crop.
TEXTURE_SIZE: Final = 192

#: Kinds of surface, by which pixels get their colour; those of the mouth come last.
SKIN, EYE, LINING, TEETH, TONGUE, MOUTH = range(6)
_KINDS: Final = {
    "eye_left": EYE,
    "eye_right": EYE,
    "lid_lining": LINING,
    "teeth_upper": TEETH,
    "teeth_lower": TEETH,
    "tongue": TONGUE,
    "mouth_inside": MOUTH,
}

#: Farther than this from something, in millimetres, its distance does not matter.
FAR_MM: Final = 30.0

#: Skin around the eyes that is never a photo's: how far from the rims of the lids, above and below
#: the corners' line, and from the corners themselves; over how much it fades. Millimetres.
_LIDS_MM: Final = (6.5, 6.5)
_LID_FADE_MM: Final = 4.0
#: Hair of the brows is nearer than this to the line of their landmarks.
_BROW_MM: Final = 5.0
#: How far skin around the lips goes with them, and over how much it fades.
_LIP_MM: Final = 2.0
_LIP_FADE_MM: Final = 7.0
#: Lips that may show a photo's teeth: so far from where they meet, fading out.
_LIP_EDGE_MM: Final = 1.5
#: The border of the face fades into ears, hair and neck over this.
_FACE_FADE_MM: Final = 10.0
#: The scalp's hair fades out over this.
_HAIR_FADE_MM: Final = 12.0


@dataclass(frozen=True, eq=False)
class Rims:
    """Distances of the vertices from rims of lids, millimetres on the mean face, (V,) float32.

    Attributes
    ----------
    upper, lower : (V,) float32
        From the nearer eye's upper and lower rim, where its landmarks lie; negative on the lid's
        edge, which the viewer hardly sees.
    """

    upper: np.ndarray
    lower: np.ndarray


class HeadTables:
    """Arrays that drawing needs of a model; they travel to worker processes.

    Parameters
    ----------
    model : MorphableModel
        With texture coordinates. A coarse mesh is enough for crops of 120 pixels.
    convention : CropConvention
        Of the parameters that will be given.

    Attributes
    ----------
    triangles, uv_triangles : (F, 3) integers
    uv : (U, 2) float32
    kind : (F,) int8
        ``SKIN``, ``EYE`` and so on.
    mirror : (V,) integers or None
    rims : Rims
    lids, lips, face, hair : (V,) float32
        1 in a region, fading to 0 around it.
    eye_direction : (V, 3) float32
        Of the eyeballs' vertices, unit vector from their centre in the rest pose; else 0.
    iris_cosine : float
        Of the angle between pupil and rim of the iris.
    eye_corners : (2, 2) float32
        Where the corners of the right and left eye are to the side, millimetres on the mean face.
    lips_z : float
        The front of the lips, millimetres.
    texel_weights : dict
        Weights of the vertices in the texture, as they are first asked for.
    """

    def __init__(self, model: MorphableModel, convention: CropConvention) -> None:
        if model.uv is None or model.uv_triangles is None:
            raise InvalidInputError(
                f"model: expected a face model with texture coordinates, got {model.name!r}"
            )
        self.convention = convention
        self.names = tuple(model.expression_names or ())
        self.num_shape, self.unit_mm = model.num_shape, model.unit_mm
        self.shape_std = model.landmark_basis.shape_std
        self.expression_std = model.landmark_basis.expression_std
        self.triangles, self.uv_triangles = model.triangles, model.uv_triangles
        self.uv = model.uv
        self.mirror = None if model.mirror is None else np.asarray(model.mirror.vertices)
        self.mean = model.mean
        modes = np.concatenate([model.shape_basis, model.expression_basis])
        self._modes = modes.reshape(len(modes), -1)
        basis = model.landmark_basis
        self._landmark_mean = basis.mean
        landmark_modes = np.concatenate([basis.shape_basis, basis.expression_basis])
        self._landmark_modes = landmark_modes.reshape(len(modes), -1)
        self.texel_weights: dict[str, np.ndarray] = {}
        self.kind = np.full(len(self.triangles), SKIN, np.int8)
        for name, kind in _KINDS.items():
            if name in model.parts:
                self.kind[model.parts[name]] = kind
        self._points_mm = np.asarray(model.mean, np.float32) * model.unit_mm
        self._regions = dict(model.regions)
        self._landmarks_mm = np.asarray(basis.mean, np.float32) * model.unit_mm
        eyes = [LANDMARK_REGIONS["right_eye"], LANDMARK_REGIONS["left_eye"]]
        # The first and the fourth of an eye's landmarks.
        self.eye_corners = self._landmarks_mm[[[eye[0], eye[3]] for eye in eyes], 0]
        self.rims = self._rims()
        self._make_weights()
        self._make_eyes(model)
        front = self._points_mm[self._region("lips"), 2]
        self.lips_z = float(front.max()) if len(front) else 0.0

    def vertices(self, params: np.ndarray) -> np.ndarray:
        """``(N, P)`` to ``(N, V, 3)`` float32, crop pixels."""
        return self.placed(self.shaped(params), params)

    def landmarks(self, params: np.ndarray) -> np.ndarray:
        """``(N, P)`` to ``(N, 68, 3)`` float32, crop pixels."""
        moved = params[:, NUM_POSE:] @ self._landmark_modes
        return self.placed(moved.reshape(len(params), -1, 3) + self._landmark_mean, params)

    def shaped(self, params: np.ndarray) -> np.ndarray:
        """Vertices ``(N, V, 3)`` float32 in the model frame."""
        moved = params[:, NUM_POSE:] @ self._modes
        return np.asarray(moved.reshape(len(params), -1, 3) + self.mean, np.float32)

    def placed(self, points: np.ndarray, params: np.ndarray) -> np.ndarray:
        """Points ``(N, K, 3)`` of the model frame in crop pixels, float32."""
        affine = pose_to_crop(split(params).pose, self.convention)
        placed = points @ np.swapaxes(affine[:, :, :3], 1, 2) + affine[:, None, :, 3]
        return np.asarray(placed, np.float32)

    def px_per_mm(self, params: np.ndarray) -> float:
        """Size of a face ``(P,)`` in its crop."""
        linear = params[:NUM_POSE].reshape(3, 4)[:, :3]
        return float(np.cbrt(abs(np.linalg.det(linear))) / self.unit_mm)

    @cached_property
    def layout(self) -> Raster:
        """The skin in its texture."""
        points = texel_positions(self.uv, TEXTURE_SIZE)
        return rasterize(
            points, self.uv_triangles[self.kind == SKIN], TEXTURE_SIZE, TEXTURE_SIZE, threads=1
        )

    def _region(self, name: str) -> np.ndarray:
        return self._regions.get(name, np.zeros(len(self.mean), bool))

    def _part_vertices(self, *kinds: int) -> np.ndarray:
        found = np.zeros(len(self.mean), bool)
        found[np.unique(self.triangles[np.isin(self.kind, kinds)])] = True
        return found

    def _rims(self) -> Rims:
        shared = self._part_vertices(SKIN) & self._part_vertices(LINING)
        count = len(self.mean)
        upper, lower = (np.full(count, FAR_MM, np.float32) for _ in range(2))
        for side, eye in ((-1, "right_eye"), (1, "left_eye")):
            rim = self._points_mm[shared & (side * self.mean[:, 0] > 0)]
            landmarks = self._landmarks_mm[list(LANDMARK_REGIONS[eye])]
            if len(rim) < 4:
                continue
            rim = rim[rim[:, 0].argsort()]
            first, last = rim[0], rim[-1]
            along = (rim[:, :1] - first[0]) / (last[0] - first[0])
            above = rim[:, 1] > (first + along * (last - first))[:, 1]
            for distances, lid, edge in (
                (upper, rim[above], landmarks[1:3]),
                (lower, rim[~above], landmarks[4:6]),
            ):
                curve = _curve(np.concatenate([first[None], lid, last[None]]))
                width = _distance(edge, curve).mean()
                np.minimum(distances, _distance(self._points_mm, curve) - width, out=distances)
        return Rims(upper, lower)

    def _make_weights(self) -> None:
        points = self._points_mm
        above, below = _LIDS_MM
        near = np.minimum(self.rims.upper - above, self.rims.lower - below)
        brows = np.concatenate(
            [
                _curve(self._landmarks_mm[list(LANDMARK_REGIONS[name])])
                for name in ("right_eyebrow", "left_eyebrow")
            ]
        )
        to_brow = _distance(points, brows)
        lids = 1 - np.clip(near / _LID_FADE_MM, 0, 1)
        self.brows = to_brow < _BROW_MM
        self.lids = (lids * np.clip((to_brow - _BROW_MM) / 2, 0, 1)).astype(np.float32)
        self.lids[self._region("lids")] = 1
        lips = _distance(points, points[self._region("lips")])
        self.lips = _fading(lips - _LIP_MM, _LIP_FADE_MM)
        rim = points[self._part_vertices(SKIN) & self._part_vertices(MOUTH)]
        inner = self._landmarks_mm[list(LANDMARK_REGIONS["inner_lips"])]
        edge = float(_distance(inner, rim).mean())
        self.inner_lips = _fading(_distance(points, rim) - edge, _LIP_EDGE_MM)
        self.outer_lips = self._region("lips") & (self.inner_lips == 0)
        face = self._region("face") if "face" in self._regions else np.ones(len(points), bool)
        beyond = points[self._region("skin") & ~face]
        self.face = np.where(face, 1 - _fading(_distance(points, beyond), _FACE_FADE_MM), 0)
        scalp = points[self._region("scalp")]
        self.hair = _fading(_distance(points, scalp), _HAIR_FADE_MM) * (self._region("ears") == 0)
        self.face, self.hair = self.face.astype(np.float32), self.hair.astype(np.float32)
        self.skin_samples = self._region("face") & ~self.brows & (self.lids == 0) & (self.lips == 0)

    def _make_eyes(self, model: MorphableModel) -> None:
        self.eyes = model.eyes
        self.eye_direction = np.zeros((len(self.mean), 3), np.float32)
        self.iris_cosine = 1.0
        if model.eyes is None:
            return
        for name, centre, iris in zip(EYE_PARTS, model.eyes.centre, model.eyes.iris, strict=True):
            part = np.unique(model.triangles[model.parts[name]])
            pupil = _unit(model.mean[iris[0]] - centre)
            # In a frame whose z is the pupil's axis, so that all eyes are drawn alike.
            frame = np.stack([_unit(np.cross([0, 1, 0], pupil)), np.zeros(3), pupil])
            frame[1] = np.cross(pupil, frame[0])
            self.eye_direction[part] = _unit(model.mean[part] - centre) @ frame.T
            rim = _unit(model.mean[iris[1:]] - centre) @ pupil
            self.iris_cosine = float(rim.mean())

    def gaze(self, params: np.ndarray) -> np.ndarray:
        """Directions of the person's right and left eye, unit vectors in the camera's frame.

        Parameters
        ----------
        params : (N, P) float

        Returns
        -------
        gaze : (N, 2, 3) float32
            x right, y up, z to the viewer. NaN if the model has no eyes.
        """
        found = np.full((len(params), 2, 3), np.nan, np.float32)
        if self.eyes is None:
            return found
        pose, shape, expression = split(params, self.num_shape)
        centres = self.eyes.centres(shape, expression)
        pupils = self.eyes.iris[:, 0]
        modes = self._modes.reshape(len(self._modes), -1, 3)[:, pupils]
        moved = np.tensordot(params[:, NUM_POSE:], modes, 1) + self.mean[pupils]
        camera = (moved - centres) @ np.swapaxes(pose[:, :, :3], 1, 2)
        return _unit(camera).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9))


def _fading(distance: np.ndarray, width: float) -> np.ndarray:
    """1 at no distance, 0 beyond the width."""
    return np.asarray(1 - np.clip(distance / width, 0, 1), np.float32)


def _curve(points: np.ndarray) -> np.ndarray:
    """Points ``(K, 3)`` with more of them on the straight lines between."""
    steps = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    between = points[:-1] + steps * (points[1:] - points[:-1])
    return np.concatenate([between.reshape(-1, 3), points[-1:]])


def _distance(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance ``(V,)`` to the nearest of some points; FAR_MM where there is none."""
    if not len(others):
        return np.full(len(points), FAR_MM, np.float32)
    from scipy.spatial import KDTree

    found, _ = KDTree(others).query(points, distance_upper_bound=FAR_MM)
    return np.minimum(found, FAR_MM).astype(np.float32)
