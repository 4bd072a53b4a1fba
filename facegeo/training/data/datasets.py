"""Readers of training sets. Nothing is downloaded; bad samples are named, left out and counted.

Every reader gives a :class:`LabelledFaces`: images of face crops, and labels in the parameters
of one face model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from facegeo.base import pickles
from facegeo.base.arrays import array_of
from facegeo.base.files import replacing
from facegeo.base.matlab import load_matlab
from facegeo.base.npz import load_npz
from facegeo.conventions import NUM_LANDMARKS, NUM_PARAMS, NUM_POSE
from facegeo.errors import CorruptFileError, FacegeoError, InvalidInputError, UnreadableFileError
from facegeo.geometry.axes import flip_y
from facegeo.geometry.crop import (
    CROP_SIZE,
    CropConvention,
    crop_faces,
    find_convention,
    photo_to_crop,
    pose_from_crop,
    pose_to_crop,
    rois_from_landmarks,
)
from facegeo.geometry.params import join, split
from facegeo.geometry.pose import rotation_from_euler
from facegeo.images import decode_photo
from facegeo.images.collections import (
    Chosen,
    FolderImages,
    ImageCollection,
    Skipped,
    open_images,
)
from facegeo.morphable import MorphableModel
from facegeo.morphable.fitting import fit_landmarks
from facegeo.morphable.mirror import mirror_params

#: Least spread of a coefficient among faces, as a part of the model's.
_LEAST_SPREAD: Final = 0.05

#: Arrays that a label file may have: their last axes and dtypes.
_OPTIONAL: Final[dict[str, tuple[tuple[int | str, ...], type]]] = {
    "visibility": ((NUM_LANDMARKS,), np.uint8),
    "manual": ((NUM_LANDMARKS,), np.bool_),
    "manual_points": ((NUM_LANDMARKS, 2), np.float32),
    "gaze": ((2, 3), np.float32),
    "exact_expression": (("Ne",), np.bool_),
}


@dataclass(frozen=True, eq=False)
class LabelledFaces:
    """A training set.

    Attributes
    ----------
    pictures : ImageCollection
        120 x 120 crops, one a face.
    params : (N, P) float32
        Of a network with crop convention ``exact``.
    landmarks : (N, 68, 3) float32
        Crop pixels: what refined landmarks should be.
    morphable_model : str
        Name of the face model that the parameters belong to.
    skipped : int
        Samples that were left out.
    offset_px : (float, float)
        Where the data's owners would put a point whose place in the crop is (0, 0). It is added
        after the image was turned or mirrored: their convention does not turn with it.
    visibility : (N, 68) uint8 or None
        As :mod:`facegeo.training.data.visibility` has it.
    manual : (N, 68) bool or None
        A person set the point, so x and y show more than a model can say: whether an eye is shut.
    manual_points : (N, 68, 2) float32 or None
        Where they set it, exact crop pixels; NaN where not. What validation measures against.
    gaze : (N, 2, 3) float32 or None
        Where the person's right and left eye look: unit vectors in the camera's frame, x right, y
        up, z to the viewer; NaN where it is not known.
    exact_expression : (N, Ne) bool or None
        Coefficients of the expression that are what the crop shows, as it was drawn with them.
    """

    pictures: ImageCollection
    params: np.ndarray
    landmarks: np.ndarray
    morphable_model: str
    skipped: int = 0
    offset_px: tuple[float, float] = (0.0, 0.0)
    visibility: np.ndarray | None = None
    manual: np.ndarray | None = None
    manual_points: np.ndarray | None = None
    gaze: np.ndarray | None = None
    exact_expression: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.params)

    def some(self, indices: Sequence[int] | np.ndarray) -> LabelledFaces:
        """These faces only."""
        rows = {
            key: value[indices]
            for key in ("params", "landmarks", *_OPTIONAL)
            if (value := getattr(self, key)) is not None
        }
        return replace(self, pictures=Chosen(self.pictures, indices), **rows)

    def statistics(self, model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (P,) of the parameters, by which a network whitens.

        Of the faces and their mirror images, where the model has a mirror: views show both. A
        coefficient that hardly occurs has a twentieth of the model's own spread.
        """
        params = self.params.astype(np.float64)
        if model.mirror is not None:
            mirrored = mirror_params(params, model.mirror, find_convention("exact"))
            params = np.concatenate([params, mirrored])
        rows = model.landmark_basis
        least = np.concatenate([rows.shape_std, rows.expression_std]) * _LEAST_SPREAD
        least = np.concatenate([np.full(NUM_POSE, 1e-8), least])
        return params.mean(axis=0), np.maximum(params.std(axis=0), least)


