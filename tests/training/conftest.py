"""A face model and a small training set."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

from helpers.morphable_data import generic_model
from helpers.training_data import write_faces

from facegeo.morphable import MorphableModel
from facegeo.training.data.datasets import LabelledFaces


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return generic_model()


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> LabelledFaces:
    return write_faces(tmp_path_factory.mktemp("faces"), model)
