"""The precision of an ONNX graph: half-precision casts, and quantisation on real crops.

Inputs and outputs keep their types, so a graph of any precision takes the place of another.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from facegeo.base.optional import require_onnx
from facegeo.errors import InvalidInputError

if TYPE_CHECKING:
    import onnx

_log = logging.getLogger(__name__)

#: Where these stand between convolutions, 16 bits are enough. All else, heads and geometry among
#: it, stays in float32: a landmark at pixel 120 has steps of 0.06 px in fp16.
_HALVED: Final = {"Conv", "Clip", "Relu", "Add", "BatchNormalization", "ReduceMax"}

#: Convolutions with so few channels in or out stay in float32: points go in or come out there, or
#: the score and the four sides of a box.
_FEW_CHANNELS: Final = 5

#: Matrices of so many numbers are in 8 bits in an int8 graph; other constants of so many numbers
#: are stored in 16 bits there.
_LARGE: Final = 100_000

#: Crops that pass the network together while ranges are collected.
_CALIBRATION_BATCH = 16


def precision_of(graph: bytes) -> str:
    """The precision that is written into a graph: ``fp32``, ``fp16``, ``bf16`` or ``int8``."""
    require_onnx("reading a graph")
    import onnx

    model = onnx.load_from_string(graph)
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        return "int8"
    widened = {node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    types = {t.data_type for t in model.graph.initializer if t.name not in widened}
    for name, kind in (
        ("fp16", onnx.TensorProto.FLOAT16),
        ("bf16", onnx.TensorProto.BFLOAT16),
    ):
        if kind in types:
            return name
    return "fp32"


def weights_in_half(graph: bytes) -> bytes:
    """A float32 graph whose layers' weights are stored in float16, and widened when it is loaded.

    It computes what it did where half precision holds the weights' values, as those of
    :func:`facegeo.networks.folding.halved` are. Half the bytes.
    """
    require_onnx("storing weights in 16 bits")
    import onnx

    model = onnx.load_from_string(graph)
    _store_in_half(model, [t for t in model.graph.initializer if t.name.endswith(".weight")])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def to_half(graph: bytes, precision: str) -> bytes:
    """Convolutions and what stands between them in 16 bits; inputs and outputs as they were.

    Parameters
    ----------
    graph : bytes
        A float32 ONNX graph.
    precision : str
        ``fp16`` or ``bf16``.
    """
    require_onnx("a graph of 16 bits")
    import onnx

    kind = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[precision]
    model = onnx.load_from_string(simplified(graph))
    _Halving(model, kind).run()
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def to_int8(graph: bytes, crops: np.ndarray) -> bytes:
    """Convolutions in 8 bits: Q/DQ pairs around them, weights per channel.

    The sums of residual blocks, the heads and the geometry stay in float32. The crops' bytes go
    into the first convolution as they are. A matrix as large as the refinement's (a fifth of the
    network's bytes, read again for every few faces) is in 8 bits, too; others that are large and
    stay in float32 are stored in float16 and widened by the engine when it loads them.

    Parameters
    ----------
    graph : bytes
        A float32 ONNX graph with one input.
    crops : (N, ...) array
        Real inputs, on which the ranges of activations are measured.

    Raises
    ------
    InvalidInputError
        Without crops.
    """
    require_onnx("quantising")
    if len(crops) == 0:
        raise InvalidInputError("calibration: expected crops of faces, got none")
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = onnx.load_from_string(simplified(graph))
    _pool_points(model)
    entry = _Entry.of(model)
    overrides: dict[str, Any] = {}
    if entry is not None:
        entry.centre()
        overrides = {entry.tensor: [_ENTRY_SCALE]}
        _drop_unused(model)
    # Tells the quantiser that the graph is prepared, which it is: constants are folded.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    products = [node for node in model.graph.node if node.op_type == "Gemm"]
    large = [node for node in products if _is_large(node, model)]
    # Symmetric: OpenVINO multiplies matrices in 8 bits only without a zero point.
    symmetric = {"quant_type": QuantType.QInt8, "symmetric": True}
    overrides |= {node.input[0]: [symmetric] for node in large}
    kept = [node.name for node in model.graph.node if _is_sensitive(node, model)]
    _log.info("%d convolutions stay in float32: %s", len(kept), ", ".join(kept))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _Crops(model.graph.input[0].name, crops),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Clip", "Relu", "MaxPool", "Gemm"],
            nodes_to_exclude=kept + [node.name for node in products if node not in large],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "TensorQuantOverrides": overrides,
            },
        )
        quantised = onnx.load(path)
    large = [t for t in quantised.graph.initializer if np.prod(t.dims) >= _LARGE]
    _store_in_half(quantised, large)
    onnx.checker.check_model(quantised)
    return bytes(quantised.SerializeToString())


def simplified(graph: bytes) -> bytes:
    """The same graph with constants folded, by ONNX Runtime's basic optimisation."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simplified.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


