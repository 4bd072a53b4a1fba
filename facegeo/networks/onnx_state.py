"""The weights inside an ONNX file, by the names that they have in PyTorch.

One file of weights serves every engine: layers keep their names as constants of the graph, stored
in half precision where they are large, and a configuration travels as metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from facegeo.base.json_files import parse_json
from facegeo.base.optional import require_onnx
from facegeo.errors import CorruptFileError

#: Metadata: name of a weight -> name of the constant that it equals, as JSON.
_EQUAL: Final = "equal_weights"

#: Weights, and texts that travel with them, by name.
State = dict[str, np.ndarray]


def read_onnx_state(onnx: bytes) -> State:
    """Constants of a graph in float32, those that are stored in half precision too, and metadata.

    Raises
    ------
    DependencyMissingError
        Without the package onnx.
    CorruptFileError
        If it is no ONNX file.
    """
    require_onnx("reading weights")
    from onnx import load_from_string

    try:
        return _state(load_from_string(onnx))
    # A damaged file fails in protobuf, in the package onnx or in NumPy.
    except Exception as error:
        raise CorruptFileError(f"not an ONNX file with weights ({error})") from error


def _state(model: Any) -> State:
    from onnx import TensorProto, numpy_helper

    constants = model.graph.initializer
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in constants):
        raise CorruptFileError("its weights are in another file")
    state = {tensor.name: numpy_helper.to_array(tensor) for tensor in constants}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in state:
            state[node.output[0]] = state[node.input[0]].astype(np.float32)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    equal = parse_json(texts.pop(_EQUAL, "{}"), _EQUAL)
    state |= {name: state[same] for name, same in equal.items() if same in state}
    return state | {key: np.array(value) for key, value in texts.items()}


def with_equal(onnx: bytes, equal: Mapping[str, str]) -> bytes:
    """The same file, in which names of weights stand for constants of other names."""
    return with_texts(onnx, {_EQUAL: json.dumps(dict(equal))} if equal else {})


def with_weights(onnx: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """The same file with other values of some weights, each stored in the precision that it has.

    Raises
    ------
    KeyError
        If the file has no constant of that name and shape.
    """
    from onnx import load_from_string, numpy_helper

    model = load_from_string(onnx)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    for name, value in weights.items():
        stored = numpy_helper.to_array(constants[name])
        if stored.shape != value.shape:
            raise KeyError(f"{name}: expected shape {stored.shape}, got {value.shape}")
        # Rounded to half precision in either file, so both compute with the same ones.
        rounded = value.astype(np.float16).astype(stored.dtype)
        constants[name].CopyFrom(numpy_helper.from_array(rounded, constants[name].name))
    return bytes(model.SerializeToString())


def with_texts(onnx: bytes, texts: Mapping[str, str]) -> bytes:
    """The same file with texts among its metadata; each takes the place of one of its key."""
    from onnx import load_from_string

    model = load_from_string(onnx)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    for key, value in sorted((kept | dict(texts)).items()):
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())
