"""Packages that only some work needs: an error that names the extra, instead of an import error."""

from __future__ import annotations

from typing import Final

from facegeo.errors import DependencyMissingError

#: Module -> the extra that installs it. Engines are imported by the backends, which say the same.
EXTRAS: Final = {
    "av": "video",
    "onnx": "torch",
    "onnxscript": "torch",
    "PIL": "train",
    "pillow_heif": "heic",
    "pycuda": "gpu",
    "safetensors": "torch",
    "torch": "torch",
    "yaml": "train",
}


def missing_extra(error: ImportError) -> DependencyMissingError | None:
    """An import error as one that names the extra; None where no extra has the module."""
    module = (error.name or "").split(".")[0]
    extra = EXTRAS.get(module)
    if extra is None:
        return None
    return DependencyMissingError(
        f'this needs {module}, which is not installed: pip install "facegeo[{extra}]"'
    )


def require_torch(purpose: str) -> None:
    """Raise DependencyMissingError, naming the extra, where PyTorch is not installed."""
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise DependencyMissingError(
            f"{purpose} needs PyTorch and its ONNX exporter (missing: {error.name}); "
            'install them with: pip install "facegeo[torch]"'
        ) from error


def require_onnx(purpose: str) -> None:
    """Raise DependencyMissingError, naming the extra, where the package onnx is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise DependencyMissingError(
            f'{purpose} needs the package onnx; pip install "facegeo[torch]"'
        ) from error
