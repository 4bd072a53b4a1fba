"""Crops that are decoded once, and variants that are made beforehand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.training_data import CONVENTION

from facegeo.conventions import NUM_POSE
from facegeo.errors import CorruptFileError
from facegeo.images.collections import decoded
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.bank import BankSource, open_bank
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.variants import yaws_deg
from facegeo.training.data.visibility import SEEN, UNKNOWN

PLAIN = AugmentConfig(swap=0.0)


@pytest.fixture
def source(faces, model) -> BankSource:
    return BankSource(faces, model, AugmentConfig(swap=0.3, reshape=0.3, turn=0.3))


def test_a_bank_holds_the_crops_and_their_labels(tmp_path, faces, model):
    bank = open_bank(BankSource(faces, model, PLAIN), tmp_path)
    assert bank.variants == 0 and len(bank.crops) == len(faces) == bank.faces
    assert np.array_equal(bank.crops, np.stack(list(decoded(faces.pictures, range(16)))))
    assert np.array_equal(bank.labels.params, faces.params)
    assert (bank.labels.visibility == UNKNOWN).all() and len(bank.backgrounds) == 0


def test_variants_follow_the_faces(tmp_path, faces, source, model):
    bank = open_bank(source, tmp_path)
    assert len(bank.crops) == 3 * len(faces)
    rows = bank.rows(np.array([2, 2, 5]), np.array([-1, 1, 0]))
    assert rows.tolist() == [2, 16 + 2 * 2 + 1, 16 + 5 * 2]
    own, changed = bank.crops[:16].astype(int), bank.crops[16::2].astype(int)
    assert (np.abs(changed - own).max(axis=(1, 2, 3)) > 10).all()
    # Pictures and labels agree: each variant has its own.
    of_params = landmarks_of(bank.labels.params, model, CONVENTION)
    assert np.abs(of_params - bank.labels.landmarks).max() < 0.5


@pytest.mark.parametrize("name", ["swap", "reshape", "turn"])
def test_a_variant_is_what_the_settings_ask_for(tmp_path, faces, model, name):
    settings = AugmentConfig(**{"swap": 0.0, name: 0.2})
    bank = open_bank(BankSource(faces, model, settings, variants=3), tmp_path)
    before = np.repeat(bank.labels.params[:16], 3, axis=0)
    after = bank.labels.params[16:]
    reshaped = np.abs(after - before)[:, NUM_POSE:].max(axis=1) > 1e-3
    turned = np.abs(yaws_deg(after) - yaws_deg(before)) > 5
    assert reshaped.all() == (name == "reshape") and reshaped.any() == (name == "reshape")
    assert (turned.mean() > 0.9) == (name == "turn") and turned.any() == (name == "turn")


def test_a_bank_is_made_once(tmp_path, source):
    open_bank(source, tmp_path)
    (place,) = tmp_path.iterdir()
    before = (place / "crops.npy").stat().st_mtime_ns
    open_bank(source, tmp_path)
    assert (place / "crops.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["variants", "seed", "augment", "labels", "visibility"])
def test_another_source_is_another_bank(source, change):
    faces = source.faces
    changes = {
        "variants": {"variants": 1},
        "seed": {"seed": 1},
        "augment": {"augment": AugmentConfig(swap=0.2, reshape=0.3, turn=0.3)},
        "labels": {"faces": dataclasses.replace(faces, params=faces.params + 1)},
        "visibility": {
            "faces": dataclasses.replace(faces, visibility=np.full((16, 68), SEEN, np.uint8))
        },
    }
    assert dataclasses.replace(source, **changes[change]).key() != source.key()
    same = dataclasses.replace(source.augment, blur=0.9)  # of views, not of what is made beforehand
    assert dataclasses.replace(source, augment=same).key() == source.key()


def test_workers_make_the_same_bank(tmp_path, source):
    alone = open_bank(source, tmp_path / "alone")
    helped = open_bank(source, tmp_path / "helped", workers=2)
    assert np.array_equal(alone.crops, helped.crops)
    assert np.array_equal(alone.labels.landmarks, helped.labels.landmarks)


def test_a_bank_that_fails_leaves_nothing(tmp_path, source, monkeypatch):
    monkeypatch.setattr("facegeo.training.data.bank._squares", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_bank(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_backgrounds_are_squares_of_photos(tmp_path, faces, model):
    bank = open_bank(BankSource(faces, model, PLAIN, faces.pictures), tmp_path)
    assert bank.backgrounds.shape == (24 * 16, 120, 120, 3)
    assert bank.backgrounds.std() > 1


def test_a_damaged_bank_says_what_to_remove(tmp_path, source):
    open_bank(source, tmp_path)
    (place,) = tmp_path.iterdir()
    with (place / "crops.npy").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(CorruptFileError, match="remove this folder"):
        open_bank(source, tmp_path)
