"""Precision that a built TensorRT engine really has, by its own inspector."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from facegeo.errors import BackendUnavailableError

#: How inspectors of TensorRT 10 and 11 write types -> our name. Order matters: BF16 holds "16".
_TYPES: Final = (
    (re.compile(r"bf16|bfloat16", re.I), "bf16"),
    (re.compile(r"fp16|float16|\bhalf\b", re.I), "fp16"),
    (re.compile(r"\buint8\b", re.I), "uint8"),
    (re.compile(r"\bint8\b", re.I), "int8"),
    (re.compile(r"fp8", re.I), "fp8"),
    (re.compile(r"fp32|float32|\bfloat\b|tf32", re.I), "fp32"),
)

#: Layers that do the work; the others move numbers or are a few operations.
_WORK: Final = re.compile(r"conv|gemm|matrix|matmul|fully|kgen|foreign|fusion", re.I)

#: At least this share of the working layers must read the precision that was asked for.
_ENOUGH: Final = 0.5


def layer_precisions(information: str) -> dict[str, int]:
    """Number of working layers by the narrowest type that they read.

    Parameters
    ----------
    information : str
        ``EngineInspector.get_engine_information`` in JSON, of an engine that was built with
        detailed profiling verbosity.

    Raises
    ------
    BackendUnavailableError
        If it cannot be read, or names no types.
    """
    try:
        layers = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackendUnavailableError(
            f"TensorRT's engine inspector: expected JSON with layers, got {information[:80]!r}"
        ) from error
    described = [layer for layer in layers if isinstance(layer, Mapping)]
    working = [layer for layer in described if _WORK.search(_kind(layer))]
    counts = Counter(_narrowest(layer) for layer in working or described)
    counts.pop("", None)
    if not counts:
        raise BackendUnavailableError(
            "TensorRT's engine inspector names no tensor types, so the precision of the engine is "
            "unknown (built without detailed profiling verbosity?)"
        )
    return dict(counts)


def check_engine_precision(information: str, asked: str) -> dict[str, int]:
    """Refuse an engine that does not have the precision that was asked for.

    Returns
    -------
    counts : dict of str to int
        As :func:`layer_precisions`.

    Raises
    ------
    BackendUnavailableError
        If fewer than half of the working layers read the precision, or, asked for ``fp32``, any
        reads a narrower one.
    """
    counts = layer_precisions(information)
    total = sum(counts.values())
    enough = total if asked == "fp32" else _ENOUGH * total
    if counts.get(asked, 0) < enough:
        found = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        raise BackendUnavailableError(
            f"precision: asked TensorRT for {asked}, but of the engine's {total} working layers "
            f"are {found}; the ONNX graph decides in a strongly typed network, so export it in "
            f"{asked} first: facegeo export NAME --precision {asked}"
        )
    return counts


def _kind(layer: Mapping[str, Any]) -> str:
    return f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}"


def _narrowest(layer: Mapping[str, Any]) -> str:
    names = {_type_of(tensor) for tensor in layer.get("Inputs", []) if isinstance(tensor, Mapping)}
    return next((name for name in ("int8", "fp8", "fp16", "bf16", "fp32") if name in names), "")


def _type_of(tensor: Mapping[str, Any]) -> str:
    text = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "")
    return next((name for pattern, name in _TYPES if pattern.search(text)), "")
