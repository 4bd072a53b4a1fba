"""A face model and a small training set."""

from __future__ import annotations

import ctypes
import sys

import pytest

pytest.importorskip("torch", reason="training needs PyTorch")

from training_data import write_faces

from facegeo.morphable import MorphableModel
from facegeo.training.datasets import LabelledFaces


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return MorphableModel.generic()


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory, model: MorphableModel) -> LabelledFaces:
    return write_faces(tmp_path_factory.mktemp("faces"), model)


class _SignalStack(ctypes.Structure):
    """Linux's ``stack_t``."""

    _fields_ = [
        ("memory", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    ]


_DISABLED = 2


@pytest.fixture(autouse=True)
def ordinary_signal_stack() -> None:
    """Signal handlers run on the main thread's own stack.

    A library that other tests load leaves an alternative one behind that is gone: on it PyTorch's
    handler for workers that end would crash the whole run.
    """
    if sys.platform == "linux":
        stack = _SignalStack(None, _DISABLED, 0)
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
