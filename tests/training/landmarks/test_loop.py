"""A run learns, records what it did, and goes on exactly where it was killed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from helpers.morphable_data import GENERIC_FILE, generic_model
from helpers.training_data import CONVENTION

from facegeo.errors import (
    CorruptFileError,
    InvalidInputError,
    TrainingError,
    UnreadableFileError,
)
from facegeo.geometry.crop import find_convention
from facegeo.images.collections import FolderImages
from facegeo.morphable.mirror import mirror_matrix
from facegeo.networks.folding import ChannelAffine
from facegeo.networks.regressor import SYNERGY, build_regressor
from facegeo.networks.synergy.config import SynergyConfig
from facegeo.networks.synergy.weights import read_weights
from facegeo.training.core import checkpoint
from facegeo.training.core.optimiser import rate_factor
from facegeo.training.core.process import Process
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.batches import BatchKey
from facegeo.training.landmarks.config import (
    DataConfig,
    OptimiserConfig,
    TrainConfig,
    config_from,
    read_config,
)
from facegeo.training.landmarks.loop import Trainer, _network, train
from facegeo.training.landmarks.losses import LossConfig
from facegeo.training.landmarks.measure import HeldBack, predict

QUIET = AugmentConfig(swap=0.0)


@pytest.fixture(autouse=True)
def one_thread():
    """Batches are tiny: several threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config_of(run, **changes) -> TrainConfig:
    """Two epochs of five batches on the made-up faces, small crops."""
    plain = TrainConfig(
        run=str(run),
        data=DataConfig("", "", str(GENERIC_FILE), negatives=0.25, workers=0),
        network=SynergyConfig(backbone="mobilenet_v1_x0.5"),
        augment=QUIET,
        optimiser=OptimiserConfig("adamw", 1e-3, schedule="cosine", warmup=0.0, clip=0.0),
        epochs=2,
        batch=4,
        sizes=((0.0, 32), (0.5, 40)),
        device="cpu",
        checkpoint_steps=2,
    )
    return dataclasses.replace(plain, **changes)


def losses_of(run) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"]["total"] for line in lines]


class KilledError(Exception):
    """Stands for a killed process."""


def kill_at(monkeypatch, step: int) -> None:
    """Let the batch with this number die before it is done."""
    usual = Trainer.train_batch

    def dying(self, batch, done):
        if self.progress.step == step:
            raise KilledError
        usual(self, batch, done)

    monkeypatch.setattr(Trainer, "train_batch", dying)


@pytest.mark.parametrize(("optimiser", "step"), [("sgd", 3), ("adamw", 8)])
def test_a_killed_run_resumes_to_the_same_loss(tmp_path, faces, monkeypatch, optimiser, step):
    settings = OptimiserConfig(name=optimiser, rate=1e-3, schedule="cosine", warmup=0.2, clip=5)
    whole = config_of(tmp_path / "whole", optimiser=settings)
    train(whole, faces)
    killed = dataclasses.replace(whole, run=str(tmp_path / "killed"))
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(KilledError):
            train(killed, faces)
    train(killed, faces)
    losses = losses_of(tmp_path / "whole"), losses_of(tmp_path / "killed")
    assert len(losses[0]) == len(losses[1]) == 2
    assert np.abs(np.subtract(*losses)).max() < 1e-5
    weights = [np.load(tmp_path / run / "weights.npz") for run in ("whole", "killed")]
    for name in weights[0].files:
        if weights[0][name].dtype.kind == "f":
            assert np.abs(weights[0][name] - weights[1][name]).max() < 1e-5, name


def test_training_learns(tmp_path, faces):
    still = AugmentConfig(
        flip=0, swap=0, occlusion=0, blur=0, jpeg=0, rotation_deg=0, shift=0, zoom=0
    )
    train(config_of(tmp_path, epochs=15, augment=still, sizes=((0.0, 48),)), faces)
    losses = losses_of(tmp_path)
    assert losses[-1] < 0.8 * losses[0]


