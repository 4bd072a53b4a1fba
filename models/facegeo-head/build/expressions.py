"""The 52 ARKit expressions on the cage, mended where the face units are wrong or too weak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facegeo.morphable.subdivision import Subdivision

from .cage import FLIP, Cage
from .eyeballs import eye_centre
from .fields import evened, relaxed, smoothstep, stiffened
from .lids import LeftLids, closing_lids, eye_corners
from .lips import LipSeal, lip_rim, lip_seal, mouth_corners

_SIDES = ("Left", "Right")
#: Turn of the eyeball at 1, degrees.
GAZE = {"In": 30.0, "Out": 30.0, "Up": 22.0, "Down": 28.0}

#: Factors of face units that are too weak or too strong beside a full movement.
_STRENGTH = {
    "browInnerUp": 1.3,
    "browOuterUp": 1.3,
    "cheekPuff": 1.4,
    "cheekSquint": 0.85,
    "eyeLookDown": 1.2,
    "eyeLookIn": 1.8,
    "eyeLookOut": 1.8,
    "eyeWide": 0.8,
    "mouthDimple": 0.65,
    "mouthFunnel": 0.8,
    "mouthLeft": 1.25,
    "mouthPress": 0.35,
    "mouthRollLower": 1.5,
    "mouthRollUpper": 1.2,
    "mouthUpperUp": 1.3,
    "noseSneer": 1.4,
}
#: What else moves in them, as face units in parts: lids with the gaze, the chin with a shrug. A
#: unit of a pair is the one of the same side, in a symmetric expression both are added.
_BLENDED = {
    "browInnerUp": {"browDown": -0.12},
    "browOuterUp": {"browDown": -0.35},
    "cheekSquint": {"mouthSmile": 0.2},
    "eyeLookUp": {"eyeWide": 0.2},
    "jawLeft": {"jawForward": -0.35},
    "mouthDimple": {"mouthSmile": 0.25},
    "mouthFunnel": {"mouthPucker": 0.5},
    "mouthLowerDown": {"mouthShrugLower": -0.35},
    "mouthPress": {"jawOpen": -0.05},
    "mouthRollLower": {"mouthFunnel": -0.2},
    "mouthRollUpper": {"mouthPucker": -0.3},
    "mouthShrugLower": {"jawOpen": -0.15},
    "mouthUpperUp": {"mouthFrown": -0.25},
    "noseSneer": {"mouthUpperUp": 0.4, "mouthFrown": -0.15},
}
#: Movements in which the lips stay closed.
_CLOSED = (
    "cheekPuff",
    "cheekSquint",
    "jawForward",
    "jawLeft",
    "jawRight",
    "mouthDimple",
    "mouthFrown",
    "mouthLeft",
    "mouthPress",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthSmile",
    "mouthStretch",
)
#: Movements of the lips against each other, after which the mean face's seal is at the wrong place.
_CLOSED_ANEW = (
    "cheekPuff",
    "jawLeft",
    "jawRight",
    "mouthLeft",
    "mouthPress",
    "mouthPucker",
    "mouthRight",
    "mouthSmile",
    "mouthStretch",
)
_SEAL_ROUNDS = 4
_SEAL_SPACING = 2.0
#: Movements in which the lips part up to the corner.
_OPENING = ("jawOpen", "tongueOut")
#: Corners move as a piece within the first distance, freely beyond the second, millimetres; the
#: third says how little they are stretched and turned. Lids add up: most only shift their corners.
_MOUTH_CORNER = (3.5, 9.0, 4.0)
_CLOSED_CORNER = (3.5, 8.0, 0.3)
_EYE_CORNER = (2.0, 6.0, 40.0)
_DOWN_CORNER = (2.5, 7.0, 12.0)
_INNER_CORNER = (1.8, 5.0, 40.0)
_BLINK_CORNER = (0.6, 2.7, 40.0)
_ROLLED_CORNER = (6.0, 12.0, 4.0)
#: The crease of the left upper lid, which expressions would press together.
_CREASE = np.array(
    [
        [24.0, 8.3, 20.3],
        [28.0, 8.6, 20.0],
        [32.0, 8.8, 19.8],
        [36.0, 8.4, 19.2],
        [39.5, 6.6, 17.2],
        [42.5, 5.4, 15.5],
        [45.4, 4.7, 13.7],
    ]
)
#: Narrow quads of the left half in which sums of movements would fold, and the movements that are
#: evened there.
_NARROW: tuple[tuple[tuple[float, float, float], tuple[str, ...]], ...] = (
    ((45.4, 4.5, 13.5), ("eyeWide", "eyeLookUp", "cheekSquint")),
    ((45.9, -1.2, 5.5), ("eyeSquint", "eyeBlink")),
    ((43.2, -9.5, 11.3), ("cheekSquint", "eyeSquint", "eyeLookDown")),
    ((35.1, -15.7, 14.4), ("cheekSquint",)),
    ((4.0, -75.9, 32.0), ("mouthFunnel", "mouthShrugLower")),
    ((8.5, -75.5, 31.0), ("mouthFunnel", "mouthShrugLower")),
    ((17.1, -73.3, 25.0), ("mouthRollUpper", "mouthRollLower")),
    ((1.1, -70.1, 26.1), ("mouthRollLower", "mouthShrugLower")),
)
_NARROW_REACH, _NARROW_ROUNDS = (6.0, 2.0), 10
#: Where the chin's underside meets the throat, and how far an open jaw presses it together.
_THROAT, _THROAT_REACH = np.array([0.0, -123.2, -22.0]), (20.0, 8.0)
#: Part by which a squint moves the lower lid's edge less, and the distance at which it does not.
_CALM_EDGE, _CALM_REACH = 0.6, (8.0, 0.5)
#: Changes of an edge, in parts of its length, that are evened a little and fully.
_STRAIN = (0.4, 0.9)
#: Distance from the rims of lids and lips at which that begins, and from which on it is full.
_LID_REACH, _LIP_REACH = (1.0, 3.5), (4.5, 9.0)
#: The same in the bag behind the lips, of which only the cheeks are evened; their x begins here.
_BAG_REACH, _CHEEKS = (6.0, 10.0), (14.0, 22.0)
#: Rounds of smoothing of movements that crease the cheek or the upper lip.
_SMOOTHED = {"mouthSmile": 24, "mouthFunnel": 4, "mouthDimple": 6, "cheekPuff": 6, "cheekSquint": 3}


@dataclass(frozen=True, eq=False)
class Expressions:
    """Offsets ``(52, C, 3)`` of the cage at 1, names, and the index of each one's mirror image."""

    names: tuple[str, ...]
    offsets: np.ndarray
    mirror: np.ndarray


