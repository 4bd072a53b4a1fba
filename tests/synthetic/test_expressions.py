"""Random expressions: within their limits, symmetric mostly, blinking and looking around."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo.morphable import MorphableModel
from facegeo.synthetic.expressions import EYE_SHAPES, random_expression, random_eyes

NAMES = MorphableModel.default().expression_names


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = np.stack([random_expression(rng, NAMES) for _ in range(3000)])
    return dict(zip(NAMES, drawn.T, strict=True))


def test_values_are_within_the_limits_and_a_mouth_shuts_only_what_the_jaw_opened(values):
    everything = np.stack(list(values.values()))
    assert everything.min() == 0 and everything.max() <= 1
    assert (values["mouthClose"] <= values["jawOpen"]).all()
    assert (values["mouthClose"] > 0.2).mean() > 0.01
    assert not ((values["jawLeft"] > 0) & (values["jawRight"] > 0)).any()


def test_every_shape_comes_up_strongly_and_most_are_0(values):
    for name, drawn in values.items():
        if name != "mouthClose":
            assert (drawn > 0.5).mean() > 0.005, name
    assert np.mean([(drawn > 0.05).mean() for drawn in values.values()]) < 0.25


def test_a_fifth_blinks_with_both_eyes_more_often_than_with_one(values):
    left, right = values["eyeBlinkLeft"] > 0.5, values["eyeBlinkRight"] > 0.5
    assert (left | right).mean() == pytest.approx(0.2, abs=0.03)
    assert (left & right).mean() > 1.5 * (left ^ right).mean() > 0.02


def test_faces_are_symmetric_more_often_than_not(values):
    left, right = values["mouthSmileLeft"], values["mouthSmileRight"]
    smiling = (left > 0) | (right > 0)
    even = np.abs(left - right)[smiling] < 0.25
    assert 0.6 < even.mean() < 0.95


def test_both_eyes_look_the_same_way(values):
    left = values["eyeLookOutLeft"] - values["eyeLookInLeft"]
    right = values["eyeLookInRight"] - values["eyeLookOutRight"]
    assert np.corrcoef(left, right)[0, 1] > 0.9 and left.std() > 0.3
    assert (values["eyeLookUpLeft"] == values["eyeLookUpRight"]).all()
    assert not ((values["eyeLookUpLeft"] > 0) & (values["eyeLookDownLeft"] > 0)).any()


def test_other_eyes_leave_the_rest_of_the_face_alone():
    rng = np.random.default_rng(1)
    before = rng.uniform(0, 1, len(NAMES)).astype(np.float32)
    drawn = np.stack([random_eyes(rng, before, NAMES) for _ in range(300)])
    eyes = np.isin(NAMES, EYE_SHAPES)
    assert (drawn[:, ~eyes] == before[~eyes]).all()
    assert (drawn[:, eyes] != before[eyes]).mean() > 0.9
    blink = drawn[:, [NAMES.index("eyeBlinkLeft"), NAMES.index("eyeBlinkRight")]].max(axis=1)
    assert 0.3 < (blink > 0.5).mean() < 0.6
