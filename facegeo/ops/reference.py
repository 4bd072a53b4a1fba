"""Reference for the mesh kernels, in float64 and in two lines; every kernel is tested on it."""

from __future__ import annotations

import numpy as np


def build_meshes(
    mean: np.ndarray, bases: np.ndarray, coefficients: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """Vertices ``A (mean + sum_m coefficient_m basis_m) + t`` of N faces.

    Parameters
    ----------
    mean : (V, 3) array
        Mean face in model units.
    bases : (M, V, 3) array
        Displacements in model units for a coefficient of one.
    coefficients : (N, M) array
    pose : (N, 3, 4) array
        ``[A | t]``: model units to the frame of the result.

    Returns
    -------
    (N, V, 3) float64
    """
    pose = np.asarray(pose, np.float64)
    # x[n, v, j] = mean[v, j] + sum_m c[n, m] b[m, v, j]
    shaped = np.asarray(mean, np.float64) + np.tensordot(
        np.asarray(coefficients, np.float64), np.asarray(bases, np.float64), axes=1
    )
    # y[n, v, i] = sum_j A[n, i, j] x[n, v, j] + t[n, i]
    return shaped @ pose[:, :, :3].transpose(0, 2, 1) + pose[:, None, :, 3]
