"""Networks: sizes as published, the split first layer, export, and what a predictor makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.morphable_data import generic_model  # noqa: E402
from helpers.synergy_networks import CONVENTION, exported, small_network  # noqa: E402

from facegeo.errors import InvalidInputError  # noqa: E402
from facegeo.geometry.crop import CROP_SIZE  # noqa: E402
from facegeo.networks.backbones.mobilenet_v2 import SHALLOW, MobileNetV2, shortened  # noqa: E402
from facegeo.networks.backbones.table import BACKBONES, build_backbone  # noqa: E402
from facegeo.networks.regressor import (  # noqa: E402
    SYNERGY,
    build_regressor,
    input_example,
    network_state,
)
from facegeo.networks.synergy.config import ABLATIONS, SynergyConfig  # noqa: E402
from facegeo.networks.synergy.network import SynergyNet  # noqa: E402
from facegeo.networks.synergy.points import Refinement  # noqa: E402


def size_of(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mobilenet_v2", 3.505 - 1.281),  # torchvision's count less its classifier
        ("resnet50", 25.557 - 2.049),
        ("resnet101", 44.549 - 2.049),
        ("resnest50", 27.483 - 2.049),  # the paper's 27.5 M and 48.3 M
        ("resnest101", 48.275 - 2.049),
    ],
)
def test_backbones_have_their_published_size(name, millions):
    assert size_of(BACKBONES[name]()) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_give_one_vector_a_crop(name):
    backbone = build_backbone(name).eval()
    with torch.inference_mode():
        features = backbone(torch.zeros(2, 3, 64, 64))
    assert features.shape == (2, backbone.num_features)


def test_a_shortened_backbone_computes_what_the_deep_one_does_without_its_later_blocks():
    torch.manual_seed(0)
    deep, shallow = build_backbone("mobilenet_v2").eval(), MobileNetV2(SHALLOW).eval()
    shallow.load_state_dict(shortened(deep.state_dict(), deep, shallow))

    first = 1
    for many, few in zip(deep.repetitions, shallow.repetitions, strict=True):
        for later in range(first + few, first + many):
            deep.features[later] = torch.nn.Identity()
        first += many
    picture = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(shallow(picture), deep(picture))


@pytest.mark.parametrize(
    ("row", "millions"), [("baseline", 2.303), ("mafa", 3.860), ("mafa+inverse", 4.075)]
)
def test_synergynet_has_the_sizes_of_the_design(row, millions):
    config = dataclasses.replace(ABLATIONS[row], presence=False)
    assert size_of(SynergyNet(config, CONVENTION)) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_the_enlarged_baseline_spends_what_the_modules_would():
    sizes = [
        size_of(SynergyNet(dataclasses.replace(ABLATIONS[row], presence=False), CONVENTION))
        for row in ("baseline", "larger")
    ]
    assert (sizes[1] - sizes[0]) / 1e6 == pytest.approx(0.8, abs=0.01)


def test_adaptation_layers_come_on_top():
    plain, adapted = (
        size_of(Refinement((1280, 40, 10), widths)) for widths in (None, (256, 64, 32))
    )
    layers = 1281 * 256 + 41 * 64 + 11 * 32
    assert adapted - plain == layers + 512 * ((256 + 64 + 32) - (1280 + 40 + 10))


def as_the_paper_draws_it(module, points, attributes):
    """The reference: the face's vector repeated for every point."""
    low, face = module._features(points, attributes)
    repeated = face[:, :, None].expand(-1, -1, low.shape[2])
    return module._decode(module.first(torch.cat([low, repeated], dim=1)))


@pytest.mark.parametrize("adaptation", [None, (32, 16, 8)])
def test_the_split_first_layer_computes_what_the_naive_one_does(adaptation):
    torch.manual_seed(1)
    module = Refinement((24, 40, 10), adaptation).double()
    torch.nn.init.normal_(module.last.weight)
    points = torch.randn(5, 3, 68, dtype=torch.float64)
    attributes = [torch.randn(5, n, dtype=torch.float64) for n in (24, 40, 10)]
    for training in (True, False):
        module.train(training)
        split, naive = module(points, attributes), as_the_paper_draws_it(module, points, attributes)
        assert torch.abs(split - naive).max() < 1e-10


