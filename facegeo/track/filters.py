"""The One-Euro filter with a speed that noise cannot fake.

Casiez, Roussel, Vogel 2012: a first-order low-pass whose cutoff grows with speed, so that it is
steady at rest and quick in motion. Here one gain serves a whole group of numbers (an eye, a
rotation), and the speed is told from noise on two time scales:

- slow: the smoothed derivative, in which a turn of 5 degrees a second stands out from noise that is
  larger than the turn in any one frame;
- fast: how far the newest value is from the filter's own, by which a blink of four frames is
  followed from its first frame.

Both count only from where noise ends. All is measured in units of the noise to be expected, so that
the same settings serve landmarks and rotations, and in seconds, so that they hardly depend on the
frame rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facegeo.base.arrays import number_in
from facegeo.errors import InvalidInputError

Difference = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class OneEuroSettings:
    """Settings of the One-Euro filter: how steady, and how quick.

    Attributes
    ----------
    cutoff_hz : float
        At rest. The delay of slow changes is ``1 / (2 pi cutoff)`` seconds.
    slow_hz : float
        Cutoff of the smoothed derivative.
    slow_floor, slow_gain : float
        Speed, in noise a second, from which the cutoff grows, and by how much (Hz per unit).
    fast_floor, fast_gain : float
        The same for the distance of the newest value from the filtered one, in noise.
    """

    cutoff_hz: float = 0.35
    slow_hz: float = 1.0
    slow_floor: float = 15.0
    slow_gain: float = 3.0
    fast_floor: float = 4.0
    fast_gain: float = 8.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = number_in(name, getattr(self, name), 0)
            if value == math.inf or (name.endswith("_hz") and value == 0):
                raise InvalidInputError(f"{name}: expected a positive number, got {value}")


def subtract(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a - b``: the difference of ordinary numbers."""
    return a - b


class OneEuro:
    """A filter of rows of numbers, one gain for each group of rows.

    Parameters
    ----------
    settings : OneEuroSettings
    noise : float
        Standard deviation, a frame, of a number at rest; in the unit that a call states.
    groups : sequence of int
        First row of each group, ascending, the first of them 0.
    difference, move : callable
        ``difference(a, b)`` is the tangent vector from ``b`` to ``a``, ``move(b, v)`` goes along
        it.
    judged : slice
        Columns of the tangent vectors that tell motion from noise; the others follow.
    """

    def __init__(
        self,
        settings: OneEuroSettings,
        noise: float,
        groups: tuple[int, ...] = (0,),
        difference: Difference = subtract,
        move: Difference = np.add,
        judged: slice = slice(None),
    ) -> None:
        self._settings = settings
        self._noise = noise
        self._groups = np.array(groups)
        self._difference, self._move = difference, move
        self._judged = judged
        self._rows_counted: tuple[int, np.ndarray] | None = None
        self._value: np.ndarray | None = None
        self._raw: np.ndarray | None = None
        self._speed: np.ndarray | None = None

    def __call__(
        self,
        raw: np.ndarray,
        passed_s: float,
        unit: float = 1.0,
        least_gain: float = 0.0,
        spread: np.ndarray | None = None,
    ) -> tuple[np.ndarray, float]:
        """Filter the next value.

        Parameters
        ----------
        raw : array
            Rows are the first axis of the tangent vectors.
        passed_s : float
            Since the last call.
        unit : float
            What one unit of the noise is, in units of ``raw``.
        least_gain : float
            0..1: be at least this quick.
        spread : (rows,) array, optional
            How many times as noisy as the others a row is. As in a Kalman filter of that noise its
            gain g becomes g / (g + (1 - g) spread^2): where all moves, it moves too.

        Returns
        -------
        value : array, as ``raw``
        gain : float
            The quickest group's, 0..1.
        """
        if self._value is None or self._raw is None:
            self._value = self._raw = np.array(raw, np.float64)
            return self._value, 1.0
        settings, noise = self._settings, self._noise * unit
        step = self._difference(raw, self._raw) / passed_s
        away = self._difference(raw, self._value)
        if self._speed is None:
            self._speed = np.zeros_like(step)
        self._speed = self._speed + low_pass_gain(settings.slow_hz, passed_s) * (step - self._speed)
        slow = self._size(self._speed) / noise - settings.slow_floor
        fast = self._size(away) / noise - settings.fast_floor
        cutoff = (
            settings.cutoff_hz
            + settings.slow_gain * np.maximum(slow, 0)
            + settings.fast_gain * np.maximum(fast, 0)
        )
        gains = np.maximum(low_pass_gain(cutoff, passed_s), least_gain)
        rows = np.repeat(gains, self._counts(len(away)))
        if spread is not None:
            rows = rows / (rows + (1 - rows) * np.square(spread))
        self._value = self._move(self._value, away * rows.reshape(-1, *[1] * (away.ndim - 1)))
        self._raw = np.array(raw, np.float64)
        return self._value, float(gains.max())

    def _size(self, vectors: np.ndarray) -> np.ndarray:
        """Root mean square of each group, by the columns that are judged."""
        squares = np.square(vectors.reshape(len(vectors), -1)[:, self._judged])
        counts = self._counts(len(vectors)) * squares.shape[1]
        return np.sqrt(np.add.reduceat(squares.sum(axis=1), self._groups) / counts)

    def _counts(self, rows: int) -> np.ndarray:
        """Rows of each group."""
        if self._rows_counted is None or self._rows_counted[0] != rows:
            self._rows_counted = rows, np.diff([*self._groups, rows])
        return self._rows_counted[1]


def low_pass_gain(cutoff_hz: np.ndarray | float, passed_s: float) -> np.ndarray:
    """Weight of the newest value in a first-order low-pass, 0..1."""
    return 1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff_hz) * passed_s))


class RunningMean:
    """A mean that outliers cannot pull away: what differs by more counts for less (Huber).

    Parameters
    ----------
    memory : int
        Once this many values are in it, the oldest fade.
    """

    def __init__(self, memory: int = 300) -> None:
        self._memory = memory
        self._weight = 0.0
        self._mean: np.ndarray | None = None
        self._spread = 0.0

    def __call__(self, value: np.ndarray) -> np.ndarray:
        """Add a value; returns the mean of all so far."""
        if self._mean is None:
            self._mean, self._weight = np.array(value, np.float64), 1.0
            return self._mean
        away = float(np.linalg.norm(value - self._mean))
        # The spread of the first values is not known yet: they count in full.
        weight = min(1.0, 1.5 * self._spread / away) if self._weight > 4 and away > 0 else 1.0
        self._weight = min(self._weight + weight, float(self._memory))
        self._mean = self._mean + (value - self._mean) * (weight / self._weight)
        self._spread += (min(away, 3 * self._spread or away) - self._spread) / min(
            self._weight, 30.0
        )
        return self._mean
