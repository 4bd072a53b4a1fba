"""Heads kept as a cage: what a mesh of them is, when it is made, and what becomes of bad files."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.cage_data import NUM_EXPRESSION, NUM_SHAPE, ball, cage_arrays, write_cage

from facegeo.base.cache import cache_dir
from facegeo.base.mapped import read_mapped
from facegeo.conventions import LANDMARK_MIRROR
from facegeo.errors import CorruptFileError, InvalidInputError, MissingBasisError
from facegeo.morphable import MorphableModel, cage_mesh, expansion
from facegeo.morphable.basis import VertexTexture
from facegeo.morphable.cage import Detail
from facegeo.morphable.model import CageModel
from facegeo.morphable.subdivision import subdivide
from facegeo.zoo.shipped import ASSETS

#: Of the ball: vertices and triangles of both details, and sums of its coordinates.
GOLDEN = (2, [3554, 1594592401, 386, 768, 12959])
GOLDEN_SUMS = [456349.342, 48941.343, 17626.637]


@pytest.fixture
def head(cache: Path, tmp_path: Path) -> MorphableModel:
    return MorphableModel.load(write_cage(tmp_path / "ball.npz"))


@pytest.fixture
def no_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a mesh was made")

    monkeypatch.setattr(expansion, "expanded", fail)


def stored() -> list[Path]:
    """Files of the cache, when they are all written."""
    for thread in threading.enumerate():
        if thread.name == "facegeo-mesh-cache":
            thread.join()
    return sorted((cache_dir() / "meshes").glob("*"))


def random_faces(count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    shape = rng.normal(size=(count, NUM_SHAPE)).astype(np.float32)
    return shape, rng.uniform(0, 1, (count, NUM_EXPRESSION)).astype(np.float32)


def expected_vertices(shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """By the definition: the cage is moved, then subdivided."""
    arrays = cage_arrays()
    moved = np.tile(arrays["cage/mean"].astype(np.float64), (len(shape), 1, 1))
    for kind, coefficients in (("shape", shape), ("expression", expression)):
        scale = arrays[f"cage/{kind}_scale"] / 32767
        basis = arrays[f"cage/{kind}_basis"] * scale[:, None, None]
        moved += np.tensordot(coefficients.astype(np.float64), basis, 1)
    matrix = subdivide(arrays["cage/faces"], arrays["subdivide"], moved.shape[1]).matrix
    return np.stack([matrix @ cage for cage in moved])


def test_the_mesh_is_the_subdivided_cage(head: MorphableModel) -> None:
    faces = random_faces()
    vertices, expected = head.vertices(*faces), expected_vertices(*faces)
    np.testing.assert_allclose(vertices, expected, atol=2e-3)
    np.testing.assert_array_equal(vertices[:, head.landmark_rows], head.landmarks(*faces))
    np.testing.assert_array_equal(head.mean[head.landmark_rows], head.landmark_basis.mean)
    assert head.triangles.max() + 1 == head.num_vertices == expected.shape[1]
    corners = head.mean[head.triangles].astype(np.float64)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 70 * 100 * 80, rel=0.1)


def test_the_model_has_what_the_file_says(head: MorphableModel) -> None:
    assert isinstance(head, CageModel) and head.name == "ball"
    assert (head.num_shape, head.num_expression) == (NUM_SHAPE, NUM_EXPRESSION)
    assert head.expression_range == (0, 1) and head.expression_names[0] == "move0"
    assert head.expression_std is not None
    assert head.uv is not None and head.uv_triangles is not None
    assert head.uv_triangles.shape == head.triangles.shape
    assert head.uv[head.uv_triangles].shape == (len(head.triangles), 3, 2)
    # Texture points are halved and not smoothed; still they lie near the vertices' own.
    assert np.abs(head.uv[head.uv_triangles] * 2 - 1).max() <= 1
    front = head.mean[:, 2] > 0
    assert (head.regions["front"] == front).mean() > 0.95
    heights = head.mean[head.triangles].mean(axis=1)[:, 1]
    assert set(head.parts) == {"lower", "cap"}
    np.testing.assert_array_equal(head.parts["lower"], ~head.parts["cap"])
    assert heights[head.parts["cap"]].min() > heights[head.parts["lower"]].min()
    for array in (head.mean, head.shape_basis, head.triangles, head.parts["cap"]):
        assert not array.flags.writeable


@pytest.mark.parametrize("detail", ["full", "low"])
def test_mirrored_coefficients_give_the_mirrored_mesh(head: CageModel, detail: str) -> None:
    model = CageModel(head.cage, detail, head.key)
    shape, expression = random_faces()
    mirror = model.mirror
    assert mirror is not None
    reflected = model.vertices(shape, expression)[:, mirror.vertices] * (-1, 1, 1)
    signs = mirror.shape_sign, mirror.expression_sign
    mirrored = model.vertices(shape * signs[0], expression * signs[1])
    np.testing.assert_allclose(mirrored, reflected, atol=5e-3)
    if detail == "low":
        np.testing.assert_array_equal(
            mirror.vertices[model.landmark_rows], model.landmark_rows[LANDMARK_MIRROR]
        )


def test_the_low_detail_has_vertices_of_the_full_one(cache: Path, tmp_path: Path) -> None:
    path = write_cage(tmp_path / "ball.npz")
    full, low = (MorphableModel.load(path, detail=detail) for detail in ("full", "low"))
    unit, quads = ball()
    assert low.num_vertices == len(unit) and len(low.triangles) == 2 * len(quads)
    faces = random_faces()
    np.testing.assert_array_equal(low.landmarks(*faces), full.landmarks(*faces))
    a, b = low.vertices(*faces), full.vertices(*faces)[:, : len(unit)]
    assert len(set(low.landmark_rows.tolist())) == 68
    rest = np.setdiff1d(np.arange(len(unit)), low.landmark_rows)
    np.testing.assert_allclose(a[:, rest], b[:, rest], atol=2e-3)
    np.testing.assert_array_equal(a[:, low.landmark_rows], low.landmarks(*faces))
    assert low.uv is not None and len(low.uv) == len(unit)
    assert len(low.parts["cap"]) == len(low.triangles)
    assert len(low.regions["front"]) == len(unit)
    with pytest.raises(InvalidInputError, match="detail: expected 'full' or 'low'"):
        MorphableModel.load(path, detail="high")
    dataclasses.replace(full).save(tmp_path / "whole.npz")
    with pytest.raises(InvalidInputError, match="detail: expected 'full', the one that"):
        MorphableModel.load(tmp_path / "whole.npz", detail="low")


def turned(corners: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Whether one of the halves, (Q, 2, 3, 3), faces away from its quad, (Q, 4, 3)."""
    normal = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
    a, b, c = np.moveaxis(corners, 2, 0)
    halves = np.cross(b - a, c - a)
    return ((halves * normal[:, None]).sum(axis=2) <= 0).any(axis=1)


