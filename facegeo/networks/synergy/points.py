"""Networks on the 68 landmarks as a point set: the paper's refinement (MAFA) and landmark-to-3DMM.

SynergyNet (Wu et al. 2021), sections 3.2, 3.3 and supplement B; layers after PointNet (Qi 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

#: Per-point features that the refinement appends the face's vector to, and the pooled ones.
LOW_LEVEL, HOLISTIC = 64, 1024


class SharedLayers(nn.Sequential):
    """Layers that every point passes on its own: 1x1 convolutions, each with batch norm and ReLU.

    In training the points of all faces are the rows of one matrix, which PyTorch multiplies and
    normalises faster than a batch of short signals: a fifth less time on a CPU.

    Parameters
    ----------
    channels : sequence of int
        Of the points, and of each layer's output.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [
                nn.Conv1d(inputs, outputs, 1),
                nn.BatchNorm1d(outputs),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """``(N, C, 68)`` to ``(N, C', 68)``."""
        if not self.training:
            return super().forward(points)
        faces, channels, count = points.shape
        rows = points.transpose(1, 2).reshape(faces * count, channels)
        for layer in self:
            if isinstance(layer, nn.Conv1d):
                rows = functional.linear(rows, layer.weight[:, :, 0], layer.bias)
            else:
                rows = layer(rows)
        return rows.view(faces, count, -1).transpose(1, 2)


class PointEncoder(nn.Module):
    """MLP 3-64-64-64-128-1024 on every point, and the maximum over the points.

    Parameters
    ----------
    width : float
        Factor of the two widest layers.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.low = SharedLayers((3, 64, LOW_LEVEL))
        self.high = SharedLayers((LOW_LEVEL, 64, *_scaled((128, HOLISTIC), width)))

    def forward(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(N, 3, 68)`` points to features ``(N, 64, 68)`` of each and ``(N, 1024)`` of all."""
        low = self.low(points)
        high = self.high(low)
        # The same numbers, but the gradient of max() goes to one place and amax() looks for all
        # equal ones: a third of the encoder's backward pass on a CPU. amax() is the one to export.
        return low, high.max(dim=2).values if self.training else high.amax(dim=2)


class Refinement(nn.Module):
    """Multi-attribute feature aggregation: a shift of every coarse landmark.

    Parameters
    ----------
    attributes : sequence of int
        Lengths of the vectors that join the holistic point features: image, shape, expression.
    adaptation : sequence of int or None
        Widths of a fully connected layer (with ReLU) that each attribute passes first.
    width : float
        Factor of the widest layers of the points, 1 as published. At 1 they are two fifths of what
        a network with a small backbone computes.
    """

    #: Called by their weights; see :mod:`facegeo.networks.folding`.
    functional_norms = (("first", "first_norm"),)

    def __init__(
        self,
        attributes: Sequence[int],
        adaptation: Sequence[int] | None = None,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = PointEncoder(width)
        first, *hidden = _scaled((512, 256, 128), width)
        (holistic,) = _scaled((HOLISTIC,), width)
        self.adaptation = nn.ModuleList()
        if adaptation is not None:
            for length, width in zip(attributes, adaptation, strict=True):
                layer = nn.Sequential(nn.Linear(length, width), nn.ReLU(inplace=True))
                self.adaptation.append(layer)
            attributes = adaptation
        self.first = nn.Conv1d(LOW_LEVEL + holistic + sum(attributes), first, 1)
        self.first_norm = nn.BatchNorm1d(first)
        self.hidden = SharedLayers((first, *hidden))
        # Linear, and zero at the start: training begins from the coarse landmarks.
        self.last = nn.Conv1d(hidden[-1], 3, 1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)

    def forward(self, points: torch.Tensor, attributes: Sequence[torch.Tensor]) -> torch.Tensor:
        """``(N, 3, 68)`` points and ``(N, C)`` attributes to the output ``(N, 3, 68)``."""
        low, face = self._features(points, attributes)
        return self._decode(self.first_split(low, face))

    def first_split(self, low: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
        """The first decoder layer; the face's vector is multiplied once, not once a point.

        W [l; f] = W_l l + W_f f, and W_f f is the same for all points of a face.
        """
        weight = self.first.weight
        of_face = functional.linear(face, weight[:, LOW_LEVEL:, 0], self.first.bias)
        return functional.conv1d(low, weight[:, :LOW_LEVEL]) + of_face[:, :, None]

    def _features(
        self, points: torch.Tensor, attributes: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        low, holistic = self.encoder(points)
        if len(self.adaptation):
            pairs = zip(self.adaptation, attributes, strict=True)
            attributes = [layer(value) for layer, value in pairs]
        return low, torch.cat([holistic, *attributes], dim=1)

    def _decode(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.hidden(torch.relu(self.first_norm(x))))


def _scaled(widths: Sequence[int], factor: float) -> list[int]:
    """Widths of layers, whole vectors of 8 numbers."""
    return [max(8, 8 * round(width * factor / 8)) for width in widths]


class LandmarksTo3dmm(nn.Module):
    """The way back: parameters from landmarks. Used in training only.

    Parameters
    ----------
    targets : dict of str to int
        Name and length of each group of parameters that is regressed.
    attributes : sequence of int
        Lengths of vectors that join the point features (the paper's comparison 2); none by default.
    """

    def __init__(self, targets: dict[str, int], attributes: Sequence[int] = ()) -> None:
        super().__init__()
        self.encoder = PointEncoder()
        inputs = HOLISTIC + sum(attributes)
        self.heads = nn.ModuleDict({name: nn.Linear(inputs, n) for name, n in targets.items()})

    def forward(
        self, points: torch.Tensor, attributes: Sequence[torch.Tensor] = ()
    ) -> dict[str, torch.Tensor]:
        """``(N, 3, 68)`` points to whitened parameters, ``(N, 12 | 40 | 10)`` by name."""
        holistic = torch.cat([self.encoder(points)[1], *attributes], dim=1)
        return {name: head(holistic) for name, head in self.heads.items()}
