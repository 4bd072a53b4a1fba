"""Identity: plausible adults drawn from the controls, aligned, and their principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from .cage import Cage
from .controls import Controls, Macros

#: People from whom the modes are computed.
PEOPLE = 3000
SEED = 20

_MOST = 0.6  # of a control's range, for one person


@dataclass(frozen=True, eq=False)
class Identity:
    """Mean and modes of shape on the cage.

    Attributes
    ----------
    mean : (C, 3) float64
    modes : (Ns, C, 3) float64
        Offsets for one standard deviation; each is purely symmetric or antisymmetric.
    sign : (Ns,) float64
        +1 for a symmetric mode, -1 for an antisymmetric one.
    kept : (Ns,) float64
        Share of the weighted variance that the modes up to each explain.
    """

    mean: np.ndarray
    modes: np.ndarray
    sign: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """The distribution that people are drawn from."""

    base: np.ndarray  # (C, 3)
    macros: Macros
    controls: Controls

    def average(self) -> np.ndarray:
        """An adult with every control in the middle, (C, 3)."""
        half = np.array([0.5])
        descent = np.full((1, 3), 1 / 3)
        offsets = self.macros.offsets(half, np.array([0.62]), descent, half, half)
        return np.asarray(self.base + offsets[0])

    def people(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Cages ``(count, C, 3)`` float32 of random adults."""
        offsets = self.macros.offsets(
            male=generator.beta(0.8, 0.8, count),
            age=np.clip(generator.beta(2.0, 2.6, count) * 0.58 + 0.40, 0, 1),
            descent=generator.dirichlet([0.6] * 3, count),
            muscle=np.clip(generator.normal(0.5, 0.17, count), 0, 1),
            weight=np.clip(generator.normal(0.5, 0.15, count), 0, 1),
        )
        controls = self.controls
        amount = generator.normal(size=(count, len(controls.spread))) * controls.spread
        amount = np.clip(amount, -_MOST, _MOST)
        for ends, part in (
            (controls.positive, np.maximum(amount, 0)),
            (controls.negative, np.maximum(-amount, 0)),
        ):
            offsets += (part @ ends.reshape(len(ends), -1)).reshape(offsets.shape)
        return (self.base + offsets).astype(np.float32)


def aligned(people: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """People moved, turned and scaled onto a face, by weights ``(C,)`` of the vertices.

    So size and position are the pose's business and no mode is spent on them.
    """
    share = weight / weight.sum()
    goal_middle = share @ target
    goal = target - goal_middle
    result = np.empty_like(people)
    for number, person in enumerate(people.astype(np.float64)):
        centred = person - share @ person
        u, s, vt = np.linalg.svd((centred * share[:, None]).T @ goal)
        turn = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
        scale = (s * turn).sum() / (share @ (centred**2).sum(axis=1))
        result[number] = scale * centred @ (u * turn @ vt) + goal_middle
    return result


def principal_modes(people: np.ndarray, cage: Cage, weight: np.ndarray, count: int) -> Identity:
    """Modes of aligned people, the symmetric and the antisymmetric part each by itself.

    Parameters
    ----------
    weight : (C,) float64
        How much the squared offset of each vertex counts.
    count : int
        Modes to keep of both kinds together, those of most variance.
    """
    even = cage.symmetric(people)
    odd = people - even
    mean = cage.symmetric(even.mean(axis=0, dtype=np.float64))
    root = np.sqrt(weight / weight.sum())[:, None]
    found = []
    total = 0.0
    for sign, part in ((1.0, even - mean), (-1.0, odd)):
        flat = (part * root).reshape(len(part), -1).astype(np.float32)
        gram = (flat @ flat.T).astype(np.float64) / len(part)
        total += np.trace(gram)
        values, vectors = eigh(gram, subset_by_index=(len(part) - count, len(part) - 1))
        for value, vector in zip(values, vectors.T, strict=True):
            mode = (vector @ flat / np.sqrt(len(part))).reshape(-1, 3) / root
            mode = 0.5 * (mode + sign * cage.reflected(mode))
            largest = np.unravel_index(np.argmax(np.abs(mode)), mode.shape)
            found.append((value, sign, mode * np.sign(mode[largest])))
    found.sort(key=lambda item: -item[0])
    values, signs, modes = zip(*found[:count], strict=True)
    return Identity(mean, np.stack(modes), np.array(signs), np.cumsum(values) / total)
