"""Known blendshapes come back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.morphable_data import generic_model

from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import find_convention
from facegeo.geometry.pose import rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.morphable.readers import read_upstream_model
from facegeo.results import FaceBatch


@pytest.fixture(scope="module")
def ict(shared) -> MorphableModel:
    path = shared / "upstream" / "ict_facekit" / "ict_facekit_light.npz"
    return read_upstream_model(path, "ict-facekit")


@pytest.fixture(scope="module")
def driver(example):
    return example("avatar_driver")


@pytest.fixture(scope="module")
def solver(driver, ict):
    return driver.BlendshapeSolver(ict)


def displacement(model: MorphableModel, weights: dict[str, float]) -> np.ndarray:
    chosen = np.zeros(model.num_expression)
    for name, weight in weights.items():
        chosen[model.expression_names.index(name)] = weight
    basis = model.landmark_basis.expression_basis.astype(np.float64)
    return np.tensordot(chosen, basis, axes=1) * model.unit_mm


def face_of(model: MorphableModel, weights: dict[str, float], angles, seed: int = 0):
    """A person of a network that speaks a model, in some pose, and with some expression."""
    rng = np.random.default_rng(seed)
    expression = np.zeros((1, model.num_expression), np.float32)
    for name, weight in weights.items():
        expression[0, model.expression_names.index(name)] = weight
    shape = rng.normal(0, 1, (1, model.num_shape)).astype(np.float32)
    pose = np.zeros((1, 3, 4), np.float32)
    pose[0, :, :3] = 0.5 * rotation_from_euler(np.array([angles]))[0]
    pose[0, :, 3] = [60, 60, 0]
    convention = find_convention("exact")
    params = np.concatenate([pose.reshape(1, 12), shape, expression], axis=1)
    rois = np.array([[100, 80, 340, 320]], np.float32)
    batch = FaceBatch(params, np.zeros((1, 68, 3), np.float32), None, np.ones(1), rois, convention)
    points = model.landmarks(shape, expression, batch.affine)
    batch = FaceBatch(params, points, points, np.ones(1), rois, convention)
    source = SimpleNamespace(unit_mm=model.unit_mm, morphable=model)
    return batch.faces(rois, np.ones(1), source)[0]


def test_the_names_are_arkits(solver):
    arkit = (
        "browDownLeft browInnerUp browOuterUpRight cheekSquintLeft eyeBlinkLeft eyeSquintRight "
        "eyeWideLeft jawForward jawLeft jawOpen mouthClose mouthDimpleLeft mouthFunnel mouthLeft "
        "mouthLowerDownRight mouthPucker mouthRollLower mouthShrugUpper mouthSmileLeft "
        "mouthUpperUpRight noseSneerLeft"
    )
    assert set(arkit.split()) <= set(solver.names)
    assert len(set(solver.names)) == len(solver.names) == 42  # 52 less tongue, gaze, full cheeks
    assert not any("_" in name for name in solver.names)


def test_each_blendshape_is_recovered(driver, ict, solver):
    """One at a time; the restraint takes a little from those that move few landmarks."""
    worst = {}
    for name in ict.expression_names:
        if name.startswith((*driver.UNSEEN, "browInnerUp")):
            continue
        (arkit,) = driver.arkit_shapes([name], np.zeros((1, 204)))
        found = solver(displacement(ict, {name: 0.8}))
        others = max(weight for other, weight in found.items() if other != arkit)
        worst[arkit] = max(abs(found[arkit] - 0.8), others)
    assert all(0 <= w <= 1 for w in found.values())
    assert max(worst.values()) < 0.12, worst
    assert np.median(list(worst.values())) < 0.03


def test_mixtures_are_recovered(ict, solver):
    mixed = {"jawOpen": 0.6, "mouthSmile_L": 0.7, "eyeBlink_R": 0.9, "browInnerUp_L": 0.5}
    found = solver(displacement(ict, mixed | {"browInnerUp_R": 0.5}))
    wanted = {"jawOpen": 0.6, "mouthSmileLeft": 0.7, "eyeBlinkRight": 0.9, "browInnerUp": 0.5}
    for name, weight in found.items():
        assert abs(weight - wanted.get(name, 0)) < 0.15, name


def test_a_neutral_face_has_no_blendshapes_and_too_much_is_bounded(ict, solver):
    assert max(solver(np.zeros((68, 3))).values()) == 0
    assert solver(displacement(ict, {"jawOpen": 5.0}))["jawOpen"] == 1


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, -15, 10)], ids=str)
@pytest.mark.parametrize(
    ("mode", "arkit"),
    [
        ("jaw_open", {"jawOpen"}),
        ("smile", {"mouthSmileLeft", "mouthSmileRight"}),
        ("blink_left", {"eyeBlinkLeft"}),
        ("pucker", {"mouthPucker"}),
        ("mouth_frown", {"mouthFrownLeft", "mouthFrownRight"}),
        ("brow_lower", {"browDownLeft", "browDownRight"}),
    ],
)
def test_a_networks_expression_is_told_from_identity_and_pose(driver, solver, mode, arkit, angles):
    """A network that speaks facegeo-generic: its jaw is ICT's jaw, whoever it is."""
    model = generic_model()
    faces = [face_of(model, {mode: 2.0}, angles, seed) for seed in range(2)]
    moved = driver.expression_displacements_mm(faces)
    assert np.allclose(moved[0], moved[1])
    found = solver(moved[0])
    first = sorted(found, key=found.__getitem__)[-len(arkit) :]
    assert set(first) == arkit, found


def test_records_are_json_lines_of_every_face(driver, ict):
    import json

    face = face_of(generic_model(), {"jaw_open": 2.0}, (0, 0, 0))
    frames = [
        SimpleNamespace(index=0, timestamp_s=0.0, faces=[]),
        SimpleNamespace(index=1, timestamp_s=0.04, faces=[face]),
    ]
    first, second = (json.loads(json.dumps(r)) for r in driver.records(frames, ict))
    assert first == {"frame": 0, "timestamp_s": 0.0, "faces": []}
    assert second["faces"][0]["blendshapes"]["jawOpen"] > 0.2


def test_a_model_without_the_names_is_refused(driver):
    import dataclasses

    model = dataclasses.replace(generic_model(), expression_names=())
    with pytest.raises((InvalidInputError, ValueError)):
        driver.BlendshapeSolver(model)
