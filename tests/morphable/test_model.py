import errno
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers.morphable_data import ellipsoid, random_poses, volume

from facegeo.errors import CorruptFileError, InvalidInputError, OutputError, UnreadableFileError
from facegeo.morphable import MorphableModel
from facegeo.morphable.archive import STORAGES

#: The mesh kernel's 16-bit storage on modes of 4 mm and coefficients of 3, at 2 px a millimetre.
STORED = 2e-3


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return ellipsoid()


def coefficients(model: MorphableModel, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, model.num_shape)), rng.normal(size=(count, model.num_expression))


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def test_vertices_are_the_definition_in_float64(model: MorphableModel) -> None:
    shape, expression = coefficients(model, 5)
    pose = random_poses(5)
    face = model.mean.astype(np.float64) + np.einsum("ns,svk->nvk", shape, model.shape_basis)
    face = face + np.einsum("ne,evk->nvk", expression, model.expression_basis)
    expected = np.einsum("nij,nvj->nvi", pose[:, :, :3], face) + pose[:, None, :, 3]
    got = model.vertices(shape, expression, pose)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=STORED)
    np.testing.assert_allclose(model.vertices(shape, expression), face, atol=STORED)
    # The landmarks are summed in float32 from the model's own numbers, 300 px at most.
    rows = model.landmark_rows
    np.testing.assert_allclose(got[:, rows], expected[:, rows], atol=2e-4)


@pytest.mark.parametrize("count", [1, 3, 70])
def test_landmarks_are_rows_of_the_vertices_bit_for_bit(model: MorphableModel, count: int) -> None:
    shape, expression = coefficients(model, count)
    pose = random_poses(count)
    landmarks = model.landmarks(shape, expression, pose)
    vertices = model.vertices(shape, expression, pose)
    np.testing.assert_array_equal(vertices[:, model.landmark_rows], landmarks)
    for i in (0, count - 1):  # and do not depend on the batch
        alone = model.vertices(shape[i : i + 1], expression[i : i + 1], pose[i : i + 1])
        np.testing.assert_array_equal(alone[0, model.landmark_rows], landmarks[i])


def test_no_faces_and_no_modes(model: MorphableModel) -> None:
    none = model.vertices(np.zeros((0, 6)), np.zeros((0, 3)), np.zeros((0, 3, 4)))
    assert none.shape == (0, model.num_vertices, 3)
    bare = model.truncated(0, 0)
    face = bare.vertices(np.zeros((1, 0)), np.zeros((1, 0)))[0]
    np.testing.assert_allclose(face, model.mean, atol=1e-4)


def test_vertices_go_into_the_callers_buffer(model: MorphableModel) -> None:
    shape, expression = coefficients(model, 3)
    pose = random_poses(3)
    out = np.empty((3, model.num_vertices, 3), np.float32)
    assert model.vertices(shape, expression, pose, out=out) is out
    np.testing.assert_array_equal(out, model.vertices(shape, expression, pose))
    for wrong in (out[:2], out.astype(np.float64), np.asfortranarray(out)):
        with pytest.raises(InvalidInputError, match="out: expected"):
            model.vertices(shape, expression, pose, out=wrong)


def test_mirror_image_is_in_the_model(model: MorphableModel) -> None:
    shape, expression = coefficients(model, 4)
    mirror = model.mirror
    assert mirror is not None
    reflected = model.vertices(shape, expression)[:, mirror.vertices] * (-1, 1, 1)
    again = model.vertices(
        mirror.shape_sign * shape[:, mirror.shape_index],
        mirror.expression_sign * expression[:, mirror.expression_index],
    )
    np.testing.assert_allclose(again, reflected, atol=STORED)