def test_a_run_leaves_config_commit_and_weights(tmp_path, faces):
    config = config_of(tmp_path / "run", epochs=1)
    weights = train(config, faces)
    again = read_config(tmp_path / "run" / "config.yaml")
    assert again == config
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert {"commit", "torch", "facegeo", "machine"} <= set(environment)
    with np.load(weights) as archive:
        state = {key: archive[key] for key in archive.files}
    network = build_regressor(SYNERGY, find_convention("exact"), state)
    assert network.config == config.network
    mean, std = faces.statistics(generic_model())
    assert np.abs(network.param_mean.numpy() - mean).max() < 1e-4
    assert np.abs(network.param_std.numpy() - std).max() < 1e-4


def test_a_coefficient_that_never_occurs_does_not_wreck_the_loss(tmp_path, faces):
    """One that a flip alone brings, as jawLeft where all jaws go right."""
    mirror = generic_model().mirror
    pairs = np.flatnonzero(mirror.expression_index != np.arange(10))
    column = (pairs[0] if len(pairs) else 0) + 52
    params = faces.params.copy()
    params[:, column] = 0
    one_sided = dataclasses.replace(faces, params=params)
    _, std = one_sided.statistics(generic_model())
    assert std.min() > 1e-3 * std[12:].max()
    train(config_of(tmp_path, epochs=1), one_sided)
    assert losses_of(tmp_path)[0] < 1e3


def test_what_changes_nothing_may_change(tmp_path, faces):
    config = config_of(tmp_path, epochs=1)
    train(config, faces)
    more = dataclasses.replace(config.data, workers=1)
    train(dataclasses.replace(config, data=more), faces)
    other = dataclasses.replace(config.data, negatives=0.5)
    with pytest.raises(InvalidInputError, match=r"data\.negatives"):
        train(dataclasses.replace(config, data=other), faces)


def test_another_configuration_does_not_continue_a_run(tmp_path, faces):
    config = config_of(tmp_path, epochs=1)
    train(config, faces)
    with pytest.raises(InvalidInputError, match="batch"):
        train(dataclasses.replace(config, batch=8), faces)


def test_a_teacher_draws_its_pupil(tmp_path, faces):
    weights = train(config_of(tmp_path / "teacher", epochs=1), faces)
    loss = LossConfig(teacher_params=0.02, teacher_features=0.5)
    pupil = config_of(
        tmp_path / "pupil", epochs=6, teacher=str(weights), loss=loss, sizes=((0.0, 32),)
    )
    train(pupil, faces)
    lines = (tmp_path / "pupil" / "metrics.jsonl").read_text().splitlines()
    distance = [json.loads(line)["loss"]["teacher_features"] for line in lines]
    assert distance[-1] < 0.8 * distance[0]


def test_weights_can_be_trained_on(tmp_path, faces):
    weights = train(config_of(tmp_path / "first", epochs=8), faces)
    train(config_of(tmp_path / "second", epochs=1, initial=str(weights)), faces)
    assert losses_of(tmp_path / "second")[0] < losses_of(tmp_path / "first")[0]


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenet_v2_shallow"])
def test_a_model_that_ships_can_be_trained_on(tmp_path, faces, backbone):
    """Its norms were folded: affine layers learn on, and come back out of the run's weights."""
    network = SynergyConfig(backbone=backbone)
    config = config_of(tmp_path / "first", epochs=1, initial="synergy-mbv2", network=network)
    weights = train(config, faces)
    again = read_weights(weights, CONVENTION)
    affine = [m for m in again.backbone.modules() if isinstance(m, ChannelAffine)]
    assert len(affine) > 20
    assert any(not torch.equal(m.weight, torch.ones_like(m.weight)) for m in affine)
    train(config_of(tmp_path / "second", epochs=1, initial=str(weights), network=network), faces)
    assert losses_of(tmp_path / "second")[0] < losses_of(tmp_path / "first")[0] * 1.5


