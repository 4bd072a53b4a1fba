"""SynergyNet (Wu et al. 2021): parameters from a crop, refined landmarks, and the way back."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facegeo.conventions import NUM_LANDMARKS, NUM_POSE
from facegeo.errors import InvalidInputError
from facegeo.geometry.crop import CROP_SIZE, CropConvention
from facegeo.morphable import MorphableModel
from facegeo.morphable.mirror import mirror_matrix
from facegeo.networks.backbones.table import build_backbone
from facegeo.networks.face_rows import FaceRows
from facegeo.networks.synergy.config import GROUPS, REFINEMENTS, SynergyConfig
from facegeo.networks.synergy.points import LandmarksTo3dmm, Refinement
from facegeo.networks.synergy.uncertainty import CovarianceHead, covariance_of

#: Crop pixels to about -1..1 and back: (x - centre) / half.
_CENTRE = (CROP_SIZE - 1) / 2
_HALF = CROP_SIZE / 2

#: Crop pixels that an output of 1 of the refinement moves a landmark.
_REFINEMENT_PX = 6.0

#: Place of the pose's x translation among the parameters.
_X = 3

#: Width of the bottleneck that gives the enlarged baseline its 0.8 M parameters.
_ENLARGED = 312


class Regression(NamedTuple):
    """All that training wants of N crops.

    Attributes
    ----------
    features : (N, C) pooled image features z; of the crops as they are, not of their mirror images.
    whitened : (N, P) parameters minus their mean, over their spread.
    params : (N, P) de-normalised.
    coarse : (N, 68, 3) landmarks of the parameters, crop pixels.
    landmarks : (N, 68, 3) refined; the coarse ones where the network does not refine.
    presence_logit : (N,) zero where the network has no such output.
    inverse : whitened parameters from the landmarks, by group; empty without landmark-to-3DMM.
    visibility_logits : (N, 68), or None where the network has no such output.
    cholesky : (N, 68, 3) factors of the covariances, crop pixels, as
        :mod:`facegeo.networks.synergy.uncertainty` has them; or None.
    """

    features: torch.Tensor
    whitened: torch.Tensor
    params: torch.Tensor
    coarse: torch.Tensor
    landmarks: torch.Tensor
    presence_logit: torch.Tensor
    inverse: dict[str, torch.Tensor]
    visibility_logits: torch.Tensor | None = None
    cholesky: torch.Tensor | None = None


class SynergyNet(FaceRows):
    """Backbone, heads, refinement and landmark-to-3DMM.

    Attributes
    ----------
    config : SynergyConfig
    convention : CropConvention
    morphable_model : str
        Name of the face model whose parameters the network gives.
    """

    def __init__(
        self, config: SynergyConfig, convention: CropConvention, morphable_model: str = ""
    ) -> None:
        super().__init__(convention, config.num_shape, config.num_expression)
        self.config = config
        self.morphable_model = morphable_model
        self.backbone = build_backbone(config.backbone)
        width = int(self.backbone.num_features)  # type: ignore[arg-type]
        groups = config.groups
        self.enlarged = _bottleneck(width) if config.enlarged_heads else nn.Identity()
        self.heads = nn.ModuleDict({name: _head(width, size) for name, size in groups.items()})
        self.presence = _head(width, 1) if config.presence else None
        self.visibility = _head(width, NUM_LANDMARKS) if config.visibility else None
        self.covariance = CovarianceHead(width) if config.covariance else None
        self.mirror = _Mirror(self.num_params) if config.mirrored else None
        lengths = {"image": width, "shape": groups["shape"], "expression": groups["expression"]}
        self.refinement: Refinement | None = None
        if config.refinement != "none":
            chosen = [lengths[name] for name in REFINEMENTS[config.refinement]]
            self.refinement = Refinement(chosen, config.adaptation, config.refinement_width)
        self.inverse: LandmarksTo3dmm | None = None
        if config.inverse:
            extra = list(lengths.values()) if config.inverse_attributes else []
            self.inverse = LandmarksTo3dmm({name: groups[name] for name in config.inverse}, extra)
        outputs = ["params", "landmarks"]
        outputs += ["coarse_landmarks"] if self.refinement is not None else []
        outputs += ["presence"] if self.presence is not None else []
        outputs += ["visibility"] if self.visibility is not None else []
        outputs += ["covariance"] if self.covariance is not None else []
        self.output_names = tuple(outputs)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Predict; what is exported. Landmark-to-3DMM is not in it.

        Parameters
        ----------
        crops : (N, S, S, 3) uint8
            BGR.

        Returns
        -------
        outputs : tuple of torch.Tensor
            In the order of ``output_names``: ``params`` (N, P) de-normalised; ``landmarks``
            (N, 68, 3) refined, in pixels of a crop of side 120 whatever S is; where the network
            has them ``coarse_landmarks`` (N, 68, 3); ``presence`` (N,), a probability;
            ``visibility`` (N, 68), probabilities; ``covariance`` (N, 68, 3), xx, xy and yy of the
            landmarks' errors in the same pixels, squared.
        """
        result = self._estimate(self.backbone(self.views(crops)))
        values = {
            "params": result.params,
            "landmarks": result.landmarks,
            "coarse_landmarks": result.coarse,
            "presence": torch.sigmoid(result.presence_logit),
        }
        if result.visibility_logits is not None:
            values["visibility"] = torch.sigmoid(result.visibility_logits)
        if result.cholesky is not None:
            values["covariance"] = covariance_of(result.cholesky)
        return tuple(values[name] for name in self.output_names)

    def set_face_model(
        self,
        model: MorphableModel,
        mean: np.ndarray,
        std: np.ndarray,
        offset_px: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """As :meth:`FaceRows.set_face_model`.

        Parameters
        ----------
        offset_px : (float, float)
            By which the labels are moved against the image (x right, y down). A network that sees
            mirror images has to know: the offset has the same sign in both.

        Raises
        ------
        InvalidInputError
            If the model does not fit, or the network needs its mirror and it has none.
        """
        super().set_face_model(model, mean, std)
        if self.mirror is not None:
            if model.mirror is None:
                raise InvalidInputError(f"mirrored: {model.name!r} has no mirror")
            matrix, offset = mirror_matrix(model.mirror, self.convention)
            offset[_X] += 2 * offset_px[0]
            self.mirror.set(matrix, offset)

    def views(self, crops: torch.Tensor) -> torch.Tensor:
        """Input of the backbone: ``(N, S, S, 3)`` uint8 BGR crops to ``(N, 3, S, S)`` images.

        With ``mirrored`` there are 2 N: the mirror images come after the crops.
        """
        if self.mirror is not None:
            crops = torch.cat([crops, _in_the_mirror(crops)])
        return self.normalised(crops)

    def regress(self, features: torch.Tensor) -> Regression:
        """Everything from the pooled features of all :meth:`views`, for training."""
        result = self._estimate(features)
        return result._replace(inverse=self._inverse(result))

    def _estimate(self, features: torch.Tensor) -> Regression:
        """Everything but landmark-to-3DMM."""
        whitened = self._whitened(features)
        params = whitened * self.param_std + self.param_mean
        if self.presence is None:
            logit = params.new_zeros(len(params))
        else:
            logit = self.presence(features)[:, 0]
        if self.mirror is not None:
            features = _of_views(features)[0]
            params = self.mirror(*_of_views(params))
            whitened = (params - self.param_mean) / self.param_std
            logit = _of_views(logit).mean(dim=0)
        coarse = self.landmarks(params)
        landmarks = self._refined(coarse, features, whitened)
        visibility = None if self.visibility is None else self.visibility(features)
        cholesky = None if self.covariance is None else self.covariance(features)
        return Regression(
            features, whitened, params, coarse, landmarks, logit, {}, visibility, cholesky
        )

    def _whitened(self, features: torch.Tensor) -> torch.Tensor:
        features = self.enlarged(features)
        return torch.cat([self.heads[name](features) for name in GROUPS], dim=1)

    def _refined(
        self, coarse: torch.Tensor, features: torch.Tensor, whitened: torch.Tensor
    ) -> torch.Tensor:
        if self.refinement is None:
            return coarse
        values = self._attributes(features, whitened)
        chosen = [values[name] for name in REFINEMENTS[self.config.refinement]]
        shift = self.refinement(_as_points(coarse), chosen)
        return coarse + _REFINEMENT_PX * shift.transpose(1, 2)

    def _inverse(self, result: Regression) -> dict[str, torch.Tensor]:
        if self.inverse is None:
            return {}
        refined = self.config.inverse_from == "refined"
        points = _as_points(result.landmarks if refined else result.coarse)
        if not self.config.inverse_attributes:
            return self.inverse(points)
        return self.inverse(points, [*self._attributes(result.features, result.whitened).values()])

    def _attributes(
        self, features: torch.Tensor, whitened: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        end = NUM_POSE + self.num_shape
        shape, expression = whitened[:, NUM_POSE:end], whitened[:, end:]
        return {"image": features, "shape": shape, "expression": expression}


def mirrored_network(
    network: SynergyNet, model: MorphableModel, offset_px: tuple[float, float]
) -> SynergyNet:
    """The same weights in a network that also sees every crop in the mirror; in evaluation mode.

    Parameters
    ----------
    model : MorphableModel
        The face model of the network.
    offset_px : (float, float)
        As :meth:`SynergyNet.set_face_model` takes it.

    Raises
    ------
    InvalidInputError
        If the model is another one, or has no mirror.
    """
    if model.name != network.morphable_model:
        raise InvalidInputError(
            f"model: expected {network.morphable_model!r}, the network's face model, "
            f"got {model.name!r}"
        )
    config = dataclasses.replace(network.config, mirrored=True)
    twin = SynergyNet(config, network.convention, model.name)
    mean, std = (value.cpu().numpy() for value in (network.param_mean, network.param_std))
    twin.set_face_model(model, mean, std, offset_px)
    twin.load_state_dict(twin.state_dict() | network.state_dict())
    return twin.eval()


class _Mirror(nn.Module):
    """Parameters of a crop from those of both views of it."""

    matrix: torch.Tensor
    offset: torch.Tensor

    def __init__(self, num_params: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(num_params))
        self.register_buffer("offset", torch.zeros(num_params))

    def set(self, matrix: np.ndarray, offset: np.ndarray) -> None:
        """Take the map of :func:`facegeo.morphable.mirror.mirror_matrix`."""
        self.matrix.copy_(torch.from_numpy(matrix))
        self.offset.copy_(torch.from_numpy(offset))

    def forward(self, own: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
        """The mean of both ``(N, P)``, the second brought back from the mirror."""
        return (own + functional.linear(mirrored, self.matrix, self.offset)) / 2


def _of_views(values: torch.Tensor) -> torch.Tensor:
    """``(2 N, ...)`` to ``(2, N, ...)``: crops, mirror images."""
    return values.unflatten(0, (2, -1))


def _head(inputs: int, outputs: int) -> nn.Linear:
    """A small start: the first predictions are near the mean face."""
    head = nn.Linear(inputs, outputs)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head


def _bottleneck(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((width, _ENLARGED), (_ENLARGED, width)):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _as_points(landmarks: torch.Tensor) -> torch.Tensor:
    """``(N, 68, 3)`` crop pixels to ``(N, 3, 68)`` of about -1..1."""
    return ((landmarks - _CENTRE) / _HALF).transpose(1, 2)


def _in_the_mirror(crops: torch.Tensor) -> torch.Tensor:
    """``(N, S, S, 3)`` crops with their columns in reverse order.

    By the index of every byte in its row: engines are slow at flip() (OpenVINO takes a tenth of the
    network's time for a slice that runs backwards) and at moving three bytes at a time.
    """
    _, height, width, channels = crops.shape
    places = torch.arange(width * channels, device=crops.device).reshape(width, channels)
    rows = crops.reshape(-1, height, width * channels)
    return rows.index_select(2, places.flip(0).flatten()).reshape(crops.shape)
