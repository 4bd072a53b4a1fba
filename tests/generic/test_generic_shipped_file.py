"""What the shipped facegeo-generic promises."""

from __future__ import annotations

import numpy as np
import pytest
from generic_archive import ASSET, shipped
from helpers.morphable_data import face_normals

from facegeo.conventions import LANDMARK_MIRROR

Archive = dict[str, np.ndarray]
FLIP = np.array([-1, 1, 1], np.float32)


@pytest.fixture(scope="module")
def archive() -> Archive:
    return shipped()


@pytest.fixture(scope="module")
def basis(archive: Archive) -> np.ndarray:
    """Shape and expression modes together, (50, V, 3) float32."""
    return np.concatenate([archive["shape_basis"], archive["expression_basis"]])


def test_size(archive: Archive) -> None:
    assert ASSET.stat().st_size <= 12_000_000
    assert len(archive["mean"]) >= 35_000
    assert len(archive["triangles"]) >= 70_000
    assert archive["shape_basis"].shape == (40, len(archive["mean"]), 3)
    assert archive["expression_basis"].shape == (10, len(archive["mean"]), 3)


def test_keys_are_those_of_the_format(archive: Archive) -> None:
    plain = {name for name in archive if "/" not in name}
    assert plain == {
        "format", "format_version", "name", "unit_mm", "mean", "shape_basis", "shape_basis_scale",
        "expression_basis", "expression_basis_scale", "triangles", "landmark_rows", "uv",
        "shape_names", "expression_names",
    }  # fmt: skip
    assert str(archive["format"]) == "facegeo-morphable-model"
    assert float(archive["unit_mm"]) == 1.0


def test_triangles_are_even(archive: Archive) -> None:
    area = (
        np.linalg.norm(face_normals(archive["mean"].astype(float), archive["triangles"]), axis=1)
        / 2
    )
    assert area.std() / area.mean() < 0.25
    assert np.percentile(area, 1) > 0.3 * np.median(area)


def test_surface_is_a_consistently_turned_manifold(archive: Archive) -> None:
    t = archive["triangles"].astype(np.int64)
    directed = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    key = directed[:, 0] * len(archive["mean"]) + directed[:, 1]
    assert len(np.unique(key)) == len(key), "an edge is used twice in the same direction"
    assert set(np.unique(t)) == set(range(len(archive["mean"])))


def test_normals_point_outwards(archive: Archive) -> None:
    mean, t = archive["mean"].astype(float), archive["triangles"]
    normal = face_normals(mean, t)
    for index in (8, 27, 30, 36, 45, 51, 57):  # all on the front of the face
        around = (t == archive["landmark_rows"][index]).any(1)
        assert normal[around, 2].sum() > 0


def test_mean_is_symmetric(archive: Archive) -> None:
    mirror = archive["mirror/vertices"]
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    assert np.abs(archive["mean"][mirror] * FLIP - archive["mean"]).max() <= 1e-6


@pytest.mark.parametrize("kind", ["shape", "expression"])
def test_mirror_image_of_a_face_is_in_the_model(archive: Archive, kind: str) -> None:
    basis = archive[f"{kind}_basis"]
    coefficients = np.random.default_rng(1).normal(size=len(basis))
    face = np.tensordot(coefficients, basis, 1)[archive["mirror/vertices"]] * FLIP
    other = archive[f"mirror/{kind}_sign"] * coefficients[archive[f"mirror/{kind}_index"]]
    # One step of the 16-bit storage is 1e-4 mm or less.
    assert np.abs(np.tensordot(other, basis, 1) - face).max() < 1e-3


def test_blinks_are_each_others_mirror_image(archive: Archive) -> None:
    names = list(archive["expression_names"])
    index = archive["mirror/expression_index"]
    assert names[index[names.index("blink_left")]] == "blink_right"
    assert np.array_equal(np.sort(index), np.arange(10))


