"""Every TensorRT name that the code uses is in the real bindings of TensorRT 11."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trt_surface
from helpers.shared_material import REPOSITORY

BACKENDS = REPOSITORY / "facegeo" / "backends"
MODULES = [BACKENDS / name for name in ("trt/backend.py", "trt/build.py", "trt/slots.py")]


def all_uses() -> list[dict]:
    return [use for path in MODULES for use in trt_surface.uses(path)]


@pytest.fixture(scope="module")
def check(shared):
    """A function that asks the bindings about uses; they are fetched once, where that works."""
    script = shared / "tools" / "tensorrt_api" / "api_surface.sh"
    if not script.is_file() or shutil.which("gcc") is None:
        pytest.skip("needs gcc and the tool that loads TensorRT's bindings")
    work = Path(os.environ.get("TENSORRT_API_DIR", "/tmp/tensorrt-api"))
    has_pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if not (work / "site").is_dir() and has_pip.returncode:
        pytest.skip("the bindings are not here, and there is no pip to fetch them")

    def ask(uses: list[dict]) -> dict:
        command = ["bash", str(script), sys.executable, trt_surface.__file__]
        run = subprocess.run(
            command, input=json.dumps(uses), capture_output=True, text=True, timeout=240
        )
        if run.returncode and ("No matching distribution" in run.stderr or "pip" in run.stderr):
            pytest.skip(f"TensorRT's bindings cannot be fetched: {run.stderr.strip()[-200:]}")
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    return ask


def test_no_other_module_speaks_to_tensorrt():
    for path in (REPOSITORY / "facegeo").rglob("*.py"):
        if path not in MODULES:
            text = path.read_text(encoding="utf-8")
            assert "import tensorrt" not in text and "trt.Builder" not in text, path


def test_the_code_is_read():
    names = {".".join(use["name"]) for use in all_uses()}
    assert {
        "Builder.build_serialized_network",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "IExecutionContext.execute_async_v3",
        "ICudaEngine.get_tensor_profile_shape",
        "IProgressMonitor.step_complete",
        "EngineInspector.get_engine_information",
        "IBuilderConfig.progress_monitor",
        "ITimingCache.serialize",
    } <= names
    assert len(names) > 35


def test_tensorrt_11_has_every_name_and_signature(check):
    answer = check(all_uses())
    assert answer["version"].startswith("11.") and answer["calls"] >= 20
    assert answer["problems"] == []


def test_what_tensorrt_11_removed_would_be_noticed(check):
    wrong = [
        {"name": ["BuilderFlag", "FP16"]},
        {"name": ["NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"]},
        {"name": ["IBuilderConfig", "int8_calibrator"]},
        {"name": ["IExecutionContext", "execute_async_v2"]},
        {"name": ["OnnxParser", "parse"], "positional": 3, "keywords": []},
        {"name": ["IExecutionContext", "set_tensor_address"], "positional": 1, "keywords": []},
        {"name": ["IBuilderConfig", "set_timing_cache"], "positional": 1, "keywords": ["force"]},
        {"name": ["IProgressMonitor", "step_complete"], "overrides": ["phase_name"]},
    ]
    problems = check(wrong)["problems"]
    assert len(problems) == len(wrong), problems
