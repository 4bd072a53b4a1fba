"""Importing is cheap, free of effects, and needs the base dependencies only."""

import subprocess
import sys

import pytest

OPTIONAL = ("torch", "onnx", "onnxscript", "tensorrt", "pycuda", "openvino", "av")
SLOW_TO_IMPORT = ("cv2", "scipy", "onnxruntime", "numba", "trimesh")


def python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


def test_importing_takes_less_than_a_third_of_a_second_beyond_numpy():
    code = (
        "import time, numpy; start = time.perf_counter(); import facegeo;"
        "print(time.perf_counter() - start)"
    )
    assert min(float(python(code)) for _ in range(3)) < 0.3


def test_importing_prints_nothing_and_loads_nothing_heavy():
    loaded = python(
        "import sys, facegeo; print(' '.join(m for m in sys.modules if '.' not in m))"
    ).split()
    assert not {*OPTIONAL, *SLOW_TO_IMPORT} & set(loaded)


_WITHOUT = """
import importlib, importlib.abc, pkgutil, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Absent())
import facegeo
needs_torch = ("facegeo.networks", "facegeo.training", "facegeo.export.detector")
for module in pkgutil.walk_packages(facegeo.__path__, "facegeo."):
    if not module.name.startswith(needs_torch) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_every_module_imports_with_the_base_dependencies_only():
    imported = python(_WITHOUT.format(absent=OPTIONAL)).split()
    engines = {"facegeo.backends.pytorch.backend", "facegeo.backends.trt.backend"}
    assert {"facegeo.predictor", "facegeo.cli.doctor", *engines} <= set(imported)


def test_public_names_are_what_the_documentation_says():
    import facegeo

    for name in facegeo.__all__:
        assert getattr(facegeo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = facegeo.nothing
    assert set(facegeo.__all__) <= set(dir(facegeo))
