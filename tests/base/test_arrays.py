from fractions import Fraction

import numpy as np
import pytest

from facegeo.base import arrays
from facegeo.errors import InvalidInputError


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 3)), r"x: expected shape \(N, 4\), got \(2, 3\)"),
        (np.zeros(4), r"got \(4,\)"),
        ([[1, 2, 3, np.nan]], "1 NaN or infinite"),
        ([["a", "b", "c", "d"]], "expected numbers"),
        ([[1, 2, 3, 4], [1, 2]], "differ in length"),
        (None, "expected numbers"),
        (np.zeros((1, 4), complex), "expected numbers"),
    ],
)
def test_wrong_arrays_say_what_was_expected_and_what_came(value, message):
    with pytest.raises(InvalidInputError, match=message):
        arrays.array_of("x", value, ("N", 4))


@pytest.mark.parametrize("boxes", [5, None, "a", [[1, 2, 3, 4], [1, 2]], {"a": 1}, object()])
def test_what_is_no_boxes_is_named(boxes):
    with pytest.raises(InvalidInputError, match=r"^boxes: expected"):
        arrays.boxes_xyxy(boxes)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, "3", None, True, [1], np.array([1, 2])])
def test_what_is_no_positive_number_is_named(value):
    with pytest.raises(InvalidInputError, match="x: expected a number above 0"):
        arrays.positive_number("x", value)


def test_positive_numbers_of_every_kind():
    for value in (2, 2.0, np.float32(2), np.int64(2), Fraction(4, 2)):
        assert arrays.positive_number("x", value) == arrays.number_in("x", value, 0) == 2.0
    with pytest.raises(InvalidInputError, match="above 0, at most 10, got 11"):
        arrays.positive_number("x", 11, 10)


def test_numbers_are_converted_and_contiguous():
    array = arrays.array_of("x", np.arange(8).reshape(4, 2).T, ("N", 4))
    assert array.dtype == np.float32 and array.flags.c_contiguous


def test_boxes_of_every_accepted_form():
    assert arrays.boxes_xyxy([]).shape == (0, 4)
    assert arrays.boxes_xyxy([1, 2, 3, 4]).shape == (1, 4)
    assert arrays.boxes_xyxy(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 5, 5, 9], [0, 0, 5, np.nan], [0, 0, 5]])
def test_boxes_without_area_are_refused(box):
    with pytest.raises(InvalidInputError):
        arrays.boxes_xyxy([box])


def test_only_a_bool_is_a_flag():
    assert arrays.flag("x", True) is True and arrays.flag("x", np.False_) is False
    for value in (1, 0.0, "no", None, np.array(True)):
        with pytest.raises(InvalidInputError, match=r"^x: expected True or False, got"):
            arrays.flag("x", value)
