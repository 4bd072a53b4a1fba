"""The controls that people are drawn from: macros, symmetric and antisymmetric targets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .cage import Cage
from .source import Source

_RACES = ("african", "asian", "caucasian")
_SEXES = ("female", "male")
_AGES = ("child", "young", "old")
_STEPS = ("min", "average", "max")

#: Words for a control's two ends, first the one that counts as negative.
_ENDS = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("compress", "uncompress"),
    ("concave", "convex"),
)
#: Standard deviation of the controls of a folder; a control goes from -1 to 1.
_SPREAD = {
    "head": 0.10,
    "forehead": 0.15,
    "eyebrows": 0.28,
    "eyes": 0.28,
    "nose": 0.22,
    "mouth": 0.20,
    "chin": 0.20,
    "cheek": 0.26,
    "ears": 0.16,
    "neck": 0.12,
}
_ASYMMETRIC_SPREAD = {"ears": 0.04, "asym": 0.13}
_OTHER_ASYMMETRIC_SPREAD = 0.09
#: Controls that only move a part rigidly, or bend the head.
_LEFT_OUT = {
    *(f"head-trans-{end}" for end in ("backward", "forward", "up", "down", "in", "out")),
    *(f"neck-trans-{end}" for end in ("backward", "forward", "up", "down", "in", "out")),
    *(f"head-angle-{end}" for end in ("in", "out")),
    *(f"nose-trans-{end}" for end in ("in", "out")),
    *(f"mouth-trans-{end}" for end in ("in", "out")),
    *(f"measure-neck-height-{end}" for end in ("decr", "incr")),
}


@dataclass(frozen=True, eq=False)
class Controls:
    """Offsets ``(K, C, 3)`` of the cage for the ends of each control.

    A control at a > 0 adds ``a * positive``, at a < 0 ``-a * negative``.
    """

    names: tuple[str, ...]
    negative: np.ndarray
    positive: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, eq=False)
class Macros:
    """Offsets of the cage by sex, age and descent, and by sex, age, muscle and weight."""

    descent: np.ndarray  # (2, 3, 3, C, 3)
    build: np.ndarray  # (2, 3, 3, 3, C, 3)

    def offsets(
        self,
        male: np.ndarray,
        age: np.ndarray,
        descent: np.ndarray,
        muscle: np.ndarray,
        weight: np.ndarray,
    ) -> np.ndarray:
        """Offsets ``(N, C, 3)`` of N people.

        Parameters
        ----------
        male, muscle, weight : (N,) float, 0 to 1
        age : (N,) float
            0 a child, 0.5 young, 1 old.
        descent : (N, 3) float
            Shares that add up to 1.
        """
        sex = np.stack([1 - male, male], axis=1)
        shares = np.einsum("ns,na,nr->nsar", sex, _three(age), descent)
        bodies = np.einsum("ns,na,nm,nw->nsamw", sex, _three(age), _three(muscle), _three(weight))
        count, size = len(male), self.descent.shape[-2]
        total = shares.reshape(count, -1) @ self.descent.reshape(-1, 3 * size)
        total += bodies.reshape(count, -1) @ self.build.reshape(-1, 3 * size)
        return np.asarray(total.reshape(count, size, 3))


def _three(value: np.ndarray) -> np.ndarray:
    """Shares of the lowest, middle and highest of three steps, (N, 3), at 0 to 1."""
    low, high = np.maximum(0, 1 - 2 * value), np.maximum(0, 2 * value - 1)
    return np.stack([low, 1 - low - high, high], axis=1)


def read_macros(source: Source, cage: Cage) -> Macros:
    """The macro targets on the cage, made symmetric."""

    def read(name: str) -> np.ndarray:
        return cage.symmetric(cage.points(source.target(f"macrodetails/{name}")))

    kinds = list(itertools.product(_SEXES, _AGES))
    descent = [read(f"{race}-{sex}-{age}") for sex, age in kinds for race in _RACES]
    build = [
        read(f"universal-{sex}-{age}-{muscle}muscle-{weight}weight")
        for sex, age in kinds
        for muscle in _STEPS
        for weight in _STEPS
    ]
    size = len(cage.mirror)
    return Macros(
        np.stack(descent).reshape(2, 3, 3, size, 3), np.stack(build).reshape(2, 3, 3, 3, size, 3)
    )


def read_controls(source: Source, cage: Cage) -> Controls:
    """All controls of the face: first those that keep it symmetric, then those that do not."""
    symmetric, antisymmetric = [], []
    for folder in _SPREAD:
        for name, ends in _pairs(source, folder).items():
            sides = [tuple(_one_side(source, cage, folder, end) for end in ends)]
            if name.startswith("l-"):
                twins = tuple(end and "r-" + end[2:] for end in ends)
                sides.append(tuple(_one_side(source, cage, folder, end) for end in twins))
            low, high = (sum(side[i] for side in sides) for i in (0, 1))
            symmetric.append((name, cage.symmetric(low), cage.symmetric(high), _SPREAD[folder]))
            if len(sides) == 2:
                difference = [0.5 * (sides[0][i] - sides[1][i]) for i in (0, 1)]
                odd = [d - cage.symmetric(d) for d in difference]
                spread = _ASYMMETRIC_SPREAD.get(folder, _OTHER_ASYMMETRIC_SPREAD)
                antisymmetric.append((name[2:] + "-difference", odd[0], odd[1], spread))
    for name in source.folder("asym"):
        if name.endswith("-l") and "asymm" not in name:
            offset = cage.points(source.target(f"asym/{name}"))
            odd_part = offset - cage.symmetric(offset)
            antisymmetric.append((name, -odd_part, odd_part, _ASYMMETRIC_SPREAD["asym"]))
    names, negative, positive, spread = zip(*symmetric, *antisymmetric, strict=True)
    return Controls(tuple(names), np.stack(negative), np.stack(positive), np.array(spread))


def _one_side(source: Source, cage: Cage, folder: str, name: str | None) -> np.ndarray:
    """Offsets of one end; nothing where a control has one end only."""
    if name is None:
        return np.zeros((len(cage.mirror), 3))
    return cage.points(source.target(f"{folder}/{name}"))


def _pairs(source: Source, folder: str) -> dict[str, tuple[str | None, str]]:
    """Controls of a folder: name to the targets of its negative and positive end."""
    names = [
        name
        for name in source.folder(folder)
        if name not in _LEFT_OUT and not name.startswith("r-")
    ]
    pairs: dict[str, tuple[str | None, str]] = {}
    for name in names:
        stem, _, end = name.rpartition("-")
        low = {high: low for low, high in _ENDS}.get(end)
        high = dict(_ENDS).get(end)
        if low and f"{stem}-{low}" in names:
            pairs[name] = (f"{stem}-{low}", name)
        elif not (high and f"{stem}-{high}" in names):
            pairs[name] = (None, name)
    return pairs
