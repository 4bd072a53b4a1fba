"""SynergyNet's release: our network computes what theirs does.

The release is not at hand. A checkpoint of its names and shapes with random values stands in, and
theirs is written here once more, layer by layer on the checkpoint's own names.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from facegeo import FaceGeometry  # noqa: E402
from facegeo.cli import main  # noqa: E402
from facegeo.errors import CorruptFileError, MissingBasisError, UnreadableFileError  # noqa: E402
from facegeo.geometry.depth import from_eyes  # noqa: E402
from facegeo.importing.synergynet import import_synergynet  # noqa: E402

VERTICES = 53215
#: Expansion, channels, stride of the 17 blocks of MobileNetV2, which are features.1 to features.17.
BLOCKS = [
    *[(1, 16, 1)],
    *[(6, 24, 2), (6, 24, 1)],
    *[(6, 32, 2), (6, 32, 1), (6, 32, 1)],
    *[(6, 64, 2), (6, 64, 1), (6, 64, 1), (6, 64, 1)],
    *[(6, 96, 1), (6, 96, 1), (6, 96, 1)],
    *[(6, 160, 2), (6, 160, 1), (6, 160, 1)],
    *[(6, 320, 1)],
]
FORWARD = [3, 64, 64, 64, 128, 1024]
ROI = np.float32([[0, 0, 120, 120]])


class Filler:
    """A state dict of random values that keep activations near one."""

    def __init__(self) -> None:
        self.state = {}
        self._random = torch.Generator().manual_seed(0)

    def normal(self, key: str, *shape: int, std: float = 1.0) -> None:
        self.state[f"module.{key}"] = std * torch.randn(shape, generator=self._random)

    def convolution(self, key: str, outputs: int, inputs: int, *kernel: int, bias=False) -> None:
        fan_in = inputs * int(np.prod(kernel))
        self.normal(f"{key}.weight", outputs, inputs, *kernel, std=(2 / fan_in) ** 0.5)
        if bias:
            self.normal(f"{key}.bias", outputs, std=0.1)

    def norm(self, key: str, channels: int) -> None:
        for name, low, high in (
            ("weight", 0.7, 1.3),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.7, 1.3),
        ):
            part = torch.rand(channels, generator=self._random)
            self.state[f"module.{key}.{name}"] = low + (high - low) * part
        self.state[f"module.{key}.num_batches_tracked"] = torch.tensor(7)

    def mobilenet(self, start: str) -> None:
        self.convolution(f"{start}.0.0", 32, 3, 3, 3)
        self.norm(f"{start}.0.1", 32)
        channels = 32
        for index, (expansion, outputs, _) in enumerate(BLOCKS, 1):
            hidden, place = channels * expansion, f"{start}.{index}.conv"
            if expansion > 1:
                self.convolution(f"{place}.0.0", hidden, channels, 1, 1)
                self.norm(f"{place}.0.1", hidden)
            at = int(expansion > 1)
            self.convolution(f"{place}.{at}.0", hidden, 1, 3, 3)
            self.norm(f"{place}.{at}.1", hidden)
            self.convolution(f"{place}.{at + 1}", outputs, hidden, 1, 1)
            self.norm(f"{place}.{at + 2}", outputs)
            channels = outputs
        self.convolution(f"{start}.18.0", 1280, channels, 1, 1)
        self.norm(f"{start}.18.1", 1280)

    def points(self, start: str, channels: list[int]) -> None:
        for index, (inputs, outputs) in enumerate(pairwise(channels), 1):
            self.convolution(f"{start}.conv{index}", outputs, inputs, 1, bias=True)
            self.norm(f"{start}.bn{index}", outputs)


def checkpoint() -> dict[str, torch.Tensor]:
    """Names and shapes of ``best.pth.tar``."""
    fill = Filler()
    fill.mobilenet("I2P.backbone.features")
    for name, size in (("ori", 12), ("shape", 40), ("exp", 10)):
        fill.convolution(f"I2P.backbone.classifier_{name}.1", size, 1280, bias=True)
    fill.points("forwardDirection", FORWARD)
    # The first layer sees pixels, up to 120.
    fill.state["module.forwardDirection.conv1.weight"] /= 60
    for index, (outputs, inputs) in enumerate(((512, 2418), (256, 512), (128, 256), (3, 128)), 6):
        fill.convolution(f"forwardDirection.conv{index}", outputs, inputs, 1, bias=True)
        fill.norm(f"forwardDirection.bn{index}", outputs)
    fill.points("reverseDirection", FORWARD)
    for index, outputs in enumerate((12, 40, 10), 1):
        fill.convolution(f"reverseDirection.conv6_{index}", outputs, 1024, 1, bias=True)
        fill.norm(f"reverseDirection.bn6_{index}", outputs)
    mean, std = torch.zeros(62), torch.full((62,), 3e4)
    mean[[0, 5, 10]], mean[[3, 7]] = 5e-4, 60.0
    std[:12] = 2e-5
    std[[3, 7, 11]] = 4.0
    fill.state |= {"module.param_mean": mean, "module.param_std": std}
    fill.normal("u_base", 204, 1, std=5e4)
    fill.normal("w_shp_base", 204, 40, std=0.02)
    fill.normal("w_exp_base", 204, 10, std=0.02)
    return fill.state


def write(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """The release's layout; the dense arrays are small, for nothing reads them."""
    (folder / "pretrained").mkdir(parents=True, exist_ok=True)
    dense = {f"module.{name}": torch.zeros(3, 1) for name in ("u", "w_shp", "w_exp")}
    content = {"epoch": 80, "state_dict": state | dense}
    torch.save(content, folder / "pretrained/best.pth.tar")
    return folder


