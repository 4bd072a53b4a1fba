"""Changes that TensorRT needs in an exported graph. Needs the package ``onnx``."""

from __future__ import annotations

from typing import Any

from facegeo.errors import CorruptFileError, DependencyMissingError


def cast_bytes_first(onnx_bytes: bytes) -> bytes:
    """The same network with its 8-bit input converted before anything else touches it.

    TensorRT takes unsigned bytes as a network's input, but only a conversion may read them. The
    exported graph moves the colour planes first, which is cheaper elsewhere.

    Raises
    ------
    CorruptFileError
        If the bytes are no ONNX graph, or something else than Transpose and Cast reads the input.
    DependencyMissingError
        Without the package ``onnx``.
    """
    onnx = _onnx()
    try:
        model = onnx.load_from_string(onnx_bytes)
        onnx.checker.check_model(model)
    except Exception as error:
        raise CorruptFileError(f"not a usable ONNX graph ({error})") from error
    graph = model.graph
    for value in graph.input:
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            _cast_first(onnx, graph, value.name)
    changed: bytes = model.SerializeToString()
    return changed


def input_names(onnx_bytes: bytes) -> list[tuple[str, tuple[int, ...]]]:
    """Inputs of a graph and their shapes; -1 where a length is free."""
    graph = _onnx().load_from_string(onnx_bytes).graph
    constants = {value.name for value in graph.initializer}
    return [
        (value.name, tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim))
        for value in graph.input
        if value.name not in constants
    ]


def _cast_first(onnx: Any, graph: Any, name: str) -> None:
    for reader in _readers(graph, name):
        if reader.op_type == "Cast":
            continue
        casts = _readers(graph, reader.output[0])
        if reader.op_type != "Transpose" or any(cast.op_type != "Cast" for cast in casts):
            raise CorruptFileError(
                f"input {name!r}: expected Cast, or Transpose and then Cast, as first operations "
                f"on bytes, got {reader.op_type}"
            )
        for cast in casts:
            _swap(onnx, graph, reader, cast)
        graph.node.remove(reader)


def _swap(onnx: Any, graph: Any, transpose: Any, cast: Any) -> None:
    """``Cast(Transpose(x))`` becomes ``Transpose(Cast(x))`` under the same output name."""
    between = f"{transpose.input[0]}_as_{cast.output[0]}"
    first = onnx.NodeProto()
    first.CopyFrom(cast)
    first.input[0], first.output[0] = transpose.input[0], between
    second = onnx.NodeProto()
    second.CopyFrom(transpose)
    second.input[0], second.output[0] = between, cast.output[0]
    second.name = f"{transpose.name}_{cast.output[0]}"
    place = list(graph.node).index(cast)
    graph.node.remove(cast)
    graph.node.insert(place, first)
    graph.node.insert(place + 1, second)


def _readers(graph: Any, name: str) -> list[Any]:
    return [node for node in graph.node if name in node.input]


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise DependencyMissingError(
            f'building a TensorRT engine needs onnx ({error}); pip install "facegeo[gpu]"'
        ) from error
    return onnx
