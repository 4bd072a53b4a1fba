"""Networks as they are exported: uint8 crops in, parameters and landmarks out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
from torch import nn

from facegeo.base.json_files import parse_json
from facegeo.conventions import NUM_PARAMS
from facegeo.errors import CorruptFileError, InvalidInputError
from facegeo.geometry.crop import CROP_SIZE, CropConvention
from facegeo.networks.backbones.mobilenet_v1 import MobileNetV1
from facegeo.networks.face_rows import FaceRows
from facegeo.networks.folding import ChannelAffine, take_structure
from facegeo.networks.onnx_state import State
from facegeo.networks.synergy.config import SynergyConfig
from facegeo.networks.synergy.network import SynergyNet
from facegeo.networks.synergy.released import ReleasedSynergyNet

#: Architecture of a :class:`SynergyNet` in a model's card; its configuration is in the weights.
SYNERGY: Final = "synergynet"

#: Architecture of the weights that SynergyNet's authors published.
RELEASED_SYNERGY: Final = "synergynet-released"

#: Architectures of one plain head, as 3DDFA_V2 releases them -> width of MobileNetV1.
_RELEASED_WIDTHS: Final = {"mobilenet_v1_x1": 1.0, "mobilenet_v1_x0.5": 0.5}

#: Texts that travel with the weights of a SynergyNet.
STATE_TEXTS: Final = ("config", "morphable_model")
_CONFIG, _MORPHABLE = STATE_TEXTS


class ParameterRegressor(FaceRows):
    """A backbone with a head, de-normalising of its outputs, and the landmark rows.

    Parameters
    ----------
    backbone : nn.Module
        ``(N, 3, S, S)`` crops normalised to about -1..1 -> ``(N, 62)`` whitened parameters.
    convention : CropConvention
        Where the pose's frame lies in the crop.
    """

    def __init__(self, backbone: nn.Module, convention: CropConvention) -> None:
        super().__init__(convention)
        self.backbone = backbone

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict.

        Parameters
        ----------
        crops : (N, S, S, 3) uint8
            BGR.

        Returns
        -------
        params : (N, 62) float32
            De-normalised.
        landmarks : (N, 68, 3) float32
            Crop pixels: x right, y down, z to the viewer.
        """
        params = self.backbone(self.normalised(crops)) * self.param_std + self.param_mean
        return params, self.landmarks(params)


def build_regressor(
    architecture: str,
    convention: CropConvention,
    state: Mapping[str, np.ndarray],
    *,
    whole: bool = True,
    trainable: bool = False,
) -> FaceRows:
    """A network in evaluation mode with weights; every weight must be there.

    Parameters
    ----------
    state : mapping of str to array
        Norms that it has no statistics for are folded: see :mod:`facegeo.networks.folding`.
    whole : bool
        Nothing else may be in the state; an ONNX file has other constants too.
    trainable : bool
        With affine layers where norms were folded.

    Raises
    ------
    InvalidInputError
        If the architecture is unknown, or names or shapes of the weights do not fit it.
    """
    network: FaceRows
    if architecture == SYNERGY:
        network = _empty_synergy(convention, state)
        state = {key: value for key, value in state.items() if key not in STATE_TEXTS}
    elif architecture == RELEASED_SYNERGY:
        network = ReleasedSynergyNet(convention)
    elif architecture in _RELEASED_WIDTHS:
        backbone = MobileNetV1(_RELEASED_WIDTHS[architecture], NUM_PARAMS)
        network = ParameterRegressor(backbone, convention)
    else:
        known = ", ".join(sorted([SYNERGY, RELEASED_SYNERGY, *_RELEASED_WIDTHS]))
        raise InvalidInputError(f"architecture: expected one of {known}, got {architecture!r}")
    take_structure(network, state, trainable=trainable)
    load_state(network, state, architecture, whole=whole)
    return network.eval()


def network_state(network: SynergyNet) -> State:
    """Weights, configuration and face model's name, for :func:`build_regressor`."""
    state = {key: value.detach().cpu().numpy() for key, value in network.state_dict().items()}
    return state | {key: np.array(text) for key, text in network_texts(network).items()}


def network_texts(network: FaceRows) -> dict[str, str]:
    """Texts that :func:`build_regressor` must know of a network beside its weights."""
    if not isinstance(network, SynergyNet):
        return {}
    return {_CONFIG: network.config.to_json(), _MORPHABLE: network.morphable_model}


def exported_texts(network: FaceRows) -> dict[str, str]:
    """The same of what is exported, which has no landmark-to-3DMM."""
    texts = network_texts(network)
    if isinstance(network, SynergyNet):
        texts[_CONFIG] = dataclasses.replace(network.config, inverse=()).to_json()
    return texts


def load_state(
    network: nn.Module, state: Mapping[str, np.ndarray], name: str, *, whole: bool = True
) -> None:
    """Load NumPy weights strictly. Raises InvalidInputError that names what does not fit.

    Parameters
    ----------
    whole : bool
        Refuse a state that has more than the network, or lacks a bias. An ONNX file has other
        constants too, and no biases of zeros.
    """
    own = network.state_dict()
    # An affine layer in place of a folded norm begins as one that changes nothing.
    assumed = {
        f"{place}.{key}": value.numpy()
        for place, module in network.named_modules()
        if isinstance(module, ChannelAffine)
        for key, value in module.state_dict().items()
    }
    if not whole:
        biases = {key: value for key, value in own.items() if key.endswith(".bias")}
        assumed = {
            key: np.zeros(value.shape, np.float32) for key, value in biases.items()
        } | assumed
        state = {key: value for key, value in state.items() if key in own}
    state = assumed | dict(state)
    try:
        # Copies: torch will not share memory that NumPy holds read-only.
        network.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        raise InvalidInputError(f"weights do not fit {name}: {error}") from error


def input_example(batch: int = 2, size: int = CROP_SIZE) -> torch.Tensor:
    """Crops for tracing: ``(batch, size, size, 3)`` uint8 of a fixed pattern."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, size, size, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def _empty_synergy(convention: CropConvention, state: Mapping[str, np.ndarray]) -> SynergyNet:
    try:
        settings = parse_json(str(state[_CONFIG]), _CONFIG)
        name = str(state[_MORPHABLE])
        config = SynergyConfig.from_mapping(settings)
    except (CorruptFileError, KeyError, ValueError, TypeError) as error:
        raise InvalidInputError(
            f"weights of {SYNERGY} must hold {_CONFIG!r} and {_MORPHABLE!r}: {error}"
        ) from error
    return SynergyNet(config, convention, name)
