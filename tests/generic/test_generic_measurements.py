"""The model has the measurements it was drawn to, and varies as much as people do."""

from __future__ import annotations

import numpy as np
import pytest
from generic_archive import shipped
from generic_build.measurements import MEASUREMENTS, measure, point_rows


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    """Measurements (M,) of the average face and (2000, M) of random ones."""
    archive = shipped()
    rows = point_rows(archive["mean"], archive["mirror/vertices"])
    picked = np.array(list(rows.values()))
    local = {name: number for number, name in enumerate(rows)}
    coefficients = np.random.default_rng(0).normal(size=(2000, 40))
    mean = archive["mean"][picked]
    faces = mean + np.tensordot(coefficients, archive["shape_basis"][:, picked], 1)
    return measure(mean, local), measure(faces, local)


@pytest.mark.parametrize("index", range(len(MEASUREMENTS)), ids=lambda i: MEASUREMENTS[i].name)
def test_average_and_spread(sample: tuple[np.ndarray, np.ndarray], index: int) -> None:
    wanted, (average, random) = MEASUREMENTS[index], sample
    assert average[index] == pytest.approx(wanted.mean_mm, abs=2.0)
    assert 0.75 < random[:, index].std() / wanted.spread_mm < 1.3


def test_every_number_names_its_source() -> None:
    assert all(measurement.source for measurement in MEASUREMENTS)
