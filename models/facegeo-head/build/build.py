"""From the wheel to the file: cage, mean, identity, expressions, landmarks, layout, archive."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegeo.base.files import write_bytes
from facegeo.morphable.subdivision import Subdivision, mirror_of_vertices, subdivide

from . import landmarks
from .cage import FLIP, PARTS, Cage, build_cage
from .controls import read_controls, read_macros
from .expressions import (
    Expressions,
    Face,
    arkit_expressions,
    away_from_rims,
    lid_crease,
    near_places,
)
from .eyeballs import eye_centre
from .fields import evened, lower_side, relaxed, smoothstep, stiffened
from .identity import PEOPLE, SEED, Identity, Population, aligned, principal_modes
from .layout import Layout, texture_layout
from .lids import OPENING_KEPT, LeftLids, eye_corners, left_lids, lids_on_eyeball, steady_lids
from .lips import lip_rim, lip_seal, mouth_corners
from .regions import named_regions
from .source import Source

NAME = "facegeo-head"
MODES = 60
#: Distance between the middles of the mean face's eyeballs, millimetres.
EYE_DISTANCE = 63.0
#: Standard deviation of an expression's coefficient, for fitting.
EXPRESSION_STD = 0.35
#: A quad of the skin is split twice where an edge of its quarters is longer, millimetres.
_LONGEST_EDGE = 2.3
#: The mouth's corners move as a piece within the first distance, freely beyond the second.
_CORNER_REACH = (3.0, 8.0)
#: The same for the corners of the eyes.
_EYE_CORNER_REACH = (1.0, 4.0)
#: Distance between the places at which modes keep the lips closed, millimetres.
_SEAL_SPACING = 4.0
#: Reach of a landmark's weight in the modes, millimetres.
_FEATURE_RADIUS = 6.0
#: Change of an edge, in parts of its length, by all modes together: evened a little and fully.
_STRAIN = (0.28, 0.5)
#: Distance from the rims of lids and of lips at which that begins, and from which on it is full.
_FREE = (1.7, 4.2), (3.0, 8.0)
#: Half the width of the lips' part whose modes are smoothed, millimetres.
_MIDDLE_OF_LIPS = 8.0
#: Sharp places of the left half: front and back of the nostril's rim, the crease of the upper lid.
_SHARP = np.array(
    [
        [9.5, -44.2, 36.0],
        [14.2, -45.2, 30.5],
        [24.0, 8.5, 20.3],
        [28.0, 9.3, 20.5],
        [32.0, 9.5, 20.0],
        [36.0, 9.2, 19.5],
        [40.5, 8.0, 17.5],
    ]
)
_CREASE_ROUNDS = 14
#: Narrow quads of the left half, at the end of the lid's crease and in it, which are widened ...
_NARROW_CREASE = np.array([[45.4, 4.5, 13.5], [38.2, 8.2, 18.6], [37.4, 3.8, 17.7]])
#: ... and others, under the eye and at the lip, whose modes are smoothed as those are.
_NARROW = np.array([[43.2, -9.5, 11.3], [35.1, -15.7, 14.4], [17.1, -73.3, 25.0]])
_NARROW_REACH, _NARROW_ROUNDS = (6.0, 2.0), 12
#: Where the left ear's lobe begins, and its back, which move as a piece as the corners do.
_LOBE, _LOBE_REACH = np.array([[77.0, -35.8, -69.3], [77.2, -2.6, -92.2]]), (2.0, 7.0)
#: Part of a blink by which the mean's eyes are opened: its irises are those of wider ones.
_WIDER_EYES = 0.08
#: The teeth's place behind the lips: down and forward, millimetres.
_TEETH = {"teeth_upper": (0.0, -3.2, 3.0), "teeth_lower": (0.0, 0.5, 0.5)}


@dataclass(frozen=True, eq=False)
class Head:
    """All arrays on the cage before they become a file."""

    cage: Cage
    identity: Identity
    expressions: Expressions
    levels: np.ndarray
    fine: Subdivision
    layout: Layout
    regions: dict[str, np.ndarray]
    landmarks: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Adults:
    """The identity stage: people's mean and modes, before the mean is mended.

    ``scale`` brings offsets of the base mesh to the model's millimetres; ``below`` tells the lower
    lip from the upper.
    """

    cage: Cage
    once: Subdivision
    identity: Identity
    scale: float
    below: np.ndarray


def draw_adults(source: Source, people: int = PEOPLE) -> Adults:
    """Draw people and find their modes."""
    cage = build_cage(source)
    once = subdivide(cage.faces, np.ones(len(cage.faces), int), len(cage.mirror))
    base = cage.points(source.mesh.points)
    population = Population(base, read_macros(source, cage), read_controls(source, cage))
    average = cage.symmetric(population.average())
    jaw = cage.symmetric(cage.points(source.face_units()["jawOpen"]))
    below = lower_side(cage, average, lip_rim(cage), jaw)
    place, scale = _eyes_middle(cage, average)
    average = (average - place) * scale
    for _ in range(2):
        seal = lip_seal(cage, average, once, below)
        average = cage.symmetric(seal(average))
    weights = _vertex_weights(source, cage, once, average)
    drawn = population.people(np.random.default_rng(SEED), people)
    seal = lip_seal(cage, average, once, below, _SEAL_SPACING)
    drawn = seal(aligned((drawn - place) * scale, average, weights.face))
    identity = principal_modes(drawn, cage, weights.all, MODES)
    return Adults(cage, once, identity, scale, below)


def build_head(source: Source, people: int = PEOPLE, *, face_units: bool = True) -> Head:
    """Compute the model. Deterministic on one machine; takes some minutes."""
    return finish_head(source, draw_adults(source, people), face_units=face_units)


def finish_head(source: Source, adults: Adults, *, face_units: bool = True) -> Head:
    """Everything after the identity stage.

    Without face units there are no expressions, and modes know of no shut lids.
    """
    cage, once, below = adults.cage, adults.once, adults.below
    units = {name: cage.points(unit) * adults.scale for name, unit in source.face_units().items()}
    mean = _mended_mean(cage, adults.identity.mean, once, below, units["eyeBlinkLeft"])
    place, rescale = _eyes_middle(cage, mean)
    mean = (mean - place) * rescale
    lids = left_lids(cage, mean, units["eyeBlinkLeft"])
    units = {name: unit * rescale for name, unit in units.items()}
    face = Face(cage, mean, once, lip_seal(cage, mean, once, below, _SEAL_SPACING), lids, below)
    expressions = arkit_expressions(units, face)
    modes, sign = adults.identity.modes * rescale, adults.identity.sign
    closing: np.ndarray | None = None
    if face_units:
        closing = expressions.offsets[expressions.names.index("eyeBlinkLeft")]
    else:
        nothing = np.zeros((0, *mean.shape))
        expressions = Expressions((), nothing, np.zeros(0, np.int64))
    modes = _mended_modes(face, modes, sign, closing)
    surface = (once.matrix @ mean)[: len(mean)]
    levels = _levels(cage, mean)
    fine = subdivide(cage.faces, levels, len(mean))
    identity = dataclasses.replace(adults.identity, mean=mean, modes=modes)
    mirror = mirror_of_vertices(cage.faces, levels, cage.mirror)
    points = landmarks.landmark_rows(cage, fine, mirror, mean, lids, below)
    brows = fine.matrix[points["ibug68"][17:27]] @ mean
    regions = named_regions(source, cage, surface, brows)
    layout = texture_layout(source, cage, surface, regions["face"])
    return Head(cage, identity, expressions, levels, fine, layout, regions, points)


def _eye_centres(cage: Cage, points: np.ndarray) -> np.ndarray:
    """Centres of rotation of the right and the left eyeball, (2, 3)."""
    eyes = (points[cage.of_part(part)] for part in ("eye_right", "eye_left"))
    return np.stack([eye_centre(eye) for eye in eyes])


def _eyes_middle(cage: Cage, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle between the eyeballs, and the factor that brings their distance to the wanted."""
    right, left = _eye_centres(cage, points)
    return 0.5 * (left + right), EYE_DISTANCE / float(np.linalg.norm(left - right))


