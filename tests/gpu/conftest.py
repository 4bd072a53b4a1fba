"""A machine with a GPU, as far as the code above the driver can tell."""

from __future__ import annotations

import sys
import types

import pytest
from fake_gpu import FakePyCuda, build_driver, compiler

from facegeo.gpu import device, libcuda


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory):
    """The fake driver's library."""
    if compiler() is None:
        pytest.skip("needs a C++ compiler for the kernels' host build")
    return build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def put_gpu(fake_library, monkeypatch):
    """A function that puts a GPU into this machine and returns its PyCUDA."""

    def put(**options) -> FakePyCuda:
        driver = FakePyCuda(**options)
        package = types.ModuleType("pycuda")
        package.driver = driver
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
        monkeypatch.setattr(libcuda, "load", lambda: fake_library)
        monkeypatch.setattr(device, "_open", {})
        monkeypatch.setattr(device, "_process", None)
        return driver

    return put


@pytest.fixture
def gpu(put_gpu) -> FakePyCuda:
    """A GPU."""
    return put_gpu()
