"""Networks of face models with other numbers of modes, and networks that reach one by a bridge."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.landmark_network import LandmarkNetwork
from helpers.morphable_data import ellipsoid, generic_model

from facegeo import FaceGeometry
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.crop import crop_faces, find_convention
from facegeo.morphable.bridge import ParameterBridge
from facegeo.zoo.cards import Card
from facegeo.zoo.face_models import model_bytes
from facegeo.zoo.store import install

BOX = [[180, 70, 270, 180]]


def bridge(num_shape: int = 6, num_expression: int = 3) -> ParameterBridge:
    """From facegeo-generic to an ellipsoid, any map; expressions of 0 to 1."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(0, 0.3, (51, 12 + num_shape + num_expression))
    matrix[0, :12] = np.eye(3, 4).reshape(-1) * 0.8
    matrix[1:, :12] *= 1e-3
    return ParameterBridge("facegeo-generic", "ellipsoid", 40, num_shape, matrix, (0, 1))


def installed(name: str, contents: dict[str, bytes], **modes) -> None:
    # Not read: every predictor here is given an open network.
    contents = {"network": b"none", "morphable": model_bytes(ellipsoid())} | contents
    facts = {"crop_convention": "exact"} | modes
    install(Card(name, "landmarks", "none", "test", "MIT", {}, **facts), contents)


class TalkingNetwork(LandmarkNetwork):
    """Parameters that differ from face to face."""

    def _run(self, inputs):
        values = super()._run(inputs)
        shape = values["params"][:, 12:].shape
        values["params"][:, 12:] = np.random.default_rng(1).normal(size=shape)
        return values


def test_a_bridge_takes_parameters_to_the_cards_face_model(cache, sample_photo):
    installed("bridged", {"bridge": bridge().to_bytes()}, num_shape=6, num_expression=3)
    predictor = FaceGeometry("bridged", network=TalkingNetwork(), detector=None)
    (face,) = predictor(sample_photo, boxes=BOX)
    assert face.params.shape == (21,)
    assert face.shape.shape == (6,) and face.expression.shape == (3,)
    assert face.expression.min() >= 0 and face.expression.max() <= 1
    # Mesh, coarse landmarks and pose are those of the new model, placed by the new parameters.
    model = ellipsoid()
    assert len(face.coarse_mesh.vertices) == model.num_vertices
    rows = face.coarse_mesh.vertices[model.landmark_rows]
    np.testing.assert_allclose(rows, face.coarse_landmarks, atol=0.02)
    turned = np.array([face.roi_rotation])
    again = predictor.reconstruct(face.params[None], face.roi[None], rotations=turned)[0]
    np.testing.assert_allclose(again, face.coarse_mesh.vertices, atol=0.01)
    assert face.coarse_landmarks[[36, 45], 2].mean() == pytest.approx(0, abs=1e-3)


def test_a_bridge_moves_no_refined_point(cache, sample_photo):
    installed("bridged", {"bridge": bridge().to_bytes()}, num_shape=6, num_expression=3)
    installed("plain", {"morphable": model_bytes(generic_model())})
    found = [
        FaceGeometry(name, network=TalkingNetwork(), detector=None)(sample_photo, boxes=BOX)[0]
        for name in ("bridged", "plain")
    ]
    np.testing.assert_array_equal(found[0].landmarks[:, :2], found[1].landmarks[:, :2])


def test_a_bridge_to_other_modes_than_the_cards_is_refused(cache):
    installed("bridged", {"bridge": bridge(5).to_bytes()}, num_shape=6, num_expression=3)
    with pytest.raises(CorruptFileError, match=r"a bridge to 6 shape and 3 .* one to 5 and 3"):
        FaceGeometry("bridged", network=LandmarkNetwork(), detector=None)


def test_a_network_of_other_modes_than_the_cards_is_refused(cache):
    installed("other", {}, num_shape=6, num_expression=3)
    with pytest.raises(InvalidInputError, match=r"expected 21 parameters a face, .* gives 62"):
        FaceGeometry("other", network=LandmarkNetwork(), detector=None)


def test_parameters_of_the_cards_number_are_asked_for(cache):
    installed("bridged", {"bridge": bridge().to_bytes()}, num_shape=6, num_expression=3)
    predictor = FaceGeometry("bridged", network=LandmarkNetwork(), detector=None)
    with pytest.raises(InvalidInputError, match=r"params: expected shape \(N, 21\), got \(1, 62\)"):
        predictor.reconstruct(np.zeros((1, 62)))


@pytest.fixture(scope="module")
def of_seven_modes():
    """A network of 7 + 4 modes, its files, and the face model; exported once for all engines."""
    torch = pytest.importorskip("torch")
    from helpers.synergy_networks import exported

    from facegeo.networks.synergy.config import SynergyConfig
    from facegeo.networks.synergy.network import SynergyNet

    torch.manual_seed(0)
    model = ellipsoid(7, 4)
    config = SynergyConfig(backbone="mobilenet_v1_x0.5", num_shape=7, num_expression=4)
    network = SynergyNet(config, find_convention("exact"), model.name)
    mean, std = np.zeros(23), np.full(23, 0.1)
    mean[:12], std[:12] = [0.5, 0, 0, 60, 0, 0.5, 0, 60, 0, 0, 0.5, 0], 0.01
    network.set_face_model(model, mean, std)
    contents = {"network": exported(network.eval()), "morphable": model_bytes(model)}
    return network, contents, model


@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch"])
def test_a_network_with_heads_for_other_modes(cache, backend, sample_photo, of_seven_modes):
    import torch

    network, contents, model = of_seven_modes
    assert {name: head.out_features for name, head in network.heads.items()} == {
        "pose": 12,
        "shape": 7,
        "expression": 4,
    }
    facts = {"crop_convention": "exact", "num_shape": 7, "num_expression": 4}
    install(Card("seven", "landmarks", "synergynet", "test", "MIT", {}, **facts), contents)
    predictor = FaceGeometry("seven", backend=backend, detector=None, recrop=False)
    (face,) = predictor(sample_photo, boxes=BOX)
    assert face.params.shape == (23,) and face.expression.shape == (4,)
    np.testing.assert_allclose(
        face.coarse_mesh.vertices[model.landmark_rows], face.coarse_landmarks, atol=0.02
    )
    with torch.no_grad():
        params, *_ = network(torch.from_numpy(crop_faces(sample_photo, face.roi[None])))
    np.testing.assert_allclose(face.params, params[0].numpy(), atol=1e-3)
