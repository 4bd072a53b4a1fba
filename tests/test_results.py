"""Batches of faces: some of them, and several together; printing and pickling of results."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.morphable_data import generic_model

import facegeo
from facegeo.errors import BatchError, InvalidInputError
from facegeo.geometry.crop import find_convention
from facegeo.morphable import MorphableModel
from facegeo.results import FaceBatch, Mesh, PhotoResult

SHARED = ("convention", "num_shape")
COLUMNS = [column.name for column in fields(FaceBatch) if column.name not in SHARED]


def batch(count: int = 5) -> FaceBatch:
    rng = np.random.default_rng(count)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=(count, *shape)).astype(np.float32)

    columns = (numbers(62), numbers(68, 3), numbers(68, 3), numbers(), numbers(4))
    return FaceBatch(*columns, find_convention("exact"))


@pytest.mark.parametrize(
    "rows",
    [
        slice(1, 4),
        slice(None, None, -1),
        [3, 0],
        np.array([4, 4, 1]),
        [],
        np.array([True, False, True, False, True]),
        np.zeros(5, bool),
    ],
    ids=str,
)
def test_rows_of_every_column(rows):
    whole = batch()
    index = np.arange(5)[np.array(rows, int) if isinstance(rows, list) else rows]
    some = whole[rows]
    assert len(some) == len(index)
    assert all(getattr(some, name) is getattr(whole, name) for name in SHARED)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[index])
    # What is worked out of the columns is of these rows, not a copy of what was there before.
    np.testing.assert_array_equal(some.affine, whole.affine[index])


@pytest.mark.parametrize("rows", [0, np.int64(2), [[0, 1]], [0.5], "all"])
def test_what_does_not_keep_the_axis_of_faces_is_refused(rows):
    with pytest.raises(InvalidInputError, match="rows: expected a slice"):
        batch()[rows]


def test_a_row_that_is_not_there_is_an_error():
    for rows in ([5], np.ones(4, bool)):
        with pytest.raises(IndexError):
            batch()[rows]


def test_batches_together():
    parts = [batch(2), batch(0), batch(3)]
    whole = FaceBatch.concatenate(parts)
    assert len(whole) == 5
    for name in COLUMNS:
        expected = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(whole, name), expected)
    assert FaceBatch.concatenate(parts[:1]) is parts[0]


def test_batches_that_do_not_go_together():
    other = replace(batch(), convention=find_convention("3ddfa"))
    with pytest.raises(InvalidInputError, match="got 2 batches of 2 kinds"):
        FaceBatch.concatenate([batch(), other])
    with pytest.raises(InvalidInputError, match="got 0 batches"):
        FaceBatch.concatenate([])


class Mesher:
    """A source of meshes that is heavy, and can be pickled."""

    unit_mm = 1.0
    morphable = generic_model()

    def mesh(self, params, affine):
        return Mesh(np.zeros((40000, 3), np.float32), np.zeros((80000, 3), np.int32))


def faces(count: int = 2):
    boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
    return batch(count).faces(boxes, np.full(count, 0.5), Mesher())


def test_a_face_prints_in_a_few_lines():
    (face, _) = faces()
    text = repr(face)
    assert text.startswith("Face(box=[0, 1, 2, 3], score=0.5, ")
    assert "landmarks=<68x3 float32>" in text and "yaw=" in text
    photo = np.zeros((400, 600, 3), np.uint8)
    results = [face.pose, batch(), face.mesh, PhotoResult(0, None, photo, faces(9), None), face]
    for result in results:
        assert len(repr(result)) < 500 and "\n" not in repr(result)


def test_pickles_of_faces_are_small_and_whole():
    several = faces(3)
    for mesh in (several[0].mesh, several[0].coarse_mesh):
        assert mesh.vertices.shape == (40000, 3)  # built, and left out of the pickle
    data = pickle.dumps(several)
    assert len(data) < 3 * 4096
    for face, copied in zip(several, pickle.loads(data), strict=True):
        for column in fields(face):
            expected, found = getattr(face, column.name), getattr(copied, column.name)
            if isinstance(expected, np.ndarray):
                np.testing.assert_array_equal(found, expected)
        assert copied.to_dict() == face.to_dict()
        assert copied.mesh.triangles.shape == (80000, 3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(batch())).affine, batch().affine)


def test_errors_of_batches_leave_a_worker_process():
    error = BatchError([[], None], {1: InvalidInputError("photo: no")})
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error) and copied.results == [[], None]
    assert isinstance(copied.failures[1], InvalidInputError)


def test_parameters_have_the_modes_of_their_face_model():
    numbers = np.arange(2 * 124, dtype=np.float32).reshape(2, 124)
    numbers[:, :12] = np.eye(3, 4).reshape(-1)
    points, rois = np.zeros((2, 68, 3), np.float32), np.array([[0, 0, 9, 9]] * 2, np.float32)
    columns = (numbers, points, points, np.zeros(2), rois)
    faces = FaceBatch(*columns, find_convention("exact"), num_shape=60)
    assert faces.shape.shape == (2, 60) and faces.expression.shape == (2, 52)
    np.testing.assert_array_equal(faces.shape[0], numbers[0, 12:72])
    np.testing.assert_array_equal(FaceBatch.concatenate([faces, faces])[2:].shape, faces.shape)
    face = faces.faces(np.zeros((2, 4)), np.zeros(2), SimpleNamespace(unit_mm=1.0))[1]
    np.testing.assert_array_equal(face.shape, numbers[1, 12:72])
    np.testing.assert_array_equal(face.expression, numbers[1, 72:])
    with pytest.raises(InvalidInputError, match="2 batches of 2 kinds"):
        FaceBatch.concatenate([faces, FaceBatch(*columns, find_convention("exact"))])


def test_columns_that_are_not_given_are_zeros():
    made = batch(3)
    for name in ("rotations", "depths"):
        assert getattr(made, name).tolist() == [0, 0, 0]
        given = replace(made, **{name: np.ones(3, np.float32)})
        assert getattr(pickle.loads(pickle.dumps(given)), name).tolist() == [1, 1, 1]


def test_what_the_network_tells_of_its_points_is_in_the_file_or_none():
    unknown, known = (
        batch(1),
        replace(
            batch(1),
            visibility=np.full((1, 68), 0.25, np.float32),
            covariance=np.tile(np.float32([[4, 1], [1, 2]]), (1, 68, 1, 1)),
        ),
    )
    assert np.isnan(unknown.visibility).all() and unknown.covariance.shape == (1, 68, 2, 2)
    source = SimpleNamespace(unit_mm=1.0, morphable=generic_model())
    faces = [b.faces(np.zeros((1, 4)), np.ones(1), source)[0] for b in (unknown, known)]
    blank = {name: faces[0].to_dict()[name] for name in ("visibility", "covariance")}
    assert blank == {"visibility": None, "covariance": None}
    told = faces[1].to_dict()
    assert told["visibility"] == [0.25] * 68 and told["covariance"][67] == [[4, 1], [1, 2]]
    both = FaceBatch.concatenate([unknown, known])[1:]
    np.testing.assert_array_equal(both.covariance, known.covariance)


class HeadMesher:
    """The head that ships as a source of meshes."""

    unit_mm = 1.0
    morphable = MorphableModel.load(
        Path(facegeo.__file__).parent / "assets" / "facegeo-head.npz", detail="low"
    )

    def mesh(self, params, affine):
        coefficients = np.split(params[None, 12:], [self.morphable.num_shape], axis=1)
        vertices = self.morphable.vertices(*coefficients, affine[None])[0]
        return Mesh(vertices, self.morphable.triangles)


def head_face(lean: float = 0.0):
    """A face of the head that ships, looking out of a photo, two pixels to a millimetre."""
    model = HeadMesher.morphable
    params = np.zeros((1, 12 + model.num_shape + model.num_expression), np.float32)
    params[0, [0, 5, 10]] = 1
    expression = params[:, 12 + model.num_shape :]
    expression[0, model.expression_names.index("jawOpen")] = 0.5
    affine = np.float32([[[2, 0, 0, 300], [0, -2, 0, 300], [0, 0, 2, 0]]])
    points = model.landmarks(params[:, 12 : 12 + model.num_shape], expression, affine)
    affine[:, 2, 3] -= points[:, [36, 45], 2].mean()
    points[..., 2] -= points[:, [36, 45], 2].mean()
    rois = np.float32([[0, 0, 600, 600]])
    convention = find_convention("exact")
    faces = FaceBatch(
        params,
        points + np.float32([lean, 0, 0]),
        points,
        np.ones(1),
        rois,
        convention,
        num_shape=model.num_shape,
    ).faces(rois, np.ones(1), HeadMesher())
    return replace(faces[0], affine=affine[0])


def test_landmarks_in_mediapipes_layout_are_places_of_the_mesh():
    face = head_face()
    points = face.landmarks_in("mediapipe478")
    assert points.shape == (478, 3) and points.dtype == np.float32
    # MediaPipe's numbers of the corners of eyes and mouth, in iBUG's order.
    same = {33: 36, 133: 39, 362: 42, 263: 45, 61: 48, 291: 54}
    apart = np.linalg.norm(points[list(same)] - face.landmarks[list(same.values())], axis=1)
    assert apart.max() < 4  # 2 mm
    # Both irises lie between the corners of their eyes: 468 of the right eye, 473 of the left.
    for iris, outer, inner in ((468, 36, 39), (473, 45, 42)):
        middle = face.landmarks[[outer, inner]].mean(axis=0)
        assert np.linalg.norm((points[iris] - middle)[:2]) < 8
        assert points[iris, 2] > middle[2]
    # The lower lip hangs: these lie on the inner rims of the lips, which touch at rest.
    for upper, lower in ((13, 14), (82, 87), (312, 317), (81, 178), (80, 88), (310, 318)):
        assert points[lower, 1] - points[upper, 1] > 5, (upper, lower)
    assert points[14, 1] - points[13, 1] > 10


def test_other_layouts_follow_the_refined_landmarks_too():
    still, moved = head_face(), head_face(lean=8.0)
    shift = moved.landmarks_in("mediapipe478") - still.landmarks_in("mediapipe478")
    np.testing.assert_allclose(shift[:, 0], 8, atol=0.2)
    own = still.landmarks_in("ibug68")
    np.testing.assert_allclose(own, still.landmarks, atol=1e-3)
    state = moved.__getstate__()
    assert not {"mesh", "coarse_mesh", "_refined"} & set(state)


def test_a_layout_that_the_face_model_has_not_is_named():
    with pytest.raises(InvalidInputError, match=r"layout: expected one of ibug68, .*got 'dlib'"):
        head_face().landmarks_in("dlib")
    (face, _) = faces()
    with pytest.raises(InvalidInputError, match=r"layout: expected one of ibug68, got 'mediapipe"):
        face.landmarks_in("mediapipe478")
