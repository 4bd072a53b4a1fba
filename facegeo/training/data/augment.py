"""Random views of a labelled crop: the image changes, and the labels with it where it moves.

Everything random comes from the generator that is passed, so a sample can be made again exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeo.geometry.crop import CROP_SIZE, REGION_SIDE, CropConvention, lean_of_faces
from facegeo.morphable.basis import Mirror
from facegeo.morphable.mirror import mirror_landmarks, mirror_params
from facegeo.training.core.settings import NOT_NEGATIVE, SHARE, Interval, check_numbers
from facegeo.training.data.similarity import similarities, transform_landmarks, transform_params

Rng = np.random.Generator

#: How much of the random shift and zoom remains in a view that is recentred.
_LITTLE = 0.25

_BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities (0..1) and ranges.

    Attributes
    ----------
    flip, swap, reshape, turn, occlusion, blur, jpeg, grey : float
        Probability of a horizontal flip, another face's texture, another shape and expression, a
        head turned further to the side, patches, blur, compression, and an image without colour.
    rotation_deg, shift : float
        Largest turn, and largest shift as a part of the crop's side, each way.
    zoom : float
        Scale between 1 / (1 + zoom) and 1 + zoom.
    recentre : float
        Probability that a view is placed as a tracker or a benchmark would place it: the turned
        landmarks' box in the middle, by :func:`facegeo.geometry.crop.rois_from_landmarks`, with a
        quarter of ``shift`` and ``zoom``. The other views keep the place that their crop has.
    brightness, contrast, saturation, tint : float
        Largest change, as a part of the full range.
    """

    flip: float = 0.5
    swap: float = 0.1
    reshape: float = 0.0
    turn: float = 0.0
    occlusion: float = 0.3
    blur: float = 0.2
    jpeg: float = 0.2
    grey: float = 0.05
    rotation_deg: float = 20.0
    shift: float = 0.05
    zoom: float = 0.12
    recentre: float = 0.0
    brightness: float = 0.2
    contrast: float = 0.3
    saturation: float = 0.3
    tint: float = 0.1

    def __post_init__(self) -> None:
        probabilities = "flip swap reshape turn occlusion blur jpeg grey recentre"
        numbers = {SHARE: f"{probabilities} shift brightness contrast saturation tint"}
        numbers |= {Interval(0, 180): "rotation_deg", NOT_NEGATIVE: "zoom"}
        check_numbers(self, "augment.", numbers)


@dataclass(frozen=True, eq=False)
class Sample:
    """A crop and its labels.

    Attributes
    ----------
    crop : (S, S, 3) uint8 BGR
    params : (P,) float32
    landmarks : (68, 3) float32
        Pixels of a crop of side 120, whatever S is.
    """

    crop: np.ndarray
    params: np.ndarray
    landmarks: np.ndarray


def augmented(
    sample: Sample,
    rng: Rng,
    config: AugmentConfig,
    mirror: Mirror | None,
    convention: CropConvention,
    size: int = CROP_SIZE,
) -> Sample:
    """A random view of a sample, ``size`` pixels wide."""
    crop = sample.crop
    if rng.random() < config.occlusion:
        crop = occluded(crop, rng)
    if mirror is not None and rng.random() < config.flip:
        sample = flipped(Sample(crop, sample.params, sample.landmarks), mirror, convention)
        crop = sample.crop
    matrix = random_similarity(rng, config, sample.landmarks)
    border = _BORDERS[rng.integers(len(_BORDERS))]
    crop = recoloured(moved_image(crop, matrix, size, border), rng, config)
    return Sample(
        np.ascontiguousarray(degraded(crop, rng, config)),
        transform_params(sample.params[None], matrix[None], convention)[0],
        transform_landmarks(sample.landmarks[None], matrix[None])[0],
    )


def flipped(sample: Sample, mirror: Mirror, convention: CropConvention) -> Sample:
    """The sample as in a mirror."""
    return Sample(
        sample.crop[:, ::-1],
        mirror_params(sample.params[None], mirror, convention)[0],
        mirror_landmarks(sample.landmarks[None])[0],
    )


