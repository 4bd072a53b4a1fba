"""Readers of other projects' models, on files of the stated layout.

The Basel bases may not be redistributed, so the tests write files with random bases; mean,
topology, texture coordinates and landmark rows are the real ones where reference files have them.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from helpers.morphable_data import shared

from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError, UnsafeFileError
from facegeo.morphable.readers import detect_layout, read_upstream_model
from facegeo.morphable.readers._arrays import facing_outward, triangulated

V, F = 53215, 105840


def cheap_basis(rows: int, modes: int) -> np.ndarray:
    """A basis whose every number tells its row and mode, float32."""
    return (np.arange(rows, dtype=np.float32)[:, None] % 997) * (
        1 + np.arange(modes, dtype=np.float32)
    )


def as_modes(flat: np.ndarray) -> np.ndarray:
    """By the definition of verts-first: coordinate c of vertex v is row 3 v + c."""
    return np.stack([flat[0::3].T, flat[1::3].T, flat[2::3].T], axis=-1)


def basel_mean() -> np.ndarray:
    folder = shared("upstream", "3ddfa")
    return (np.load(folder / "u_shp.npy") + np.load(folder / "u_exp.npy")).reshape(-1, 3)


def basel_triangles() -> np.ndarray:
    """(F, 3), 0-based, as in the file: clockwise seen from outside."""
    tri = scipy.io.loadmat(shared("upstream", "3ddfa", "tri.mat"))["tri"]
    return tri.T.astype(np.int64) - 1


def basel_landmark_rows() -> np.ndarray:
    return np.load(shared("upstream", "3ddfa", "keypoints_sim.npy"))[::3] // 3


@pytest.fixture
def threeddfa(tmp_path: Path) -> Path:
    """``train.configs`` with ``visualize/tri.mat`` beside it."""
    folder = tmp_path / "train.configs"
    folder.mkdir()
    source = shared("upstream", "3ddfa")
    for name in ("u_shp.npy", "u_exp.npy", "keypoints_sim.npy", "param_whitening.pkl"):
        shutil.copyfile(source / name, folder / name)
    (tmp_path / "visualize").mkdir()
    shutil.copyfile(source / "tri.mat", tmp_path / "visualize" / "tri.mat")
    np.save(folder / "w_shp_sim.npy", cheap_basis(3 * V, 40))
    np.save(folder / "w_exp_sim.npy", cheap_basis(3 * V, 10))
    return folder


@pytest.fixture
def threeddfa_v2(tmp_path: Path) -> Path:
    """``configs`` of 3DDFA_V2; the pickle's modes are more than the 40 + 10 that are wanted."""
    source = shared("upstream", "3ddfa_v2")
    for name in ("tri.pkl", "BFM_UV.mat", "indices.npy", "param_mean_std_62d_120x120.pkl"):
        shutil.copyfile(source / name, tmp_path / name)
    indices = np.load(source / "indices.npy")
    rows = np.searchsorted(indices, basel_landmark_rows())
    content = {
        "u": basel_mean()[indices].reshape(-1, 1),
        "w_shp": cheap_basis(3 * len(indices), 42),
        "w_exp": cheap_basis(3 * len(indices), 11),
        "keypoints": (3 * rows[:, None] + np.arange(3)).ravel(),
    }
    (tmp_path / "bfm_noneck_v3.pkl").write_bytes(pickle.dumps(content))
    return tmp_path


def basel2009_files() -> dict[str, dict[str, np.ndarray]]:
    full = 53490
    trim = np.sort(np.random.default_rng(1).choice(full, V, replace=False))
    mean = np.zeros((full, 3), np.float32)
    mean[trim] = np.load(shared("upstream", "3ddfa", "u_shp.npy")).reshape(-1, 3)
    segments = np.zeros((full, 4), np.uint8)
    segments[np.arange(full), np.arange(full) % 4] = 1
    return {
        "01_MorphableModel.mat": {
            "shapeMU": mean.reshape(-1, 1),
            "shapePC": cheap_basis(3 * full, 199),
            "shapeEV": np.arange(1, 200, dtype=np.float32)[:, None],
        },
        "model_info.mat": {
            "trimIndex": (trim + 1.0)[:, None],
            "tri": (basel_triangles().T + 1).astype(np.float64),
            "keypoints": (basel_landmark_rows() + 1.0)[None],
            "segbin": segments,
        },
        "Model_Exp.mat": {
            "mu_exp": np.load(shared("upstream", "3ddfa", "u_exp.npy")),
            "w_exp": cheap_basis(3 * V, 29),
            "sigma_exp": np.arange(1, 30, dtype=np.float64)[:, None],
        },
    }