def test_a_quad_that_is_not_convex_is_cut_where_no_half_is_turned(
    cache: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    arrays = cage_arrays()
    mean, mirror = arrays["cage/mean"], arrays["mirror/vertices"]
    noise = rng.normal(size=mean.shape) * 8
    bent = (mean + noise + noise[mirror] * (-1, 1, 1)).astype(np.float32)
    low = MorphableModel.load(write_cage(tmp_path / "bent.npz", cage__mean=bent), detail="low")
    assert isinstance(low, CageModel)
    faces = low.cage.faces
    points = low.mean.astype(np.float64)
    by_cut = [
        turned(points[faces[:, cut].reshape(-1, 2, 3)], points[faces])
        for cut in ([0, 1, 2, 0, 2, 3], [1, 2, 3, 1, 3, 0])
    ]
    found = turned(points[low.triangles.reshape(-1, 2, 3)], points[faces])
    np.testing.assert_array_equal(found, by_cut[0] & by_cut[1])
    assert (by_cut[0] & ~by_cut[1]).any() and (by_cut[1] & ~by_cut[0]).any()


@pytest.mark.parametrize("detail", ["full", "low"])
def test_triangles_are_each_others_images(head: CageModel, detail: str) -> None:
    model = CageModel(head.cage, detail, head.key)
    assert model.mirror is not None
    image = model.mirror.vertices[model.triangles][:, ::-1]
    ours, mirrored = (
        {tuple(np.roll(row, -row.argmin()).tolist()) for row in rows}
        for rows in (model.triangles, image)
    )
    assert ours == mirrored
    assert model.uv is not None and model.uv_triangles is not None
    # Both meshes are cut alike: this head's texture points are its vertices.
    if detail == "low":
        np.testing.assert_array_equal(model.uv_triangles, model.triangles)


def test_landmarks_need_no_mesh(head: MorphableModel, no_mesh: None) -> None:
    shape, expression = random_faces()
    points = head.landmarks(shape, expression)
    rows = cage_arrays()["landmarks/ibug68/rows"]
    np.testing.assert_allclose(points, expected_vertices(shape, expression)[:, rows], atol=1e-3)
    assert head.layouts == ("ibug68", "crown")
    crown = head.landmarks(shape, expression, layout="crown")
    rows = cage_arrays()["landmarks/crown/rows"]
    np.testing.assert_allclose(crown, expected_vertices(shape, expression)[:, rows], atol=1e-3)
    fit = head.fit(points.astype(np.float64), frame="model", landmark_noise_mm=0.05)
    # The first expression moves the back of the ball, where no landmark is.
    np.testing.assert_allclose(fit.expression[:, 1:], expression[:, 1:], atol=0.1)
    assert "ball" in repr(head) and "cage of" in repr(head)
    with pytest.raises(InvalidInputError, match="layout: expected one of ibug68, crown, got"):
        head.landmarks(shape, expression, layout="chin")


def test_a_mesh_is_made_once_and_mapped_afterwards(
    head: CageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = head.vertices(*random_faces())
    (file,) = stored()
    assert head.key[:16] in file.name and "ball-full" in file.name

    def fail(*_: object) -> None:
        raise AssertionError("the mesh was made again")

    monkeypatch.setattr(cage_mesh, "mesh_of", fail)
    again = CageModel(head.cage, "full", head.key)
    np.testing.assert_array_equal(again.vertices(*random_faces()), before)
    for name in ("uv", "triangles", "landmark_rows"):
        np.testing.assert_array_equal(getattr(again, name), getattr(head, name))
    assert set(again.regions) == set(head.regions)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "replaced"])
