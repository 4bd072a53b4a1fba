"""The smooth surface through the controls: a thin-plate spline from the chart to space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``r^2 log r`` between rows of ``a (N, 2)`` and ``b (C, 2)``."""
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    square = np.maximum(square, 1e-9)
    return 0.5 * square * np.log(square)


@dataclass(frozen=True, eq=False)
class ChartSurface:
    """A map from the chart to space: the plate of least bending through the controls.

    Symmetric by construction: each control bends the plate together with its mirror image.

    Attributes
    ----------
    chart : (C, 2) float64
        Controls with u >= 0.
    even, odd : (C + 3,) or (C + 3, D) float64
        Coefficients of the coordinates that keep (y, z) and change (x) their sign in the mirror.
    """

    chart: np.ndarray
    even: np.ndarray
    odd: np.ndarray

    def __call__(self, chart: np.ndarray) -> np.ndarray:
        """Points ``(N, 3)`` millimetres at chart coordinates ``(N, 2)``."""
        near = _kernel(chart, self.chart)
        far = _kernel(chart, self.chart * [-1, 1])
        u, v = chart.T
        one = np.ones_like(u)
        odd = (near - far) @ self.odd[:-1] + u * self.odd[-1]
        even = (near + far) @ self.even[:-2] + np.stack([one, v], -1) @ self.even[-2:]
        return np.concatenate([odd[:, None], even], -1)


def fit_surface(chart: np.ndarray, points: np.ndarray, softness: np.ndarray) -> ChartSurface:
    """The thin-plate spline through controls of the half face and their mirror images.

    Parameters
    ----------
    chart : (C, 2) float64
    points : (C, 3) float64
        Millimetres.
    softness : (C,) float64
        The surface passes through controls of softness 0; it bends less and passes near the others.
    """
    near = _kernel(chart, chart)
    far = _kernel(chart, chart * [-1, 1])
    u, v = chart.T
    count = len(chart)
    # Even part: symmetric plate plus 1 and v. Midline controls meet their own mirror image.
    ones = np.stack([np.ones(count), v], -1)
    system = np.zeros((count + 2, count + 2))
    system[:count, :count] = near + far + np.diag(softness)
    system[:count, count:], system[count:, :count] = ones, ones.T
    right = np.concatenate([points[:, 1:], np.zeros((2, 2))])
    even = np.linalg.solve(system, right)
    # Odd part: midline controls say nothing, x = 0 there anyway.
    off = np.flatnonzero(u > 0)
    system = np.zeros((len(off) + 1, len(off) + 1))
    system[:-1, :-1] = (near - far)[np.ix_(off, off)] + np.diag(softness[off])
    system[:-1, -1], system[-1, :-1] = u[off], u[off]
    solved = np.linalg.solve(system, np.append(points[off, 0], 0.0))
    odd = np.zeros(count + 1)
    odd[off], odd[-1] = solved[:-1], solved[-1]
    return ChartSurface(chart, even, odd)
