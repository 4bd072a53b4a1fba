"""Every loss against a value worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from facegeo.networks.synergy.network import Regression
from facegeo.training.landmarks.losses import (
    LossConfig,
    distillation_terms,
    inverse_loss,
    landmark_loss,
    parameter_loss,
    presence_loss,
    total_loss,
    visibility_loss,
)


def test_parameters_count_by_their_squared_distance():
    predicted = torch.zeros(2, 62)
    predicted[0, 0], predicted[0, 61], predicted[1, 30] = 3.0, -4.0, 0.5
    assert parameter_loss(predicted, torch.zeros(2, 62)).tolist() == [25.0, 0.25]


def test_landmarks_count_by_smooth_l1_over_all_coordinates():
    predicted = torch.zeros(1, 68, 3)
    predicted[0, 0, 0], predicted[0, 5, 1], predicted[0, 67, 2] = 0.5, -3.0, 1.0
    # 0.5^2 / 2 + (3 - 1/2) + 1/2
    assert landmark_loss(predicted, torch.zeros(1, 68, 3)).item() == pytest.approx(3.125)
    # in units of 2: 0.25^2 / 2 + (1.5 - 1/2) + 0.5^2 / 2
    halved = landmark_loss(predicted, torch.zeros(1, 68, 3), unit_px=2.0)
    assert halved.item() == pytest.approx(1.15625)


def test_the_way_back_counts_the_groups_that_it_regresses():
    truth = torch.zeros(1, 62)
    truth[0, 11], truth[0, 12], truth[0, 52] = 1.0, 2.0, 3.0  # last pose, first shape, expression
    zeros = {"pose": 12, "shape": 40, "expression": 10}
    inverse = {name: torch.zeros(1, size) for name, size in zeros.items()}
    assert inverse_loss(inverse, truth).item() == 14.0
    assert inverse_loss({"shape": inverse["shape"]}, truth).item() == 4.0
    assert inverse_loss({}, truth).item() == 0.0


def test_presence_is_cross_entropy():
    loss = presence_loss(torch.tensor([0.0, math.log(3)]), torch.tensor([1.0, 0.0]))
    # -log(1/2), and -log(1 - 3/4)
    assert loss.tolist() == pytest.approx([math.log(2), math.log(4)])


#: States of landmarks of two faces, of which nothing is known.
UNSEEN = torch.full((2, 68), 255, dtype=torch.uint8)


def test_visibility_counts_where_the_label_knows_it():
    states = torch.full((1, 68), 255, dtype=torch.uint8)
    states[0, :3] = torch.tensor([0, 1, 2], dtype=torch.uint8)  # seen, covered, turned away
    logits = torch.full((1, 68), 9.0)
    logits[0, :3] = math.log(3)
    # -log(3/4) once, -log(1/4) twice
    assert visibility_loss(logits, states).item() == pytest.approx(
        math.log(4 / 3) + 2 * math.log(4)
    )


def test_the_covariance_learns_from_the_errors_and_does_not_move_the_points():
    coarse = torch.zeros(2, 68, 3)
    landmarks = coarse.clone().requires_grad_()
    factors = torch.ones(2, 68, 3).requires_grad_()
    result = Regression(
        features=torch.zeros(2, 4),
        whitened=torch.zeros(2, 62),
        params=torch.zeros(2, 62),
        coarse=coarse,
        landmarks=landmarks,
        presence_logit=torch.zeros(2),
        inverse={},
        cholesky=factors,
    )
    config = LossConfig(params=0, landmarks=0, inverse=0, consistency=0, presence=0, covariance=1.0)
    truth = coarse.clone()
    truth[0, 0, :2] = torch.tensor([3.0, 4.0])
    present = torch.tensor([1.0, 0.0])
    total, terms = total_loss(result, torch.zeros(2, 62), truth, coarse, UNSEEN, present, config)
    # L = [[1, 0], [1, 1]]: r = (-3, -4) is 3 and 1 deviations away.
    assert terms["covariance"].item() == pytest.approx(3 * math.log(1 + (9 + 1) / 4))
    total.backward()
    assert factors.grad[0].abs().sum() > 0 and factors.grad[1].abs().sum() == 0
    assert landmarks.grad is None or landmarks.grad.abs().sum() == 0


def test_the_total_weighs_as_the_paper_and_leaves_negatives_out():
    one = torch.zeros(2, 62)
    one[:, 0] = 1.0
    coarse = torch.zeros(2, 68, 3)
    landmarks = coarse.clone()
    landmarks[:, 0, 0] = 2.0
    # A negative, whose numbers mean nothing.
    one[1], landmarks[1] = 7.0, 9.0
    result = Regression(
        features=torch.zeros(2, 4),
        whitened=one,
        params=one,
        coarse=coarse,
        landmarks=landmarks,
        presence_logit=torch.zeros(2),
        inverse={"pose": torch.full((2, 12), 2.0)},
    )
    present = torch.tensor([1.0, 0.0])
    config = LossConfig(landmark_unit_px=1.0, presence=0.5)
    total, terms = total_loss(result, torch.zeros(2, 62), coarse, coarse, UNSEEN, present, config)
    expected = {
        "params": 1.0,
        "landmarks": 1.5,
        "inverse": 12 * 4.0,
        "consistency": 11 * 4.0 + 1.0,
        "presence": math.log(2),
    }
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected)
    by_hand = 0.02 * 1 + 0.03 * 1.5 + 0.02 * 48 + 0.001 * 45 + 0.5 * math.log(2)
    assert total.item() == pytest.approx(by_hand)
    # Coarse landmarks: against the corrected ones, against those of the label's parameters.
    config = LossConfig(landmark_unit_px=1.0, coarse=0.1, fitted=0.2)
    corrected, fitted = coarse + 0.0, coarse + 0.0
    corrected[:, 3, 1], fitted[:, 9, 2] = 1.0, 3.0
    _, terms = total_loss(result, torch.zeros(2, 62), corrected, fitted, UNSEEN, present, config)
    assert terms["coarse"].item() == 0.5 and terms["fitted"].item() == 2.5


def test_a_teacher_counts_by_its_parameters_and_the_mean_square_of_its_features():
    own, theirs = torch.zeros(3, 62), torch.zeros(3, 62)
    own[0, :2], theirs[1, 5] = 3.0, 2.0
    features, target = torch.zeros(3, 4), torch.zeros(3, 4)
    features[0, 0], target[1, 1:3] = 4.0, 2.0
    # A negative, far from its teacher.
    own[2], features[2] = 9.0, 9.0
    present = torch.tensor([1.0, 1.0, 0.0])
    terms = distillation_terms(own, theirs, features, target, present)
    expected = {"teacher_params": (18 + 4) / 2, "teacher_features": (16 / 4 + 8 / 4) / 2}
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected)
    assert [*distillation_terms(own, theirs, None, target, present)] == ["teacher_params"]