def test_parts_of_it_can_start_anew(tmp_path, faces):
    weights = train(config_of(tmp_path / "first", epochs=1), faces)
    given = read_weights(weights, CONVENTION).state_dict()
    config = config_of(tmp_path / "second", initial=str(weights), fresh=("refinement",))
    network = _network(config, generic_model(), faces)
    own = network.state_dict()
    same = {name: torch.equal(value, given[name]) for name, value in own.items()}
    assert all(same[name] for name in own if not name.startswith("refinement."))
    assert not same["refinement.encoder.low.0.weight"]
    assert not own["refinement.last.weight"].any() and given["refinement.last.weight"].any()
    with pytest.raises(InvalidInputError, match="fresh"):
        config_of(tmp_path / "third", fresh=("hair",))


def test_parts_of_it_stay_as_they_are(tmp_path, faces):
    weights = train(config_of(tmp_path / "first", epochs=1), faces)
    given = read_weights(weights, CONVENTION).state_dict()
    frozen = ("backbone", "heads", "presence")
    config = config_of(tmp_path / "second", epochs=1, initial=str(weights), frozen=frozen)
    own = read_weights(train(config, faces), CONVENTION).state_dict()
    same = {name: torch.equal(value, given[name]) for name, value in own.items()}
    assert all(same[name] for name in own if name.split(".")[0] in frozen)
    assert not same["refinement.encoder.low.0.weight"] and not same["inverse.heads.pose.weight"]
    with pytest.raises(InvalidInputError, match=r"frozen.*hair"):
        config_of(tmp_path / "third", frozen=("hair",))
    for network in (SynergyConfig(), SynergyConfig(refinement="none", inverse=())):
        parts = frozen if network.refinement == "none" else (*frozen, "refinement", "inverse")
        with pytest.raises(InvalidInputError, match=r"frozen.*all"):
            config_of(tmp_path / "third", network=network, frozen=parts)


def test_a_run_goes_on_that_is_older_than_a_setting(tmp_path, faces):
    config = config_of(tmp_path, epochs=1)
    train(config, faces)
    found = checkpoint.load(tmp_path / "checkpoint.safetensors")
    older = {name: value for name, value in found.config.items() if name not in ("fresh", "frozen")}
    dataclasses.replace(found, config=older).check_settings(config, (), tmp_path)
    with pytest.raises(InvalidInputError, match="fresh"):
        found.check_settings(dataclasses.replace(config, fresh=("heads",)), (), tmp_path)


def test_bfloat16_stays_near_float32(tmp_path, faces):
    for precision in ("fp32", "bf16"):
        train(config_of(tmp_path / precision, epochs=1, precision=precision), faces)
    exact, rough = (losses_of(tmp_path / p)[0] for p in ("fp32", "bf16"))
    assert rough == pytest.approx(exact, rel=0.05)


def test_a_mirrored_network_trains_from_a_plain_one_and_knows_the_labels_offset(tmp_path, faces):
    data = DataConfig("", "", str(GENERIC_FILE), negatives=0.25, workers=0, offset_px=(-2.0, 3.0))
    plain = train(config_of(tmp_path / "plain", epochs=1), faces)
    network = SynergyConfig(backbone="mobilenet_v1_x0.5", mirrored=True)
    config = config_of(tmp_path / "mirrored", data=data, network=network, initial=str(plain))
    weights = read_weights(train(config, faces), CONVENTION)
    assert weights.config.mirrored
    # An undisturbed centre, x = 59.5, stays there; the labels' -2 lies at the same place in both.
    of_model = mirror_matrix(generic_model().mirror, CONVENTION)[1]
    assert weights.mirror.offset.numpy() - of_model == pytest.approx([0, 0, 0, -4] + [0] * 58)


