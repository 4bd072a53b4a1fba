"""Network -> ONNX file, refused unless it computes what PyTorch computes."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegeo.backends import open_graph
from facegeo.base.optional import require_torch
from facegeo.errors import CorruptFileError
from facegeo.export.description import crop_facts, name_axes, tensor_facts
from facegeo.geometry.crop import CROP_SIZE

if TYPE_CHECKING:
    import onnx
    import torch

    from facegeo.networks.face_rows import FaceRows

_log = logging.getLogger(__name__)

#: Axes of an input that may have any length, by position.
DynamicAxes = Mapping[int, str]


def to_onnx(
    network: torch.nn.Module,
    example: torch.Tensor,
    *,
    input_name: str,
    output_names: Sequence[str],
    dynamic: DynamicAxes,
    checks: Sequence[torch.Tensor],
    tolerance: float = 1e-4,
) -> bytes:
    """Export and prove it.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; one input, a tuple of outputs.
    example : torch.Tensor
        For tracing. No dynamic axis may have length 1: exporters freeze such an axis.
    dynamic : mapping of int to str
        Axes of the input of any length, from the first on, and their names; axis 0, the batch, is
        axis 0 of every output.
    checks : sequence of torch.Tensor
        Inputs of other sizes on which :data:`facegeo.backends.REFERENCE` must agree with PyTorch.
    tolerance : float
        Largest difference allowed, as a part of the output's largest magnitude.

    Returns
    -------
    onnx : bytes
        One self-contained file.

    Raises
    ------
    DependencyMissingError
        Without the extra ``[torch]``.
    CorruptFileError
        If the exported network computes something else.
    """
    require_torch("exporting a network")
    data = _traced(network, example, input_name, output_names, dynamic)
    for inputs in checks:
        difference = parity(network, data, inputs)
        _log.info("ONNX against PyTorch at input %s: %.1e", tuple(inputs.shape), difference)
        if difference > tolerance:
            raise CorruptFileError(
                f"the exported network differs from PyTorch by {difference:.1e} of the output's "
                f"range at input {tuple(inputs.shape)}; at most {tolerance:.0e} is allowed"
            )
    return data


def regressor_onnx(
    network: FaceRows,
    *,
    size: int = CROP_SIZE,
    checks: Sequence[int] = (1, 3, 64),
    tolerance: float = 1e-4,
) -> bytes:
    """Export a network of crops; see :func:`to_onnx`.

    Parameters
    ----------
    size : int
        Side of the crops.
    checks : sequence of int
        Batch sizes at which :data:`facegeo.backends.REFERENCE` must agree with PyTorch.
    """
    require_torch("exporting a network")
    from facegeo.networks.folding import folded
    from facegeo.networks.onnx_state import with_texts
    from facegeo.networks.regressor import exported_texts, input_example

    plain = folded(network, input_example(size=size))
    data = to_onnx(
        plain,
        input_example(size=size),
        input_name="crops",
        output_names=network.output_names,
        dynamic={0: "batch"},
        checks=[input_example(batch, size) for batch in checks],
        tolerance=tolerance,
    )
    held = with_weights_named(data, plain, leaving_out=("inverse.",))
    modes = network.num_shape, network.num_expression
    facts = crop_facts(size, network.convention) | tensor_facts(held, modes)
    return with_texts(held, exported_texts(network) | facts)


def with_weights_named(
    onnx: bytes, network: torch.nn.Module, leaving_out: tuple[str, ...] = ()
) -> bytes:
    """An exported graph in which PyTorch finds every weight by its name.

    Exporters drop a bias of zeros (:func:`facegeo.networks.regressor.load_state` knows), and keep
    one of several equal constants: the names of the others become metadata.

    Parameters
    ----------
    network : torch.nn.Module
        That was exported, without batch norms.
    leaving_out : tuple of str
        Beginnings of names of weights that serve training only.

    Raises
    ------
    CorruptFileError
        If a weight is not in the graph.
    """
    from facegeo.networks.onnx_state import read_onnx_state, with_equal

    held, equal, lost = read_onnx_state(onnx), {}, []
    for name, value in network.state_dict().items():
        if name in held or name.startswith(leaving_out):
            continue
        if name.endswith(".bias") and not value.any():
            continue
        same = next((n for n, v in held.items() if np.array_equal(v, value.numpy())), None)
        if same is None:
            lost.append(name)
        else:
            equal[name] = same
    if lost:
        raise CorruptFileError(f"the exported graph has no {', '.join(lost[:5])} of the network's")
    return with_equal(onnx, equal)


def parity(network: torch.nn.Module, onnx: bytes, inputs: torch.Tensor) -> float:
    """Largest difference between PyTorch and the graph, relative to each output's range.

    Ranges count as 1 at least: all outputs are pixels, parameters or probabilities, and where no
    probability is near 1 their largest is no scale.
    """
    import torch

    with open_graph(onnx) as exported:
        (name,) = exported.input_metadata
        ours = exported.run({name: inputs.numpy()}).values()
    with torch.inference_mode():
        theirs = [output.numpy() for output in network(inputs)]
    return max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), 1.0))
        for a, b in zip(ours, theirs, strict=True)
    )


def _traced(
    network: torch.nn.Module,
    example: torch.Tensor,
    input_name: str,
    output_names: Sequence[str],
    dynamic: DynamicAxes,
) -> bytes:
    import onnx
    import torch

    shapes: dict[int, Any] = dict.fromkeys(dynamic, torch.export.Dim.DYNAMIC)
    with tempfile.TemporaryDirectory() as folder, _exporter_quiet():
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=(shapes,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(path)
    name_axes(model, {input_name: tuple(dynamic.values())})
    return _without_traces(model)


def _without_traces(model: onnx.ModelProto) -> bytes:
    """The file without the exporter's notes: source lines and paths of whoever exported it."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    data: bytes = model.SerializeToString()
    return data


@contextmanager
def _exporter_quiet() -> Iterator[None]:
    """Keep back what the exporter says of its own deprecations and of torchvision's absence."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        registry.setLevel(level)