def theirs(state: dict[str, torch.Tensor], crops: np.ndarray) -> tuple[np.ndarray, ...]:
    """Parameters, coarse and refined landmarks in the released code's frame, in float64."""
    state = {key.removeprefix("module."): value.double() for key, value in state.items()}

    def norm(x, key):
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{key}.{name}"] for name in names))

    def relu6(x):
        return x.clamp(0, 6)

    start = "I2P.backbone.features"
    x = (torch.from_numpy(crops).permute(0, 3, 1, 2).double() - 127.5) / 128
    x = relu6(norm(functional.conv2d(x, state[f"{start}.0.0.weight"], None, 2, 1), f"{start}.0.1"))
    for index, (expansion, outputs, stride) in enumerate(BLOCKS, 1):
        place, before, at = f"{start}.{index}.conv", x, 0
        if expansion > 1:
            x = functional.conv2d(x, state[f"{place}.0.0.weight"])
            x, at = relu6(norm(x, f"{place}.0.1")), 1
        weight = state[f"{place}.{at}.0.weight"]
        x = functional.conv2d(x, weight, None, stride, 1, groups=len(weight))
        x = relu6(norm(x, f"{place}.{at}.1"))
        x = norm(functional.conv2d(x, state[f"{place}.{at + 1}.weight"]), f"{place}.{at + 2}")
        if stride == 1 and before.shape[1] == outputs:
            x = before + x
    x = relu6(norm(functional.conv2d(x, state[f"{start}.18.0.weight"]), f"{start}.18.1"))
    image = x.flatten(2).mean(2)

    def head(name):
        key = f"I2P.backbone.classifier_{name}.1"
        return image @ state[f"{key}.weight"].T + state[f"{key}.bias"]

    pose, shape, expression = (head(name) for name in ("ori", "shape", "exp"))
    params = torch.cat([pose, shape, expression], 1) * state["param_std"] + state["param_mean"]
    matrix = params[:, :12].reshape(-1, 3, 4)
    flat = state["u_base"] + state["w_shp_base"] @ params[:, 12:52, None]
    flat = flat + state["w_exp_base"] @ params[:, 52:, None]
    coarse = matrix[:, :, :3] @ flat.reshape(-1, 68, 3).transpose(1, 2) + matrix[:, :, 3:]
    coarse = torch.stack([coarse[:, 0], 121 - coarse[:, 1], coarse[:, 2]], 1)

    def layer(x, number):
        key = f"forwardDirection.conv{number}"
        x = functional.conv1d(x, state[f"{key}.weight"], state[f"{key}.bias"])
        return norm(x, f"forwardDirection.bn{number}").clamp(min=0)

    low = layer(layer(coarse, 1), 2)
    whole = layer(layer(layer(low, 3), 4), 5).amax(2)
    face = torch.cat([whole, image, shape, expression], 1)[:, :, None].expand(-1, -1, 68)
    x = torch.cat([low, face], 1)
    for number in (6, 7, 8, 9):
        x = layer(x, number)
    refined = coarse + 0.05 * x
    return tuple(v.numpy() for v in (params, coarse.transpose(1, 2), refined.transpose(1, 2)))


@pytest.fixture(scope="module")
def random_state() -> dict[str, torch.Tensor]:
    return checkpoint()


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 120, 120, 3), np.uint8)