@dataclass(frozen=True, eq=False)
class Face:
    """The mean face as far as mending needs it; ``below`` tells the lower lip."""

    cage: Cage
    points: np.ndarray
    once: Subdivision
    seal: LipSeal
    lids: LeftLids
    below: np.ndarray


def arkit_expressions(units: dict[str, np.ndarray], face: Face) -> Expressions:
    """The mended expressions.

    Parameters
    ----------
    units : dict of str to (C, 3) float64
        Face units on the cage, in the mean's millimetres.
    """
    names = tuple(sorted(units))
    still = ~face.cage.of_part("eye_left", "eye_right")[:, None]
    # The base mesh turns its own eyeballs in some units; ours are turned by their angle.
    units = {name: unit * still for name, unit in units.items()}
    symmetric = _symmetrised(units, face.cage)
    offsets = {name: _mended(name, symmetric, face) for name in names if not _is_right(name)}
    for name in names:
        if _is_right(name):
            offsets[name] = face.cage.reflected(offsets[_twin(name)])
    index = np.array([names.index(_twin(name)) for name in names])
    stacked = np.stack([offsets[name] for name in names])
    return Expressions(names, _whole_corners(names, stacked, face), index)


def _whole_corners(names: tuple[str, ...], offsets: np.ndarray, face: Face) -> np.ndarray:
    """Offsets without folds in the tiny quads at the corners of mouth and eyes."""
    cage, points = face.cage, face.points
    mouth = [not name.startswith((*_OPENING, "mouthClose")) for name in names]
    rolled = [name.startswith("mouthRoll") for name in names]
    close = [name == "mouthClose" for name in names]
    eyes = [name.startswith(("eyeSquint", "eyeLook", "eyeWide", "cheekSquint")) for name in names]
    downs = [name.startswith("eyeLookDown") for name in names]
    others = [eye and not down for eye, down in zip(eyes, downs, strict=True)]
    blinks = [name.startswith("eyeBlink") for name in names]
    inner, outer = eye_corners(points, face.lids)
    offsets = offsets.copy()
    for chosen, centres, reach in (
        (mouth, mouth_corners(cage, points), _MOUTH_CORNER),
        (rolled, mouth_corners(cage, points), _ROLLED_CORNER),
        (close, mouth_corners(cage, points), _CLOSED_CORNER),
        (downs, outer, _DOWN_CORNER),
        (others, outer, _EYE_CORNER),
        (eyes, inner, _INNER_CORNER),
        (blinks, np.concatenate([inner, outer]), _BLINK_CORNER),
    ):
        allowed = cage.of_part("skin", "mouth_inside", "lid_lining")
        offsets[chosen] = stiffened(points, offsets[chosen], centres, allowed, *reach)
    free = away_from_rims(cage, points, face.lids, _LID_REACH, _LIP_REACH)
    for share, rounds in ((lid_crease(cage, points) * free, 10), (_folds(face), 10)):
        offsets = np.stack([evened(cage, offset, share, rounds) for offset in offsets])
    for place, stems in _NARROW:
        here = [name.startswith(stems) for name in names]
        share = 0.5 * near_places(points, np.array([place]), _NARROW_REACH) * allowed
        offsets[here] = [evened(cage, offset, share, _NARROW_ROUNDS) for offset in offsets[here]]
    # An open mouth strains the lips as it should.
    shut = np.array([not name.startswith((*_OPENING, "mouthClose")) for name in names])
    offsets[shut] = relaxed(cage, points, offsets[shut], free, _STRAIN, together=False)
    return offsets


