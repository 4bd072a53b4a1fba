"""The shipped file: its arrays, its size, its landmarks and layout."""

from __future__ import annotations

import numpy as np
from head_archive import ASSET, shipped

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.morphable.subdivision import Refinement

PARTS = (
    "skin", "mouth_inside", "lid_lining", "eye_left", "eye_right", "teeth_upper", "teeth_lower",
    "tongue",
)  # fmt: skip


def test_is_small() -> None:
    assert ASSET.stat().st_size < 5_000_000


def test_counts_and_types() -> None:
    arrays = shipped().arrays
    count, quads = len(arrays["cage/mean"]), len(arrays["cage/faces"])
    assert arrays["cage/shape_basis"].shape == (60, count, 3)
    assert arrays["cage/expression_basis"].shape == (52, count, 3)
    for kind in ("shape", "expression"):
        assert arrays[f"cage/{kind}_basis"].dtype == np.int16
        assert arrays[f"cage/{kind}_scale"].dtype == np.float32
    assert arrays["cage/part"].shape == arrays["subdivide"].shape == (quads,)
    assert arrays["part_names"].tolist() == list(PARTS)
    assert set(arrays["subdivide"].tolist()) == {1, 2}


def test_frame_is_between_the_eyes_in_millimetres() -> None:
    right, left = shipped().arrays["eyes/centre"].astype(float)
    np.testing.assert_allclose(right + left, 0, atol=1e-3)
    assert 62 <= left[0] - right[0] <= 64
    mean = shipped().mean
    assert 200 < np.ptp(mean[:, 1]) < 320
    assert mean[np.abs(mean[:, 0]) < 10, 2].max() < 60


def test_modes_have_the_unit_of_a_deviation() -> None:
    np.testing.assert_array_equal(shipped().arrays["shape_std"], 1)
    assert set(shipped().arrays["mirror/shape_sign"].tolist()) == {-1.0, 1.0}


def test_landmarks_mirror_and_their_stencils_agree_with_the_mesh() -> None:
    head = shipped()
    rows = head.arrays["landmarks/ibug68/rows"]
    np.testing.assert_array_equal(head.mirror[rows], rows[LANDMARK_MIRROR])
    assert len(set(rows.tolist())) == 68
    for name in ("ibug68", "iris", "contour", "silhouette", "mediapipe478"):
        key = f"landmarks/{name}"
        indptr, indices = head.arrays[f"{key}/indptr"], head.arrays[f"{key}/indices"]
        weights = head.arrays[f"{key}/weights"].astype(np.float64)
        places = np.add.reduceat(
            weights[:, None] * head.arrays["cage/mean"][indices].astype(np.float64), indptr[:-1]
        )
        np.testing.assert_allclose(places, head.mean[head.arrays[f"{key}/rows"]], atol=1e-4)


def test_contour_passes_through_the_jaw_points() -> None:
    arrays = shipped().arrays
    np.testing.assert_array_equal(
        arrays["landmarks/contour/rows"][::4], arrays["landmarks/ibug68/rows"][:17]
    )


def test_rows_across_the_jaw_run_from_the_face_outwards_and_mirror() -> None:
    head = shipped()
    rows = head.arrays["landmarks/silhouette/rows"].reshape(17, 15)
    np.testing.assert_array_equal(rows[:, 11], head.arrays["landmarks/ibug68/rows"][:17])
    np.testing.assert_array_equal(head.mirror[rows], rows[::-1])
    outer = np.unique(head.fine.triangles[head.part == "skin"])
    assert np.isin(rows, outer).all()
    # The rims of the ears stand out farther than any of them.
    assert np.abs(head.mean[rows, 0]).max() < 78 < np.abs(head.mean[:, 0]).max() - 5
    for row in head.mean[rows]:
        steps = np.diff(row, axis=0)
        length = np.linalg.norm(steps, axis=1)
        assert 0.5 < length.min() <= length.max() < 12
        # No step turns back, and all lead backwards up to the jaw.
        assert ((steps[:-1] * steps[1:]).sum(axis=1) > 0).all()
        assert (np.diff(row[:12, 2]) < 2).all()
        assert row[11, 2] < row[0, 2] - 5


def test_rows_across_the_jaw_do_not_cross() -> None:
    head = shipped()
    rows = head.mean[head.arrays["landmarks/silhouette/rows"].reshape(17, 15)]
    # From the right ear over the chin to the left one, seen from above the head's middle.
    turn = np.arctan2(rows[..., 0], -rows[..., 1] - 40)
    low = turn[4:13, 3:12]
    assert (np.diff(low, axis=0) > 0).all()
    # Beside the mouth and above, one row lies higher than the next.
    assert (np.diff(rows[12:, :12, 1], axis=0) > 0).all()


def test_iris_points_lie_around_their_pupils() -> None:
    head = shipped()
    irises = head.mean[head.arrays["landmarks/iris/rows"]].reshape(2, 9, 3)
    assert irises[0, 0, 0] < 0 < irises[1, 0, 0]
    radius = np.linalg.norm(irises[:, 1:, :2] - irises[:, :1, :2], axis=2)
    assert 5.0 < radius.min() <= radius.max() < 7.0
    assert np.ptp(radius) < 0.1


def test_mediapipe_points_lie_where_its_regions_say() -> None:
    head = shipped()
    places = head.mean[head.arrays["landmarks/mediapipe478/rows"]]
    ibug = head.mean[head.arrays["landmarks/ibug68/rows"]]
    assert len(places) == 478
    pairs = {61: 48, 291: 54, 33: 36, 263: 45, 133: 39, 362: 42, 152: 8, 0: 51, 17: 57, 2: 33}
    for mediapipe, row in pairs.items():
        assert np.linalg.norm(places[mediapipe] - ibug[row]) < 2.5, mediapipe
    for centre in (468, 473):
        right, top, left, bottom = places[centre + 1 : centre + 5] - places[centre]
        assert right[0] > 5 > -5 > left[0]
        assert top[1] > 5 > -5 > bottom[1]
    assert places[468, 0] < 0 < places[473, 0]


def test_every_point_of_the_skin_is_in_one_region() -> None:
    arrays = shipped().arrays
    names = ("face", "ears", "neck", "scalp")
    total = sum(arrays[f"regions/{name}"].astype(int) for name in names)
    assert total.max() == 1
    for name in ("lips", "brows"):
        assert not (arrays[f"regions/{name}"] & ~arrays["regions/face"]).any(), name


def test_face_has_most_of_the_texture_and_no_triangle_of_it_is_turned() -> None:
    head = shipped()
    arrays = head.arrays
    fine = Refinement(arrays["cage/faces"], arrays["subdivide"], len(arrays["cage/mean"]))
    uv, triangles = fine.texture(arrays["cage/uv_faces"], arrays["cage/uv"].astype(np.float64))
    assert uv.min() >= 0
    assert uv.max() <= 1
    a, b, c = np.moveaxis(uv[triangles], 1, 0)
    area = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert area.min() > 0
    face = head.region("face")[head.fine.triangles].all(axis=1) & (head.part == "skin")
    assert area[face].sum() >= 0.40