def random_similarity(rng: Rng, config: AugmentConfig, landmarks: np.ndarray) -> np.ndarray:
    """A ``(2, 3)`` similarity within the configured ranges, for a face with these landmarks."""
    angle = rng.uniform(-config.rotation_deg, config.rotation_deg, 1)
    reach = np.log1p(config.zoom)
    scale = np.exp(rng.uniform(-reach, reach, 1))
    shift = rng.uniform(-config.shift, config.shift, (1, 2)) * CROP_SIZE
    if config.recentre and rng.random() < config.recentre:
        return recentred(landmarks, angle, scale**_LITTLE, shift * _LITTLE)
    return similarities(angle, scale, shift)[0]


def recentred(
    landmarks: np.ndarray, angle_deg: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """A turn after which the landmarks' region is the whole crop, but for scale and shift.

    Parameters
    ----------
    landmarks : (68, 3) float
    angle_deg, scale : (1,) float
    shift : (1, 2) float

    Returns
    -------
    matrix : (2, 3) float64
    """
    turn = similarities(angle_deg, np.ones(1), np.zeros((1, 2)))
    turned = transform_landmarks(landmarks[None].astype(np.float64), turn)[0, :, :2]
    low, high = turned.min(axis=0), turned.max(axis=0)
    side = REGION_SIDE * (high - low).max()
    scale = scale * CROP_SIZE / side
    # From the crop's middle, about which similarities() scales.
    middle = (low + high) / 2 - (CROP_SIZE - 1) / 2
    return similarities(angle_deg, scale, shift - scale * middle)[0]


def moved_image(
    crop: np.ndarray, matrix: np.ndarray, size: int, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """Apply a similarity on crop pixels and resize to ``size``, with one interpolation."""
    # Pixel centres: x_new = (x + 1/2) size / S - 1/2.
    ratio = size / len(crop)
    resize = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2]])
    whole = resize[:, :2] @ matrix
    whole[:, 2] += resize[:, 2]
    zoom = np.sqrt(abs(np.linalg.det(whole[:, :2])))
    source = np.ascontiguousarray(crop)
    if zoom < 0.75:  # one pixel stands for several: smooth first, or they alias
        source = cv2.GaussianBlur(source, (0, 0), 0.4 / zoom)
    flags = cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(source, whole, (size, size), flags=flags, borderMode=border))


