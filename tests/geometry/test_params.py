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


def test_the_face_model_says_how_many_modes_there_are():
    vectors = np.arange(2 * 124, dtype=np.float32).reshape(2, 124)
    pose, shape, expression = params.split(vectors, 60)
    assert shape[0, 0] == 12 and shape.shape == (2, 60)
    assert expression[0, 0] == 72 and expression.shape == (2, 52)
    assert np.array_equal(params.join(pose, shape, expression), vectors)


@pytest.mark.parametrize("shape", [np.zeros((2, 40)), np.zeros(40)])
def test_joining_parts_of_the_wrong_length_is_refused(shape):
    with pytest.raises(ValueError, match="expected shapes"):
        params.join(np.zeros((1, 3, 4)), shape, np.zeros((1, 10)))
