"""Packages that only some work needs: an error that names the extra, instead of an import error."""

from __future__ import annotations

from facegeo.errors import DependencyMissingError


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