def test_truncated_keeps_leading_modes(model: MorphableModel) -> None:
    cut = model.truncated(4, 2)
    shape, expression = coefficients(cut, 2)
    full = model.vertices(np.pad(shape, [(0, 0), (0, 2)]), np.pad(expression, [(0, 0), (0, 1)]))
    np.testing.assert_allclose(cut.vertices(shape, expression), full, atol=STORED)
    assert cut.expression_names == model.expression_names[:2]
    with pytest.raises(InvalidInputError, match="num_shape: expected 0 to 6, got 7"):
        model.truncated(7, 1)


def test_test_model_is_outward(model: MorphableModel) -> None:
    assert volume(model.mean, model.triangles) > 0


def test_models_travel_to_other_processes(model: MorphableModel) -> None:
    shape, expression = coefficients(model, 2)
    before = model.vertices(shape, expression)  # builds the kernel, which stays here
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.vertices(shape, expression), before)


def test_arrays_are_read_only_and_the_callers_are_not(model: MorphableModel) -> None:
    mean = np.array(model.mean)
    copy = MorphableModel(
        "copy", 1.0, mean, model.shape_basis, model.expression_basis, model.triangles,
        model.landmark_rows,
    )  # fmt: skip
    with pytest.raises(ValueError, match="read-only"):
        copy.mean[0] = 0
    mean[0] = 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", np.zeros((5, 2)), r"mean: expected shape \(V, 3\), got \(5, 2\)"),
        ("mean", np.full((362, 3), np.nan), "mean: expected finite numbers"),
        ("shape_basis", np.zeros((6, 361, 3)), "shape_basis: expected shape"),
        ("expression_basis", np.array("x"), "expression_basis: expected numbers"),
        ("triangles", np.zeros((4, 3)), "triangles: expected whole numbers"),
        ("triangles", np.full((4, 3), 362), "triangles: expected indices 0 to 361"),
        ("landmark_rows", np.arange(67), r"landmark_rows: expected shape \(68,\)"),
        ("landmark_rows", np.arange(-1, 67), "landmark_rows: expected indices 0 to 361, got -1"),
        ("uv", np.zeros((10, 2)), "uv_triangles: needed, since uv has 10 rows"),
        ("uv", np.full((362, 2), 1.5), r"uv: expected numbers in \[0, 1\]"),
        ("expression_names", ("smile",), "expression_names: expected 3 names"),
        ("regions", {"nose": np.ones(3)}, "region/nose: expected booleans"),
        ("unit_mm", 0.0, "unit_mm: expected a positive number"),
        ("shape_std", np.zeros(6), "shape_std: expected positive numbers"),
    ],
)
def test_wrong_fields_are_named(
    model: MorphableModel, field: str, value: object, message: str
) -> None:
    fields = {key: getattr(model, key) for key in model.__dataclass_fields__}
    fields |= {"uv_triangles": None} if field in ("uv", "triangles") else {}
    fields |= {"uv": None, "uv_triangles": None} if field == "triangles" else {}
    with pytest.raises(InvalidInputError, match=message):
        MorphableModel(**(fields | {field: value}))


