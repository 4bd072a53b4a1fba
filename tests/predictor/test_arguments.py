"""What is wrong with an argument is said at once, and by its name."""

from __future__ import annotations

import numpy as np
import pytest

from facegeo import FaceGeometry
from facegeo.detect import PresenceFilter, Search
from facegeo.errors import FacegeoError, InvalidInputError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", 0, "at least 1"),
        ("batch_size", True, "a whole number"),
        ("min_face_size", float("nan"), "a number of at least 0"),
        ("min_face_size", -1, "a number of at least 0"),
        ("score_threshold", "0.5", "a number in 0..1"),
        ("max_faces", 2.5, "a whole number"),
        ("search", 640, r"facegeo.detect.Search, such as Search\(max_side=640\), or None"),
        ("second_opinion", False, "facegeo.detect.PresenceFilter, or None"),
        ("second_opinion", 0.3, "facegeo.detect.PresenceFilter, or None"),
        ("recrop", "no", "True or False"),
        ("recrop", 1, "True or False"),
        ("rotations", None, "'upright' or 'any'"),
        ("detector", False, "a name, None, or an object"),
        ("device", 0, "auto, cpu, cuda or cuda:N"),
        ("backend", 0, "one of auto"),
        ("model", 5, "lower-case letters"),
    ],
)
def test_an_argument_that_is_not_as_stated_is_named(name, value, expected):
    with pytest.raises(FacegeoError, match=rf"^{name}( name)?: expected {expected}.*got"):
        FaceGeometry(**{name: value})


def test_arguments_as_stated_are_taken():
    predictor = FaceGeometry(
        batch_size=np.int64(3),
        min_face_size=np.float32(2),
        search=Search(),
        second_opinion=PresenceFilter(),
        recrop=np.True_,
        detector="default",
    )
    assert predictor(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("smooth", "no", "True, False or Smoothing"),
        ("smooth", 1, "True, False or Smoothing"),
        ("tracking", 5, "TrackerOptions or None"),
        ("tracking", False, "TrackerOptions or None"),
    ],
)
def test_an_argument_of_a_stream_is_named_too(name, value, expected):
    with (
        FaceGeometry() as predictor,
        pytest.raises(InvalidInputError, match=f"^{name}: expected {expected}, got"),
    ):
        predictor.stream([np.zeros((64, 64, 3), np.uint8)], **{name: value})
