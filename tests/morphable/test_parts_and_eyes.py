"""Named parts and eyeballs of a model, of a cage and of a whole mesh."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.cage_data import NUM_EXPRESSION, NUM_SHAPE, ball, cage_arrays, write_cage

from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.morphable import MorphableModel, expansion
from facegeo.morphable.archive import encoded_basis
from facegeo.morphable.model import CageModel
from facegeo.morphable.subdivision import subdivide

PARTS = ("body", "eye_right", "eye_left", "teeth_upper", "teeth_lower")
CENTRE = np.array([[-50.0, 3, 9], [50, 3, 9]], np.float32)
#: An affine motion of everything: shape mode 0. Its mirror image is itself.
STRETCH, SHIFT = np.diag([0.05, -0.1, 0.2]), np.array([0.0, 2, -1])


def eyed(path: Path, **changes: np.ndarray | None) -> Path:
    """A ball whose sides are eyeballs and whose underside is teeth."""
    unit, faces = ball()
    arrays = cage_arrays()
    middle = unit[faces].mean(axis=1)
    part = np.zeros(len(faces), np.uint8)
    part[middle[:, 1] < -0.5], part[middle[:, 1] < -0.8] = 3, 4
    part[middle[:, 0] < -0.6], part[middle[:, 0] > 0.6] = 1, 2
    points = subdivide(faces, arrays["subdivide"], len(unit)).matrix
    fine, mirror = points @ arrays["cage/mean"], arrays["mirror/vertices"]
    right = np.unique(faces[part == 1])[:4]
    # The last point is no vertex of the cage.
    beyond = [int(np.abs(fine[len(unit) :] - place).sum(axis=1).argmin()) for place in -CENTRE]
    rows = np.array([*right, len(unit) + beyond[1], *mirror[right], len(unit) + beyond[0]])
    stencils = points[rows].tocsr()
    modes = np.stack([arrays["cage/mean"] @ STRETCH + SHIFT] + [arrays["cage/mean"] * 0] * 4)
    stored = encoded_basis("basis", modes.astype(np.float32), "int16")
    given = {
        "cage__part": part,
        "part_names": np.array(PARTS),
        "eyes__centre": CENTRE,
        "cage__shape_basis": stored["basis"],
        "cage__shape_scale": stored["basis_scale"],
        "landmarks__iris__rows": rows,
        "landmarks__iris__indptr": stencils.indptr,
        "landmarks__iris__indices": stencils.indices,
        "landmarks__iris__weights": stencils.data.astype(np.float32),
    }
    return write_cage(path, **given | changes)


@pytest.fixture
def head(cache: Path, tmp_path: Path) -> CageModel:
    model = MorphableModel.load(eyed(tmp_path / "eyed.npz"))
    assert isinstance(model, CageModel)
    return model


@pytest.fixture(params=["cage", "whole"])
def model(head: CageModel, tmp_path: Path, request: pytest.FixtureRequest) -> MorphableModel:
    if request.param == "cage":
        return head
    dataclasses.replace(head).save(tmp_path / "whole.npz")
    return MorphableModel.load(tmp_path / "whole.npz")


def test_parts_are_found_by_name(model: MorphableModel) -> None:
    upper, lower = model.part("teeth_upper"), model.part("teeth_lower")
    assert upper.any() and lower.any() and not (upper & lower).any()
    np.testing.assert_array_equal(model.part("teeth"), upper | lower)
    np.testing.assert_array_equal(
        model.part("eye"), model.parts["eye_left"] | model.part("eye_right")
    )
    everything = sum(mask.astype(int) for mask in model.parts.values())
    assert set(everything.tolist()) == {1}
    for name in ("tooth", "teeth_", "", "eye_"):
        with pytest.raises(InvalidInputError, match="part: expected one of body, eye_right, "):
            model.part(name)


def test_parts_are_left_out(model: MorphableModel) -> None:
    bare = model.without("teeth", "eye_left")
    kept = ~(model.part("teeth") | model.part("eye_left"))
    np.testing.assert_array_equal(bare.triangles, model.triangles[kept])
    assert bare.uv_triangles is not None and model.uv_triangles is not None
    np.testing.assert_array_equal(bare.uv_triangles, model.uv_triangles[kept])
    assert set(bare.parts) == {"body", "eye_right"}
    np.testing.assert_array_equal(bare.part("eye_right"), model.part("eye_right")[kept])
    # Vertices keep their rows.
    shape, expression = np.ones((1, NUM_SHAPE)), np.ones((1, NUM_EXPRESSION))
    np.testing.assert_array_equal(
        bare.vertices(shape, expression), model.vertices(shape, expression)
    )
    assert len(model.triangles) == len(kept), "the model itself stays whole"
    again = bare.without("body")
    assert set(again.parts) == {"eye_right"} and len(again.triangles) == kept.sum() - (
        bare.part("body").sum()
    )
    with pytest.raises(InvalidInputError, match="one of body, eye_right, got 'teeth'"):
        bare.without("teeth")
    assert len(model.without().triangles) == len(kept)


def test_leaving_parts_out_makes_no_mesh(head: CageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a mesh was made")

    monkeypatch.setattr(expansion, "expanded", fail)
    bare = head.without("teeth")
    assert isinstance(bare, CageModel) and bare.left_out == ("teeth_upper", "teeth_lower")
    assert bare.eyes is not None and bare.eyes.centre.shape == (2, 3)
    assert isinstance(bare.truncated(2, 1), CageModel)
    assert bare.truncated(2, 1).left_out == bare.left_out


def test_a_model_without_parts_says_so(cache: Path, tmp_path: Path) -> None:
    bare = MorphableModel.load(write_cage(tmp_path / "bare.npz", cage__part=None))
    with pytest.raises(InvalidInputError, match="part: expected one of none, the model has no"):
        bare.part("teeth")
    with pytest.raises(InvalidInputError, match="the model has no parts"):
        bare.without("teeth")
    assert bare.eyes is None


def test_centres_follow_any_affine_motion_of_the_eyeballs(model: MorphableModel) -> None:
    eyes = model.eyes
    assert eyes is not None
    np.testing.assert_array_equal(eyes.centre, CENTRE)
    shape = np.zeros((2, NUM_SHAPE))
    shape[1, 0] = 1.5
    found = eyes.centres(shape, np.zeros((2, NUM_EXPRESSION)))
    np.testing.assert_allclose(found[0], CENTRE, atol=1e-5)
    moved = CENTRE + 1.5 * (CENTRE @ STRETCH + SHIFT)
    np.testing.assert_allclose(found[1], moved, atol=5e-3)
    with pytest.raises(InvalidInputError, match=r"shape: expected shape \(N, 5\)"):
        eyes.centres(np.zeros((1, 4)), np.zeros((1, 4)))


def test_eyes_are_each_others_images(model: MorphableModel) -> None:
    eyes, mirror = model.eyes, model.mirror
    assert eyes is not None and mirror is not None
    np.testing.assert_allclose(eyes.centre[1], eyes.centre[0] * (-1, 1, 1), atol=1e-6)
    assert eyes.radius[0] == pytest.approx(eyes.radius[1], rel=1e-3)
    np.testing.assert_array_equal(mirror.vertices[eyes.iris[0]], eyes.iris[1])
    for side, part in enumerate(("eye_right", "eye_left")):
        own = np.unique(model.triangles[model.part(part)])
        assert np.isin(eyes.iris[side, :4], own).all()
    away = np.linalg.norm(model.mean[eyes.iris[:, 1:]] - eyes.centre[:, None], axis=2)
    np.testing.assert_allclose(eyes.radius, away.mean(axis=1), rtol=1e-3)
    for array in vars(eyes).values():
        assert not array.flags.writeable


def test_the_low_detail_has_irises_among_its_vertices(head: CageModel) -> None:
    low = CageModel(head.cage, "low", head.key)
    assert low.eyes is not None and head.eyes is not None
    assert low.eyes.iris.max() < low.num_vertices
    np.testing.assert_array_equal(low.eyes.iris[:, :4], head.eyes.iris[:, :4])
    for side, part in enumerate(("eye_right", "eye_left")):
        assert np.isin(low.eyes.iris[side], low.triangles[low.part(part)]).all()


def test_eyes_of_fewer_modes(model: MorphableModel) -> None:
    cut = model.truncated(2, 1)
    assert cut.eyes is not None and model.eyes is not None
    np.testing.assert_array_equal(cut.eyes.shape_basis, model.eyes.shape_basis[:2])
    assert len(cut.eyes.expression_basis) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eyes__centre": np.zeros((1, 3))}, r"eyes/centre: expected shape \(2, 3\)"),
        ({"eyes__centre": CENTRE * np.nan}, "eyes/centre: expected finite"),
        ({"part_names": np.array(["a", "b", "c", "d", "e"])}, "expected a part 'eye_right'"),
        (
            {f"landmarks__iris__{k}": None for k in ("rows", "indptr", "indices", "weights")},
            "landmarks/iris: expected the points of both",
        ),
    ],
)
def test_what_is_wrong_with_eyes_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(CorruptFileError, match=rf"bad\.npz: .*{message}"):
        MorphableModel.load(eyed(tmp_path / "bad.npz", **changes))


def test_eyes_that_do_not_fit_are_refused(head: CageModel) -> None:
    assert head.eyes is not None
    beyond = head.eyes.iris + head.num_vertices
    for change, message in (
        ({"iris": beyond}, "eyes/iris: expected indices"),
        ({"radius": -head.eyes.radius}, "eyes/radius: expected positive"),
        ({"shape_basis": np.zeros((1, 2, 3))}, "eyes/shape_basis: expected shape"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            dataclasses.replace(head, eyes=dataclasses.replace(head.eyes, **change))


def test_a_part_of_the_eyes_is_missing(head: CageModel, tmp_path: Path) -> None:
    dataclasses.replace(head).save(tmp_path / "whole.npz")
    with np.load(tmp_path / "whole.npz") as archive:
        arrays = {key: archive[key] for key in archive.files if key != "eyes/radius"}
    np.savez(tmp_path / "cut.npz", **arrays)
    with pytest.raises(CorruptFileError, match="key 'eyes/radius' is missing"):
        MorphableModel.load(tmp_path / "cut.npz")


def colours(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "texture__mean": rng.uniform(0, 255, (count, 3)).astype(np.float32),
        "texture__basis": rng.normal(size=(2, count, 3)).astype(np.float32),
        "texture__std": np.array([1.0, 2.0], np.float32),
    }


@pytest.mark.parametrize("detail", ["full", "low"])
def test_colours_of_a_cage_go_through_the_same_rule(
    cache: Path, tmp_path: Path, detail: str
) -> None:
    arrays = cage_arrays()
    count = len(arrays["cage/mean"])
    given = colours(count)
    path = write_cage(tmp_path / "coloured.npz", **given)
    model = MorphableModel.load(path, detail=detail)
    assert model.texture is not None
    matrix = subdivide(arrays["cage/faces"], arrays["subdivide"], count).matrix
    matrix = matrix[: model.num_vertices]
    rest = np.setdiff1d(np.arange(model.num_vertices), model.landmark_rows)
    for found, field in (
        (model.texture.mean, given["texture__mean"]),
        (model.texture.basis[1], given["texture__basis"][1]),
    ):
        np.testing.assert_allclose(found[rest], (matrix @ field)[rest], atol=1e-3)
    np.testing.assert_array_equal(model.texture.std, given["texture__std"])
    seen = model.texture.colors([[1, -1]])
    assert seen.shape == (1, model.num_vertices, 3)
    # From the cache folder they are the same.
    again = MorphableModel.load(path, detail=detail)
    assert again.texture is not None
    np.testing.assert_array_equal(again.texture.basis, model.texture.basis)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texture__std": None}, "key 'texture/std' is missing"),
        ({"texture__mean": np.zeros((5, 3))}, "texture/mean: expected shape"),
    ],
)
def test_colours_that_do_not_fit_a_cage_are_named(
    tmp_path: Path, change: dict, message: str
) -> None:
    given = colours(len(cage_arrays()["cage/mean"]))
    with pytest.raises(CorruptFileError, match=rf"bad\.npz: .*{message}"):
        MorphableModel.load(write_cage(tmp_path / "bad.npz", **given | change))
