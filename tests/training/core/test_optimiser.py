"""Rates by the batch, and a loss that is not finite."""

import math

import pytest

from facegeo.errors import InvalidInputError, TrainingError
from facegeo.training.core.optimiser import OptimiserConfig, refuse_divergence
from facegeo.training.core.settings import build_settings, plain_settings


@pytest.mark.parametrize(
    ("name", "batch", "rate"),
    [
        ("sgd", 1024, 0.08),
        ("sgd", 32, 0.0025),
        ("sgd", 256, 0.02),
        ("adamw", 512, 0.002),
        ("adamw", 128, 0.001),
        ("adamw", 2048, 0.004),
    ],
)
def test_rates_follow_the_batch_unless_they_are_given(name, batch, rate):
    assert OptimiserConfig(name).rate_for(batch) == pytest.approx(rate)
    assert OptimiserConfig(name, rate=0.3).rate_for(batch) == 0.3


def test_a_rate_in_a_file_is_a_number_or_none():
    assert build_settings(OptimiserConfig, {"rate": None}).rate is None
    assert build_settings(OptimiserConfig, {"rate": 1}).rate == 1.0
    assert plain_settings(OptimiserConfig())["rate"] is None
    with pytest.raises(InvalidInputError, match="rate: expected float, got 'fast'"):
        build_settings(OptimiserConfig, {"rate": "fast"})


@pytest.mark.parametrize(
    "bad",
    [
        *[{"rate": value} for value in (-1.0, 0.0, math.nan, math.inf, True, "0.1")],
        *[{"momentum": value} for value in (-0.1, 1.0, math.nan, None)],
        *[{"weight_decay": value} for value in (-1e-3, math.inf)],
        *[{"warmup": value} for value in (-0.1, 1.1, math.nan)],
        *[{"clip": value} for value in (-5.0, math.nan)],
        {"name": "adam"},
        {"schedule": "linear"},
    ],
)
def test_numbers_out_of_bounds_are_named(bad):
    (name,) = bad
    with pytest.raises(InvalidInputError, match=rf"^optimiser\.{name}: expected"):
        OptimiserConfig(**bad)


def test_a_loss_that_is_not_finite_is_told_with_its_step_and_what_to_do():
    finite = {"params": 3.0, "total": 3.0}
    refuse_divergence(finite, 7, 0.1, OptimiserConfig())
    for value in (float("nan"), float("inf")):
        with pytest.raises(TrainingError) as told:
            refuse_divergence(finite | {"total": value}, 7, 0.08, OptimiserConfig(clip=0.0))
        text = str(told.value)
        assert text.startswith(f"loss is not finite at step 7 (total {value}): ")
        assert "optimiser.rate (now 0.08)" in text and "optimiser.clip" in text