def write_labels(
    path: str | Path,
    names: Iterable[str],
    params: np.ndarray,
    landmarks: np.ndarray,
    morphable_model: str,
    offset_px: tuple[float, float] = (0.0, 0.0),
    *,
    visibility: np.ndarray | None = None,
    manual: np.ndarray | None = None,
    manual_points: np.ndarray | None = None,
    gaze: np.ndarray | None = None,
    exact_expression: np.ndarray | None = None,
) -> None:
    """Write labels beside which images of these names lie; read by :func:`read_labelled`.

    The arrays are those of :class:`LabelledFaces`; what is None is not in the file.
    """
    optional = {
        "visibility": visibility,
        "manual": manual,
        "manual_points": manual_points,
        "gaze": gaze,
        "exact_expression": exact_expression,
    }
    there: dict[str, Any] = {
        key: np.asarray(value, _OPTIONAL[key][1])
        for key, value in optional.items()
        if value is not None
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(list(names)),
            params=params.astype(np.float32),
            landmarks=landmarks.astype(np.float32),
            morphable_model=np.array(morphable_model),
            offset_px=np.array(offset_px, np.float32),
            **there,
        )


def read_labelled(labels: str | Path, images: str | Path) -> LabelledFaces:
    """Crops of a folder or tar archive with labels from :func:`write_labels`.

    This is the reader for AFLW's crops, and for any photos that another model labelled.

    Raises
    ------
    UnreadableFileError, CorruptFileError
        If the label file is not there or not one.
    """
    labels = Path(labels)
    keys = ("names", "params", "landmarks", "morphable_model", "offset_px")
    try:
        arrays = load_npz(labels)
        absent = [key for key in keys if key not in arrays]
        if absent:
            raise CorruptFileError(f"has no {absent[0]!r}")
        names = [str(name) for name in arrays["names"].ravel()]
        params = array_of("params", arrays["params"], (len(names), "P"))
        shape = (len(names), NUM_LANDMARKS, 3)
        landmarks = array_of("landmarks", arrays["landmarks"], shape)
        model = str(arrays["morphable_model"])
        dx, dy = array_of("offset_px", arrays["offset_px"], (2,)).tolist()
        more: dict[str, Any] = {
            key: array_of(key, arrays[key], (len(names), *last), dtype, finite=False)
            for key, (last, dtype) in _OPTIONAL.items()
            if key in arrays
        }
    except (CorruptFileError, InvalidInputError) as error:
        raise CorruptFileError(f"{labels}: not a label file ({error})") from error
    faces = LabelledFaces(
        open_images(images, names), params, landmarks, model, offset_px=(dx, dy), **more
    )
    return _without_bad(faces, str(labels))


def read_300wlp_crops(
    list_file: str | Path,
    params_file: str | Path,
    folder: str | Path,
    statistics_file: str | Path,
    model: MorphableModel,
) -> LabelledFaces:
    """300W-LP in 3DDFA's ``train_aug_120x120`` layout.

    Parameters
    ----------
    list_file : path
        One relative path of a 120x120 JPEG a line.
    params_file : path
        ``param_all_norm_*.pkl``: whitened parameters (n, 62), a row a line of the list.
    folder : path
        What the paths are relative to.
    statistics_file : path
        ``param_whitening.pkl``: ``param_mean``, ``param_std`` (62,).
    model : MorphableModel
        Basel's, with 40 shape and 10 expression modes, in the parameters' units.
    """
    list_file, params_file = Path(list_file), Path(params_file)
    try:
        lines = list_file.read_text(encoding="utf-8").split()
    except OSError as error:
        raise UnreadableFileError(f"{list_file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{list_file}: not a text file ({error})") from error
    whitened = pickles.load(params_file)
    statistics = pickles.load(Path(statistics_file))
    if (
        not isinstance(whitened, np.ndarray)
        or whitened.dtype.kind != "f"
        or whitened.shape != (len(lines), NUM_PARAMS)
    ):
        raise CorruptFileError(
            f"{params_file}: expected an array of shape ({len(lines)}, {NUM_PARAMS}) of "
            f"floating-point numbers, a row for each line of {list_file.name}"
        )
    try:
        mean, std = (array_of(k, statistics[k], (NUM_PARAMS,)) for k in ("param_mean", "param_std"))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{statistics_file}: {error}") from error
    params = (whitened * std + mean).astype(np.float32)
    params = _between_conventions(params, find_convention("3ddfa"), find_convention("exact"))
    landmarks = landmarks_of(params, model, find_convention("exact"))
    images = FolderImages(folder, lines)
    faces = LabelledFaces(images, params, landmarks, model.name)
    return _without_bad(faces, str(list_file))


def read_300wlp_photos(
    folder: str | Path, basel: MorphableModel, model: MorphableModel, cache: str | Path
) -> LabelledFaces:
    """300W-LP in its original layout: ``.jpg`` photos with a ``.mat`` beside each.

    The photos are cropped once, into ``cache``; the labels are ``model`` fitted to the landmarks
    that the file's coefficients give, at the file's rotation.

    Parameters
    ----------
    folder : path
        Searched with its sub-folders (``AFW``, ``HELEN``, ``IBUG``, ``LFPW`` and their flips).
    basel : MorphableModel
        Basel 2009 with FaceWarehouse's expressions, 199 and 29 modes, coefficients in the file's
        units.
    model : MorphableModel
        The face model of the network to come.
    cache : path
        Folder for the crops, outside of the data set.
    """
    folder, cache = Path(folder), Path(cache)
    skipped = Skipped(str(folder))
    faces = _CropFaces([], [], [])
    for image in sorted(folder.rglob("*.jpg")):
        name = f"{image.relative_to(folder).with_suffix('').as_posix()}.png"
        try:
            face, rotation = _read_300wlp_image(image, basel)
            faces.add(name, _crop_once(image, face, cache / name), rotation)
        except FacegeoError as error:
            skipped.add(error)
    if not faces.names:
        raise CorruptFileError(f"{folder}: no usable pair of .jpg and .mat below it")
    return faces.labelled(cache, model, skipped)