@dataclass(frozen=True, eq=False)
class _Weights:
    face: np.ndarray
    all: np.ndarray


def _vertex_weights(source: Source, cage: Cage, once: Subdivision, points: np.ndarray) -> _Weights:
    """Weights of the cage vertices: area, the face more than the rest of the head."""
    surface = once.matrix @ points
    corners = surface[once.triangles]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    each = np.bincount(once.triangles.ravel(), np.repeat(area / 6, 3), len(surface))
    share = np.asarray(once.matrix.T @ each)
    regions = named_regions(source, cage, surface[: len(points)], np.zeros((10, 3)))
    outer = cage.of_part("skin")
    in_face = regions["face"] & outer
    face = share * in_face
    # As much as 0.6 of the face again for the surroundings of the landmarks.
    places = np.array(list(landmarks.PICKED.values()))
    away = points[:, None] - np.concatenate([places, places * [-1, 1, 1]])
    near = np.exp(-0.5 * (away**2).sum(axis=2) / _FEATURE_RADIUS**2).max(axis=1)
    features = share * near * outer
    features *= 0.6 * face.sum() / features.sum()
    total = share * (0.10 * outer + 0.02) + face + features
    total += share * 0.25 * cage.of_part("eye_left", "eye_right")
    return _Weights(face, np.maximum(total, 1e-3 * total.mean()))