def away_from_rims(
    cage: Cage,
    points: np.ndarray,
    lids: LeftLids,
    lid_reach: tuple[float, float],
    lip_reach: tuple[float, float],
) -> np.ndarray:
    """0 at the rims of lids and lips, which keep their way, 1 on skin and linings else, (C,)."""
    left = points[np.concatenate([lids.upper, lids.lower, lids.seam])]
    lids_away, lips_away = (
        np.linalg.norm(points[:, None] - rim, axis=2).min(axis=1)
        for rim in (np.concatenate([left, left * FLIP]), points[lip_rim(cage)])
    )
    skin = cage.of_part("skin", "lid_lining")
    free = skin * smoothstep(lids_away, *lid_reach) * smoothstep(lips_away, *lip_reach)
    cheeks = cage.of_part("mouth_inside") & ~skin
    cheeks = (
        cheeks * smoothstep(np.abs(points[:, 0]), *_CHEEKS) * smoothstep(lips_away, *_BAG_REACH)
    )
    return np.asarray(free + cheeks)


def near_places(points: np.ndarray, places: np.ndarray, reach: tuple[float, float]) -> np.ndarray:
    """1 near places ``(n, 3)`` of the left half and their mirror images, 0 beyond a reach, (C,)."""
    both = np.concatenate([places, places * FLIP])
    return smoothstep(np.linalg.norm(points[:, None] - both, axis=2).min(axis=1), *reach)


def lid_crease(cage: Cage, points: np.ndarray) -> np.ndarray:
    """Shares ``(C,)`` of evening in the creases of the upper lids, up to a half."""
    return 0.5 * near_places(points, _CREASE, (5.0, 2.0)) * cage.of_part("skin")


def _folds(face: Face) -> np.ndarray:
    """Shares ``(C,)`` of evening at the throat and in the bag behind the lips."""
    cage, points = face.cage, face.points
    skin, bag = cage.of_part("skin"), cage.of_part("mouth_inside")
    depth = np.linalg.norm(points[:, None] - points[bag & skin], axis=2).min(axis=1)
    throat = np.linalg.norm(points - _THROAT, axis=1)
    inside = smoothstep(depth, 5.0, 12.0) * (bag & ~skin)
    return 0.5 * np.maximum(smoothstep(throat, *_THROAT_REACH) * skin, inside)


def _twin(name: str) -> str:
    """The name of the mirror image; of a symmetric expression its own."""
    left, right = _SIDES
    if name.endswith(left):
        return name.removesuffix(left) + right
    return name.removesuffix(right) + left if name.endswith(right) else name


def _is_right(name: str) -> bool:
    return name.endswith(_SIDES[1])


