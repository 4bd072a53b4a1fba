"""Random views of labelled crops: drawn in numbers on the CPU, made of pixels on any device.

The image changes, and the labels with it where it moves. Everything random comes from the generator
that is passed, so that a batch can be made again exactly.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import torch

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.geometry.crop import CROP_SIZE, CropConvention
from facegeo.morphable.basis import Mirror
from facegeo.morphable.mirror import mirror_landmarks, mirror_params
from facegeo.training.data import pixels
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.placement import Rng, mirrored, random_similarities
from facegeo.training.data.similarity import transform_landmarks, transform_params
from facegeo.training.data.visibility import COVERED, SEEN, UNKNOWN

#: Below this scale one pixel of a view stands for several: they are smoothed first, or they alias.
_SMOOTHED_BELOW = 0.75

#: Most patches over one face.
_PATCHES = 2


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of N views.

    Attributes
    ----------
    params : (N, P) float32
    landmarks : (N, 68, 3) float32
        Pixels of a crop of side 120, whatever the view's side is.
    visibility : (N, 68) uint8
        As :mod:`facegeo.training.data.visibility` has it.
    """

    params: np.ndarray
    landmarks: np.ndarray
    visibility: np.ndarray

    def __len__(self) -> int:
        return len(self.params)

    def at(self, rows: np.ndarray) -> Labels:
        """Those of some rows."""
        return Labels(self.params[rows], self.landmarks[rows], self.visibility[rows])


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches over some of the views; the arguments of :func:`pixels.covered`."""

    rows: np.ndarray
    boxes: np.ndarray
    round: np.ndarray
    fill: np.ndarray
    own: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, eq=False)
class Colour:
    """The arguments of :func:`pixels.recoloured`, of all views."""

    saturation: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    tint: np.ndarray


@dataclass(frozen=True, eq=False)
class Change:
    """A change of some of the views: their numbers, and an argument for each."""

    rows: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Cuts:
    """Views of which a border leaves a part; the arguments of :func:`pixels.cut_off`."""

    rows: np.ndarray
    windows: np.ndarray
    fill: np.ndarray


@dataclass(frozen=True, eq=False)
class Drawing:
    """Views of N crops in numbers; see :mod:`facegeo.training.data.pixels`.

    Attributes
    ----------
    matrices : (N, 2, 3) float64
    borders : (N,) integers
    colour : Colour
    blur : Change
        Kernels.
    noise : Change
        Standard deviations.
    compression : Change
        Qualities.
    patches : tuple of Patches
        One after the other, over faces.
    cuts : Cuts
        Of faces.
    """

    matrices: np.ndarray
    borders: np.ndarray
    colour: Colour
    blur: Change
    noise: Change
    compression: Change
    patches: tuple[Patches, ...]
    cuts: Cuts


def placed_faces(
    labels: Labels,
    rng: Rng,
    config: AugmentConfig,
    mirror: Mirror | None,
    convention: CropConvention,
) -> tuple[np.ndarray, Labels]:
    """Random places of faces, ``(N, 2, 3)``, and the labels that they have there."""
    # What the crop does not show no view of it does.
    beyond = (labels.landmarks[:, :, :2] < -0.5) | (labels.landmarks[:, :, :2] > CROP_SIZE - 0.5)
    hidden = np.asarray(beyond.any(axis=2))
    labels = replace(labels, visibility=_hidden(labels.visibility, hidden))
    flipped = np.zeros(len(labels), bool)
    if mirror is not None:
        flipped = rng.random(len(labels)) < config.flip
        labels = _flipped(labels, flipped, mirror, convention)
    matrices = random_similarities(labels.landmarks, rng, config)
    moved = Labels(
        transform_params(labels.params, matrices, convention),
        transform_landmarks(labels.landmarks, matrices),
        labels.visibility,
    )
    return np.where(flipped[:, None, None], mirrored(matrices), matrices), moved


def draw(
    matrices: np.ndarray,
    landmarks: np.ndarray,
    rng: Rng,
    config: AugmentConfig,
    size: int = CROP_SIZE,
) -> Drawing:
    """Random looks of views that are placed so.

    Parameters
    ----------
    matrices : (N, 2, 3) float64
    landmarks : (K, 68, 3) float32
        Of the first K views, which show faces: only these are covered and cut off.
    """
    count = len(matrices)
    saturation = 1 + rng.uniform(-1, 1, count) * config.saturation
    saturation[rng.random(count) < config.grey] = 0.0
    gain = 1 + rng.uniform(-1, 1, count) * config.contrast
    offset = 255 * rng.uniform(-1, 1, count) * config.brightness
    tint = 1 + rng.uniform(-1, 1, (count, 3)) * config.tint
    colour = [values.astype(np.float32) for values in (saturation, gain, offset, tint)]
    blurred, noisy, compressed = (
        np.flatnonzero(rng.random(count) < chance)
        for chance in (config.blur, config.noise, config.jpeg)
    )
    return Drawing(
        matrices,
        rng.integers(3, size=count),
        Colour(*colour),
        Change(blurred, _random_kernels(len(blurred), rng, size)),
        Change(noisy, rng.uniform(1.0, 12.0, len(noisy)).astype(np.float32)),
        Change(compressed, rng.uniform(15, 70, len(compressed)).astype(np.float32)),
        _random_patches(len(landmarks), rng, config),
        _random_cuts(landmarks, rng, config),
    )


def seen_after(labels: Labels, drawing: Drawing) -> np.ndarray:
    """Visibility ``(N, 68)`` of moved labels once patches and borders hide points."""
    points = (labels.landmarks[:, :, :2] + 0.5) / CROP_SIZE
    hidden = np.asarray(((points < 0) | (points > 1)).any(axis=2))
    for patches in drawing.patches:
        low, high = patches.boxes[:, None, :2], patches.boxes[:, None, 2:]
        place = (points[patches.rows] - (low + high) / 2) / ((high - low) / 2)
        inside = (np.abs(place) <= 1).all(axis=2)
        in_ellipse = (place**2).sum(axis=2) <= 1
        hidden[patches.rows] |= np.where(patches.round[:, None], in_ellipse, inside)
    cuts = drawing.cuts
    low, high = cuts.windows[:, None, :2], cuts.windows[:, None, 2:]
    beyond = (points[cuts.rows] < low) | (points[cuts.rows] > high)
    hidden[cuts.rows] |= beyond.any(axis=2)
    return _hidden(labels.visibility, hidden)


def _hidden(states: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """States ``(N, 68)`` once some points are hidden by what is not the head."""
    could_be_seen = np.isin(states, (SEEN, UNKNOWN))
    return np.where(hidden & could_be_seen, COVERED, states).astype(np.uint8)


def make_views(
    crops: torch.Tensor, drawing: Drawing, size: int, generator: torch.Generator
) -> torch.Tensor:
    """The views themselves.

    Parameters
    ----------
    crops : (N, 120, 120, 3) uint8 BGR
        On the device that is to compute.
    generator : torch.Generator
        Of that device; for the noise of single pixels.

    Returns
    -------
    views : (N, size, size, 3) uint8 BGR
    """
    device = crops.device

    def on(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device, non_blocking=True)

    images = crops.permute(0, 3, 1, 2).float()
    zoom = np.sqrt(np.abs(np.linalg.det(drawing.matrices[:, :, :2]))) * size / crops.shape[1]
    small = np.flatnonzero(zoom < _SMOOTHED_BELOW)
    if len(small):
        smooth = on(pixels.gaussian_kernels(np.minimum(0.4 / zoom[small], 2.5)))
        images[on(small)] = pixels.filtered(images[on(small)], smooth)
    images = pixels.warped(images, on(drawing.matrices), on(drawing.borders), size)
    for patches in drawing.patches:
        rows = on(patches.rows)
        masks = pixels.patch_masks(on(patches.boxes), on(patches.round), size)
        fill = (on(values) for values in (patches.fill, patches.own, patches.shift))
        images[rows] = pixels.covered(images[rows], masks, *fill)
    images = pixels.recoloured(images, *map(on, vars(drawing.colour).values()))
    for change, function in (
        (drawing.blur, pixels.filtered),
        (drawing.noise, functools.partial(pixels.noisy, generator=generator)),
        (drawing.compression, pixels.compressed),
    ):
        if len(change.rows):
            rows = on(change.rows)
            images[rows] = function(images[rows], on(change.values))
    cuts = drawing.cuts
    if len(cuts.rows):
        rows = on(cuts.rows)
        images[rows] = pixels.cut_off(images[rows], on(cuts.windows), on(cuts.fill))
    return images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _flipped(
    labels: Labels, flipped: np.ndarray, mirror: Mirror, convention: CropConvention
) -> Labels:
    params, landmarks = labels.params.copy(), labels.landmarks.copy()
    visibility = labels.visibility.copy()
    params[flipped] = mirror_params(params[flipped], mirror, convention)
    landmarks[flipped] = mirror_landmarks(landmarks[flipped])
    visibility[flipped] = visibility[flipped][:, LANDMARK_MIRROR]
    return Labels(params, landmarks, visibility)


def _random_kernels(count: int, rng: Rng, size: int) -> np.ndarray:
    """Half out of focus, half in motion."""
    focus = pixels.gaussian_kernels(rng.uniform(0.4, 1.6, count) * size / CROP_SIZE)
    motion = pixels.motion_kernels(rng.uniform(3, 7, count), rng.uniform(0, np.pi, count))
    return np.where((rng.random(count) < 0.5)[:, None, None], focus, motion)


def _random_patches(count: int, rng: Rng, config: AugmentConfig) -> tuple[Patches, ...]:
    """One or two patches of plain colour, noise, or the crop's own texture from elsewhere."""
    rows = np.flatnonzero(rng.random(count) < config.occlusion)
    found = []
    for _ in range(_PATCHES):
        extent = rng.uniform(0.1, 0.5, (len(rows), 2))
        low = rng.uniform(0, 1, (len(rows), 2)) * (1 - extent)
        kind = rng.integers(3, size=len(rows))
        noise = rng.uniform(0, 255, (len(rows), 3, 4, 4)).astype(np.float32)
        plain = np.broadcast_to(noise[:, :, :1, :1], noise.shape)
        fill = np.where((kind == 0)[:, None, None, None], plain, noise)
        shift = rng.uniform(0.125, 0.875, (len(rows), 2)).astype(np.float32)
        boxes = np.concatenate([low, low + extent], axis=1).astype(np.float32)
        found.append(Patches(rows, boxes, rng.random(len(rows)) < 0.5, fill, kind == 2, shift))
        rows = rows[rng.random(len(rows)) < 0.5]
    return tuple(patches for patches in found if len(patches.rows))


#: Part of the face that a cut hides, from and to.
_HIDDEN = (0.05, 0.5)


def _random_cuts(landmarks: np.ndarray, rng: Rng, config: AugmentConfig) -> Cuts:
    """Borders that hide a part of the face, on any of its four sides."""
    rows = np.flatnonzero(rng.random(len(landmarks)) < config.cut)
    points = (landmarks[rows, :, :2] + 0.5) / CROP_SIZE
    low, high = points.min(axis=1), points.max(axis=1)
    side = rng.integers(4, size=len(rows))
    hidden = rng.uniform(*_HIDDEN, len(rows))
    windows = np.tile(np.array([0, 0, 1, 1], np.float32), (len(rows), 1))
    every, axis = np.arange(len(rows)), side % 2
    extent = (high - low)[every, axis]
    from_low = low[every, axis] + hidden * extent
    from_high = high[every, axis] - hidden * extent
    windows[every, side] = np.clip(np.where(side < 2, from_low, from_high), 0.05, 0.95)
    fill = np.choose(
        rng.integers(3, size=len(rows)), [0.0, -1.0, rng.uniform(80, 170, len(rows))]
    ).astype(np.float32)
    return Cuts(rows, windows, fill)