def moved_images(crops: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """``(N, 120, 120, 3)`` crops, each moved by its own ``(2, 3)`` similarity."""
    pairs = zip(crops, matrices, strict=True)
    return np.stack([moved_image(crop, matrix, CROP_SIZE) for crop, matrix in pairs])


def occluded(crop: np.ndarray, rng: Rng) -> np.ndarray:
    """One or two patches of plain colour, noise, or the crop's own texture from elsewhere."""
    covered = crop.copy()
    size = len(crop)
    for _ in range(rng.integers(1, 3)):
        width, height = (int(v) for v in rng.integers(size // 10, size // 2, 2))
        x, y = int(rng.integers(0, size - width)), int(rng.integers(0, size - height))
        mask = np.zeros((height, width), np.uint8)
        if rng.random() < 0.5:
            mask[:] = 1
        else:
            centre, axes = (width // 2, height // 2), (width // 2, height // 2)
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
        patch = _patch(crop, rng, height, width)
        region = covered[y : y + height, x : x + width]
        region[mask > 0] = patch[mask > 0]
    return covered


def _patch(crop: np.ndarray, rng: Rng, height: int, width: int) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    if kind == 1:
        coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
        return np.asarray(cv2.resize(coarse, (width, height)))
    x, y = (int(rng.integers(0, len(crop) - extent)) for extent in (width, height))
    return crop[y : y + height, x : x + width][:, ::-1]


def recoloured(crop: np.ndarray, rng: Rng, config: AugmentConfig) -> np.ndarray:
    """Brightness, contrast, saturation and tint, or no colour at all."""
    image = crop.astype(np.float32)
    grey = image @ np.array([0.114, 0.587, 0.299], np.float32)
    saturation = 1 + rng.uniform(-config.saturation, config.saturation)
    if rng.random() < config.grey:
        saturation = 0.0
    image = grey[..., None] + saturation * (image - grey[..., None])
    gain = 1 + rng.uniform(-config.contrast, config.contrast)
    tint = 1 + rng.uniform(-config.tint, config.tint, 3)
    centre = float(grey.mean())
    offset = 255 * rng.uniform(-config.brightness, config.brightness)
    changed = (gain * (image - centre) + centre + offset) * tint
    return np.clip(changed, 0, 255).astype(np.uint8)


def degraded(crop: np.ndarray, rng: Rng, config: AugmentConfig) -> np.ndarray:
    """Blur, of focus or of motion, and compression."""
    if rng.random() < config.blur:
        if rng.random() < 0.5:
            crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.6) * len(crop) / CROP_SIZE)
        else:
            crop = cv2.filter2D(crop, -1, _motion_kernel(rng))
    if rng.random() < config.jpeg:
        quality = int(rng.integers(15, 70))
        data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        crop = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return crop


#: Degrees by which :func:`turned_face` turns. Up to about 90 a network still sees how the face
#: leans, and is asked again about a crop that is turned so.
_TURNED, _ON_ITS_HEAD = (75.0, 180.0), (140.0, 180.0)

#: Where the eyes' middle lies in a well-placed crop, in sides of it.
_EYES = (0.5, 0.37)


def turned_face(
    crop: np.ndarray, landmarks: np.ndarray, rng: Rng, size: int = CROP_SIZE
) -> np.ndarray:
    """A crop whose face lies on its side or stands on its head.

    Half of them stand on their head with the eyes where a crop has them: a network takes the
    forehead for the lower half of a face then, and looks again until it fits. Of the others one
    half is well placed but for the turn, and the other is off by more.

    Parameters
    ----------
    crop : (S, S, 3) uint8
    landmarks : (68, 3) float
        Pixels of a crop of side 120.

    Returns
    -------
    crop : (size, size, 3) uint8
    """
    lean = lean_of_faces(landmarks[None])[0]
    kind = rng.random()
    off = 0.28 if 0.5 < kind < 0.75 else 0.06
    scale = np.exp(rng.uniform(-0.1 - off, 0.1 + off, 1))
    shift = rng.uniform(-off, off, (1, 2)) * CROP_SIZE
    # similarities() turns as angles grow from x to y, so clockwise as the viewer sees it.
    turn = rng.uniform(*(_ON_ITS_HEAD if kind < 0.5 else _TURNED), 1) * rng.choice([-1, 1])
    matrix = recentred(landmarks, turn - lean, scale, shift)
    if kind < 0.5:
        eyes = matrix[:, :2] @ landmarks[36:48, :2].mean(axis=0) + matrix[:, 2]
        matrix[:, 2] += np.array(_EYES) * CROP_SIZE - eyes + shift[0]
    return moved_image(crop, matrix, size, _BORDERS[rng.integers(len(_BORDERS))])


def _motion_kernel(rng: Rng) -> np.ndarray:
    length = int(rng.integers(1, 4)) * 2 + 1
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    reach = (length - 1) / 2
    step = np.array([np.cos(angle), np.sin(angle)]) * reach
    start, end = (tuple(np.rint(reach + s * step).astype(int).tolist()) for s in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def misplaced(
    crop: np.ndarray, landmarks: np.ndarray, rng: Rng, size: int = CROP_SIZE
) -> np.ndarray:
    """A crop whose face is badly off: shifted by 0.4 to 0.9 of the face, or of the wrong size."""
    extent = np.ptp(landmarks[:, :2], axis=0)
    face = float(np.sqrt(extent.prod()))
    direction = rng.uniform(0, 2 * np.pi)
    shift, zoom = np.zeros(2), 1.0
    kind = rng.integers(3)
    if kind != 1:
        length = rng.uniform(0.4, 0.9) * face
        shift = length * np.array([np.cos(direction), np.sin(direction)])
    if kind != 0:
        zoom = float(rng.choice([rng.uniform(0.3, 0.5), rng.uniform(2.0, 3.0)]))
    angle = rng.uniform(-30, 30, 1)
    matrix = similarities(angle, np.array([zoom]), shift[None])[0]
    return moved_image(crop, matrix, size, _BORDERS[rng.integers(len(_BORDERS))])
