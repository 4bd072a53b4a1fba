"""Random expressions as ARKit's 52 blendshapes, like those that people make.

A face shows one or two things at a time, the same on both sides more often than not; a fifth of
the faces blink, and all of them look somewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

Rng = np.random.Generator

#: What a face does in one place: shapes and the values between which they lie. ``*`` stands for
#: Left and Right.
Unit = Mapping[str, tuple[float, float]]

_MOUTHS: Final[tuple[tuple[float, Unit], ...]] = (
    (0.16, {}),
    (0.16, {"mouthSmile*": (0.2, 1), "cheekSquint*": (0, 0.6), "mouthDimple*": (0, 0.4)}),
    (0.10, {"mouthSmile*": (0.3, 1), "jawOpen": (0.05, 0.4), "mouthUpperUp*": (0, 0.5)}),
    (0.09, {"jawOpen": (0.05, 0.4), "mouthLowerDown*": (0, 0.6), "mouthUpperUp*": (0, 0.4)}),
    (0.07, {"jawOpen": (0.05, 0.5), "mouthFunnel": (0.1, 0.9)}),
    (0.06, {"jawOpen": (0, 0.2), "mouthPucker": (0.2, 1)}),
    (0.05, {"jawOpen": (0.1, 0.6), "mouthStretch*": (0.1, 0.8)}),
    (0.06, {"jawOpen": (0.4, 1)}),
    (0.05, {"jawOpen": (0.1, 0.6), "mouthClose": (0.05, 0.6)}),
    (0.05, {"cheekPuff": (0.3, 1), "mouthPress*": (0, 0.5), "mouthPucker": (0, 0.3)}),
    (0.05, {"tongueOut": (0.4, 1), "jawOpen": (0.15, 0.6)}),
    (0.04, {"mouthFrown*": (0.2, 1), "mouthShrugLower": (0, 0.7), "mouthShrugUpper": (0, 0.4)}),
    (0.03, {"mouthRollLower": (0.1, 1), "mouthRollUpper": (0.1, 1)}),
    (0.03, {"mouthPress*": (0.2, 1)}),
)

_BROWS: Final[tuple[tuple[float, Unit], ...]] = (
    (0.5, {}),
    (0.14, {"browInnerUp": (0.2, 1), "browOuterUp*": (0.2, 1), "eyeWide*": (0, 0.8)}),
    (0.08, {"browInnerUp": (0.3, 1)}),
    (0.14, {"browDown*": (0.2, 1), "eyeSquint*": (0, 0.8), "noseSneer*": (0, 0.4)}),
    (0.07, {"noseSneer*": (0.3, 1), "mouthUpperUp*": (0, 0.6)}),
    (0.07, {"eyeSquint*": (0.2, 1), "cheekSquint*": (0.1, 0.8)}),
)

#: Both eyes blink, more or less; the part of faces, and how far.
_BLINK: Final = 0.2
_BLINK_VALUES: Final = (0.5, 1.0)
#: The part of faces whose eyes alone are changed.
_BLINK_OF_EYES: Final = 0.45
#: Of those that blink, with both eyes.
_BOTH: Final = 0.7
#: Half-shut lids of those that do not blink: the part of faces and how far.
_SLACK: Final = 0.25
_SLACK_VALUES: Final = (0.0, 0.45)

#: A pair is the same on both sides, but for a little; on one side only; or as it comes.
_SYMMETRY: Final = (0.72, 0.18, 0.10)
_UNEVEN: Final = 0.1

#: Faces with shapes at random beside, so that each is seen without those that it usually comes
#: with; how many there are at most, and their values.
_STRAY, _STRAYS = 0.35, 3
_STRAY_VALUES: Final = (0.1, 1.0)

#: Gaze: standard deviations to the side and up, in parts of the shapes' range, how often eyes look
#: anywhere within it instead, and how far they converge.
_GAZE: Final = (0.3, 0.25)
_ANYWHERE: Final = 0.3
_CONVERGE: Final = 0.06

#: Shapes of the lids and eyeballs.
EYE_SHAPES: Final = tuple(
    f"eye{kind}{side}"
    for kind in ("Blink", "Squint", "Wide", "LookDown", "LookIn", "LookOut", "LookUp")
    for side in ("Left", "Right")
)


def random_expression(rng: Rng, names: Sequence[str]) -> np.ndarray:
    """An expression of a whole face.

    Parameters
    ----------
    names : sequence of str
        Blendshapes of the model: those of ARKit that it has are used, in this order.

    Returns
    -------
    expression : (Ne,) float32
        0 to 1. ``mouthClose`` is at most ``jawOpen``, as it only shuts what the jaw opened.
    """
    values: dict[str, float] = {}
    for units in (_MOUTHS, _BROWS):
        chances = np.array([chance for chance, _ in units])
        _, unit = units[rng.choice(len(units), p=chances / chances.sum())]
        for name, limits in unit.items():
            _add(values, name, limits, rng)
    if rng.random() < _STRAY:
        stray = sorted({_pair(name) for name in names if name not in EYE_SHAPES})
        for index in rng.choice(len(stray), min(int(rng.integers(1, _STRAYS + 1)), len(stray))):
            _add(values, stray[index], _STRAY_VALUES, rng)
    values |= _eyes(rng, values)
    values["mouthClose"] = min(values.get("mouthClose", 0.0), values.get("jawOpen", 0.0))
    # A jaw, and a mouth, go to one side.
    for one, other in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):
        if rng.random() < 0.5:
            one, other = other, one
        if one in values:
            values.pop(other, None)
    return _row(values, names)


def random_eyes(rng: Rng, expression: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The expression ``(Ne,)`` with other lids and another gaze, and nothing else changed."""
    chosen = _row(_eyes(rng, {}, _BLINK_OF_EYES), names)
    eyes = np.isin(names, EYE_SHAPES)
    return np.where(eyes, chosen, expression).astype(np.float32)


