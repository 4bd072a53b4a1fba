"""Pictures move, and labels with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.training_data import CONVENTION, painted, some_params

from facegeo.conventions import LANDMARK_MIRROR
from facegeo.morphable import MorphableModel
from facegeo.training.data.augment import AugmentConfig
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.face_swap import FaceSwap
from facegeo.training.data.views import Labels, draw, make_views, placed_faces, seen_after
from facegeo.training.data.visibility import COVERED, SEEN, TURNED_AWAY, UNKNOWN, unknown

STILL = AugmentConfig(
    **{
        name: 0.0 for name in ("flip", "swap", "occlusion", "blur", "jpeg", "grey", "shift", "zoom")
    },
    **{name: 0.0 for name in ("rotation_deg", "brightness", "contrast", "saturation", "tint")},
)


def labels_of(model: MorphableModel, count: int, seed: int = 0) -> Labels:
    params = some_params(count, seed)
    return Labels(params, landmarks_of(params, model, CONVENTION), unknown(count))


def views_of(
    labels: Labels, model: MorphableModel, config: AugmentConfig, seed: int = 0, size: int = 120
) -> tuple[np.ndarray, Labels]:
    """Views of crops with a bright dot at every landmark."""
    rng = np.random.default_rng(seed)
    crops = torch.from_numpy(np.stack([painted(points) for points in labels.landmarks]))
    matrices, moved = placed_faces(labels, rng, config, model.mirror, CONVENTION)
    drawing = draw(matrices, moved.landmarks, rng, config, size)
    views = make_views(crops, drawing, size, torch.Generator().manual_seed(seed)).numpy()
    return views, Labels(moved.params, moved.landmarks, seen_after(moved, drawing))


def brightness_at(views: np.ndarray, labels: Labels, size: int) -> np.ndarray:
    """Of the pixel at every landmark that lies in the view, (K,)."""
    points = (labels.landmarks[:, :, :2] + 0.5) * size / 120 - 0.5
    columns, rows = np.rint(points + np.array([0.01, 0])).astype(int).transpose(2, 0, 1)
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    every = np.broadcast_to(np.arange(len(views))[:, None], inside.shape)
    return views[every[inside], rows[inside], columns[inside], 0]


def test_without_chances_nothing_changes(model):
    labels = labels_of(model, 3)
    views, same = views_of(labels, model, STILL)
    assert np.array_equal(views, np.stack([painted(points) for points in labels.landmarks]))
    assert np.abs(same.landmarks - labels.landmarks).max() < 1e-4
    assert np.abs(same.params - labels.params).max() < 1e-4


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("size", [120, 96])
def test_landmarks_move_with_the_picture(model, flip, size):
    config = AugmentConfig(
        flip=flip, occlusion=0, blur=0, jpeg=0, brightness=0, contrast=0, tint=0, rotation_deg=40
    )
    views, labels = views_of(labels_of(model, 24), model, config, size=size)
    assert np.percentile(brightness_at(views, labels, size), 1) > 60  # 40 is the background
    of_params = landmarks_of(labels.params, model, CONVENTION)
    assert np.abs(of_params - labels.landmarks).max() < 0.5


def test_a_flip_takes_visibility_along(model):
    labels = labels_of(model, 2)
    labels.visibility[:, :8] = SEEN
    labels.visibility[:, 36:42] = TURNED_AWAY
    config = AugmentConfig(flip=1.0, occlusion=0, rotation_deg=0, shift=0, zoom=0)
    _, moved = views_of(labels, model, config)
    inside = ((moved.landmarks[..., :2] > 0) & (moved.landmarks[..., :2] < 119)).all(axis=2)
    expected = labels.visibility[:, LANDMARK_MIRROR]
    assert np.array_equal(moved.visibility[inside], expected[inside])


def test_the_same_numbers_give_the_same_view(model):
    config = AugmentConfig(occlusion=0.5, cut=0.5, noise=0.5, blur=0.5, jpeg=0.5)
    first, again = (views_of(labels_of(model, 16), model, config, 5, 96) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1].params, again[1].params)
    assert not np.array_equal(first[0], views_of(labels_of(model, 16), model, config, 6, 96)[0])


def test_points_under_patches_and_beyond_borders_are_not_seen(model):
    labels = labels_of(model, 40)
    labels.visibility[:] = SEEN
    labels.visibility[:, [0, 16]] = TURNED_AWAY
    still = {"blur": 0, "jpeg": 0, "brightness": 0, "contrast": 0, "tint": 0, "grey": 0}
    for change in ({"occlusion": 1}, {"occlusion": 0, "cut": 1}):
        config = AugmentConfig(**still, **change)
        views, moved = views_of(labels, model, config, size=120)
        assert (moved.visibility[:, [0, 16]] == TURNED_AWAY).all()
        hidden = moved.visibility == COVERED
        assert 0.05 < hidden.mean() < 0.6
        dots = [
            brightness_at(view[None], Labels(p[None], x[None][:, m], v[None]), 120)
            for view, p, x, v, m in zip(
                views, moved.params, moved.landmarks, moved.visibility, ~hidden, strict=True
            )
        ]
        # Dots near a patch's edge lose a part of their pixels.
        assert np.percentile(np.concatenate(dots), 4) > 60


def test_what_the_crop_does_not_show_no_view_of_it_does(model):
    """Moved to the left by 40 pixels, half of a face is beyond its crop; recentring fills it."""
    labels = labels_of(model, 6)
    labels.landmarks[..., 0] -= 40
    labels.visibility[:] = SEEN
    config = AugmentConfig(flip=0.5, occlusion=0, recentre=1)
    _, moved = views_of(labels, model, config)
    beyond = (labels.landmarks[..., 0] < -0.5).sum()
    assert beyond > 20 and (moved.visibility == COVERED).sum() >= beyond


def test_what_was_not_known_is_known_once_it_is_covered(model):
    _, moved = views_of(labels_of(model, 20), model, AugmentConfig(occlusion=1))
    assert {COVERED, UNKNOWN} == set(np.unique(moved.visibility))


def test_swapping_changes_the_face_and_nothing_else(model):
    own, other = some_params(2, seed=3)
    grey, bright = np.full((120, 120, 3), 90, np.uint8), np.zeros((120, 120, 3), np.uint8)
    bright[:, :60], bright[:, 60:] = (200, 120, 60), (60, 120, 200)
    swapped = FaceSwap(CoarseFace(model, CONVENTION))(grey, own, bright, other)
    points = landmarks_of(own[None], model, CONVENTION)[0]
    nose = np.rint(points[30, :2]).astype(int)
    assert np.abs(swapped[nose[1], nose[0]].astype(int) - 90).max() > 10
    assert (swapped[:4] == 90).all()
    assert (swapped[-4:] == 90).all()


def test_a_face_swapped_with_itself_stays(model):
    params = some_params(1)[0]
    rows, columns = np.mgrid[0:120, 0:120]
    crop = np.stack([rows, columns, 120 - rows], axis=2).astype(np.uint8)  # smooth
    swapped = FaceSwap(CoarseFace(model, CONVENTION))(crop, params, crop, params)
    assert np.abs(swapped.astype(int) - crop).max() <= 1
