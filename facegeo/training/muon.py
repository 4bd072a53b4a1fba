"""Muon for the 1x1 convolutions of a backbone, AdamW for the rest.

Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). The
scale of the step is that of J. Liu et al., "Muon is scalable for LLM training" (2025), equation 4,
so that one rate serves both halves.
"""

from __future__ import annotations

from typing import Any

import torch

#: Quintic whose iterates draw the singular values of a matrix towards 1; by Jordan et al.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5

#: Root mean square of AdamW's steps, which Muon's are scaled to.
_ADAM_RMS = 0.2


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but for groups with ``matrices=True``: those take orthogonalised momentum steps.

    PyTorch's own Muon takes two-dimensional parameters only, which weights of convolutions are not.

    Parameters
    ----------
    groups : list of dict
        ``params``, ``matrices`` and what AdamW takes. Parameters of matrix groups have the shape
        (out, in, 1, ...).
    lr : float
    momentum : float
        Of the matrix groups; Nesterov's.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float = 0.95) -> None:
        super().__init__(groups, lr=lr)
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step. Gradients of the matrix groups are dropped afterwards."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            if group["matrices"]:
                for parameter in group["params"]:
                    self._step_matrix(parameter, group)
        super().step()
        return loss

    def _step_matrix(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        state = self.state[parameter]
        if not state:
            # AdamW expects a step count of every parameter when it reads a state back.
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(gradient)
        state["step"] += 1
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(state["momentum"], group["momentum"]).flatten(1)
        rate = group["lr"]
        scale = _ADAM_RMS * max(ahead.shape) ** 0.5
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.sub_(orthogonalised(ahead).view_as(parameter), alpha=rate * scale)
        parameter.grad = None  # AdamW passes over it


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """About U V^T of ``(M, N)`` U S V^T: singular values from 0.7 to 1.2, by five iterations."""
    a, b, c = _QUINTIC
    x = matrix / matrix.norm().clamp(min=1e-12)
    wide = x if x.shape[0] <= x.shape[1] else x.T
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if x.shape[0] <= x.shape[1] else wide.T