def landmarks_of(
    params: np.ndarray, model: MorphableModel, convention: CropConvention
) -> np.ndarray:
    """The 68 rows of a face model for parameters ``(N, P)``: ``(N, 68, 3)`` crop pixels."""
    pose, shape, expression = split(params, model.num_shape)
    return model.landmarks(shape, expression, pose_to_crop(pose, convention))


def _read_300wlp_image(image: Path, basel: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (68, 3) in photo pixels and the rotation (3, 3)."""
    path = image.with_suffix(".mat")
    sizes = {"Shape_Para": basel.num_shape, "Exp_Para": basel.num_expression}
    content = load_matlab(path, keys=("Pose_Para", *sizes))
    try:
        pose = array_of("Pose_Para", content["Pose_Para"], (1, 7), np.float64)[0]
        shape, expression = (
            array_of(key, content[key], (n, 1)).reshape(1, n) for key, n in sizes.items()
        )
        height = decode_photo(image.read_bytes(), str(image)).shape[0]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CorruptFileError(f"{path}: {error}") from error
    pitch, yaw, roll, x, y, z, scale = pose
    rotation = rotation_from_euler(np.degrees([[yaw, pitch, roll]]))[0]
    points = scale * basel.landmarks(shape, expression)[0] @ rotation.T + (x, y, z)
    # The file counts pixels from 1, from the bottom left; photo pixels from 0, from the top.
    return flip_y(points) + np.array([-1, height, 0]), rotation


def _crop_once(source: Path, points: np.ndarray, crop_file: Path) -> np.ndarray:
    """Cut the face out, unless it was; its landmarks in crop pixels."""
    roi = rois_from_landmarks(points[None])
    if not crop_file.is_file():
        image = decode_photo(source.read_bytes(), str(source))
        with replacing(crop_file) as temporary:
            temporary.write_bytes(cv2.imencode(".png", crop_faces(image, roi)[0])[1].tobytes())
    return photo_to_crop(points[None].astype(np.float32), roi, find_convention("exact"))[0]


@dataclass(frozen=True, eq=False)
class _CropFaces:
    """Faces as they are cut out of photos: crop's name, landmarks in it, rotation."""

    names: list[str]
    points: list[np.ndarray]
    rotations: list[np.ndarray]

    def add(self, name: str, points: np.ndarray, rotation: np.ndarray) -> None:
        self.names.append(name)
        self.points.append(points)
        self.rotations.append(rotation)

    def labelled(self, cache: Path, model: MorphableModel, skipped: Skipped) -> LabelledFaces:
        """Fit the model to all of them, each at its rotation."""
        skipped.report(len(self.names))
        landmarks = np.stack(self.points).astype(np.float32)
        rotation = np.stack(self.rotations)
        fit = fit_landmarks(model.landmark_basis, landmarks, rotation=rotation)
        pose = pose_from_crop(fit.pose, find_convention("exact"))
        params = join(pose, fit.shape, fit.expression).astype(np.float32)
        images = FolderImages(cache, self.names)
        return LabelledFaces(images, params, landmarks, model.name, skipped.count)


def _between_conventions(
    params: np.ndarray, source: CropConvention, target: CropConvention
) -> np.ndarray:
    """The same crop pixels, in the pose frame of another convention."""
    pose, shape, expression = split(params)
    moved = pose_from_crop(pose_to_crop(pose, source), target)
    return join(moved, shape, expression).astype(np.float32)


def _without_bad(faces: LabelledFaces, what: str) -> LabelledFaces:
    """Look at every image and label once; what cannot be used is named and left out."""
    skipped = Skipped(what)
    good = []
    for index in range(len(faces)):
        try:
            _check_sample(faces.pictures, index, faces.params[index])
        except FacegeoError as error:
            skipped.add(error)
        else:
            good.append(index)
    skipped.report(len(good))
    if not good:
        raise CorruptFileError(f"{what}: holds no usable sample")
    return replace(faces.some(good), skipped=skipped.count)


def _check_sample(images: ImageCollection, index: int, params: np.ndarray) -> None:
    name = images.names[index]
    if not np.isfinite(params).all():
        raise CorruptFileError(f"{name}: its label is not finite")
    shape = decode_photo(images.read(index), name).shape
    if shape != (CROP_SIZE, CROP_SIZE, 3):
        raise CorruptFileError(f"{name}: expected a crop of side {CROP_SIZE}, got {shape[:2]}")