def _mended_mean(
    cage: Cage, mean: np.ndarray, once: Subdivision, below: np.ndarray, blink: np.ndarray
) -> np.ndarray:
    """The mean with lips that meet, lids on the eyeballs and teeth behind the lips."""
    mended = mean.copy()
    corners = mouth_corners(cage, mean)
    away = np.linalg.norm(mean[:, None] - corners, axis=2).min(axis=1)
    skin = cage.of_part("skin", "mouth_inside")
    mended = evened(cage, mended, 0.5 * smoothstep(away, 7.0, 3.0) * skin, 12)
    for part, shift in _TEETH.items():
        mended[cage.of_part(part)] += shift
    lids = left_lids(cage, mended, blink)
    # The skin above the lids goes along: its crease is narrow enough.
    wider = -_WIDER_EYES * (blink + cage.reflected(blink))
    mended += evened(
        cage, wider, 0.5 * away_from_rims(cage, mended, lids, (1.0, 3.0), (0.0, 1.0)), 40
    )
    share = 0.4 * near_places(mean, _NARROW_CREASE, (4.0, 1.0)) * cage.of_part("skin")
    mended = evened(cage, mended, share, 3)
    mended = lids_on_eyeball(cage, mended, once, lids)
    for rounds in (4, 3):
        for _ in range(rounds):
            mended = cage.symmetric(lip_seal(cage, mended, once, below)(mended))
        # The seal would crumple the tiny quads of the corners.
        if rounds == 4:
            mended = evened(cage, mended, 0.4 * smoothstep(away, 3.5, 1.0) * skin, 2)
    return cage.symmetric(mended)


def _mended_modes(
    face: Face, modes: np.ndarray, sign: np.ndarray, closing: np.ndarray | None
) -> np.ndarray:
    """Modes that fold no triangle and, where ``closing`` is given, shut the eyes with it."""
    cage, mean = face.cage, face.points
    mouth, lips = mouth_corners(cage, mean), cage.of_part("skin", "mouth_inside")
    modes = stiffened(mean, modes, mouth, lips, *_CORNER_REACH)
    modes = _without_rough_rims(cage, mean, modes, face.lids)
    modes = relaxed(cage, mean, modes, lips.astype(float), _STRAIN, together=True)
    modes = stiffened(mean, modes, mouth, lips, *_CORNER_REACH)

    def with_steady_lids(modes: np.ndarray, opening_kept: float) -> np.ndarray:
        if closing is None:
            return modes
        steady = steady_lids(
            cage, mean, modes, closing, face.once, face.lids, opening_kept=opening_kept
        )
        return np.asarray(steady + sign[:, None, None] * cage.reflected(steady - modes))

    modes = with_steady_lids(modes, OPENING_KEPT)
    eyes = np.concatenate(eye_corners(mean, face.lids))
    eye_skin = cage.of_part("skin", "lid_lining")
    modes = stiffened(mean, modes, eyes, eye_skin, *_EYE_CORNER_REACH)
    lobes = np.concatenate([_LOBE * FLIP, _LOBE])
    modes = stiffened(mean, modes, lobes, cage.of_part("skin"), *_LOBE_REACH)
    free = away_from_rims(cage, mean, face.lids, *_FREE)
    modes = relaxed(cage, mean, modes, free, _STRAIN, together=True)
    crease = lid_crease(cage, mean) * free
    modes = np.stack([evened(cage, mode, crease, _CREASE_ROUNDS) for mode in modes])
    narrow = np.concatenate([_NARROW_CREASE, _NARROW])
    off_lids = away_from_rims(cage, mean, face.lids, _FREE[0], (-1.0, 0.0))
    share = 0.5 * near_places(mean, narrow, _NARROW_REACH) * off_lids
    modes = np.stack([evened(cage, mode, share, _NARROW_ROUNDS) for mode in modes])
    # What was evened has loosened them a little.
    return stiffened(mean, with_steady_lids(modes, 1.0), eyes, eye_skin, *_EYE_CORNER_REACH)


