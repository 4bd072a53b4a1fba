"""Known blendshapes come back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.morphable_data import ellipsoid, generic_model

from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import find_convention
from facegeo.geometry.pose import rotation_from_euler
from facegeo.morphable import MorphableModel
from facegeo.morphable.readers import read_upstream_model
from facegeo.results import FaceBatch
from facegeo.zoo.shipped import ASSETS


@pytest.fixture(scope="module")
def ict(shared) -> MorphableModel:
    path = shared / "upstream" / "ict_facekit" / "ict_facekit_light.npz"
    return read_upstream_model(path, "ict-facekit")


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return MorphableModel.load(ASSETS / "facegeo-head.npz")


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
    modes = {"num_shape": model.num_shape}
    nowhere = np.zeros((1, 68, 3), np.float32)
    batch = FaceBatch(params, nowhere, None, np.ones(1), rois, convention, **modes)
    points = model.landmarks(shape, expression, batch.affine)
    batch = FaceBatch(params, points, points, np.ones(1), rois, convention, **modes)
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


def test_a_network_of_the_head_is_asked_for_its_own_weights(driver, head):
    """All 52, those too that landmarks do not show."""
    shown = {"eyeLookInLeft": 0.4, "jawOpen": 0.25, "cheekPuff": 0.5, "tongueOut": 1.0}
    frame = SimpleNamespace(index=3, timestamp_s=0.1, faces=[face_of(head, shown, (20, 5, -3))])
    (record,) = driver.records([frame], head)
    (face,) = record["faces"]
    assert list(face["blendshapes"]) == list(head.expression_names)
    assert {k: v for k, v in face["blendshapes"].items() if v} == shown
    assert abs(face["yaw"] - frame.faces[0].pose.yaw) < 0.01
    assert np.allclose(face["rotation"], frame.faces[0].pose.rotation)


@pytest.mark.parametrize("name", ["jawOpen", "mouthPucker", "browInnerUp", "eyeBlinkLeft"])
def test_the_heads_blendshapes_are_recovered_from_landmarks(driver, head, name):
    """And a record has all 52 names, zero for what cannot be seen."""
    solve = driver.BlendshapeSolver(head)
    found = solve(displacement(head, {name: 0.8}))
    assert abs(found.pop(name) - 0.8) < 0.12 and max(found.values()) < 0.15
    assert len(solve.names) == 42 and len(solve.all_names) == 52
    other = face_of(generic_model(), {"jaw_open": 2.0}, (0, 0, 0))
    (weights,) = driver.blendshapes([other], solve)
    assert list(weights) == list(head.expression_names) and weights["jawOpen"] > 0.2
    assert weights["eyeLookInLeft"] == weights["tongueOut"] == 0


def test_any_named_expressions_are_driven(driver):
    """A model with names of its own and no limits: its own coefficients, below zero too."""
    model = ellipsoid()
    names = model.expression_names
    face = face_of(model, {names[0]: 0.5, names[2]: -1.5}, (10, 0, 0))
    (weights,) = driver.blendshapes([face], driver.BlendshapeSolver(model))
    assert weights == {names[0]: 0.5, names[1]: 0.0, names[2]: -1.5}
    found = driver.BlendshapeSolver(model)(displacement(model, {names[2]: -1.5}))
    assert abs(found[names[2]] + 1.5) < 0.1


def test_the_preview_makes_the_face_and_turns(driver, head):
    avatar = driver.Avatar(head, 240)
    upright = np.eye(3)

    def picture(weights: dict[str, float], rotation: np.ndarray = upright) -> np.ndarray:
        drawn = avatar.draw({"blendshapes": weights, "rotation": rotation.tolist()})
        assert drawn.shape == (240, 240, 3) and drawn.dtype == np.uint8
        return drawn.astype(int)

    rest = picture({})
    changed = np.abs(picture({"jawOpen": 1.0}) - rest).max(axis=2) > 20
    rows = np.flatnonzero(changed.any(axis=1))
    assert changed.sum() > 200 and rows.min() > 110  # below the eyes
    blink = np.abs(picture({"eyeBlinkLeft": 1.0}) - rest).max(axis=2) > 20
    assert np.flatnonzero(blink.any(axis=0)).min() > 120  # the person's left, the viewer's right
    # Yaw > 0: to the image's left. The ear of that side goes behind the head.
    turned = picture({}, rotation_from_euler(np.array([[50.0, 0, 0]]))[0])
    drawn = (turned != avatar.BACKGROUND).any(axis=2)
    face = np.flatnonzero(drawn[100])
    nose = picture({}, rotation_from_euler(np.array([[90.0, 0, 0]]))[0])
    profile = (nose != avatar.BACKGROUND).any(axis=2)
    assert len(face) and profile[130:150].argmax(axis=1).min() < profile[60:70].argmax(axis=1).min()
    still = driver.Avatar(ellipsoid(), 60)  # no parts, no names that are asked for
    plain = still.draw({"blendshapes": {"jawOpen": 1.0}, "rotation": upright.tolist()})
    assert (plain != still.BACKGROUND).any()


def test_it_prints_sends_and_draws(driver, clip_frames, tmp_path, capsys):
    import json
    import socket

    av = pytest.importorskip("av")
    import cv2

    for number, image in enumerate(clip_frames[:4]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        port = receiver.getsockname()[1]
        preview = tmp_path / "preview.mp4"
        arguments = [str(tmp_path), "--send", f"127.0.0.1:{port}", "--preview", str(preview)]
        arguments += ["--face-model", str(ASSETS / "facegeo-head.npz")]
        assert driver.main(arguments) == 0
        sent = [receiver.recv(65536).decode() for _ in range(4)]
    printed = capsys.readouterr().out.splitlines()
    assert printed == sent
    for line in printed:
        (face,) = json.loads(line)["faces"]
        assert len(face["blendshapes"]) == 52
        assert all(0 <= weight <= 1 for weight in face["blendshapes"].values())
    with av.open(str(preview)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 4 and frames[0].height == 480 and frames[0].width > 480


@pytest.mark.parametrize("text", ["9000", "host:", "host:0", "host:99999", ":9000"])
def test_bad_addresses_are_told(driver, text, capsys):
    with pytest.raises(SystemExit):
        driver.main(["0", "--send", text])
    assert "expected HOST:PORT" in capsys.readouterr().err