def _eyes(rng: Rng, given: Mapping[str, float], blink: float = _BLINK) -> dict[str, float]:
    """Lids and gaze; of lids that squint or are wide those that are given, or random ones."""
    values = {name: given[name] for name in EYE_SHAPES if name in given}
    if rng.random() < blink:
        shut = rng.uniform(*_BLINK_VALUES)
        # Eyes that are shut are so wholly, more often than not.
        shut = 1.0 if rng.random() < 0.5 else float(shut)
        sides = ("Left", "Right") if rng.random() < _BOTH else (rng.choice(("Left", "Right")),)
        for side in sides:
            values[f"eyeBlink{side}"] = float(np.clip(shut + rng.uniform(-0.05, 0.05), 0, 1))
            values.pop(f"eyeWide{side}", None)
    elif rng.random() < _SLACK:
        _add(values, "eyeBlink*", _SLACK_VALUES, rng)
    if not given:
        for name, chance in (("eyeSquint*", 0.3), ("eyeWide*", 0.2)):
            if rng.random() < chance:
                _add(values, name, _STRAY_VALUES, rng)
    return values | _gaze(rng)


def _gaze(rng: Rng) -> dict[str, float]:
    """Both eyes look the same way, and a little towards each other."""
    if rng.random() < _ANYWHERE:
        side, up = rng.uniform(-1, 1, 2)
    else:
        side, up = np.clip(rng.normal(0, _GAZE), -1, 1)
    converge = abs(rng.normal(0, _CONVERGE))
    # To the person's left, the left eye looks out and the right one in.
    left, right = side - converge, side + converge
    values = {}
    for name, value in (
        ("eyeLookOutLeft", left),
        ("eyeLookInLeft", -left),
        ("eyeLookInRight", right),
        ("eyeLookOutRight", -right),
        *((f"eyeLookUp{eye}", up) for eye in ("Left", "Right")),
        *((f"eyeLookDown{eye}", -up) for eye in ("Left", "Right")),
    ):
        if value > 0:
            values[name] = float(min(value, 1.0))
    return values


def _pair(name: str) -> str:
    """``*`` for the side, of shapes that come in pairs of which both may be there."""
    if name.startswith(("jaw", "mouthLeft", "mouthRight")):
        return name
    return name.removesuffix("Left").removesuffix("Right") + (
        "*" if name.endswith(("Left", "Right")) else ""
    )


def _add(values: dict[str, float], name: str, limits: tuple[float, float], rng: Rng) -> None:
    """Set a shape, or both of a pair, to values within limits."""
    value, other = (float(value) for value in rng.uniform(*limits, 2))
    if not name.endswith("*"):
        values[name] = value
        return
    left, right = name[:-1] + "Left", name[:-1] + "Right"
    kind = rng.choice(3, p=_SYMMETRY)
    if kind == 0:
        uneven = rng.uniform(1 - _UNEVEN, 1 + _UNEVEN, 2)
        values[left], values[right] = (float(min(value * part, 1.0)) for part in uneven)
    elif kind == 1:
        values[left if rng.random() < 0.5 else right] = value
    else:
        values[left], values[right] = value, other


def _row(values: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in names], np.float32)