def _without_rough_rims(
    cage: Cage, mean: np.ndarray, modes: np.ndarray, lids: LeftLids
) -> np.ndarray:
    """Modes smoothed along lids, lips and nostrils, whose thin edges they could turn over."""
    left = mean[np.concatenate([lids.upper, lids.lower, lids.seam])]
    lips = mean[lip_rim(cage)]
    # The corners of the mouth move as a piece already.
    lips = lips[np.abs(lips[:, 0]) < _MIDDLE_OF_LIPS]
    rims = np.concatenate([left, left * FLIP, lips, _SHARP, _SHARP * FLIP])
    away = np.linalg.norm(mean[:, None] - rims, axis=2).min(axis=1)
    share = 0.6 * smoothstep(away, 6.0, 2.0) * cage.of_part("skin", "lid_lining", "mouth_inside")
    return np.stack([evened(cage, mode, share, 5) for mode in modes])


def _levels(cage: Cage, mean: np.ndarray) -> np.ndarray:
    """Steps of each quad: two where the skin's quarters of it would have long edges."""
    corners = mean[cage.faces]
    quarter = 0.5 * np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)
    skin = cage.part == PARTS.index("skin")
    twice = skin & (quarter > _LONGEST_EDGE)
    return np.where(twice, 2, 1).astype(np.uint8)


def archive_arrays(head: Head) -> dict[str, Any]:
    """The arrays of the file."""
    cage, identity, expressions = head.cage, head.identity, head.expressions
    arrays: dict[str, Any] = {
        "format": "facegeo-morphable-model",
        "format_version": 2,
        "name": NAME,
        "unit_mm": np.float64(1.0),
        "cage/mean": identity.mean.astype(np.float32),
        "cage/faces": cage.faces.astype(np.int32),
        "cage/part": cage.part,
        "part_names": np.array(PARTS),
        "subdivide": head.levels,
        "cage/uv": head.layout.uv.astype(np.float32),
        "cage/uv_faces": head.layout.faces.astype(np.int32),
        "mirror/vertices": cage.mirror,
        "mirror/shape_index": np.arange(len(identity.modes)),
        "mirror/shape_sign": identity.sign.astype(np.float32),
        "mirror/expression_index": expressions.mirror,
        "mirror/expression_sign": np.ones(len(expressions.names), np.float32),
        "shape_names": np.array([f"identity_{k + 1:02d}" for k in range(len(identity.modes))]),
        "expression_names": np.array(expressions.names, dtype=str),
        "shape_std": np.ones(len(identity.modes), np.float32),
        "expression_std": np.full(len(expressions.names), EXPRESSION_STD, np.float32),
    }
    arrays["eyes/centre"] = _eye_centres(cage, identity.mean).astype(np.float32)
    arrays |= _fixed_point("shape", identity.modes)
    arrays |= _fixed_point("expression", expressions.offsets)
    arrays |= {f"regions/{name}": mask for name, mask in head.regions.items()}
    for name, rows in head.landmarks.items():
        stencil = head.fine.matrix[rows]
        arrays[f"landmarks/{name}/rows"] = rows.astype(np.int32)
        arrays[f"landmarks/{name}/indptr"] = stencil.indptr.astype(np.int32)
        arrays[f"landmarks/{name}/indices"] = stencil.indices.astype(np.int32)
        arrays[f"landmarks/{name}/weights"] = stencil.data.astype(np.float32)
    return arrays


def _fixed_point(kind: str, basis: np.ndarray) -> dict[str, np.ndarray]:
    """A basis as int16 with a scale per mode."""
    scale = np.abs(basis).max(axis=(1, 2), initial=0)
    fixed = np.rint(basis / scale[:, None, None] * 32767).astype(np.int16)
    return {f"cage/{kind}_basis": fixed, f"cage/{kind}_scale": scale.astype(np.float32)}


def write_head(wheel: str | Path, target: str | Path, *, face_units: bool = True) -> Path:
    """Build the model and write its file.

    Parameters
    ----------
    face_units : bool
        False leaves the 52 expressions out.
    """
    head = build_head(Source(wheel), face_units=face_units)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **archive_arrays(head))
    write_bytes(target, buffer.getvalue())
    return Path(target)