def test_a_damaged_cache_file_is_made_again(
    head: CageModel, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = head.vertices(*random_faces())
    (file,) = stored()
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(
        {
            "cut": whole[:middle],
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "emptied": b"",
            "replaced": bytes(len(whole)),
        }[damage]
    )
    again = CageModel(head.cage, "full", head.key)
    np.testing.assert_array_equal(again.vertices(*random_faces()), before)
    assert "made again" in caplog.text
    assert stored() == [file] and file.read_bytes() == whole


def test_another_file_of_that_name_has_a_mesh_of_its_own(head: CageModel, tmp_path: Path) -> None:
    changed = cage_arrays()["cage/mean"] * np.float32(1.1)
    other = MorphableModel.load(write_cage(tmp_path / "other.npz", cage__mean=changed))
    assert other.mean[:, 0].max() > head.mean[:, 0].max() * 1.09
    assert len(stored()) == 2


def test_a_home_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(tmp_path / "file" / "cache"))
    head = MorphableModel.load(write_cage(tmp_path / "ball.npz"))
    faces = random_faces()
    np.testing.assert_allclose(head.vertices(*faces), expected_vertices(*faces), atol=2e-3)
    assert stored() == []


def test_a_pickle_holds_the_cage(head: MorphableModel) -> None:
    before = head.vertices(*random_faces())
    data = pickle.dumps(head)
    assert len(data) < 300_000 < head.shape_basis.nbytes + head.expression_basis.nbytes
    np.testing.assert_array_equal(pickle.loads(data).vertices(*random_faces()), before)


