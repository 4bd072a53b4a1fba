"""A landmark network without an engine."""

from __future__ import annotations

import numpy as np

from facegeo.backends import Backend, TensorSpec


class LandmarkNetwork(Backend):
    """Faces in the middle of every crop, all alike; tests change what it says.

    Attributes
    ----------
    batches : list of int
        Crops of each call.
    released : int
        How often it was closed.
    """

    name = "none"

    def __init__(self, crop_size: int = 120) -> None:
        number = np.dtype(np.float32)
        crops = TensorSpec(np.dtype(np.uint8), (None, crop_size, crop_size, 3))
        outputs = {"params": (62,), "landmarks": (68, 3), "presence": ()}
        specs = {name: TensorSpec(number, (None, *shape)) for name, shape in outputs.items()}
        super().__init__("cpu", "fp32", {"crops": crops}, specs)
        self.batches: list[int] = []
        self.released = 0

    def _run(self, inputs):
        count = len(inputs["crops"])
        self.batches.append(count)
        params = np.zeros((count, 62), np.float32)
        params[:, [0, 5, 10]], params[:, [3, 7]] = 0.5, 60
        landmarks = np.random.default_rng(0).uniform(30, 90, (68, 3)).astype(np.float32)
        presence = inputs["crops"].mean(axis=(1, 2, 3), dtype=np.float32) / 255
        return {
            "params": params,
            "landmarks": np.tile(landmarks, (count, 1, 1)),
            "presence": presence,
        }

    def _release(self) -> None:
        self.released += 1
