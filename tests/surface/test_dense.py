"""Faces as dense surfaces, by fitting where the network's own bases are missing."""

import dataclasses

import numpy as np
import pytest
from helpers.morphable_data import ellipsoid

from facegeo.errors import InvalidInputError, MissingBasisError
from facegeo.morphable import MorphableModel
from facegeo.surface.dense import dense_faces


@pytest.fixture(scope="module")
def faces(predictor, shared):
    return predictor(shared / "data/photos/trump_hillary.jpg")


@pytest.fixture(scope="module")
def photo(shared):
    from facegeo.images import read_photo

    return read_photo(shared / "data/photos/trump_hillary.jpg")


def test_fitted_meshes_sit_on_the_landmarks(faces):
    dense = dense_faces(faces)
    assert dense.fitted and dense.model.name == "facegeo-head" and len(dense) == 2
    rows = dense.vertices[:, dense.model.landmark_rows]
    for points, face in zip(rows, faces, strict=True):
        size = np.sqrt(np.ptp(face.landmarks[:, :2], axis=0).prod())
        distance = np.linalg.norm((points - face.landmarks)[:, :2], axis=1)
        assert distance.mean() < 0.02 * size


def test_fitted_meshes_turn_as_the_network_says(faces):
    from facegeo.geometry.pose import decompose_affine, euler_from_rotation

    dense = dense_faces(faces)
    upright = dense.affine * np.array([1, -1, 1])[:, None]
    angles = euler_from_rotation(decompose_affine(upright)[1])
    for found, face in zip(angles, faces, strict=True):
        pose = face.pose
        assert np.abs(found - [pose.yaw, pose.pitch, pose.roll]).max() < 6


def test_no_faces_are_no_surfaces():
    assert dense_faces([]).vertices.shape == (0, MorphableModel.default().num_vertices, 3)


def test_what_is_fitted_is_not_coarse(faces):
    with pytest.raises(MissingBasisError, match="model 'mb05' has landmarks but no dense mesh"):
        dense_faces(faces, coarse=True)
    with pytest.raises(InvalidInputError, match="coarse: expected no model"):
        dense_faces(faces, MorphableModel.default(), coarse=True)


def test_blendshapes_are_the_expressions_by_name(faces):
    dense = dense_faces(faces)
    for weights, expression in zip(dense.blendshapes, dense.expression, strict=True):
        assert weights["jawOpen"] == expression[dense.model.expression_names.index("jawOpen")]
    unnamed = dataclasses.replace(ellipsoid(), expression_names=())
    nameless = dataclasses.replace(dense, model=unnamed)
    assert nameless.blendshapes == [None, None]


def test_surfaces_are_life_size_and_coloured_from_the_photo(faces, photo):
    dense = dense_faces(faces)
    for kind, metres in (("obj", 1e-3), ("ply", 1e-3), ("glb", 1.0)):
        surface = dense.surface(0, photo, kind)
        width = np.ptp(surface.placed(surface.vertices)[:, 0]) * metres
        assert 0.13 < width < 0.25  # ear to ear
        assert surface.texture is not None
        assert (surface.colors is not None) == (kind == "ply")  # for viewers without textures
    ply = dense.surface(0, photo, "ply")
    rows = dense.model.landmark_rows[27:36]  # the nose is seen
    x, y = np.rint(dense.vertices[0, rows, :2]).astype(int).T
    assert np.abs(ply.colors[rows].astype(int) - photo[y, x]).mean() < 12


def test_faces_of_one_photo_hide_each_other(faces, photo):
    dense = dense_faces(faces)
    raster = dense.raster(*photo.shape[:2])
    assert set(np.unique(raster.mesh)) == {-1, 0, 1}
    for index, face in enumerate(faces):
        x, y = np.rint(face.landmarks[30, :2]).astype(int)
        assert raster.mesh[y, x] == index
