"""The shipped head in its low detail: the cage's vertices, with landmarks put where they lie."""

from __future__ import annotations

from functools import cache as once

import numpy as np
import pytest
from head_archive import ASSET

from facegeo.morphable.model import CageModel, MorphableModel


@pytest.fixture(autouse=True)
def cache_folder(cache):
    return cache


@once
def low() -> CageModel:
    model = MorphableModel.load(ASSET, detail="low")
    assert isinstance(model, CageModel)
    return model


def turned(points: np.ndarray) -> int:
    """Triangles that face away from the quad that they are a half of."""
    model = low()
    corners = points[model.cage.faces]
    quads = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    a, b, c = np.moveaxis(points[model.triangles], 1, 0)
    return int(((np.cross(b - a, c - a) * quads.repeat(2, axis=0)).sum(axis=1) <= 0).sum())


def test_no_triangle_is_turned_at_rest_and_few_in_an_expression() -> None:
    model = low()
    mean = model.mean.astype(np.float64)
    assert turned(mean) == 0
    found = {
        name: turned(mean + mode)
        for name, mode in zip(model.expression_names, model.expression_basis, strict=True)
    }
    assert max(found.values()) <= 2 and sum(found.values()) <= 6, found


def test_landmarks_stay_on_their_side_of_closed_lips() -> None:
    """A row near a landmark of the other lip, at rest, would be torn off when the mouth opens."""
    model = low()
    # What surrounds a landmark moves with it: of all vertices next to it the nearest, at least.
    pairs = np.concatenate([model.triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    for row, index in zip(model.landmark_rows, range(68), strict=True):
        beside = pairs[pairs[:, 0] == row, 1]
        apart = np.abs(model.expression_basis[:, beside] - model.expression_basis[:, [row]])
        assert apart.max(axis=(0, 2)).min() < 4, index