def test_it_computes_what_theirs_does_on_every_backend(
    random_state, crops, cache, tmp_path, capsys
):
    folder = write(tmp_path / "release", random_state)
    assert main(["import", "synergynet", str(folder)]) == 0
    assert "3dmm_data" in capsys.readouterr().out  # what is missing for the mesh
    params, coarse, refined = theirs(random_state, crops)
    moved = np.abs(refined - coarse).max()
    assert moved > 0.01 and np.ptp(coarse) < 1000
    for backend in ("onnxruntime", "pytorch"):
        predictor = FaceGeometry("synergynet", backend=backend)
        batch = predictor.predict_crops(crops, np.repeat(ROI, len(crops), 0))
        # Theirs counts pixels from 1.
        assert np.abs(batch.params - params).max() < 1e-4 * np.abs(params).max()
        # Theirs has the network's depth, ours begins at the eyes.
        own, depths = from_eyes(coarse - 1)
        assert np.abs(batch.coarse_landmarks - own).max() < 2e-3
        assert np.abs(batch.depths - depths).max() < 2e-3
        assert np.abs(batch.landmarks - from_eyes(refined - 1)[0]).max() < 2e-3
        shift = batch.landmarks - batch.coarse_landmarks
        assert np.abs((shift - (refined - coarse))[..., :2]).max() < 2e-3 * moved
    card = predictor.card
    assert card.crop_convention == "3ddfa" and "research only" in card.licence
    assert "best.pth.tar" in card.imported_from
    with pytest.raises(MissingBasisError, match="3dmm_data"):
        predictor.reconstruct(batch.params)


@pytest.fixture
def complete(random_state, shared, tmp_path) -> Path:
    """A release with ``3dmm_data``: Basel's mean and triangles, and bases of random numbers."""
    folder = tmp_path / "release"
    data = folder / "3dmm_data"
    data.mkdir(parents=True)
    source = shared / "upstream/3ddfa"
    for name in ("u_shp.npy", "u_exp.npy", "keypoints_sim.npy", "param_whitening.pkl", "tri.mat"):
        shutil.copy(source / name, data)
    keypoints = np.load(source / "keypoints_sim.npy")
    mean = np.load(source / "u_shp.npy") + np.load(source / "u_exp.npy")
    state = random_state | {"module.u_base": torch.from_numpy(mean[keypoints])}
    rng = np.random.default_rng(0)
    for name, modes in (("w_shp", 40), ("w_exp", 10)):
        basis = 0.02 * rng.standard_normal((3 * VERTICES, modes), np.float32)
        np.save(data / f"{name}_sim.npy", basis)
        state[f"module.{name}_base"] = torch.from_numpy(basis[keypoints])
    return write(folder, state)


def test_with_its_data_it_has_a_mesh_whose_rows_are_the_coarse_landmarks(complete, cache, crops):
    model = import_synergynet(complete, "theirs")
    assert not model.card.missing and "3dmm_data/w_shp_sim.npy" in model.card.imported_from
    predictor = FaceGeometry("theirs", backend="pytorch")
    rois = np.float32([[10, 20, 250, 260]] * 3)
    batch = predictor.predict_crops(crops, rois)
    mesh = predictor.reconstruct(batch.params, rois)
    assert mesh.shape == (3, VERTICES, 3)
    rows = predictor.mesh_source.morphable.landmark_rows
    assert np.abs(mesh[:, rows] - batch.coarse_landmarks).max() < 0.02


def test_data_of_another_release_is_refused(complete, cache):
    path = complete / "3dmm_data/u_shp.npy"
    np.save(path, np.load(path) * 1.01)
    with pytest.raises(CorruptFileError, match=r"3dmm_data.*different releases"):
        import_synergynet(complete)
    (complete / "3dmm_data/w_exp_sim.npy").unlink()
    with pytest.raises(UnreadableFileError, match=r"w_exp_sim\.npy"):
        import_synergynet(complete)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("forwardDirection.conv9.weight", None, r"forwardDirection\.conv9\.weight.*missing"),
        ("u_base", None, "u_base"),
        ("param_std", torch.ones(61), "param_std"),
        ("w_shp_base", torch.ones(204, 39), "w_shp_base"),
        (
            "I2P.backbone.classifier_ori.1.weight",
            torch.ones(7, 1280),
            r"classifier_ori\.1\.weight.*12.*7",
        ),
        ("I2P.backbone.something", torch.ones(1), "something"),
    ],
)
def test_wrong_checkpoints_name_file_and_key(random_state, cache, tmp_path, key, value, message):
    state = dict(random_state)
    state.pop(f"module.{key}", None)
    if value is not None:
        state[f"module.{key}"] = value
    with pytest.raises(CorruptFileError, match=rf"best\.pth\.tar.*{message}"):
        import_synergynet(write(tmp_path / "release", state))


def test_a_missing_checkpoint_is_named(cache, tmp_path):
    with pytest.raises(UnreadableFileError, match=r"best\.pth\.tar"):
        import_synergynet(tmp_path)
