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