def test_held_back_backgrounds_are_not_trained_on(faces, model, tmp_path):
    """Every background is a negative of its own colour; those of the held-back two never come."""
    import cv2

    for index in range(6):
        photo = np.full((50, 50, 3), 255 if index % 5 == 0 else 100, np.uint8)
        cv2.imwrite(str(tmp_path / f"{index}.png"), photo)
    plain = AugmentConfig(swap=0, blur=0, jpeg=0, brightness=0, contrast=0, tint=0)
    sources = DataConfig(
        "", "", str(GENERIC_FILE), backgrounds=str(tmp_path), negatives=4.0, workers=0
    )
    config = config_of(tmp_path / "run", data=sources, augment=plain)
    trainer = Trainer(config, faces, model, torch.device("cpu"), Process())
    negatives = np.arange(16, len(trainer.data))
    key = BatchKey(0, 0, 32)
    batch = trainer.crops.batch(trainer.data.plan(negatives, key), key)
    # A background is one grey, but for the corners of those that were turned.
    middles = [crop[10:22, 10:22].numpy() for crop in batch["crop"]]
    flat = [middle.mean() for middle in middles if np.ptp(middle) == 0 and middle.mean() > 60]
    assert len(flat) > 10 and set(np.rint(flat)) <= {99.0, 100.0}


def test_rates_follow_the_paper_and_the_cosine():
    steps = OptimiserConfig(warmup=0.0)
    # 80 epochs: a tenth after 48, a hundredth after 64
    rates = [rate_factor(steps, epoch / 80) for epoch in (0, 47.9, 48, 63.9, 64, 79)]
    assert rates == [1, 1, 0.1, 0.1, 0.01, 0.01]
    # By default the rate rises over the first five of the paper's 80 epochs, as in its program.
    rates = [rate_factor(OptimiserConfig(), epoch / 80) for epoch in (0, 2.5, 5, 47.9)]
    assert rates == [0, 0.5, 1, 1]
    cosine = OptimiserConfig(schedule="cosine", warmup=0.1)
    rates = [rate_factor(cosine, done) for done in (0, 0.05, 0.5, 1)]
    assert rates == pytest.approx([0, 0.5 * 0.5 * (1 + np.cos(0.05 * np.pi)), 0.5, 0], abs=1e-9)


