"""Faces of a head model drawn with exact truth: alone, or over the photo that they came from.

What 68 points do not show and photos label badly: eyes that open and shut, gaze, cheeks that puff,
noses that sneer, tongues, and which landmarks a head hides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from facegeo.conventions import LANDMARK_REGIONS, NUM_LANDMARKS, NUM_POSE
from facegeo.geometry.crop import CROP_SIZE, pose_from_crop, pose_to_crop, rois_from_landmarks
from facegeo.geometry.pose import rotation_from_euler
from facegeo.render import Raster
from facegeo.render.products import points_visible
from facegeo.synthetic.expressions import EYE_SHAPES, random_expression
from facegeo.synthetic.head import HeadTables
from facegeo.synthetic.redraw import Scene
from facegeo.synthetic.shading import SUPERSAMPLING, paint, random_light, random_look
from facegeo.synthetic.skins import Skin, skin_of

Rng = np.random.Generator

#: A landmark is turned away where the head is nearer to the viewer by more than this; one where
#: lips meet, which is inside of them when they are pressed or puckered, by more than that.
HIDDEN_MM: Final = 4.0
HIDDEN_LIPS_MM: Final = 12.0

#: Largest yaw of faces that are drawn alone, and standard deviations of pitch and roll, degrees.
_MOST_YAW_DEG: Final = 90.0
_PITCH_ROLL_DEG: Final = (12.0, 12.0)

#: Standard deviation of coefficients, as a part of the model's.
_SPREAD: Final = 0.8

#: By how much size and middle of a face in its crop vary, as parts of the crop.
_SIZE_SPREAD, _SHIFT_SPREAD = 0.06, 0.03

#: Standard deviation of the blur of what is drawn over photos, pixels.
_SOFT: Final = (0.25, 0.55)

_EYES: Final = [*LANDMARK_REGIONS["right_eye"], *LANDMARK_REGIONS["left_eye"]]
_TOLERANCE_MM: Final = np.full(NUM_LANDMARKS, HIDDEN_MM)
_TOLERANCE_MM[list(LANDMARK_REGIONS["inner_lips"])] = HIDDEN_LIPS_MM
_MOUTH: Final = [*LANDMARK_REGIONS["outer_lips"], *LANDMARK_REGIONS["inner_lips"]]


@dataclass(frozen=True, eq=False)
class RenderedFace:
    """A crop and its truth.

    Attributes
    ----------
    crop : (120, 120, 3) uint8
        BGR.
    params : (P,) float32
    landmarks : (68, 3) float32
        Crop pixels.
    hidden : (68,) bool
        The head itself hides the point: it is nearer by more than ``HIDDEN_MM``, before the inner
        lips ``HIDDEN_LIPS_MM``.
    drawn : (68,) bool
        The point's surroundings were drawn, so that nothing of a photo covers it, and the point
        is that of the parameters. The others moved with the photo.
    gaze : (2, 3) float32
        Of the person's right and left eye, in the camera's frame: x right, y up, z to the viewer.
    known : (Ne,) bool
        Expression coefficients that are what the crop shows, whatever the photo was labelled.
    """

    crop: np.ndarray
    params: np.ndarray
    landmarks: np.ndarray
    hidden: np.ndarray
    drawn: np.ndarray
    gaze: np.ndarray
    known: np.ndarray


class FaceRenderer:
    """Draws faces of one model.

    Parameters
    ----------
    head : HeadTables
        Of the model; its coarse mesh is enough.
    """

    def __init__(self, head: HeadTables) -> None:
        self.head = head

    def skin(self, image: np.ndarray, params: np.ndarray, rng: Rng) -> Skin:
        """Skin of a labelled face; ``image`` is its crop, of any size."""
        vertices = self.head.vertices(params[None])[0]
        landmarks = self.head.landmarks(params[None])[0]
        return skin_of(image, vertices, landmarks, self.head, rng)

    def alone(
        self, params: np.ndarray, skin: Skin, background: np.ndarray, rng: Rng
    ) -> RenderedFace:
        """A head before a background, in a light of its own.

        Parameters
        ----------
        params : (P,) float32
            As of :func:`random_params`.
        background : (120, 120, 3) uint8
        """
        head = self.head
        painted = paint(head, params, skin, random_look(rng), random_light(rng))
        covered = painted.raster.covered.astype(np.float32)[..., None]
        part = _reduced(covered)[..., None]
        image = _reduced(painted.colour * covered) + (1 - part) * background
        crop = _photographed(image, rng)
        known = np.ones(len(head.expression_std), bool)
        return self._face(crop, params, painted.raster, np.ones(68, bool), known)

    def over_photo(
        self,
        crop: np.ndarray,
        before: np.ndarray,
        landmarks: np.ndarray,
        expression: np.ndarray,
        skin: Skin,
        rng: Rng,
        *,
        only_eyes: bool = False,
    ) -> RenderedFace:
        """A photo whose face has another expression.

        The photo moves with the face; eyes with their lids, and the mouth, are drawn over it.

        Parameters
        ----------
        crop : (120, 120, 3) uint8
        before : (P,) float32
            The photo's parameters.
        landmarks : (68, 3) float32
            The photo's landmarks. Points that are not drawn move from there.
        expression : (Ne,) float32
            The new one.
        skin : Skin
            Of the same photo.
        only_eyes : bool
            The mouth stays the photo's.
        """
        head = self.head
        params = before.copy()
        params[NUM_POSE + head.num_shape :] = expression
        both = np.stack([before, params])
        old, new = head.vertices(both)
        painted = paint(head, params, skin, random_look(rng), before=before)
        scene = Scene.of(crop, old, head.triangles)
        moved = crop if scene is None else scene.drawn(scene.points + scene.along(new - old))
        drawn = painted.lids if only_eyes else np.maximum(painted.lids, painted.lips)
        drawn = (drawn * painted.raster.covered)[..., None]
        # Cheeks that puff and noses that wrinkle show by their shading.
        ratio = _reduced(np.where(painted.kind == 0, np.clip(painted.gain, 0.6, 1.5), 1))
        face = _reduced(painted.face)
        relit = moved * (1 + face * (ratio - 1))[..., None]
        part = _reduced(drawn)[..., None]
        over = _reduced(painted.colour * drawn)
        # As sharp as a photo, not more.
        over, part = _blurred(over, part[..., 0], rng.uniform(*_SOFT))
        image = over + (1 - part) * relit
        points = head.landmarks(both)
        exact = np.zeros(68, bool)
        exact[_EYES if only_eyes else _EYES + _MOUTH] = True
        placed = np.where(exact[:, None], points[1], landmarks + points[1] - points[0])
        known = np.isin(head.names, EYE_SHAPES) if only_eyes else np.ones(len(expression), bool)
        return self._face(_levels(image), params, painted.raster, exact, known, placed)

    def _face(
        self,
        crop: np.ndarray,
        params: np.ndarray,
        raster: Raster,
        drawn: np.ndarray,
        known: np.ndarray,
        landmarks: np.ndarray | None = None,
    ) -> RenderedFace:
        head = self.head
        points = head.landmarks(params[None])[0]
        fine = points * np.float32(SUPERSAMPLING)
        fine[:, :2] += (SUPERSAMPLING - 1) / 2
        px_per_mm = SUPERSAMPLING * head.px_per_mm(params)
        seen = points_visible(raster, fine, _TOLERANCE_MM * px_per_mm)
        side = raster.depth.shape[0]
        within = ((fine[:, :2] > -0.5) & (fine[:, :2] < side - 0.5)).all(axis=1)
        return RenderedFace(
            crop,
            params.astype(np.float32),
            points if landmarks is None else landmarks.astype(np.float32),
            ~seen & within,
            drawn,
            head.gaze(params[None])[0],
            known,
        )


def random_params(rng: Rng, head: HeadTables, most_yaw_deg: float = _MOST_YAW_DEG) -> np.ndarray:
    """A random person in the middle of a crop: ``(P,)`` float32."""
    yaw = rng.uniform(-most_yaw_deg, most_yaw_deg)
    pitch, roll = np.clip(rng.normal(0, _PITCH_ROLL_DEG), -35, 35)
    shape = _SPREAD * head.shape_std * rng.normal(size=head.num_shape)
    coefficients = np.concatenate([shape, _random_expression(rng, head)])
    pose = np.zeros((1, 3, 4))
    pose[0, :, :3] = rotation_from_euler(np.array([[yaw, pitch, roll]]))[0]
    params = np.concatenate([pose.ravel(), coefficients]).astype(np.float32)
    # Scaled and moved to where a tracker would have cut the crop, more or less.
    x0, y0, x1, y1 = rois_from_landmarks(1000 * head.landmarks(params[None]))[0] / 1000
    scale = CROP_SIZE / (x1 - x0) * np.exp(rng.normal(0, _SIZE_SPREAD))
    middle = CROP_SIZE * (0.5 + rng.normal(0, _SHIFT_SPREAD, 2)) - 0.5
    affine = pose_to_crop(pose, head.convention).astype(np.float64)
    moved = middle - scale * (np.array([x0 + x1, y0 + y1]) / 2 - affine[0, :2, 3])
    affine[0, :, :3] *= scale
    affine[0, :2, 3] = moved
    params[:NUM_POSE] = pose_from_crop(affine, head.convention).ravel()
    return params


def _random_expression(rng: Rng, head: HeadTables) -> np.ndarray:
    """A real one of blendshapes; any of modes that have no names."""
    if set(EYE_SHAPES) & set(head.names):
        return random_expression(rng, head.names)
    return _SPREAD * head.expression_std * rng.normal(size=len(head.expression_std))


def _reduced(image: np.ndarray) -> np.ndarray:
    """From the supersampled size to that of a crop."""
    return np.asarray(
        cv2.resize(image, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA), np.float32
    )


def _blurred(over: np.ndarray, part: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    both = cv2.GaussianBlur(np.dstack([over, part]), (0, 0), sigma)
    return both[..., :3], both[..., 3:]


def _levels(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _photographed(image: np.ndarray, rng: Rng) -> np.ndarray:
    """By a camera: white balance, exposure, contrast, a little blur and noise."""
    image = image * (rng.uniform(0.75, 1.2) * (1 + rng.normal(0, 0.05, 3))).astype(np.float32)
    image = 255 * np.clip(image / 255, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    sigma = rng.uniform(0, 0.8)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    noise = rng.normal(0, rng.uniform(0, 4), image.shape)
    return _levels(image + noise)