def test_training_starts_from_the_coarse_landmarks():
    network = SynergyNet(SynergyConfig(backbone="mobilenet_v1_x0.5"), CONVENTION).eval()
    with torch.inference_mode():
        _, refined, coarse, _ = network(input_example())
    assert torch.equal(refined, coarse)


@pytest.mark.parametrize("row", [name for name in ABLATIONS if not name.startswith("res")])
def test_every_ablation_regresses(row):
    config = dataclasses.replace(ABLATIONS[row], backbone="mobilenet_v1_x0.5")
    network = SynergyNet(config, CONVENTION)
    network.train()
    result = network.regress(network.backbone(torch.randn(4, 3, 32, 32)))
    assert result.landmarks.shape == (4, 68, 3)
    assert set(result.inverse) == set(config.inverse)


def test_coarse_landmarks_are_rows_of_the_mesh():
    network = small_network()
    model = generic_model()
    with torch.inference_mode():
        params, _, coarse, _ = (value.numpy() for value in network(input_example(3)))
    pose = params[:, :12].reshape(-1, 3, 4)
    points = model.landmarks(params[:, 12:52], params[:, 52:], pose)
    points[:, :, 1] = CROP_SIZE - 1 - points[:, :, 1]
    assert np.abs(points - coarse).max() < 1e-3


@pytest.mark.parametrize("more", [False, True])
def test_weights_make_the_round_trip_and_onnx_agrees(more):
    import onnx as onnx_package

    from facegeo.export.to_onnx import to_onnx

    network = small_network(adaptation=(64, 16, 8), visibility=more, covariance=more)
    again = build_regressor(SYNERGY, CONVENTION, network_state(network))
    assert again.config == network.config
    assert again.morphable_model == "facegeo-generic"
    with torch.inference_mode():
        for ours, theirs in zip(network(input_example()), again(input_example()), strict=True):
            assert torch.equal(ours, theirs)
    onnx = to_onnx(  # compares the numbers itself
        again,
        input_example(),
        input_name="crops",
        output_names=again.output_names,
        dynamic={0: "N"},
        checks=[input_example(n) for n in (1, 5)],
    )
    stored = onnx_package.load_from_string(onnx).graph.initializer
    assert not [tensor.name for tensor in stored if "inverse" in tensor.name]
    assert b".py" not in onnx  # the exporter's notes name files of the machine


def test_weights_without_their_configuration_are_refused():
    state = network_state(small_network())
    del state["config"]
    with pytest.raises(InvalidInputError, match="config"):
        build_regressor(SYNERGY, CONVENTION, state)


@pytest.mark.parametrize(
    "settings",
    [
        {"refinement": "some"},
        {"inverse": ("nose",)},
        {"inverse_from": "mesh"},
        {"adaptation": (8,)},
        {"layers": 3},
    ],
)
def test_a_wrong_configuration_is_refused(settings):
    with pytest.raises(InvalidInputError):
        SynergyConfig.from_mapping(settings)


@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch"])
def test_the_predictor_takes_refined_points_and_presence(cache, backend, sample_photo):
    from facegeo import FaceGeometry
    from facegeo.zoo.cards import Card
    from facegeo.zoo.face_models import model_bytes
    from facegeo.zoo.store import install

    network = small_network(visibility=True, covariance=True)
    onnx = exported(network)
    card = Card("tiny", "landmarks", SYNERGY, "test", "MIT", {}, crop_convention="exact")
    install(card, {"network": onnx, "morphable": model_bytes(generic_model())})

    (face,) = FaceGeometry("tiny", backend=backend)(sample_photo, boxes=[[180, 70, 270, 180]])
    assert 0 < face.presence < 1
    assert np.abs(face.landmarks - face.coarse_landmarks).max() > 0.05
    rows = generic_model().landmark_rows
    assert np.abs(face.coarse_mesh.vertices[rows] - face.coarse_landmarks).max() < 0.02
    assert face.to_dict()["presence"] == face.presence
    assert face.visibility.shape == (68,) and 0 < face.visibility.min() <= face.visibility.max() < 1
    # Two crop pixels to begin with, as photo pixels.
    side = face.roi[2] - face.roi[0]
    deviation = np.sqrt(np.linalg.eigvalsh(face.covariance)) * 120 / side
    assert face.covariance.shape == (68, 2, 2) and 1 < deviation.min() <= deviation.max() < 4