def _stem(name: str) -> str:
    """``mouthSmile`` of ``mouthSmileLeft``; ``jawLeft`` and ``mouthLeft`` are whole names."""
    return name if name in ("jawLeft", "mouthLeft") else name.removesuffix(_SIDES[0])


def _symmetrised(units: dict[str, np.ndarray], cage: Cage) -> dict[str, np.ndarray]:
    return {name: 0.5 * (unit + cage.reflected(units[_twin(name)])) for name, unit in units.items()}


def _mended(name: str, units: dict[str, np.ndarray], face: Face) -> np.ndarray:
    stem = _stem(name)
    offsets = units[name] * _STRENGTH.get(stem, 1.0)
    for other, share in _BLENDED.get(stem, {}).items():
        sides = [other] if other in units else [other + side for side in _SIDES]
        if stem != name and len(sides) == 2:
            sides = sides[:1]
        offsets = offsets + share * sum(units[side] for side in sides)
    offsets = _smoothed(face, offsets, _SMOOTHED.get(stem, 0))
    special: dict[str, Callable[[], np.ndarray]] = {
        "eyeSquint": lambda: _with_calm_edge(offsets, face),
        "eyeBlink": lambda: closing_lids(face.cage, face.points, offsets, face.once, face.lids),
        # The jaw would draw the lower lip away before the upper one.
        "jawForward": lambda: face.seal.together(offsets),
        "mouthClose": lambda: _closing_mouth(offsets, units["jawOpen"], face),
    }
    if stem in special:
        return special[stem]()
    if stem.startswith("eyeLook"):
        return offsets + _gaze(stem.removeprefix("eyeLook"), face)
    offsets = face.seal(offsets) if stem in _CLOSED else offsets
    return _closed_anew(offsets, face) if stem in _CLOSED_ANEW else offsets


def _with_calm_edge(offsets: np.ndarray, face: Face) -> np.ndarray:
    """Offsets that lift the left lower lid, but little of it at its edge, which a blink meets."""
    edge = face.points[face.lids.lower]
    away = np.linalg.norm(face.points[:, None] - edge, axis=2).min(axis=1)
    calm = _CALM_EDGE * smoothstep(away, *_CALM_REACH) * face.lids.is_lower
    return np.asarray(offsets * (1 - calm)[:, None])


def _closed_anew(offsets: np.ndarray, face: Face) -> np.ndarray:
    """Offsets at whose end the lips touch where they are then."""
    moved = face.points + offsets
    for _ in range(_SEAL_ROUNDS):
        moved = lip_seal(face.cage, moved, face.once, face.below, _SEAL_SPACING)(moved)
    return moved - face.points


def _closing_mouth(offsets: np.ndarray, jaw: np.ndarray, face: Face) -> np.ndarray:
    """Offsets that close the lips of an open jaw: with ``jawOpen`` at 1 they just meet."""
    return np.asarray(face.seal(jaw + offsets) - jaw)


def _gaze(direction: str, face: Face) -> np.ndarray:
    """Offsets of the left eyeball that turns by the angle of a direction."""
    eye = face.cage.of_part("eye_left")
    ball = face.points[eye]
    around = ball - eye_centre(ball)
    angle = np.radians(GAZE[direction])
    # The left eye looks inwards to -x.
    x, y = {"In": (-1, 0), "Out": (1, 0), "Up": (0, 1), "Down": (0, -1)}[direction]
    axis = np.array([-y, x, 0.0])
    turned = (
        around * np.cos(angle)
        + np.cross(axis, around) * np.sin(angle)
        + axis * (around @ axis)[:, None] * (1 - np.cos(angle))
    )
    offsets = np.zeros_like(face.points)
    offsets[eye] = turned - around
    return offsets


def _smoothed(face: Face, offsets: np.ndarray, rounds: int) -> np.ndarray:
    """Offsets of the cheeks without sharp folds; lids and lips keep theirs."""
    cage, points = face.cage, face.points
    if not rounds:
        return offsets
    anchors = np.concatenate([points[face.lids.seam], points[face.lids.seam] * [-1, 1, 1]])
    mouth = points[cage.of_part("mouth_inside") & cage.of_part("skin")]
    far = np.linalg.norm(points[:, None] - np.concatenate([anchors, mouth]), axis=2).min(axis=1)
    share = 0.7 * smoothstep(far, 1.5, 7.0) * cage.of_part("skin")
    return evened(cage, offsets, share, rounds)
