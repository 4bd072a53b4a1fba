"""Measuring in training agrees with ``facegeo eval``."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.training_data import CONVENTION

from facegeo.networks.synergy.config import SynergyConfig
from facegeo.networks.synergy.network import SynergyNet
from facegeo.training.landmarks.measure import DevSet


def test_the_figures_are_those_of_the_evaluation(dev, model):
    from facegeo.evaluation.aflw2000 import evaluate
    from facegeo.results import FaceBatch

    few = dataclasses.replace(
        dev,
        names=dev.names[:40],
        original=dev.original[:40],
        reannotated=dev.reannotated[:40],
        rois=dev.rois[:40],
        yaw_deg=np.linspace(-90, 90, 40),
    )
    mean = np.zeros(62)
    mean[:12] = [0.5, 0, 0, 60, 0, 0.5, 0, 60, 0, 0, 0.5, 0]
    torch.manual_seed(0)
    network = SynergyNet(SynergyConfig(backbone="mobilenet_v1_x0.5"), CONVENTION).eval()
    network.set_face_model(model, mean, np.full(62, 0.1))

    class Predictor:
        crop_size = 120

        def predict_crops(self, crops, rois):
            from facegeo.geometry.crop import crop_to_photo

            with torch.inference_mode():
                params, points, _, presence = (v.numpy() for v in network(torch.from_numpy(crops)))
            points = crop_to_photo(points, rois, CONVENTION)
            return FaceBatch(params, points, points, presence, rois, CONVENTION)

    report = evaluate(Predictor(), few)
    ours = DevSet(few, few.crops(), few.poses_deg()).measure(network, torch.device("cpu"))
    for name in ("original", "reannotated"):
        theirs = report["nme_percent"][name]["mean_of_bins"]
        assert ours[f"nme_{name}_refined"] == pytest.approx(theirs, rel=1e-4)
    assert ours["pose_mae_deg"] == pytest.approx(report["pose_mae_deg"]["mean"], rel=1e-4)
    assert 0 <= ours["presence_auc_shifted"] <= 1
