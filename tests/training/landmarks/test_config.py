"""Numbers of a configuration are checked before anything is read."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

pytest.importorskip("torch")

from facegeo.errors import InvalidInputError
from facegeo.training.core.optimiser import OptimiserConfig
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.landmarks.config import DataConfig, TrainConfig, config_from
from facegeo.training.landmarks.losses import LossConfig
from facegeo.training.tasks import train_from


@pytest.mark.parametrize(
    "bad",
    [
        *[{"data.negatives": value} for value in (-0.25, math.nan, math.inf, True)],
        *[{"data.turned": value} for value in (-0.5, math.nan)],
        *[{"data.yaw_balance": value} for value in (-0.1, 1.5)],
        *[{"data.held_back": value} for value in (-0.1, 0.6, math.nan)],
        *[{"data.workers": value} for value in (-1, 1.5)],
        *[{"data.offset_px": value} for value in ((1.0,), (1.0, math.nan), ("a", 2.0))],
        *[{"loss.params": value} for value in (-0.02, math.nan)],
        *[{"loss.teacher_features": value} for value in (-1.0, math.inf)],
        *[{"loss.landmark_unit_px": value} for value in (0.0, -6.0, math.nan)],
        *[{"augment.flip": value} for value in (-0.5, 1.5, math.nan)],
        *[{"augment.recentre": value} for value in (-0.5, 1.5)],
        *[{"augment.rotation_deg": value} for value in (-20.0, 200.0, math.inf)],
        *[{"augment.shift": value} for value in (-0.05, 1.5)],
        *[{"augment.zoom": value} for value in (-0.1, math.nan)],
        *[{"augment.contrast": value} for value in (-0.3, 1.5)],
        *[{"epochs": value} for value in (0, 1.5)],
        *[{"batch": value} for value in (0, -4)],
        *[{"seed": value} for value in (-1,)],
        *[{"ema": value} for value in (-0.1, 1.0, math.nan)],
        *[{"sizes": value} for value in ([[0.0, 8]], [[0.0, 96], [1.5, 120]], [[math.nan, 96]])],
    ],
)
def test_numbers_of_a_configuration_out_of_bounds_are_named(bad):
    ((name, value),) = bad.items()
    section, _, field = name.rpartition(".")
    content = {"run": "run", "data": {"labels": "a", "pictures": "b"}}
    (content.setdefault(section, {}) if section else content)[field] = value
    with pytest.raises(InvalidInputError, match=rf"^{re.escape(name)}: expected"):
        config_from(content)


def test_every_number_of_a_configuration_is_checked():
    """Below and above all that could be meant, and what is none."""
    sections = {"data.": DataConfig("", ""), "loss.": LossConfig(), "augment.": AugmentConfig()}
    for section in (*sections.values(), OptimiserConfig(), TrainConfig("run", DataConfig("", ""))):
        for field in dataclasses.fields(section):
            if type(getattr(section, field.name)) not in (int, float) and field.name != "rate":
                continue
            for value in (-1e9, math.nan, math.inf):
                with pytest.raises(InvalidInputError, match=field.name):
                    dataclasses.replace(section, **{field.name: value})


@pytest.mark.parametrize("task", ["[landmarks]", "{a: 1}", "faces", "null"])
def test_a_task_that_is_none_is_named(tmp_path, task):
    path = tmp_path / "train.yaml"
    path.write_text(f"task: {task}\nrun: x\n")
    with pytest.raises(InvalidInputError, match=r"train\.yaml: task: expected one of"):
        train_from(path)
