"""The float32 graph in ONNX Runtime, opened as anyone would: what facegeo's engines compare with.

Which way is fastest depends on processor and batch, so all are measured and the fastest counts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final

import numpy as np
import onnxruntime

from facegeo.backends.base import Backend
from facegeo.backends.onnxrt.specs import tensor_specs
from facegeo.predictor import FaceGeometry
from facegeo.zoo.store import find

#: Crops of a call -> name of the way.
_WAYS: Final = {None: "a plain session", 8: "a plain session, pieces of 8"}


class PlainSession(Backend):
    """A session with ONNX Runtime's own settings, on the CPU.

    Parameters
    ----------
    session : InferenceSession
    piece : int or None
        Crops of a call, for what fits into the processor's cache; None: the whole batch.
    """

    name = "onnxruntime"

    def __init__(self, session: onnxruntime.InferenceSession, piece: int | None) -> None:
        inputs, outputs = tensor_specs(session.get_inputs()), tensor_specs(session.get_outputs())
        super().__init__("cpu", "fp32", inputs, outputs)
        self._session, self._piece = session, piece
        self._outputs = [*outputs]

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        ((name, crops),) = inputs.items()
        step = self._piece or len(crops)
        parts = [
            self._session.run(self._outputs, {name: crops[first : first + step]})
            for first in range(0, len(crops), step)
        ]
        values = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return dict(zip(self._outputs, values, strict=True))

    def _release(self) -> None:
        """Nothing: the session is its maker's."""


def plain_predictors(predictor: FaceGeometry, batch: int) -> dict[str, FaceGeometry]:
    """The predictor's model in float32 in other ways, by name; none where it is on a GPU."""
    if predictor.network.device != "cpu":
        return {}
    onnx = find(predictor.card.name).read("network")
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    found = {}
    for piece, name in _WAYS.items():
        if piece is None or piece < batch:
            found[name] = copy.copy(predictor)  # detector and face model are shared
            found[name].network = PlainSession(session, piece)
    return found
