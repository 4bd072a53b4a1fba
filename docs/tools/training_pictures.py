"""Pictures of the page on training: one face turned to the side, and with other expressions."""

import cv2
import numpy as np

from facegeo import FaceGeometry, MorphableModel
from facegeo.conventions import NUM_POSE
from facegeo.geometry.crop import (
    CROP_SIZE,
    crop_faces,
    find_convention,
    resized_crops,
    rois_from_landmarks,
)
from facegeo.images.demo import sample_photo
from facegeo.synthetic.head import HeadTables
from facegeo.synthetic.rendered import FaceRenderer, random_params
from facegeo.synthetic.skins import with_bare_head
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.head_turn import HeadTurn
from facegeo.training.data.sample import Sample
from facegeo.training.labels.synthetic import sample_face
from facegeo.zoo.face_models import load_face_model

_ANGLES_DEG = (0.0, -20.0, -40.0, -60.0)
_ZOOM = 2

#: Expressions over the photo, and whether only the eyes change.
_EXPRESSIONS = (
    ({"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, True),
    ({"eyeLookOutLeft": 0.9, "eyeLookInRight": 0.9, "eyeWideLeft": 0.5, "eyeWideRight": 0.5}, True),
    ({"jawOpen": 0.45, "tongueOut": 1, "eyeBlinkRight": 1}, False),
    ({"cheekPuff": 1, "browInnerUp": 0.8, "eyeWideLeft": 0.6, "eyeWideRight": 0.6}, False),
)
_SEEDS = (1, 2, 3, 4, 5)
_GREEN = (80, 255, 120)


def turned_picture() -> np.ndarray:
    """The sample photo's face as training sees it, with its landmarks below."""
    sample = _sample()
    # Any point will do: its depth is not seen.
    turn = HeadTurn(CoarseFace(MorphableModel.default(), find_convention("exact")), np.zeros(3))
    views = [turn(sample, angle) for angle in _ANGLES_DEG]
    plain = [_enlarged(view.crop) for view in views]
    dotted = [_dotted(view) for view in views]
    return np.concatenate([np.concatenate(row, axis=1) for row in (plain, dotted)])


def rendered_picture() -> np.ndarray:
    """The sample photo's face with other eyes and expressions, and heads with its skin alone."""
    model = load_face_model("default", detail="low")
    head = HeadTables(model, find_convention("exact"))
    renderer = FaceRenderer(head)
    crop, params, landmarks = sample_face(model)
    skin = renderer.skin(crop, params, np.random.default_rng(0))
    old = params[NUM_POSE + head.num_shape :]
    over = [crop]
    for number, (shapes, only_eyes) in enumerate(_EXPRESSIONS):
        expression = old.copy() if only_eyes else np.zeros_like(old)
        for name, value in shapes.items():
            expression[head.names.index(name)] = value
        rng = np.random.default_rng(number)
        face = renderer.over_photo(
            crop, params, landmarks, expression, skin, rng, only_eyes=only_eyes
        )
        over.append(face.crop)
    alone = []
    for seed in _SEEDS:
        rng = np.random.default_rng(seed)
        grey = np.full_like(crop, 120)
        drawn = random_params(rng, head)
        alone.append(renderer.alone(drawn, with_bare_head(skin, head), grey, rng).crop)
    rows = [np.concatenate([_enlarged(image) for image in row], axis=1) for row in (over, alone)]
    return np.concatenate(rows)


def _sample() -> Sample:
    predictor = FaceGeometry()
    photo = sample_photo()
    crops = crop_faces(photo, rois_from_landmarks(predictor(photo)[0].landmarks[None]))
    whole = np.array([[0, 0, CROP_SIZE, CROP_SIZE]], np.float32)
    (params,), (landmarks,) = _of_crops(predictor, resized_crops(crops, predictor.crop_size), whole)
    return Sample(crops[0], params, landmarks)


def _of_crops(
    predictor: FaceGeometry, crops: np.ndarray, rois: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Parameters, and landmarks in the crop with the depth that its own frame has."""
    batch = predictor.predict_crops(crops, rois)
    landmarks = batch.landmarks.copy()
    landmarks[..., 2] += batch.depths[:, None]
    return batch.params, landmarks


def _enlarged(crop: np.ndarray) -> np.ndarray:
    picture = cv2.resize(crop, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
    return np.asarray(picture, np.uint8)


def _dotted(view: Sample) -> np.ndarray:
    picture = _enlarged(view.crop)
    for x, y in (_ZOOM * (view.landmarks[:, :2] + 0.5) - 0.5).tolist():
        place = (round(16 * x), round(16 * y))
        cv2.circle(picture, place, 24, _GREEN, -1, cv2.LINE_AA, shift=4)
    return picture