def face3d_struct() -> dict[str, np.ndarray]:
    source = shared("upstream", "3ddfa")
    return {
        "shapeMU": np.load(source / "u_shp.npy"),
        "shapePC": cheap_basis(3 * V, 5),
        "shapeEV": np.arange(1, 6, dtype=np.float64)[:, None],
        "expMU": np.load(source / "u_exp.npy"),
        "expPC": cheap_basis(3 * V, 3),
        "expEV": np.arange(1, 4, dtype=np.float64)[:, None],
        "tri": basel_triangles().T + 1,
        "kpt_ind": (basel_landmark_rows() + 1)[None].astype(np.uint16),
    }


def test_3ddfa(threeddfa: Path) -> None:
    model = read_upstream_model(threeddfa)
    assert (model.num_vertices, model.num_shape, model.num_expression) == (V, 40, 10)
    assert model.unit_mm == 0.001
    np.testing.assert_array_equal(model.mean, basel_mean())
    np.testing.assert_array_equal(model.shape_basis, as_modes(cheap_basis(3 * V, 40)))
    np.testing.assert_array_equal(model.expression_basis, as_modes(cheap_basis(3 * V, 10)))
    np.testing.assert_array_equal(model.landmark_rows, basel_landmark_rows())
    # The file's triangles are clockwise: each is turned round, none is dropped.
    np.testing.assert_array_equal(model.triangles, basel_triangles()[:, ::-1])
    std = pickle.loads((threeddfa / "param_whitening.pkl").read_bytes())["param_std"]
    assert model.shape_std is not None
    np.testing.assert_array_equal(model.shape_std, std[12:52])


def test_3ddfa_mean_face_agrees_with_the_68_rows(threeddfa: Path) -> None:
    model = read_upstream_model(threeddfa)
    rows = np.loadtxt(shared("upstream", "3ddfa", "u_base.txt")).reshape(68, 3)
    np.testing.assert_allclose(model.landmark_basis.mean, rows, atol=0.1)  # micrometres


def test_basel_faces_outward(threeddfa: Path) -> None:
    """The nose's tip, the most prominent vertex, is on triangles that face the viewer."""
    model = read_upstream_model(threeddfa)
    tip = model.landmark_rows[30]
    a, b, c = model.mean[model.triangles[(model.triangles == tip).any(axis=1)]].swapaxes(0, 1)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_synergynet_adds_texture_coordinates(threeddfa: Path) -> None:
    uv = scipy.io.loadmat(shared("upstream", "3ddfa_v2", "BFM_UV.mat"))["UV"]
    np.save(threeddfa / "BFM_UV.npy", uv)
    model = read_upstream_model(threeddfa)
    assert model.name == "synergynet"
    np.testing.assert_array_equal(model.uv, uv.astype(np.float32))
    np.testing.assert_array_equal(model.uv_triangles, model.triangles)


def test_3ddfa_v2(threeddfa_v2: Path) -> None:
    model = read_upstream_model(threeddfa_v2 / "bfm_noneck_v3.pkl")
    source = shared("upstream", "3ddfa_v2")
    indices = np.load(source / "indices.npy")
    assert (model.num_vertices, model.num_shape, model.num_expression) == (38365, 40, 10)
    np.testing.assert_array_equal(model.mean, basel_mean()[indices])
    np.testing.assert_array_equal(model.shape_basis, as_modes(cheap_basis(3 * 38365, 42)[:, :40]))
    tri = pickle.loads((source / "tri.pkl").read_bytes())
    np.testing.assert_array_equal(model.triangles, tri.T[:, ::-1])
    np.testing.assert_array_equal(indices[model.landmark_rows], basel_landmark_rows())
    uv = scipy.io.loadmat(source / "BFM_UV.mat")["UV"][indices]
    np.testing.assert_array_equal(model.uv, uv.astype(np.float32))


