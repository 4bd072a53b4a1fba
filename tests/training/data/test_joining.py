"""Several training sets become one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.training_data import write_faces

from facegeo.errors import InvalidInputError
from facegeo.images.collections import decoded
from facegeo.training.data.joining import joined, read_sets


def test_faces_follow_each_other_with_their_crops(tmp_path, model, faces):
    write_faces(tmp_path / "more", model, 3)
    files = [tmp_path / "more" / "labels.npz"] * 2
    both = read_sets(files, [tmp_path / "more" / "crops"] * 2)
    assert len(both) == 6 and both.visibility is None
    crops = np.stack(list(decoded(both.pictures, range(6))))
    assert np.array_equal(crops[:3], crops[3:])
    assert np.array_equal(both.params[:3], both.params[3:])


def test_what_one_set_does_not_know_is_unknown(faces):
    known = dataclasses.replace(
        faces,
        visibility=np.zeros((16, 68), np.uint8),
        manual=np.ones((16, 68), bool),
        manual_points=np.zeros((16, 68, 2), np.float32),
    )
    both = joined([faces, known])
    assert (both.visibility[:16] == 255).all() and not both.visibility[16:].any()
    assert not both.manual[:16].any() and both.manual[16:].all()
    assert np.isnan(both.manual_points[:16]).all() and (both.manual_points[16:] == 0).all()


def test_sets_that_do_not_fit_are_refused(faces):
    for change in ({"morphable_model": "another"}, {"offset_px": (1.0, 0.0)}):
        with pytest.raises(InvalidInputError, match=next(iter(change))):
            joined([faces, dataclasses.replace(faces, **change)])
    with pytest.raises(InvalidInputError, match=r"2 label files, got 1"):
        read_sets(["a.npz", "b.npz"], ["a.tar"])