def arrays_of(value: object) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from arrays_of(part)
    elif hasattr(value, "__dict__"):
        yield from arrays_of({k: v for k, v in vars(value).items() if not k.startswith("_")})


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
@pytest.mark.parametrize("detail", ["full", "low"])
@pytest.mark.parametrize("used", [True, False])
def test_copies_are_models_of_the_cage(head: CageModel, copied, detail: str, used: bool) -> None:
    head = head.without("cap") if used else head
    model = CageModel(head.cage, detail, head.key, head.left_out)
    if used:
        model.vertices(*random_faces())
    again = copied(model)
    assert isinstance(again, CageModel) and again is not model
    assert (again.detail, again.key, again.left_out) == (model.detail, model.key, model.left_out)
    np.testing.assert_array_equal(again.triangles, model.triangles)
    np.testing.assert_array_equal(again.vertices(*random_faces()), model.vertices(*random_faces()))
    for array in arrays_of(again):
        assert not array.flags.writeable


def test_a_copy_of_a_whole_mesh_is_read_only_too(head: CageModel, tmp_path: Path) -> None:
    dataclasses.replace(head).save(tmp_path / "whole.npz")
    whole = MorphableModel.load(tmp_path / "whole.npz")
    before = whole.vertices(*random_faces())
    for again in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert type(again) is MorphableModel
        np.testing.assert_array_equal(again.vertices(*random_faces()), before)
        for array in arrays_of(again):
            assert not array.flags.writeable


def test_replaced_fields_give_a_model_of_the_whole_mesh(head: CageModel) -> None:
    free = dataclasses.replace(head, expression_range=None, name="free")
    assert type(free) is MorphableModel and (free.name, free.expression_range) == ("free", None)
    assert free.mean is not None and np.shares_memory(free.shape_basis, head.shape_basis)
    faces = random_faces()
    np.testing.assert_array_equal(free.vertices(*faces), head.vertices(*faces))
    np.testing.assert_array_equal(free.landmarks(*faces), head.landmarks(*faces))
    moved = dataclasses.replace(head, mean=head.mean + 1)
    np.testing.assert_allclose(moved.landmarks(*faces), head.landmarks(*faces) + 1, atol=1e-4)
    with pytest.raises(InvalidInputError, match="unit_mm: expected a positive"):
        dataclasses.replace(head, unit_mm=0)
    with pytest.raises(TypeError, match="colour"):
        dataclasses.replace(head, colour=1)


_WORKER = """
import sys
import numpy as np
from facegeo.morphable import MorphableModel
model = MorphableModel.load(sys.argv[1])
input()  # they begin together
np.save(sys.argv[2], np.concatenate([model.mean[None], model.expression_basis]))
"""


def test_processes_that_expand_at_once(cache: Path, tmp_path: Path) -> None:
    path = write_cage(tmp_path / "ball.npz")
    command = [sys.executable, "-c", _WORKER, str(path)]
    workers = [
        subprocess.Popen([*command, str(tmp_path / f"{k}.npy")], stdin=subprocess.PIPE)
        for k in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    found = [np.load(tmp_path / f"{k}.npy") for k in range(3)]
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
    (file,) = stored()  # one, whole, and no scratch file beside it
    assert read_mapped(file)["modes"].shape[1] == found[0].shape[1]


def test_threads_that_expand_at_once(head: CageModel) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: head.vertices(*random_faces()), range(8)))
    for vertices in found:
        np.testing.assert_array_equal(vertices, found[0])