def test_3ddfa_v2_with_triangles_of_its_own(threeddfa_v2: Path) -> None:
    path = threeddfa_v2 / "bfm_noneck_v3.pkl"
    first = read_upstream_model(path)
    content = pickle.loads(path.read_bytes())
    tri = pickle.loads((threeddfa_v2 / "tri.pkl").read_bytes())
    (threeddfa_v2 / "tri.pkl").unlink()
    other = threeddfa_v2 / "bfm_slim.pkl"
    for form in (tri, tri.T):
        other.write_bytes(pickle.dumps(content | {"tri": form}))
        model = read_upstream_model(other, layout="3ddfa_v2")
        np.testing.assert_array_equal(model.triangles, first.triangles)
    with pytest.raises(UnreadableFileError, match=r"tri\.pkl is missing"):
        read_upstream_model(path)


@pytest.mark.parametrize("expression_file", ["Model_Exp.mat", "Model_Expression.mat"])
def test_basel2009(tmp_path: Path, expression_file: str) -> None:
    files = basel2009_files()
    for name, content in files.items():
        target = expression_file if name == "Model_Exp.mat" else name
        scipy.io.savemat(tmp_path / target, content)
    model = read_upstream_model(tmp_path)
    assert (model.num_vertices, model.num_shape, model.num_expression) == (V, 199, 29)
    np.testing.assert_array_equal(model.mean, basel_mean())
    trim = files["model_info.mat"]["trimIndex"].ravel().astype(int) - 1
    last = as_modes(cheap_basis(3 * 53490, 199)[:, 198:])[0]
    np.testing.assert_array_equal(model.shape_basis[198], last[trim])
    np.testing.assert_array_equal(model.expression_basis, as_modes(cheap_basis(3 * V, 29)))
    np.testing.assert_array_equal(model.shape_std, np.arange(1, 200))
    np.testing.assert_array_equal(model.triangles, basel_triangles()[:, ::-1])
    np.testing.assert_array_equal(model.landmark_rows, basel_landmark_rows())
    np.testing.assert_array_equal(model.regions["eyes"], trim % 4 == 1)
    cut = model.truncated(40, 10)
    np.testing.assert_array_equal(cut.shape_basis, model.shape_basis[:40])
    np.testing.assert_array_equal(cut.expression_std, np.arange(1, 11))
    assert model.texture is None


def test_basel2009_has_a_texture(tmp_path: Path) -> None:
    files = basel2009_files()
    full = 3 * 53490
    files["01_MorphableModel.mat"] |= {
        "texMU": (np.arange(full, dtype=np.float32) % 256)[:, None],
        "texPC": cheap_basis(full, 199),
        "texEV": np.arange(2, 201, dtype=np.float32)[:, None],
    }
    for name, content in files.items():
        scipy.io.savemat(tmp_path / name, content)
    texture = read_upstream_model(tmp_path).texture
    trim = files["model_info.mat"]["trimIndex"].ravel().astype(int) - 1
    np.testing.assert_array_equal(
        texture.mean, files["01_MorphableModel.mat"]["texMU"].reshape(-1, 3)[trim]
    )
    np.testing.assert_array_equal(
        texture.basis[198], as_modes(cheap_basis(full, 199)[:, 198:])[0][trim]
    )
    np.testing.assert_array_equal(texture.std, np.arange(2, 201))
    del files["01_MorphableModel.mat"]["texEV"]
    scipy.io.savemat(tmp_path / "01_MorphableModel.mat", files["01_MorphableModel.mat"])
    with pytest.raises(CorruptFileError, match="texEV"):
        read_upstream_model(tmp_path)


def test_face3d(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "BFM.mat", {"model": face3d_struct()})
    model = read_upstream_model(tmp_path / "BFM.mat")
    np.testing.assert_array_equal(model.mean, basel_mean())
    np.testing.assert_array_equal(model.shape_basis, as_modes(cheap_basis(3 * V, 5)))
    np.testing.assert_array_equal(model.expression_std, [1, 2, 3])
    np.testing.assert_array_equal(model.triangles, basel_triangles()[:, ::-1])
    np.testing.assert_array_equal(model.landmark_rows, basel_landmark_rows())


