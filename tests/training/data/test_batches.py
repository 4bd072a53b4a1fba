"""Batches are a function of seed, epoch and number, and hold what the settings ask for."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from helpers.training_data import CONVENTION

from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.bank import BankSource, CropBank, open_bank
from facegeo.training.data.batches import (
    BatchKey,
    DeviceCrops,
    NegativeShares,
    TrainingViews,
    epoch_order,
    made_ahead,
    yaw_weights,
)
from facegeo.training.data.datasets import landmarks_of

QUIET = AugmentConfig(swap=0.0)
KEY = BatchKey(epoch=3, number=1, size=64)


@pytest.fixture(scope="module")
def bank(faces, model, tmp_path_factory) -> CropBank:
    return open_bank(
        BankSource(faces, model, QUIET, faces.pictures), tmp_path_factory.mktemp("bank")
    )


def batch_of(views: TrainingViews, bank: CropBank, samples, key: BatchKey = KEY):
    return DeviceCrops(bank, torch.device("cpu")).batch(views.plan(np.array(samples), key), key)


def test_processes_share_the_batches_of_one():
    order = epoch_order(20, 6, epoch=3, seed=1)
    assert order.shape == (3, 6) and len(np.unique(order)) == 18
    assert np.array_equal(order, epoch_order(20, 6, epoch=3, seed=1))
    assert not np.array_equal(order, epoch_order(20, 6, epoch=4, seed=1))


def test_samples_come_as_often_as_their_weights_say():
    weights = np.repeat([0.5, 1.0, 2.5], [8, 8, 4])
    order = epoch_order(20, 5, epoch=2, seed=1, weights=weights)
    assert np.array_equal(order, epoch_order(20, 5, epoch=2, seed=1, weights=weights))
    counts = np.bincount(order.ravel(), minlength=20)
    assert counts.sum() == 20 and (np.abs(counts - weights * 20 / weights.sum()) < 1).all()
    assert not np.array_equal(order, epoch_order(20, 5, epoch=3, seed=1, weights=weights))


def test_a_batch_can_be_made_again(bank, model):
    views = TrainingViews(bank, model.mirror, AugmentConfig(noise=1.0), NegativeShares(0.5, 0.5))
    samples = [1, 1, 7, 20, 29]
    first, again = (batch_of(views, bank, samples) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for other in (KEY._replace(epoch=4), KEY._replace(number=2), KEY._replace(rank=1)):
        assert not torch.equal(first["crop"], batch_of(views, bank, samples, other)["crop"])
    # A sample that comes again comes in another view.
    assert not torch.equal(first["crop"][0], first["crop"][1])


def test_negatives_come_after_the_faces(bank, model):
    views = TrainingViews(bank, model.mirror, QUIET, NegativeShares(0.5, 0.25))
    assert len(views) == 16 + 8 + 4
    batch = batch_of(views, bank, [27, 3, 17, 25, 0, 20])
    assert batch["present"].tolist() == [1, 1, 0, 0, 0, 0]
    assert not batch["params"][2:].any() and not batch["landmarks"][2:].any()
    assert batch["params"][:2].any(dim=1).all()
    assert (batch["crop"].float().std(dim=(1, 2, 3)) > 1).all()


def test_balance_counts_the_faces_and_leaves_the_negatives(bank, model):
    views = TrainingViews(bank, model.mirror, QUIET, NegativeShares(0.25))
    weights = views.weights(1.0)
    assert len(weights) == len(views)
    np.testing.assert_allclose(weights[16:], 1)
    assert abs(weights[:16].mean() - 1) < 1e-9


def test_yaw_ranges_are_balanced():
    yaw = np.array([0.0, 10, -20, 29, -31, 45, 70, -89])
    half, whole = yaw_weights(yaw, 0.5), yaw_weights(yaw, 1.0)
    np.testing.assert_allclose([whole[:4].sum(), whole[4:6].sum(), whole[6:].sum()], 8 / 3)
    np.testing.assert_allclose(half[4] / half[0], np.sqrt(2))
    np.testing.assert_allclose(yaw_weights(yaw, 0.0), 1)


def test_variants_come_as_often_as_the_settings_say(faces, model, tmp_path):
    settings = AugmentConfig(swap=0.0, turn=0.4, flip=0)
    bank = open_bank(BankSource(faces, model, settings), tmp_path)
    views = TrainingViews(bank, model.mirror, settings)
    rows = [views.plan(np.arange(16), KEY._replace(number=n)).rows for n in range(50)]
    changed = np.concatenate(rows) >= 16
    assert 0.33 < changed.mean() < 0.47
    assert len(np.unique(rows)) == 48


def test_the_annotators_offset_does_not_turn_with_the_picture(bank, model):
    turning = AugmentConfig(swap=0, flip=1, rotation_deg=180)
    plain, moved = (
        batch_of(TrainingViews(bank, model.mirror, turning, offset_px=offset), bank, range(4))
        for offset in ((0.0, 0.0), (-2.0, 3.0))
    )
    assert torch.equal(plain["crop"], moved["crop"])
    shift = (moved["landmarks"] - plain["landmarks"]).numpy()
    assert np.abs(shift - (-2, 3, 0)).max() < 1e-4
    of_params = landmarks_of(moved["params"].numpy(), model, CONVENTION)
    assert np.abs(of_params - moved["landmarks"].numpy()).max() < 0.5


def test_a_thread_makes_batches_ahead_and_ends():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    ahead = made_ahead(items, depth=2)
    assert next(ahead) == 0
    time.sleep(0.3)
    assert 2 <= len(made) <= 4
    assert list(ahead) == [1, 2, 3, 4]
    ahead = made_ahead(items, depth=1)
    next(ahead)
    ahead.close()
    assert not [t for t in threading.enumerate() if t.name == "facegeo-batches"]


def test_an_error_of_the_thread_is_raised():
    def items():
        yield 1
        raise ValueError("no more")

    ahead = made_ahead(items)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no more"):
        next(ahead)