def test_another_rule_makes_other_files(head: CageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert head.mean is not None
    (old,) = stored()
    monkeypatch.setattr(expansion, "RULE", expansion.RULE + 1)
    again = CageModel(head.cage, "full", head.key)
    np.testing.assert_array_equal(again.mean, head.mean)
    assert len(stored()) == 2 and old in stored()


def test_the_rule_gives_what_it_gave(head: CageModel) -> None:
    """Files in cache folders are of this rule: where these figures change, RULE has to."""
    low = CageModel(head.cage, "low", head.key)
    figures = [head.num_vertices, zlib.crc32(head.triangles.tobytes())]
    figures += [low.num_vertices, len(low.triangles), int(low.landmark_rows.sum())]
    sums = [float(np.abs(part).sum(dtype=np.float64)) for part in (head.mean, low.mean)]
    sums += [float(np.abs(head.expression_basis).sum(dtype=np.float64))]
    assert (expansion.RULE, figures) == GOLDEN
    np.testing.assert_allclose(sums, GOLDEN_SUMS, rtol=1e-6)


def test_a_name_does_not_lead_out_of_the_cache_folder(cache: Path, tmp_path: Path) -> None:
    path = write_cage(tmp_path / "bad.npz", name=np.array("../../../x/y z"))
    assert MorphableModel.load(path).mean is not None
    (file,) = stored()
    assert file.parent == cache_dir() / "meshes" and file.name.startswith("_________x_y_z-full-")


def test_the_first_modes_of_a_cage(head: MorphableModel) -> None:
    shape, expression = random_faces()
    cut = head.truncated(2, 3)
    assert isinstance(cut, CageModel) and (cut.num_shape, cut.num_expression) == (2, 3)
    padded = np.pad(shape[:, :2], ((0, 0), (0, 3))), np.pad(expression[:, :3], ((0, 0), (0, 1)))
    expected = head.vertices(*padded)
    np.testing.assert_allclose(cut.vertices(shape[:, :2], expression[:, :3]), expected, atol=5e-3)
    with pytest.raises(InvalidInputError, match="num_shape: expected 0 to 5, got 6"):
        head.truncated(6, 1)


def assert_same(found: Any, expected: Any) -> None:
    """Fields and their arrays are equal, however deep."""
    if dataclasses.is_dataclass(expected):
        assert type(found) is type(expected)
        for field in dataclasses.fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, Mapping):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def saved(model: MorphableModel, path: Path, **options: str) -> MorphableModel:
    model.save(path, **options)
    return MorphableModel.load(path)