def test_landmarks_are_mirrored_in_pairs(archive: Archive) -> None:
    rows = archive["landmark_rows"]
    assert len(np.unique(rows)) == 68
    assert np.array_equal(archive["mirror/vertices"][rows], rows[LANDMARK_MIRROR])


def test_landmarks_are_in_the_order_of_ibug(archive: Archive) -> None:
    x, y, z = archive["mean"][archive["landmark_rows"]].T
    assert (np.diff(x[1:16]) > 0).all()  # contour from the person's right ear to the left
    assert (np.diff(y[:9]) < 0).all()
    assert y[:17].argmin() == 8
    assert (np.diff(x[17:27]) > 0).all()
    assert z.argmax() == 30
    assert (np.diff(y[27:31]) < 0).all()
    assert x[36] < x[39] < x[42] < x[45]
    assert y[51] > y[62] > y[57]
    assert y[51] > y[66] > y[57]
    assert (y[[37, 38, 43, 44]] > y[[41, 40, 47, 46]]).all()


def test_texture_coordinates_lie_in_the_square_and_never_fold(archive: Archive) -> None:
    uv, t = archive["uv"].astype(float), archive["triangles"]
    assert uv.min() >= 0
    assert uv.max() <= 1
    a, b, c = (uv[t[:, i]] for i in range(3))
    turn = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (turn > 0).all()


def test_regions_divide_the_mesh(archive: Archive) -> None:
    names = ("face", "mouth_interior", "lid_lining", "nostrils", "left_eyeball", "right_eyeball")
    cover = sum(archive[f"region/{name}"].astype(int) for name in names)
    assert (cover == 1).all()
    assert not (archive["region/lips"] & ~archive["region/face"]).any()


def lowest_cosine(mean: np.ndarray, faces: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Smallest cosine between a triangle's normal on a face and on the mean, a face."""
    before, after = face_normals(mean, triangles), face_normals(faces, triangles)
    size = np.linalg.norm(before, axis=-1) * np.sqrt(np.einsum("nfi,nfi->nf", after, after))
    return (np.einsum("fi,nfi->nf", before, after) / np.maximum(size, 1e-12)).min(-1)


def test_no_mode_turns_a_triangle_over(archive: Archive, basis: np.ndarray) -> None:
    for mode in basis:
        faces = archive["mean"] + np.array([-2, 2], np.float32)[:, None, None] * mode
        assert lowest_cosine(archive["mean"], faces, archive["triangles"]).min() > 0.3


@pytest.mark.once
def test_no_random_face_turns_a_triangle_over(archive: Archive, basis: np.ndarray) -> None:
    coefficients = np.random.default_rng(0).normal(size=(1000, 50)).astype(np.float32)
    flat = basis.reshape(50, -1)
    for part in np.array_split(coefficients, 100):
        faces = archive["mean"] + (part @ flat).reshape(len(part), -1, 3)
        assert lowest_cosine(archive["mean"], faces, archive["triangles"]).min() > 0.05


def opening(archive: Archive, basis: np.ndarray, weights: dict[str, float], pair: tuple[int, int]
) -> float:  # fmt: skip
    """Height between two landmarks, millimetres, at some coefficients of expression."""
    names = list(archive["expression_names"])
    face = archive["mean"].copy()
    for name, value in weights.items():
        face += value * basis[40 + names.index(name)]
    upper, lower = face[archive["landmark_rows"][list(pair)], 1]
    return float(upper - lower)


def test_eyes_and_mouth_open_and_close(archive: Archive, basis: np.ndarray) -> None:
    shut = {"blink_left": 3.7}
    for upper, lower in ((43, 47), (44, 46)):
        assert opening(archive, basis, {}, (upper, lower)) > 8
        assert opening(archive, basis, shut, (upper, lower)) < 1.3
    assert opening(archive, basis, shut, (37, 41)) > 8  # the other eye
    assert abs(opening(archive, basis, {}, (62, 66))) < 0.5
    assert opening(archive, basis, {"jaw_open": 3}, (62, 66)) > 8