#: (v - 128) / 128 of a byte v, as a quantised tensor: v itself. The scale is a hair larger, which
#: rounds to the same v: with exactly 1/128 OpenVINO sees that nothing is rounded, takes the pair of
#: quantisers out, and runs the first convolution in float32, for 15 % more time.
_ENTRY_SCALE: Final = {
    "scale": np.array(1.0005 / 128, np.float32),
    "zero_point": np.array(128, np.uint8),
}


class _Crops:
    """Batches of crops, as ONNX Runtime's calibration asks for them."""

    def __init__(self, name: str, crops: np.ndarray) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = (
            {name: crops[start : start + _CALIBRATION_BATCH]}
            for start in range(0, len(crops), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


class _Entry:
    """Bytes -> float -> (v - 127.5) / 128 -> first convolution, at the start of a graph.

    127.5 lies between two bytes, so a quantised form of these numbers would be half a step off.
    Centred on 128, with the difference in the convolution's bias, a byte is its own quantised form.
    What is padded then stands for 128 instead of 127.5: half a step, on the border only.
    """

    def __init__(
        self, model: onnx.ModelProto, sub: onnx.NodeProto, div: onnx.NodeProto, conv: onnx.NodeProto
    ) -> None:
        self._model = model
        self._sub = sub
        self._conv = conv
        self.tensor: str = div.output[0]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Entry | None:
        """The pattern, or None where the graph starts in another way."""
        values = _initializers(model)
        readers = _readers(model)
        for cast in (node for node in model.graph.node if node.op_type == "Cast"):
            chain = [cast]
            for op_type in ("Sub", "Div", "Conv"):
                following = readers.get(chain[-1].output[0], [])
                if len(following) != 1 or following[0].op_type != op_type:
                    break
                chain.append(following[0])
            else:
                sub, div, conv = chain[1:]
                constants = [values.get(sub.input[1]), values.get(div.input[1])]
                numbers = [None if c is None else c.tolist() for c in constants]
                whole = len(conv.input) == 3 and conv.input[1] in values
                if numbers == [127.5, 128.0] and whole:
                    return cls(model, sub, div, conv)
        return None

    def centre(self) -> None:
        """Subtract 128, and put the difference into the convolution's bias."""
        values = _initializers(self._model)
        weight, bias = values[self._conv.input[1]], values[self._conv.input[2]]
        _add_constant(self._model, "entry_centre", np.array(128, np.float32))
        _add_constant(
            self._model, "entry_bias", (bias + 0.5 / 128 * weight.sum((1, 2, 3))).astype(np.float32)
        )
        self._sub.input[1] = "entry_centre"
        self._conv.input[2] = "entry_bias"


def _pool_points(model: onnx.ModelProto) -> None:
    """The largest of every channel over all points as a pooling, which engines have in 8 bits.

    For a reduction over the last axis OpenVINO puts channels before points again, which takes twice
    as long as the reduction itself.
    """
    import onnx

    values = _initializers(model)
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred}
    for place, node in reversed([*enumerate(model.graph.node)]):
        if node.op_type != "ReduceMax" or len(node.input) != 2:
            continue
        shape, axes = shapes.get(node.input[0], []), values.get(node.input[1])
        keeps = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        over_points = axes is not None and axes.tolist() in ([2], [-1])
        if len(shape) != 3 or shape[2] <= 0 or keeps or not over_points:
            continue
        pooled = f"{node.output[0]}_pooled"
        new = [
            onnx.helper.make_node("MaxPool", [node.input[0]], [pooled], kernel_shape=[shape[2]]),
            onnx.helper.make_node("Squeeze", [pooled, node.input[1]], [node.output[0]]),
        ]
        for part in new:
            part.name = f"{part.op_type}_{node.output[0]}"
        model.graph.node.remove(node)
        for offset, part in enumerate(new):
            model.graph.node.insert(place + offset, part)


class _Halving:
    """Nodes of a graph in 16 bits, with casts where they meet the others."""

    def __init__(self, model: onnx.ModelProto, kind: int) -> None:
        self._model = model
        self._kind = kind
        self._values = _initializers(model)
        self._casts: dict[tuple[str, int], str] = {}
        self._added: list[onnx.NodeProto] = []

    def run(self) -> None:
        import onnx

        low: set[str] = set()
        nodes = []
        for node in self._model.graph.node:
            self._added = []
            halved = self._belongs(node, low)
            kind = self._kind if halved else onnx.TensorProto.FLOAT
            for position, name in enumerate(node.input):
                if name in self._values and halved and self._values[name].dtype == np.float32:
                    node.input[position] = self._constant(name)
                elif (name in low) != halved and name not in self._values and name:
                    node.input[position] = self._cast(name, kind)
            nodes += [*self._added, node]
            if halved:
                low.update(node.output)
        outputs = {output.name for output in self._model.graph.output}
        if outputs & low:
            raise InvalidInputError(f"outputs {sorted(outputs & low)} would have 16 bits")
        del self._model.graph.node[:]
        self._model.graph.node.extend(nodes)
        del self._model.graph.value_info[:]
        _drop_unused(self._model)

    def _belongs(self, node: onnx.NodeProto, low: set[str]) -> bool:
        if node.op_type == "Conv":
            return not _is_sensitive(node, self._model)
        inputs = [name for name in node.input if name and name not in self._values]
        return node.op_type in _HALVED and bool(inputs) and all(name in low for name in inputs)

    def _constant(self, name: str) -> str:
        import onnx

        halved = f"{name}_16"
        if halved not in self._values:
            value = self._values[name]
            self._values[halved] = value
            raw = _sixteen_bits(value, self._kind == onnx.TensorProto.BFLOAT16).tobytes()
            tensor = onnx.helper.make_tensor(halved, self._kind, value.shape, raw, raw=True)
            self._model.graph.initializer.append(tensor)
        return halved

    def _cast(self, name: str, kind: int) -> str:
        import onnx

        key = (name, kind)
        if key not in self._casts:
            self._casts[key] = f"{name}_as_{kind}"
            cast = onnx.helper.make_node("Cast", [name], [self._casts[key]], to=kind)
            cast.name = f"cast_{self._casts[key]}"
            self._added.append(cast)
        return self._casts[key]


def _sixteen_bits(value: np.ndarray, brain: bool) -> np.ndarray:
    """Float32 rounded to float16, or to the bits of bfloat16, which NumPy does not know."""
    if not brain:
        return value.astype(np.float16)
    bits = np.ascontiguousarray(value).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _is_sensitive(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """A convolution that must stay in float32: points in or out, not the image's channels."""
    if node.op_type != "Conv":
        return False
    shape = next((t.dims for t in model.graph.initializer if t.name == node.input[1]), None)
    if shape is None:
        return True
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    points_in = shape[1] * groups <= _FEW_CHANNELS and len(shape) == 3
    return bool(points_in or shape[0] <= _FEW_CHANNELS)


def _is_large(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """A product with a constant matrix of at least :data:`_LARGE` numbers."""
    value = _initializers(model).get(node.input[1])
    return value is not None and value.size >= _LARGE


def _initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _add_constant(model: onnx.ModelProto, name: str, value: npt.ArrayLike) -> None:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _store_in_half(model: onnx.ModelProto, tensors: list[onnx.TensorProto]) -> None:
    """Float32 constants as float16 ones and a cast, which engines compute once."""
    import onnx
    from onnx import numpy_helper

    for tensor in tensors:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or np.abs(value).max() >= np.finfo(np.float16).max:
            continue
        stored = f"{tensor.name}_16"
        _add_constant(model, stored, value.astype(np.float16))
        cast = onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT)
        cast.name = f"widen_{tensor.name}"
        model.graph.node.insert(0, cast)
        model.graph.initializer.remove(tensor)


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and constants that no output depends on."""
    while True:
        used = {name for node in model.graph.node for name in node.input}
        used |= {output.name for output in model.graph.output}
        dead = [node for node in model.graph.node if not used & set(node.output)]
        for node in dead:
            model.graph.node.remove(node)
        if not dead:
            break
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)
