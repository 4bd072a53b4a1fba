import numpy as np
import pytest

from facegeo.geometry import params


def test_parts_lie_where_the_convention_says_and_join_again():
    vectors = np.arange(2 * 62, dtype=np.float32).reshape(2, 62)
    pose, shape, expression = params.split(vectors)
    assert np.array_equal(pose[0], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    assert shape[0, 0] == 12 and shape[0, -1] == 51
    assert expression[0, 0] == 52 and expression.shape == (2, 10)
    assert np.array_equal(params.join(pose, shape, expression), vectors)


def test_joining_parts_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="expected shapes"):
        params.join(np.zeros((1, 3, 4)), np.zeros((1, 39)), np.zeros((1, 10)))
