"""Errors to expect of landmarks: a 2x2 covariance of each, from the image's features.

Of a covariance S = L L^T the network gives the Cholesky factor L = [[a, 0], [c, b]] with a, b > 0
(Kendall and Gal 2017, "What Uncertainties Do We Need"; Dorta et al. 2018, "Structured Uncertainty
Prediction Networks"). Factors are arrays ``(..., 3)`` of a, c, b; covariances of xx, xy, yy. All
are in pixels of a crop of side 120.
"""

from __future__ import annotations

import torch
from torch import nn

from facegeo.conventions import NUM_LANDMARKS

#: Least standard deviation, crop pixels: far below what labels can tell.
_LEAST = 0.05

#: Standard deviation that a new head gives.
_START = 2.0

#: Degrees of freedom of the errors' distribution: the fewer, the less a wrong label counts.
_FREEDOM = 4.0


class CovarianceHead(nn.Module):
    """Features ``(N, C)`` to factors ``(N, 68, 3)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 3 * NUM_LANDMARKS)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Factors of the covariances."""
        raw = self.linear(features).reshape(-1, NUM_LANDMARKS, 3)
        deviation = _LEAST + _START * torch.exp(raw[..., 0::2])
        return torch.stack([deviation[..., 0], raw[..., 1], deviation[..., 1]], dim=-1)

    @torch.no_grad()
    def calibrate(self, scale: torch.Tensor) -> None:
        """Multiply each landmark's factors by a number ``(68,)``.

        So that ellipses hold as many points as they promise on faces that nothing was trained on.
        """
        weight = self.linear.weight.view(NUM_LANDMARKS, 3, -1)
        bias = self.linear.bias.view(NUM_LANDMARKS, 3)
        bias[:, 0::2] += torch.log(scale)[:, None]
        weight[:, 1] *= scale[:, None]
        bias[:, 1] *= scale


def covariance_of(factors: torch.Tensor) -> torch.Tensor:
    """Factors ``(..., 3)`` to covariances ``(..., 3)``."""
    a, c, b = factors.unbind(dim=-1)
    return torch.stack([a * a, a * c, c * c + b * b], dim=-1)


def squared_distance(errors: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Mahalanobis distance, squared, ``(...)``, of errors ``(..., 2)``: r^T S^-1 r."""
    a, c, b = factors.unbind(dim=-1)
    first = errors[..., 0] / a
    second = (errors[..., 1] - c * first) / b
    return first.square() + second.square()


def negative_log_likelihood(errors: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """That of errors ``(..., 2)`` under Student's t, ``(...)``, but for the constant.

    Labels are wrong at times. Under a normal distribution few of them would make all ellipses
    large; cut off at some distance, ellipses that begin too small would shrink to nothing.
    """
    a, _, b = factors.unbind(dim=-1)
    far = torch.log1p(squared_distance(errors, factors) / _FREEDOM)
    return 0.5 * (_FREEDOM + 2) * far + torch.log(a) + torch.log(b)
