"""Description that an ONNX file carries: names of its axes, and metadata for other programs.

Weights and nodes stay as they are, so a described file computes bit for bit what it did.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from facegeo.base.optional import require_onnx
from facegeo.conventions import NUM_EXPRESSION, NUM_POSE, NUM_SHAPE
from facegeo.geometry.crop import CROP_SIZE, CropConvention, find_convention
from facegeo.networks.onnx_state import with_texts
from facegeo.zoo.cards import Card

if TYPE_CHECKING:
    import onnx

#: Input -> names of its axes of any length, from the first on.
AXES: Final = {"crops": ("batch",), "photos": ("batch", "height", "width")}

#: Channels of every input, as OpenCV has them.
COLOUR_ORDER: Final = "BGR"

_POINTS = (
    f"x right, y down, z towards the viewer, in pixels of a crop of side {CROP_SIZE} whatever the "
    "side of the crops"
)

#: Output -> what it is.
_OUTPUTS: Final = {
    "landmarks": f"68 points: {_POINTS}",
    "coarse_landmarks": "the same by the parameters alone",
    "presence": "probability that the crop shows a face",
    "visibility": "probability that each landmark is seen",
    "covariance": "of each landmark's error: xx, xy, yy, in the same pixels, squared",
    "scores": "one a cell or anchor: how sure a box is a face's",
    "distances": "of each cell to the box's left, top, right and bottom: logarithms",
    "offsets": "of each anchor's box: centre x, centre y, width, height",
}


def described(graph: bytes, card: Card) -> bytes:
    """The same network with named axes and all that its card knows as metadata.

    Parameters
    ----------
    graph : bytes
        An ONNX file that facegeo exported, in any precision.
    card : Card
        Of its model.

    Raises
    ------
    DependencyMissingError
        Without the package onnx.
    """
    require_onnx("describing a network")
    import onnx

    model = onnx.load_from_string(graph)
    name_axes(model)
    facts = {"model": card.name, "task": card.task, "source": card.source, "licence": card.licence}
    if card.crop_convention:
        facts |= crop_facts(card.crop_size, find_convention(card.crop_convention))
    named = bytes(model.SerializeToString())
    return with_texts(named, facts | tensor_facts(named, (card.num_shape, card.num_expression)))


def crop_facts(size: int, convention: CropConvention) -> dict[str, str]:
    """Metadata of a network of crops: their size, and the way back to the photo."""
    centre = f"{convention.centre:g}"
    x, y = (
        f"{a} = (p_{a} + {centre}) * ({a}1 - {a}0) / {CROP_SIZE} - {centre} + {a}0"
        for a in ("x", "y")
    )
    return {
        "crop_size": str(size),
        "crop_convention": convention.name,
        "landmarks_to_photo": f"of the crop of [x0, y0, x1, y1]: {x}, {y}",
    }


def tensor_facts(graph: bytes, modes: tuple[int, int] | None = None) -> dict[str, str]:
    """Metadata that the graph itself tells: what goes in and what comes out.

    Parameters
    ----------
    modes : (int, int), optional
        Of shape and expression. Where the graph has another number of parameters, as one whose
        card tells of what comes out of a bridge, it is described by that number alone.
    """
    import onnx

    model = onnx.load_from_string(graph)
    outputs = {output.name: output for output in model.graph.output}
    texts = {name: _OUTPUTS.get(name, "") for name in outputs}
    if "params" in outputs:
        axes = outputs["params"].type.tensor_type.shape.dim
        texts["params"] = _params_text(axes[-1].dim_value, modes)
    return {
        "colour_order": COLOUR_ORDER,
        "input": "uint8 pixels, rows from the top, channels last",
        "outputs": json.dumps(texts),
    }


def _params_text(count: int, modes: tuple[int, int] | None) -> str:
    pose = f"{count} numbers: the pose's 3x4 matrix row by row"
    for shape, expression in filter(None, (modes, (NUM_SHAPE, NUM_EXPRESSION))):
        if NUM_POSE + shape + expression == count:
            return f"{pose}, {shape} of shape, {expression} of expression"
    return f"{pose}, then shape and expression"


def name_axes(model: onnx.ModelProto, axes: Mapping[str, tuple[str, ...]] = AXES) -> None:
    """Give the axes of any length their names, wherever the exporter's names for them stand."""
    renamed: dict[str, str] = {}
    for tensor in model.graph.input:
        shape = tensor.type.tensor_type.shape.dim
        for axis, name in zip(shape, axes.get(tensor.name, ()), strict=False):
            if axis.dim_param and axis.dim_param != name:
                renamed[axis.dim_param] = name
    if not renamed:
        return
    # An axis that is computed from others has their names in its own: "2*s14".
    word = re.compile(r"\b(" + "|".join(map(re.escape, renamed)) + r")\b")
    graph = model.graph
    for tensor in (*graph.input, *graph.output, *graph.value_info):
        for axis in tensor.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = word.sub(lambda found: renamed[found[1]], axis.dim_param)
