"""Part of the face model in every network: statistics of the parameters, 68 landmark rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from facegeo.conventions import NUM_EXPRESSION, NUM_LANDMARKS, NUM_POSE, NUM_SHAPE
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CropConvention, crop_from_pose_frame

if TYPE_CHECKING:
    from facegeo.morphable import MorphableModel


class FaceRows(nn.Module):
    """Base of networks whose parameters are those of a morphable model.

    The statistics and the landmark rows are buffers: they travel with the weights, so a caller can
    neither forget them nor use another model's.

    Parameters
    ----------
    convention : CropConvention
        Where the pose's frame lies in the crop.
    num_shape, num_expression : int
        Modes of the face model.
    """

    param_mean: torch.Tensor
    param_std: torch.Tensor
    landmark_mean: torch.Tensor
    landmark_basis: torch.Tensor
    to_crop: torch.Tensor

    #: Names of what ``forward`` returns, in order; also the names of the exported outputs.
    output_names: tuple[str, ...] = ("params", "landmarks")

    def __init__(
        self,
        convention: CropConvention,
        num_shape: int = NUM_SHAPE,
        num_expression: int = NUM_EXPRESSION,
    ) -> None:
        super().__init__()
        self.convention = convention
        self.num_shape, self.num_expression = num_shape, num_expression
        coefficients = num_shape + num_expression
        self.num_params = NUM_POSE + coefficients
        self.register_buffer("param_mean", torch.zeros(self.num_params))
        self.register_buffer("param_std", torch.ones(self.num_params))
        self.register_buffer("landmark_mean", torch.zeros(3 * NUM_LANDMARKS))
        self.register_buffer("landmark_basis", torch.zeros(coefficients, 3 * NUM_LANDMARKS))
        to_crop = torch.from_numpy(crop_from_pose_frame(convention)).float()
        self.register_buffer("to_crop", to_crop, persistent=False)

    def set_face_model(self, model: MorphableModel, mean: np.ndarray, std: np.ndarray) -> None:
        """Take a model's landmark rows, and the mean and spread of its parameters (P,).

        Raises
        ------
        InvalidInputError
            If the model has other numbers of modes than the network.
        """
        sizes = (model.num_shape, model.num_expression)
        if sizes != (self.num_shape, self.num_expression):
            raise InvalidInputError(
                f"morphable model: expected {self.num_shape} shape and {self.num_expression} "
                f"expression modes, got {sizes[0]} and {sizes[1]}"
            )
        rows = model.landmark_basis
        basis = np.concatenate([rows.shape_basis, rows.expression_basis])
        for buffer, value in (
            (self.param_mean, mean),
            (self.param_std, std),
            (self.landmark_mean, rows.mean.reshape(-1)),
            (self.landmark_basis, basis.reshape(len(basis), -1)),
        ):
            buffer.copy_(torch.tensor(np.asarray(value, np.float32)))

    def normalised(self, crops: torch.Tensor) -> torch.Tensor:
        """``(N, S, S, 3)`` uint8 BGR crops to ``(N, 3, S, S)`` numbers of about -1..1."""
        return (crops.permute(0, 3, 1, 2).to(self.param_mean.dtype) - 127.5) / 128

    def landmarks(self, params: torch.Tensor) -> torch.Tensor:
        """The coarse landmarks, ``(N, P)`` to ``(N, 68, 3)`` crop pixels.

        In float32 under autocast too: model units are neither held nor resolved in half precision.
        """
        place = params.device.type
        if torch.is_autocast_enabled(place):  # asked for, so that the exported graph stays as it is
            with torch.autocast(place, enabled=False):
                return self._landmarks(params.float())
        return self._landmarks(params)

    def _landmarks(self, params: torch.Tensor) -> torch.Tensor:
        pose = params[:, :NUM_POSE].reshape(-1, 3, 4)
        flat = torch.addmm(self.landmark_mean, params[:, NUM_POSE:], self.landmark_basis)
        points = flat.reshape(-1, NUM_LANDMARKS, 3)
        # crop = D (A v + t) + d, folded into one affine map so that points are touched once.
        linear = self.to_crop[:, :3] @ pose[:, :, :3]
        offset = pose[:, :, 3] @ self.to_crop[:, :3].T + self.to_crop[:, 3]
        return points @ linear.transpose(1, 2) + offset[:, None]
