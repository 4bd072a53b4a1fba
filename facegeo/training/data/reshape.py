"""The same photo with another face shape and expression, and labels that agree."""

from __future__ import annotations

import numpy as np

from facegeo.conventions import NUM_POSE
from facegeo.morphable import MorphableModel
from facegeo.synthetic.redraw import Scene
from facegeo.training.data.coarse_face import CoarseFace
from facegeo.training.data.datasets import landmarks_of
from facegeo.training.data.sample import Sample

#: Standard deviation of a change, as a part of that of the coefficient in the training set.
_SPREAD = 0.7


def random_change(spread: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A change of the coefficients ``(Ns + Ne,)``, given how much each varies between faces."""
    return np.asarray(_SPREAD * spread * rng.normal(size=len(spread)), np.float32)


class Reshape:
    """Changes the coefficients of faces of one model, and their images with them.

    Parameters
    ----------
    model : MorphableModel
        That of the samples.
    face : CoarseFace
        The same model's.
    """

    def __init__(self, model: MorphableModel, face: CoarseFace) -> None:
        self._model = model
        self._face = face

    def __call__(self, sample: Sample, change: np.ndarray) -> Sample:
        """The face with other coefficients.

        Parameters
        ----------
        sample : Sample
            A crop of side 120.
        change : (Ns + Ne,) float
            Added to the coefficients of shape and expression. Large ones tear the image.
        """
        params = sample.params.copy()
        params[NUM_POSE:] += change
        both = np.stack([sample.params, params])
        points = landmarks_of(both, self._model, self._face.convention)
        landmarks = sample.landmarks + points[1] - points[0]
        return Sample(self._image(sample.crop, both), params, landmarks)

    def _image(self, crop: np.ndarray, params: np.ndarray) -> np.ndarray:
        before, after = self._face.vertices(params)
        scene = Scene.of(crop, before, self._face.triangles)
        if scene is None:
            return crop
        return scene.drawn(scene.points + scene.along(after - before))