def test_yaml_is_checked(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(
        "run: out\ndata: {labels: a.npz, pictures: b.tar}\nsizes: [[0, 64], [0.5, 120]]\n"
    )
    config = read_config(path)
    assert [config.size_of(epoch) for epoch in (0, 39, 40, 79)] == [64, 64, 120, 120]
    plain = {"run": "out", "data": {"labels": "a", "pictures": "b"}}
    for wrong, message in (
        ({"epoch": 3}, "epoch: unknown setting"),
        ({"optimiser": {"rat": 1}}, "optimiser.rat: unknown"),
        ({"data": {"labels": "a", "pictures": "b", "offset_px": [1]}}, "two numbers"),
        ({"epochs": "many"}, "epochs: expected int"),
        ({"precision": "fp8"}, "precision"),
        ({"sizes": [[0.5, 64]]}, "sizes"),
        ({"sizes": [[0.5]]}, "unpack"),
        ({"sizes": [["x", 64]]}, "float"),
        ({"optimiser": {1: 2, "b": 3}}, "optimiser.1: unknown"),
        ({"network": {"adaptation": [10**9, 40, 10]}}, "adaptation: expected widths"),
        ({"network": {"adaptation": ["x", 40, 10]}}, "adaptation: expected widths"),
        ({"network": {"backbone": "mobilenet_v2", "refinement": "some"}}, "refinement"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            config_from(plain | wrong)
    path.write_text("a: [1")
    with pytest.raises(CorruptFileError):
        read_config(path)
    with pytest.raises(UnreadableFileError):
        read_config(tmp_path / "none.yaml")


def test_a_damaged_checkpoint_is_named(tmp_path, faces):
    config = config_of(tmp_path, epochs=1)
    train(config, faces)
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    for content in (
        b"broken",
        whole.replace(b"ema/", b"emo/"),
        whole.replace(b'{\\"epoch\\":', b'{\\"epach\\":'),
        whole.replace(b'\\"epoch\\": 1', b'\\"epoch\\": x'),
    ):
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(CorruptFileError, match=r"checkpoint\.safetensors: not"):
            train(config, faces)


def test_the_command_trains_and_prints_the_weights(tmp_path, model, monkeypatch, capsys):
    import yaml
    from helpers.training_data import write_faces

    from facegeo.cli import main

    write_faces(tmp_path / "data", model, 8)
    data = {
        "labels": str(tmp_path / "data" / "labels.npz"),
        "pictures": str(tmp_path / "data" / "crops"),
        "backgrounds": str(tmp_path / "data" / "crops"),
        "morphable_model": str(GENERIC_FILE),
        "workers": 1,
    }
    content = {
        "run": str(tmp_path / "run"),
        "data": data,
        "network": {"backbone": "mobilenet_v1_x0.5", "inverse": ["pose"]},
        "epochs": 1,
        "batch": 4,
        "sizes": [[0, 32]],
        "device": "cpu",
        "optimiser": {"rate": 0.001},
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
    assert main(["train", str(tmp_path / "train.yaml")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "weights.npz")
    assert isinstance(FolderImages.scan(tmp_path / "data" / "crops").names, list)


@pytest.mark.parametrize("batch", [2, 4, 8])
def test_the_defaults_are_safe_at_small_batches(tmp_path, faces, batch):
    """The paper's rate is for 1,024 samples a step: with it a run of 32 diverged."""
    defaults = config_of(tmp_path / "run", optimiser=OptimiserConfig(), batch=batch, epochs=3)
    train(defaults, faces)
    assert np.isfinite(losses_of(tmp_path / "run")).all()
    assert losses_of(tmp_path / "run")[-1] < 1.5 * losses_of(tmp_path / "run")[0]


def test_a_run_that_diverges_says_so_and_at_which_step(tmp_path, faces):
    wild = OptimiserConfig("sgd", rate=1e4, warmup=0.0, clip=0.0)
    message = r"loss is not finite at step \d+ \(params .*rate"
    with pytest.raises(TrainingError, match=message) as told:
        train(config_of(tmp_path / "run", optimiser=wild, checkpoint_steps=1000), faces)
    assert "optimiser.clip" in str(told.value)
    assert not (tmp_path / "run" / "weights.npz").exists()


def test_a_network_that_diverged_unseen_is_no_error_of_linear_algebra(tmp_path, faces):
    """Losses that are finite and weights that are not: seen when the network is measured."""
    network = _network(config_of(tmp_path / "run"), generic_model(), faces)
    with torch.no_grad():
        next(iter(network.heads["pose"].parameters())).fill_(float("nan"))
    crops = np.zeros((2, 120, 120, 3), np.uint8)
    with pytest.raises(TrainingError, match="params are not finite"):
        predict(network.eval(), crops, torch.device("cpu"), 32)


def test_faces_are_held_back_and_measured(tmp_path, faces):
    held, rest = HeldBack.of(faces, 0.25)
    assert len(held.crops) == 4 and len(rest) == 12
    assert not set(rest.pictures.names) & {faces.pictures.names[k] for k in (0, 4, 8, 12)}
    np.testing.assert_array_equal(held.landmarks, faces.landmarks[::4])
    np.testing.assert_array_equal(rest.params, np.delete(faces.params, [0, 4, 8, 12], axis=0))
    data = DataConfig("", "", str(GENERIC_FILE), negatives=0.0, workers=0, held_back=0.25)
    train(config_of(tmp_path / "run", data=data, epochs=1), faces)
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["step"] == 3 and 0 < record["held_back"]["nme"] < 100  # 12 faces, 4 a batch
    with pytest.raises(InvalidInputError, match=r"data\.held_back"):
        DataConfig("", "", held_back=0.9)


def test_progress_is_told_where_no_bar_can_be_drawn(tmp_path, faces, capsys):
    train(config_of(tmp_path / "run"), faces)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("crops and their variants: ")
    epochs = [line for line in lines if line.startswith("epoch")]
    assert [line.split(",")[0] for line in epochs] == [
        *("epoch 1/2: 1/5", "epoch 1/2: 5/5", "epoch 2/2: 1/5", "epoch 2/2: 5/5")
    ]
    assert all(", loss " in line for line in epochs if "5/5" in line)