@pytest.mark.parametrize(
    ("shape", "expression", "pose", "message"),
    [
        (np.zeros((2, 5)), np.zeros((2, 3)), None, r"shape: expected shape \(N, 6\), got \(2, 5\)"),
        (np.zeros(6), np.zeros((1, 3)), None, r"shape: expected shape \(N, 6\), got \(6,\)"),
        (np.zeros((2, 6)), np.zeros((1, 3)), None, r"expression: expected shape \(2, 3\)"),
        (np.zeros((2, 6)), np.zeros((2, 3)), np.zeros((2, 3, 3)), "pose: expected shape"),
        (np.full((1, 6), np.inf), np.zeros((1, 3)), None, "shape: expected finite"),
    ],
)
def test_wrong_coefficients_are_named(
    model: MorphableModel, shape: np.ndarray, expression: np.ndarray, pose: object, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        model.vertices(shape, expression, pose)  # type: ignore[arg-type]


# Largest error of a stored basis, as a share of the largest offset.
@pytest.mark.parametrize(
    ("storage", "tolerance"), [("float32", 0), ("float16", 2.0**-11), ("int16", 1 / 65000)]
)
def test_file_round_trip(
    model: MorphableModel, tmp_path: Path, storage: str, tolerance: float
) -> None:
    path = tmp_path / "model.npz"
    model.save(path, storage=storage)
    loaded = MorphableModel.load(path)
    for key in ("mean", "triangles", "landmark_rows", "uv", "uv_triangles"):
        np.testing.assert_array_equal(getattr(loaded, key), getattr(model, key))
        assert getattr(loaded, key).dtype == getattr(model, key).dtype
    for key in ("shape_basis", "expression_basis"):
        basis = getattr(model, key)
        assert np.abs(getattr(loaded, key) - basis).max() <= tolerance * np.abs(basis).max()
    assert (loaded.name, loaded.unit_mm) == (model.name, model.unit_mm)
    assert loaded.expression_names == model.expression_names
    np.testing.assert_array_equal(loaded.regions["upper"], model.regions["upper"])
    assert loaded.mirror is not None
    assert model.mirror is not None
    for key in ("vertices", "shape_index", "shape_sign", "expression_index", "expression_sign"):
        np.testing.assert_array_equal(getattr(loaded.mirror, key), getattr(model.mirror, key))


def test_unknown_storage(model: MorphableModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="storage"):
        model.save(tmp_path / "model.npz", storage="int8")
    assert STORAGES == ("float32", "float16", "int16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": None}, "key 'mean' is missing"),
        ({"triangles": None}, "key 'triangles' is missing"),
        ({"shape_basis": np.zeros((6, 3, 3), np.float32)}, "shape_basis: expected shape"),
        ({"shape_basis": np.zeros((6, 362, 3), np.int32)}, "shape_basis: expected float32"),
        ({"shape_basis": np.zeros((6, 362, 3), np.int16)}, "shape_basis_scale: needed"),
        ({"mean": np.full((362, 3), np.nan, np.float32)}, "mean: expected finite numbers"),
        ({"format": np.array("else")}, "key 'format': expected 'facegeo-morphable-model'"),
        ({"format": None}, "key 'format'"),
        ({"format_version": np.array(3)}, "key 'format_version': this facegeo reads 1"),
        ({"format_version": None}, "key 'format_version' is missing"),
        ({"mirror/vertices": np.zeros(362, int)}, "mirror/vertices: expected every index"),
        ({"mirror/shape_sign": None}, "key 'mirror/shape_sign' is missing"),
        ({"expression_names": np.arange(3)}, "expression_names: expected a list of texts"),
    ],
)
def test_wrong_files_are_named(
    model: MorphableModel,
    tmp_path: Path,
    changes: dict[str, np.ndarray | None],
    message: str,
) -> None:
    path = tmp_path / "model.npz"
    model.save(path)
    arrays = {key: value for key, value in (arrays_of(path) | changes).items() if value is not None}
    np.savez(path, **arrays)
    with pytest.raises(CorruptFileError, match=message) as raised:
        MorphableModel.load(path)
    assert str(path) in str(raised.value)


def test_damaged_and_foreign_files(model: MorphableModel, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(UnreadableFileError, match=r"model\.npz"):
        MorphableModel.load(path)
    model.save(path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"not a model", b""):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match=r"model\.npz"):
            MorphableModel.load(path)
    path.write_bytes(whole[:5000] + bytes(200) + whole[5200:])
    with pytest.raises(CorruptFileError, match="damaged"):
        MorphableModel.load(path)
    np.savez(path, mean=np.array([object()]))
    with pytest.raises(CorruptFileError, match="key 'mean' is damaged"):
        MorphableModel.load(path)


def test_full_disk_leaves_the_old_file(
    model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.npz"
    model.save(path)
    before = path.read_bytes()

    def full(file: object, **arrays: np.ndarray) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
