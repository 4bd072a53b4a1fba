"""Loop subdivision."""

from __future__ import annotations

import numpy as np
from generic_build.subdivision import loop_matrix, mirror_of_edges


def hexagon() -> tuple[np.ndarray, np.ndarray]:
    """A centre with six neighbours, and the ring of boundary around."""
    turn = np.pi / 3 * np.arange(6)
    points = np.concatenate([[[0.0, 0.0]], np.stack([np.cos(turn), np.sin(turn)], -1)])
    triangles = np.array([(0, 1 + i, 1 + (i + 1) % 6) for i in range(6)])
    return points, triangles


def test_counts_and_orientation() -> None:
    points, triangles = hexagon()
    matrix, fine = loop_matrix(triangles, len(points))
    new = matrix @ points
    assert new.shape == (7 + 12, 2)
    a, b, c = (new[fine[:, i]] for i in range(3))
    assert len(fine) == 24
    assert (np.cross(np.c_[b - a, np.zeros(24)], np.c_[c - a, np.zeros(24)])[:, 2] > 0).all()


def test_weights_sum_to_one_and_follow_loop() -> None:
    _, triangles = hexagon()
    matrix, _ = loop_matrix(triangles, 7)
    dense = matrix.toarray()
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-14)
    np.testing.assert_allclose(dense[0], [5 / 8, *[1 / 16] * 6], atol=1e-14)  # valence 6
    np.testing.assert_allclose(np.sort(dense[1])[-3:], [1 / 8, 1 / 8, 3 / 4], atol=1e-14)
    spoke = dense[7:][(dense[7:, 0] == 0.375)]
    np.testing.assert_allclose(np.sort(spoke)[:, -4:], [[1 / 8, 1 / 8, 3 / 8, 3 / 8]] * 6)


def test_mirror_follows_the_edges() -> None:
    points, triangles = hexagon()
    mirror = np.array([0, 4, 3, 2, 1, 6, 5])  # reflection of x
    matrix, _ = loop_matrix(triangles, 7)
    new, new_mirror = matrix @ points, mirror_of_edges(triangles, mirror)
    np.testing.assert_allclose(new[new_mirror] * [-1, 1], new, rtol=0, atol=1e-14)