VIEWS = {
    "as it is": lambda head: head,
    "low": lambda head: CageModel(head.cage, "low", head.key),
    "first modes": lambda head: head.truncated(3, 2),
    "without a part": lambda head: head.without("cap"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_saved_cage_opens_as_the_same_model(head: CageModel, tmp_path: Path, view: str) -> None:
    model = VIEWS[view](head)
    again = saved(model, tmp_path / "again.npz")
    assert isinstance(again, CageModel) and again.layouts == ("ibug68", "crown")
    assert (again.detail, again.left_out) == (model.detail, model.left_out)
    assert_same(again.cage, model.cage)
    assert_same(again, model)
    for layout in model.layouts:
        assert_same(again.basis_of(layout), model.basis_of(layout))
    # The detail that is asked for counts, and no mesh of another cage is taken for this one's.
    assert MorphableModel.load(tmp_path / "again.npz", detail="full").num_vertices > 900
    assert again.key != head.key


@pytest.mark.parametrize("detail", ["full", "low"])
def test_the_shipped_head_is_saved_as_it_is(cache: Path, tmp_path: Path, detail: Detail) -> None:
    head = MorphableModel.load(ASSETS / "facegeo-head.npz", detail=detail)
    again = saved(head, tmp_path / "head.npz")
    assert isinstance(head, CageModel) and isinstance(again, CageModel)
    assert_same(again.cage, head.cage)
    assert_same(again, head)
    assert {"mediapipe478", "iris", "silhouette"} <= set(again.layouts)
    # No more is written than the cage: 54 MB were the whole mesh.
    assert (tmp_path / "head.npz").stat().st_size < 7e6
    head.save(tmp_path / "small.npz", storage="int16")
    assert (tmp_path / "small.npz").stat().st_size < 2e6


@pytest.mark.parametrize("storage", ["float16", "int16"])
def test_bases_of_a_cage_are_saved_in_less(head: CageModel, tmp_path: Path, storage: str) -> None:
    again = saved(head, tmp_path / "less.npz", storage=storage)
    assert isinstance(again, CageModel)
    bases = head.cage.expression_basis, again.cage.expression_basis
    # Of a mode's largest offset.
    error = np.abs(bases[0] - bases[1]).max(axis=(1, 2)) / np.abs(bases[0]).max(axis=(1, 2))
    assert error.max() < {"float16": 2.0**-11, "int16": 1e-6}[storage]
    with pytest.raises(InvalidInputError, match="storage: expected one of"):
        head.save(tmp_path / "none.npz", storage="int8")
    assert not (tmp_path / "none.npz").exists()


def test_a_cage_with_all_that_there_may_be_is_saved(cache: Path, tmp_path: Path) -> None:
    path = write_cage(tmp_path / "a.npz", expression_range=np.zeros(0))
    head = MorphableModel.load(path)
    assert isinstance(head, CageModel) and head.expression_range is None
    count = len(head.cage.mean)
    texture = VertexTexture(np.ones((count, 3)), np.ones((2, count, 3)), np.ones(2))
    coloured = dataclasses.replace(head.cage, texture=texture.checked(count))
    again = saved(CageModel(coloured, "full", "k"), tmp_path / "b.npz")
    assert isinstance(again, CageModel)
    assert_same(again.cage, coloured)


def test_a_changed_model_keeps_its_layouts(head: CageModel, tmp_path: Path) -> None:
    """Its mesh may be another, so that it is saved as a mesh, and its points are rows of that."""
    named = dataclasses.replace(head, name="mine")
    faces = random_faces()
    for model in (named, saved(named, tmp_path / "mine.npz"), named.truncated(5, 4)):
        assert type(model) is MorphableModel and model.name == "mine"
        assert model.layouts == ("ibug68", "crown")
        points = model.landmarks(*faces, layout="crown")
        np.testing.assert_allclose(points, head.landmarks(*faces, layout="crown"), atol=1e-3)
        assert model.basis_of("crown").unit_mm == head.unit_mm
    moved = dataclasses.replace(head, mean=head.mean + 1)
    points = moved.landmarks(*faces, layout="crown") - 1
    np.testing.assert_allclose(points, head.landmarks(*faces, layout="crown"), atol=1e-3)
    with pytest.raises(InvalidInputError, match="layout/crown: expected indices 0 to"):
        dataclasses.replace(head, layout_rows={"crown": [10**6]})


def test_a_changed_low_mesh_says_what_it_has(cache: Path, tmp_path: Path) -> None:
    low = MorphableModel.load(write_cage(tmp_path / "ball.npz"), detail="low")
    assert low.layouts == ("ibug68", "crown")
    changed = dataclasses.replace(low, name="mine")
    with pytest.raises(InvalidInputError, match="layout: expected one of ibug68, got 'crown'"):
        changed.landmarks(*random_faces(), layout="crown")
    with pytest.raises(MissingBasisError, match=r"MorphableModel\.default\(\) has it"):
        changed.landmarks(*random_faces(), contour="silhouette")


def test_a_file_without_what_may_be_missing(cache: Path, tmp_path: Path) -> None:
    optional = [
        key
        for key in cage_arrays()
        if key.split("/")[0] in ("mirror", "regions", "part_names", "shape_std", "shape_names")
        or key in ("cage/uv", "cage/uv_faces", "cage/part", "landmarks/crown/rows")
        or key.startswith("landmarks/crown")
    ]
    missing = {key.replace("/", "__"): None for key in optional}
    limits = np.array([-1, 2], np.float32)
    head = MorphableModel.load(
        write_cage(tmp_path / "bare.npz", expression_range=limits, **missing)
    )
    assert head.expression_range == (-1, 2) and head.layouts == ("ibug68",)
    assert head.uv is None and head.mirror is None and not head.regions and not head.parts
    assert np.isfinite(head.vertices(*random_faces())).all()


ARRAYS = cage_arrays()
BEYOND = ARRAYS["landmarks/ibug68/indices"] + 999


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cage__mean": None}, "key 'cage/mean' is missing"),
        ({"cage__shape_scale": None}, "key 'cage/shape_scale' is missing"),
        ({"cage__uv_faces": None}, "key 'cage/uv_faces' is missing"),
        ({"part_names": None}, "key 'part_names' is missing"),
        ({"mirror__shape_sign": None}, "key 'mirror/shape_sign' is missing"),
        ({"landmarks__ibug68__weights": None}, "key 'landmarks/ibug68/weights' is missing"),
        ({"cage__mean": ARRAYS["cage/mean"][:-1]}, "cage/shape_basis: expected shape"),
        ({"cage__mean": ARRAYS["cage/mean"] * np.nan}, "cage/mean: expected finite"),
        (
            {"cage__shape_basis": np.zeros((5, 386, 3), np.int32)},
            "cage/shape_basis: expected float32, float16 or int16, got int32",
        ),
        ({"detail": np.array("high")}, "key 'detail': expected 'full' or 'low', got 'high'"),
        ({"left_out": np.array(["hat"])}, "key 'left_out': expected parts of the cage, got 'hat'"),
        ({"cage__faces": ARRAYS["cage/faces"] + 1}, "cage/faces: expected indices"),
        ({"cage__faces": ARRAYS["cage/faces"] * 0}, "every vertex in a quad"),
        ({"subdivide": ARRAYS["subdivide"] * 0}, "subdivide: expected 1 or 2"),
        ({"subdivide": ARRAYS["subdivide"] + 1}, "subdivide: expected indices 0 to 2"),
        ({"cage__part": ARRAYS["cage/part"] + 1}, "cage/part: expected indices 0 to 1"),
        ({"cage__uv": ARRAYS["cage/uv"] + 1}, "cage/uv: expected numbers in"),
        ({"regions__front": np.ones(5, bool)}, "regions/front: expected booleans"),
        ({"mirror__vertices": np.zeros(386, int)}, "mirror/vertices: expected every index"),
        (
            {"landmarks__ibug68__indptr": np.zeros(69, np.int32)},
            "landmarks/ibug68/indptr: expected",
        ),
        (
            {"landmarks__ibug68__indices": ARRAYS["landmarks/ibug68/indices"] + 999},
            "indices: expect",
        ),
        ({"landmarks__ibug68__rows": np.zeros(67, np.int32)}, "indptr: expected shape"),
        ({"expression_range": np.array([0.5, 1])}, "expression_range: expected limits"),
        ({"expression_names": np.array(["a"])}, "expression_names: expected 4 names"),
        ({"format_version": np.array(3)}, "this facegeo reads 1 and 2, the file has 3"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    path = write_cage(tmp_path / "bad.npz", **changes)
    with pytest.raises(CorruptFileError, match=rf"bad\.npz: .*{message}"):
        MorphableModel.load(path)


def test_a_landmark_beyond_the_mesh_is_named(cache: Path, tmp_path: Path) -> None:
    rows = ARRAYS["landmarks/ibug68/rows"] + 100_000
    head = MorphableModel.load(write_cage(tmp_path / "bad.npz", landmarks__ibug68__rows=rows))
    with pytest.raises(CorruptFileError, match="landmarks/ibug68/rows: expected rows of the mesh"):
        head.mean  # noqa: B018
