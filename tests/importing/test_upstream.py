"""Releases of 3DDFA_V2 and FaceBoxes become facegeo's files; damaged ones are named."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from facegeo.errors import CorruptFileError, InvalidInputError, UnreadableFileError, UnsafeFileError
from facegeo.importing.upstream import import_3ddfa_v2, import_faceboxes, read_landmark_rows
from facegeo.zoo import find

torch = pytest.importorskip("torch")

WEIGHTS = "mb05_120x120.pth"
STATISTICS = "param_mean_std_62d_120x120.pkl"


@pytest.fixture
def release(shared: Path, tmp_path: Path) -> Path:
    """A copy of the release without its dense model, for tests to damage."""
    folder = tmp_path / "3DDFA_V2"
    (folder / "weights").mkdir(parents=True)
    (folder / "configs").mkdir()
    upstream = shared / "upstream/3ddfa_v2"
    shutil.copy(upstream / WEIGHTS, folder / "weights")
    shutil.copy(upstream / STATISTICS, folder / "configs")
    return folder


@pytest.fixture
def rows(shared: Path) -> Path:
    return shared / "upstream/3ddfa"


def rewrite(path: Path, change) -> None:
    """Change a weights file's state dict and write it back."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    change(content["state_dict"])
    torch.save(content, path)


def test_the_card_names_sources_licence_convention_and_what_is_missing(models):
    card = find("mb05").card
    assert card.architecture == "mobilenet_v1_x0.5" and card.crop_convention == "3ddfa"
    assert "research only" in card.licence and WEIGHTS in card.source
    assert "bfm_noneck_v3.pkl" in card.missing["morphable"]
    assert card.imported_from[WEIGHTS].startswith("f93ed7f1c4c0382b")


def test_landmark_rows_are_those_of_the_mean_face(rows):
    """u_base is the mean face (shape + expression) at the landmark rows."""
    mean = np.load(rows / "u_shp.npy") + np.load(rows / "u_exp.npy")
    keypoints = np.load(rows / "keypoints_sim.npy").astype(int)
    assert np.abs(read_landmark_rows(rows).mean - mean[keypoints, 0]).max() < 1


def test_a_full_size_mobilenet_is_recognised_with_its_older_head_name(release, rows, cache):
    from facegeo.networks.backbones.mobilenet_v1 import MobileNetV1

    state = {f"module.{k}": v for k, v in MobileNetV1(1.0).state_dict().items()}
    state = {k.replace(".fc.", ".fc_param."): v for k, v in state.items()}
    torch.save({"state_dict": state}, release / "weights/mb1_120x120.pth")
    with pytest.raises(InvalidInputError, match="--weights"):
        import_3ddfa_v2(release, "new", landmark_basis=rows)
    model = import_3ddfa_v2(release, "mb1", landmark_basis=rows)
    assert model.card.architecture == "mobilenet_v1_x1"


def test_a_release_with_its_dense_model_gives_meshes_whose_rows_are_the_landmarks(
    release, cache, shared
):
    """The Basel bases are not at hand: a file of their layout with bases of random numbers."""
    from facegeo import FaceGeometry

    rng = np.random.default_rng(0)
    vertices = 38365
    keypoints = 3 * rng.choice(vertices, 68, replace=False)[:, None] + np.arange(3)
    dense = {
        "u": rng.normal(0, 3e4, (3 * vertices, 1)).astype(np.float32),
        "w_shp": rng.normal(0, 1e-3, (3 * vertices, 40)).astype(np.float32),
        "w_exp": rng.normal(0, 1e-3, (3 * vertices, 10)).astype(np.float32),
        "keypoints": keypoints.reshape(-1).astype(np.int64),
    }
    (release / "configs/bfm_noneck_v3.pkl").write_bytes(pickle.dumps(dense))
    shutil.copy(shared / "upstream/3ddfa_v2/tri.pkl", release / "configs")
    import_3ddfa_v2(release, "dense")
    predictor = FaceGeometry("dense")
    crops = rng.integers(0, 256, (2, 120, 120, 3), np.uint8)
    rois = np.float32([[0, 0, 240, 240], [50, 60, 170, 180]])
    batch = predictor.predict_crops(crops, rois)
    mesh = predictor.reconstruct(batch.params, rois)
    assert mesh.shape == (2, vertices, 3)
    assert np.abs(mesh[:, keypoints[:, 0] // 3] - batch.coarse_landmarks).max() < 0.02
    (face, _) = batch.faces(rois, np.ones(2), predictor.mesh_source)
    assert np.abs(face.mesh.vertices - mesh[0]).max() < 0.001
    assert face.mesh.triangles.shape == (76073, 3)


@pytest.mark.parametrize(
    ("remove", "message"),
    [("weights", r"holds no weights"), ("configs", STATISTICS)],
)
def test_missing_files_are_named(release, rows, cache, remove, message):
    shutil.rmtree(release / remove)
    with pytest.raises(UnreadableFileError, match=message):
        import_3ddfa_v2(release, "mb05", landmark_basis=rows)


def test_without_dense_model_and_landmark_rows_both_are_named(release, cache):
    with pytest.raises(UnreadableFileError, match=r"bfm_noneck_v3\.pkl.*u_base\.txt"):
        import_3ddfa_v2(release, "mb05")


def test_weights_with_a_missing_or_a_wrong_layer_are_named(release, rows, cache):
    path = release / "weights" / WEIGHTS
    rewrite(path, lambda state: state.pop("module.dw6.conv_sep.weight"))
    with pytest.raises(CorruptFileError, match=r"dw6\.conv_sep\.weight"):
        import_3ddfa_v2(release, "mb05", landmark_basis=rows)
    rewrite(path, lambda state: state.update({"module.conv1.weight": torch.zeros(5, 3, 3, 3)}))
    with pytest.raises(CorruptFileError, match=r"conv1\.weight"):
        import_3ddfa_v2(release, "mb05", landmark_basis=rows)


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_weights_and_statistics_that_ask_for_code_are_refused(release, rows, cache, tmp_path):
    target = tmp_path / "ran"
    torch.save({"state_dict": Bomb(target)}, release / "weights" / WEIGHTS)
    with pytest.raises(UnsafeFileError, match="nothing ran"):
        import_3ddfa_v2(release, "mb05", landmark_basis=rows)
    with pytest.raises(UnsafeFileError, match="nothing ran"):
        import_faceboxes(release / "weights" / WEIGHTS)
    assert not target.exists() and not cache.exists()


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04broken"])
def test_files_that_are_no_weights_are_named(tmp_path, cache, content):
    path = tmp_path / "FaceBoxesProd.pth"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"FaceBoxesProd\.pth"):
        import_faceboxes(path)


def test_other_weights_are_not_taken_for_faceboxes(release, cache):
    with pytest.raises(CorruptFileError, match="FaceBoxes"):
        import_faceboxes(release / "weights" / WEIGHTS)


@pytest.mark.parametrize(
    "content", [{"mean": np.zeros(62)}, {"mean": np.zeros(62), "std": np.zeros(61)}, np.zeros(62)]
)
def test_wrong_statistics_name_the_key(release, rows, cache, content):
    (release / "configs" / STATISTICS).write_bytes(pickle.dumps(content))
    with pytest.raises(CorruptFileError, match=r"key '(mean|std)'"):
        import_3ddfa_v2(release, "mb05", landmark_basis=rows)
