"""Configurations of a SynergyNet; every row of the papers' ablation tables is one of these."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from facegeo.base.arrays import number_in, whole_number
from facegeo.conventions import NUM_EXPRESSION, NUM_POSE, NUM_SHAPE
from facegeo.errors import InvalidInputError

#: Groups of the parameters, in order; each has a head of its own.
GROUPS: Final = ("pose", "shape", "expression")

#: What the refinement sees beside the points (Table 2, rows 1 to 3).
REFINEMENTS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "points": (),
    "points+image": ("image",),
    "all": ("image", "shape", "expression"),
}

#: Of a layer of the adaptation; the backbones' features have 2048.
_WIDEST: Final = 16384


@dataclass(frozen=True)
class SynergyConfig:
    """Architecture of a :class:`facegeo.networks.synergy.network.SynergyNet`.

    Attributes
    ----------
    backbone : str
        A name of :data:`facegeo.networks.backbones.table.BACKBONES`.
    refinement : str
        ``none``, ``points``, ``points+image`` or ``all`` (MAFA).
    adaptation : tuple of int, or None
        Widths of the fully connected layers that the refinement's attributes pass first, one an
        attribute. None leaves them out, as the released code does.
    refinement_width : float
        Factor of the refinement's widest layers; 1 as published.
    inverse : tuple of str
        Groups that landmark-to-3DMM regresses: of ``pose``, ``shape``, ``expression``; may be none.
    inverse_from : str
        ``refined`` landmarks, or ``coarse`` ones (Table 3, comparison 1).
    inverse_attributes : bool
        Landmark-to-3DMM also sees image, shape and expression (Table 3, comparison 2).
    enlarged_heads : bool
        The baseline that spends 0.8 M parameters on layers before the heads (Table S2).
    mirrored : bool
        The backbone also sees every crop in the mirror, and the parameters are the mean of both
        views'. Not in the papers.
    presence : bool
        An output for the probability that the crop holds a well-placed face.
    visibility : bool
        An output for the probability that each landmark is seen. Not in the papers.
    covariance : bool
        An output for the covariance of each refined landmark in the image. Not in the papers.
    num_shape, num_expression : int
        Modes of the face model whose parameters the network gives.
    """

    backbone: str = "mobilenet_v2"
    refinement: str = "all"
    adaptation: tuple[int, ...] | None = None
    refinement_width: float = 1.0
    inverse: tuple[str, ...] = GROUPS
    inverse_from: str = "refined"
    inverse_attributes: bool = False
    enlarged_heads: bool = False
    mirrored: bool = False
    presence: bool = True
    visibility: bool = False
    covariance: bool = False
    num_shape: int = NUM_SHAPE
    num_expression: int = NUM_EXPRESSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "inverse", tuple(self.inverse))
        if self.adaptation is not None:
            object.__setattr__(self, "adaptation", tuple(self.adaptation))
        self._check()

    @property
    def groups(self) -> dict[str, int]:
        """Length of each group of parameters, in order."""
        return dict(zip(GROUPS, (NUM_POSE, self.num_shape, self.num_expression), strict=True))

    def _check(self) -> None:
        for name in ("num_shape", "num_expression"):
            whole_number(name, getattr(self, name))
        if self.refinement not in REFINEMENTS:
            raise InvalidInputError(
                f"refinement: expected one of {sorted(REFINEMENTS)}, got {self.refinement!r}"
            )
        if not set(self.inverse) <= set(GROUPS):
            raise InvalidInputError(f"inverse: expected groups of {[*GROUPS]}, got {self.inverse}")
        if self.inverse_from not in ("refined", "coarse"):
            raise InvalidInputError(
                f"inverse_from: expected refined or coarse, got {self.inverse_from!r}"
            )
        attributes = REFINEMENTS[self.refinement]
        if self.adaptation is not None and len(self.adaptation) != len(attributes):
            raise InvalidInputError(
                f"adaptation: expected a width for each of {attributes}, got {self.adaptation}"
            )
        number_in("refinement_width", self.refinement_width, 1 / 16, 4)
        for width in self.adaptation or ():
            if type(width) is not int or not 1 <= width <= _WIDEST:
                raise InvalidInputError(
                    f"adaptation: expected widths of 1 to {_WIDEST}, got {width}"
                )

    def to_json(self) -> str:
        """As text, to be kept beside the weights."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SynergyConfig:
        """From parsed JSON or YAML. Raises InvalidInputError for an unknown name."""
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise InvalidInputError(f"network: unknown settings {sorted(unknown)}")
        return cls(**values)


def _ablations() -> dict[str, SynergyConfig]:
    full = SynergyConfig()
    change = dataclasses.replace
    nothing: dict[str, Any] = {"refinement": "none", "inverse": ()}
    rows = {
        "baseline": change(full, **nothing),
        "larger": change(full, **nothing, enlarged_heads=True),
        "points": change(full, refinement="points", inverse=()),
        "points+image": change(full, refinement="points+image", inverse=()),
        "mafa": change(full, inverse=()),
        "inverse": change(full, refinement="none"),
        "mafa+inverse-pose": change(full, inverse=("pose",)),
        "mafa+inverse-shape-expression": change(full, inverse=("shape", "expression")),
        "mafa+inverse": full,
        "inverse-from-coarse": change(full, inverse_from="coarse"),
        "inverse-with-attributes": change(full, inverse_attributes=True),
        "adapted": change(full, adaptation=(1280, 40, 10)),
        "adapted-narrow": change(full, adaptation=(256, 40, 10)),
    }
    for backbone in ("resnet50", "resnet101", "resnest50", "resnest101"):
        rows[backbone] = change(full, backbone=backbone)
    return rows


#: Rows of the papers' Tables 1, 2, 3, 6, 7 and S2, and widths of the adaptation layers, for which
#: they give none.
ABLATIONS: Final = _ablations()
