"""Faces in pickles: they carry a model's name, and find it again."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from facegeo.errors import CorruptFileError, MissingBasisError, ModelNotFoundError
from facegeo.zoo.mesh_source import ModelMesh
from facegeo.zoo.store import InstalledModel, find

PARAMS = np.zeros((1, 124), np.float32)
AFFINE = np.eye(3, 4, dtype=np.float32)[None]


def renamed(model: InstalledModel, **changes) -> ModelMesh:
    return ModelMesh(replace(model, card=replace(model.card, **changes)))


def test_a_mesh_source_is_found_again_by_its_name():
    source = ModelMesh(find("default"))
    before = source.vertices(PARAMS, AFFINE)  # the bases are loaded
    data = pickle.dumps(source)
    assert len(data) < 500
    copied = pickle.loads(data)
    assert copied.unit_mm == source.unit_mm
    np.testing.assert_array_equal(copied.vertices(PARAMS, AFFINE), before)
    assert pickle.loads(data) is copied  # the bases are loaded once for all faces
    assert pickle.loads(pickle.dumps(copied)) is copied


def test_what_is_not_installed_says_so_when_a_mesh_is_asked_for(cache):
    copied = pickle.loads(pickle.dumps(renamed(find("default"), name="elsewhere")))
    assert copied.unit_mm == find("default").card.unit_mm
    with pytest.raises(ModelNotFoundError, match="elsewhere"):
        copied.mesh(PARAMS[0], AFFINE[0])


def test_other_bases_than_the_faces_came_with_are_refused():
    model = find("default")
    bases = {"morphable": replace(model.card.files["morphable"], sha256="0" * 64)}
    copied = pickle.loads(pickle.dumps(renamed(model, files=model.card.files | bases)))
    with pytest.raises(CorruptFileError, match="other dense bases"):
        copied.morphable  # noqa: B018


def test_a_model_without_bases_has_none_after_unpickling(models):
    copied = pickle.loads(pickle.dumps(ModelMesh(find("mb05"))))
    with pytest.raises(MissingBasisError, match="no dense mesh"):
        copied.morphable  # noqa: B018