def ict_arrays() -> dict[str, np.ndarray]:
    with np.load(shared("upstream", "ict_facekit", "ict_facekit_light.npz")) as archive:
        return dict(archive)


def test_ict_facekit_npz() -> None:
    model = read_upstream_model(shared("upstream", "ict_facekit", "ict_facekit_light.npz"))
    arrays = ict_arrays()
    assert model.unit_mm == 10
    np.testing.assert_array_equal(model.mean, arrays["neutral"])
    np.testing.assert_array_equal(model.shape_basis, arrays["identity"].astype(np.float32))
    np.testing.assert_array_equal(model.landmark_rows, arrays["landmarks68"])
    assert model.expression_names[:2] == ("browDown_L", "browDown_R")
    quads = (arrays["faces"] >= 0).all(axis=1).sum()
    assert len(model.triangles) == len(arrays["faces"]) + quads
    assert model.regions["face"].sum() == 9409
    assert facing_outward(model.mean, model.triangles) is model.triangles
    # Every corner keeps its texture coordinate, up to the packing of the tiles.
    assert model.uv is not None
    assert model.uv_triangles is not None
    udim = arrays["uv"][triangulated(arrays["faces_uv"])]
    packed = model.uv[model.uv_triangles]
    inside = np.modf(packed * 3)[0]  # seven tiles in a square of three by three
    np.testing.assert_allclose(inside, udim - np.floor(udim), atol=1e-5)
    tile = np.floor(packed * 3).astype(int)
    np.testing.assert_array_equal(tile[..., 0] + 3 * (2 - tile[..., 1]), np.floor(udim[..., 0]))


