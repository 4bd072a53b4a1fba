"""The 52 ARKit expressions on the cage, mended where the face units are wrong or too weak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facegeo.morphable.subdivision import Subdivision

from .cage import Cage
from .eyeballs import eye_centre
from .fields import evened, smoothstep, stiffened
from .lids import LeftLids, closing_lids, eye_corners
from .lips import LipSeal, lip_seal, mouth_corners

_SIDES = ("Left", "Right")
#: Turn of the eyeball at 1, degrees.
GAZE = {"In": 30.0, "Out": 30.0, "Up": 22.0, "Down": 28.0}

#: Factors of face units that are too weak or too strong beside a full movement.
_STRENGTH = {
    "browInnerUp": 1.3,
    "browOuterUp": 1.3,
    "cheekPuff": 1.4,
    "eyeLookDown": 1.2,
    "eyeLookIn": 1.8,
    "eyeLookOut": 1.8,
    "mouthDimple": 0.65,
    "mouthFunnel": 0.9,
    "mouthLeft": 1.25,
    "mouthPress": 0.35,
    "mouthRollLower": 1.5,
    "mouthRollUpper": 1.2,
    "mouthShrugLower": 1.3,
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
_DOWN_CORNER = (2.0, 6.0, 3.0)
_INNER_CORNER = (1.8, 5.0, 40.0)
_BLINK_CORNER = (0.5, 2.5, 40.0)
#: The crease of the left upper lid, which expressions would press together.
_CREASE = np.array([[24.0, 7.0, 20.3], [28.0, 8.0, 20.8], [32.0, 8.5, 20.5], [36.0, 7.5, 19.0]])
#: Where the chin's underside meets the throat, and how far an open jaw presses it together.
_THROAT, _THROAT_REACH = np.array([0.0, -124.0, -22.0]), (20.0, 8.0)
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
    close = [name == "mouthClose" for name in names]
    eyes = [name.startswith(("eyeSquint", "eyeLook", "eyeWide", "cheekSquint")) for name in names]
    downs = [name.startswith("eyeLookDown") for name in names]
    others = [eye and not down for eye, down in zip(eyes, downs, strict=True)]
    blinks = [name.startswith("eyeBlink") for name in names]
    inner, outer = eye_corners(points, face.lids)
    offsets = offsets.copy()
    for chosen, centres, reach in (
        (mouth, mouth_corners(cage, points), _MOUTH_CORNER),
        (close, mouth_corners(cage, points), _CLOSED_CORNER),
        (downs, outer, _DOWN_CORNER),
        (others, outer, _EYE_CORNER),
        (eyes, inner, _INNER_CORNER),
        (blinks, np.concatenate([inner, outer]), _BLINK_CORNER),
    ):
        allowed = cage.of_part("skin", "mouth_inside", "lid_lining")
        offsets[chosen] = stiffened(points, offsets[chosen], centres, allowed, *reach)
    share = _tight_places(face)
    return np.stack([evened(cage, offset, share, 4) for offset in offsets])


def _tight_places(face: Face) -> np.ndarray:
    """Shares ``(C,)`` of evening: creases of upper lids, throat, and the bag behind the lips."""
    cage, points = face.cage, face.points
    crease = np.concatenate([_CREASE, _CREASE * [-1, 1, 1]])
    away = np.linalg.norm(points[:, None] - crease, axis=2).min(axis=1)
    bag = cage.of_part("mouth_inside")
    lips = points[bag & cage.of_part("skin")]
    depth = np.linalg.norm(points[:, None] - lips, axis=2).min(axis=1)
    throat = np.linalg.norm(points - _THROAT, axis=1)
    skin = cage.of_part("skin")
    return 0.5 * np.maximum.reduce(
        [
            smoothstep(away, 5.0, 2.0) * skin,
            smoothstep(throat, *_THROAT_REACH) * skin,
            smoothstep(depth, 5.0, 12.0) * (bag & ~skin),
        ]
    )


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