def write_obj(path: Path, vertices: np.ndarray, arrays: dict[str, np.ndarray] | None) -> None:
    lines = ["# a comment", "mtllib ICTFaceModelMaterial.mtl", "o face"]
    lines += ["v {:.6f} {:.6f} {:.6f}".format(*row) for row in vertices.tolist()]
    if arrays is not None:
        lines += ["vt {:.6f} {:.6f}".format(*row) for row in arrays["uv"].tolist()]
        lines += ["usemtl M_Face", "s off"]
        faces, faces_uv = (arrays["faces"] + 1).tolist(), (arrays["faces_uv"] + 1).tolist()
        for corners, corners_uv in zip(faces, faces_uv, strict=True):
            words = [f"{v}/{t}" for v, t in zip(corners, corners_uv, strict=True) if v > 0]
            lines.append("f " + " ".join(words))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def ict_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``FaceXModel``: two distinct identity files, copied; the expressions likewise."""
    folder = tmp_path_factory.mktemp("FaceXModel")
    arrays = ict_arrays()
    neutral = arrays["neutral"]
    write_obj(folder / "generic_neutral_mesh.obj", neutral, arrays)
    for kind, names in (
        ("identity", [f"identity{i:03d}" for i in range(100)]),
        ("expression", arrays["expression_names"].tolist()),
    ):
        for parity in (0, 1):
            write_obj(folder / f"{names[parity]}.obj", neutral + arrays[kind][parity], None)
        for i in range(2, len(names)):
            (folder / f"{names[i]}.obj").hardlink_to(folder / f"{names[i % 2]}.obj")
    config = {
        "expressions": arrays["expression_names"].tolist(),
        "idx_to_landmark_verts": arrays["landmarks68"].tolist(),
    }
    (folder / "vertex_indices.json").write_text(json.dumps(config))
    return folder


def test_ict_facekit_folder_is_the_npz(ict_folder: Path) -> None:
    from_folder = read_upstream_model(ict_folder)
    path = shared("upstream", "ict_facekit", "ict_facekit_light.npz")
    from_npz = read_upstream_model(path)
    np.testing.assert_allclose(from_folder.mean, from_npz.mean, atol=1e-6)
    for key in ("shape_basis", "expression_basis"):
        ours = getattr(from_folder, key)
        expected = getattr(from_npz, key)[np.arange(len(ours)) % 2]
        np.testing.assert_allclose(ours, expected, atol=2e-6)
    for key in ("triangles", "uv_triangles", "landmark_rows"):
        np.testing.assert_array_equal(getattr(from_folder, key), getattr(from_npz, key))
    np.testing.assert_allclose(from_folder.uv, from_npz.uv, atol=1e-6)
    assert from_folder.expression_names == from_npz.expression_names


LIGHT, NEUTRAL = "ict_facekit_light.npz", "generic_neutral_mesh.obj"


def test_ict_facekit_folder_of_the_light_file_alone(tmp_path: Path) -> None:
    light = shared("upstream", "ict_facekit", LIGHT)
    (tmp_path / LIGHT).symlink_to(light)
    assert detect_layout(tmp_path) == "ict-facekit"
    np.testing.assert_array_equal(read_upstream_model(tmp_path).mean, ict_arrays()["neutral"])


@pytest.mark.parametrize(
    ("files", "path", "taken"),
    [
        # The neutral mesh alone, beside the light file, is no model.
        ([LIGHT, NEUTRAL], ".", f"{LIGHT}: key 'neutral' is missing"),
        ([LIGHT, NEUTRAL], LIGHT, f"{LIGHT}: key 'neutral' is missing"),
        ([LIGHT, f"FaceXModel/{NEUTRAL}"], ".", f"{LIGHT}: key 'neutral' is missing"),
        ([LIGHT, NEUTRAL, "vertex_indices.json"], ".", ": file identity000.obj is missing"),
        ([NEUTRAL, "vertex_indices.json"], NEUTRAL, ": file identity000.obj is missing"),
        (
            [LIGHT, f"FaceXModel/{NEUTRAL}", "FaceXModel/vertex_indices.json"],
            ".",
            "FaceXModel: file identity000.obj is missing",
        ),
        ([f"FaceXModel/{NEUTRAL}"], ".", "FaceXModel: file vertex_indices.json is missing"),
        ([f"FaceXModel/{NEUTRAL}"], "FaceXModel", ": file vertex_indices.json is missing"),
    ],
)
def test_ict_facekit_files_are_found_in_their_folders(
    tmp_path: Path, files: list[str], path: str, taken: str
) -> None:
    (tmp_path / "FaceXModel").mkdir()
    for name in files:
        (tmp_path / name).touch()
    if LIGHT in files:
        np.savez(tmp_path / LIGHT, other=np.zeros(1))
    for table in tmp_path.rglob("vertex_indices.json"):
        table.write_text('{"expressions": [], "idx_to_landmark_verts": []}')
    assert detect_layout(tmp_path / path) == "ict-facekit"
    with pytest.raises((CorruptFileError, UnreadableFileError), match=re.escape(taken)):
        read_upstream_model(tmp_path / path)


def test_triangles_and_quads() -> None:
    quads = np.array([[0, 1, 2, 3], [3, 4, 5, -1]])
    np.testing.assert_array_equal(triangulated(quads), [[0, 1, 2], [3, 4, 5], [0, 2, 3]])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "u_shp.npy",
            np.zeros((3 * V, 2), np.float32),
            r"u_shp\.npy: expected shape \(159645, 1\)",
        ),
        ("u_exp.npy", np.full((3 * V, 1), np.nan, np.float32), r"u_exp\.npy: expected finite"),
        ("w_shp_sim.npy", np.zeros((3 * V, 39), np.float32), r"w_shp_sim\.npy: expected shape"),
        ("w_exp_sim.npy", np.zeros((3 * V, 10), int), r"w_exp_sim\.npy: expected floating"),
        ("keypoints_sim.npy", np.zeros(204, int), r"keypoints_sim\.npy: expected the rows"),
        ("keypoints_sim.npy", np.zeros(204), r"keypoints_sim\.npy: expected whole numbers"),
        ("keypoints_sim.npy", np.arange(204) + 3 * V, "landmark_rows: expected indices"),
        ("w_shp_sim.npy", np.array([{"a": 1}]), r"w_shp_sim\.npy: not a plain \.npy array"),
    ],
)
def test_3ddfa_names_what_is_wrong(
    threeddfa: Path, name: str, value: np.ndarray, message: str
) -> None:
    np.save(threeddfa / name, value, allow_pickle=True)
    with pytest.raises(CorruptFileError, match=message):
        read_upstream_model(threeddfa)


def test_3ddfa_names_what_is_missing(threeddfa: Path) -> None:
    (threeddfa.parent / "visualize" / "tri.mat").unlink()
    with pytest.raises(UnreadableFileError, match=r"tri\.mat is missing \(looked here and in"):
        read_upstream_model(threeddfa)
    (threeddfa / "w_shp_sim.npy").unlink()
    with pytest.raises(
        UnreadableFileError, match=r"train\.configs: file w_shp_sim\.npy is missing"
    ):
        read_upstream_model(threeddfa)


def test_whitening_is_optional_but_checked(threeddfa: Path) -> None:
    path = threeddfa / "param_whitening.pkl"
    path.write_bytes(pickle.dumps({"param_std": np.ones(61)}))
    with pytest.raises(CorruptFileError, match="key 'param_std': expected shape"):
        read_upstream_model(threeddfa)
    path.unlink()
    assert read_upstream_model(threeddfa).shape_std is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": None}, "key 'u' is missing"),
        ({"u": np.zeros((10, 1))}, "key 'u': expected 3 numbers a vertex, got 10"),
        ({"w_shp": np.zeros((115095, 39))}, "key 'w_shp': expected at least 40 columns, got 39"),
        ({"w_exp": np.zeros((115094, 10))}, "key 'w_exp': expected shape"),
        ({"keypoints": np.zeros(204, int)}, "key 'keypoints': expected the rows"),
        ({"tri": np.full((3, 5), 38365)}, "key 'tri': expected indices 0 to 38364"),
        ({"tri": np.zeros((4, 5), int)}, "key 'tri': expected shape"),
    ],
)
def test_3ddfa_v2_names_what_is_wrong(
    threeddfa_v2: Path, change: dict[str, Any], message: str
) -> None:
    path = threeddfa_v2 / "bfm_noneck_v3.pkl"
    content = pickle.loads(path.read_bytes()) | change
    content = {key: value for key, value in content.items() if value is not None}
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(CorruptFileError, match=message) as raised:
        read_upstream_model(path)
    assert "bfm_noneck_v3.pkl" in str(raised.value)


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("attacked"),)


def test_pickles_are_not_executed(
    threeddfa_v2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = threeddfa_v2 / "bfm_noneck_v3.pkl"
    path.write_bytes(pickle.dumps({"u": Attack()}))
    with pytest.raises(UnsafeFileError, match=r"bfm_noneck_v3\.pkl"):
        read_upstream_model(path)
    assert not (tmp_path / "attacked").exists()
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CorruptFileError, match="expected a dictionary"):
        read_upstream_model(path)


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("model_info.mat", "trimIndex", np.zeros((V, 1)), "key 'trimIndex': expected indices 1 to"),
        ("model_info.mat", "keypoints", np.ones((68, 1)), "key 'keypoints': expected shape"),
        ("model_info.mat", "tri", None, "key 'tri' is missing"),
        ("01_MorphableModel.mat", "shapeEV", np.ones((3, 1)), "key 'shapeEV': expected shape"),
        ("Model_Exp.mat", "w_exp", np.ones((3, 29)), "key 'w_exp': expected shape"),
        ("Model_Exp.mat", "sigma_exp", np.array([["a"]]), "key 'sigma_exp': expected floating"),
    ],
)
def test_basel2009_names_what_is_wrong(
    tmp_path: Path, file: str, key: str, value: np.ndarray | None, message: str
) -> None:
    files = basel2009_files()
    files["01_MorphableModel.mat"]["shapePC"] = cheap_basis(3 * 53490, 199)
    files[file] = {k: v for k, v in (files[file] | {key: value}).items() if v is not None}
    for name, content in files.items():
        scipy.io.savemat(tmp_path / name, content)
    with pytest.raises(CorruptFileError, match=message) as raised:
        read_upstream_model(tmp_path)
    assert file in str(raised.value)


def test_basel2009_names_what_is_missing(tmp_path: Path) -> None:
    for name in ("01_MorphableModel.mat", "model_info.mat"):
        scipy.io.savemat(tmp_path / name, basel2009_files()[name])
    with pytest.raises(
        UnreadableFileError, match=r"Model_Exp\.mat or Model_Expression\.mat is missing"
    ):
        read_upstream_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": 1}, "key 'model' is missing"),
        ({"model": np.ones((2, 2))}, "key 'model': expected one struct"),
        ({"model": {"shapeMU": 1.0}}, "key 'shapeMU': expected shape"),
        ({"model": {"shapeMU": np.array([[{"a": 1}]], object)}}, "key 'shapeMU': expected float"),
    ],
)
def test_face3d_names_what_is_wrong(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    scipy.io.savemat(tmp_path / "BFM.mat", content)
    with pytest.raises(CorruptFileError, match=message):
        read_upstream_model(tmp_path)


def test_files_that_are_no_mat_files(tmp_path: Path) -> None:
    path = tmp_path / "BFM.mat"
    for content in (b"", b"not a model", b"MATLAB 5.0 MAT-file" + bytes(300)):
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"BFM\.mat"):
            read_upstream_model(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CorruptFileError, match=r"MATLAB 7\.3"):
        read_upstream_model(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("neutral", None, "key 'neutral' is missing"),
        ("identity", np.zeros((99, 26719, 3), np.float16), "key 'identity': expected shape"),
        ("faces", np.full((26384, 4), 26719), "key 'faces': expected indices"),
        ("faces", np.full((26384, 4), -1), "key 'faces': expected indices"),
        ("faces_uv", np.zeros((26384, 4), int), "'faces' and 'faces_uv' have different polygons"),
        ("landmarks68", np.arange(67), "key 'landmarks68': expected shape"),
        ("landmarks68", np.arange(68) + 26700, "landmark_rows: expected indices"),
        ("expression_names", np.array(["a"]), "key 'expression_names': expected 53 texts"),
    ],
)
def test_ict_facekit_names_what_is_wrong(
    tmp_path: Path, key: str, value: np.ndarray | None, message: str
) -> None:
    arrays = ict_arrays() | {key: value}
    path = tmp_path / "ict_facekit_light.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(CorruptFileError, match=message) as raised:
        read_upstream_model(path)
    assert str(path) in str(raised.value)


def test_ict_facekit_folder_names_what_is_wrong(ict_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "FaceXModel"
    shutil.copytree(ict_folder, folder)
    (folder / "jawOpen.obj").write_text("v 0 0 0\n")
    with pytest.raises(CorruptFileError, match=r"jawOpen\.obj: expected 26719 vertices, got 1"):
        read_upstream_model(folder)
    (folder / "identity000.obj").write_text("v 0 0\n")
    with pytest.raises(CorruptFileError, match=r"identity000\.obj: lines 'v': expected 3 numbers"):
        read_upstream_model(folder)
    (folder / "jawOpen.obj").unlink()
    with pytest.raises(UnreadableFileError, match=r"jawOpen\.obj is missing"):
        read_upstream_model(folder)
    neutral = folder / "generic_neutral_mesh.obj"
    neutral.write_text("v 0 0 0\nvt 0 0\nf 1/1 1/1 2/1\n")
    (folder / "jawOpen.obj").write_text("v 0 0 0\n")
    with pytest.raises(CorruptFileError, match="a face asks for a vertex that is not in 1 to 1"):
        read_upstream_model(folder)
    (folder / "vertex_indices.json").write_text("{}")
    with pytest.raises(CorruptFileError, match="key 'expressions': expected a list"):
        read_upstream_model(folder)


def test_detection_and_unknown_layouts(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="no such file or folder"):
        detect_layout(tmp_path / "nothing")
    with pytest.raises(CorruptFileError, match="not a morphable model of a known layout"):
        detect_layout(tmp_path)
    with pytest.raises(InvalidInputError, match="layout: expected one of"):
        read_upstream_model(tmp_path, layout="flame")
    for name, layout in (
        ("u_shp.npy", "3ddfa"),
        ("BFM_UV.npy", "synergynet"),
    ):
        (tmp_path / name).touch()
        assert detect_layout(tmp_path) == layout
