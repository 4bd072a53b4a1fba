"""The mesh kernel against float64, at odd sizes, and its refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.mesh_problems import BATCHES, TOLERANCE_PX, VERTICES, largest_error, problem

from facegeo.errors import BackendUnavailableError, InvalidInputError
from facegeo.ops import implementations
from facegeo.ops.mesh import MeshKernel
from facegeo.ops.reference import build_meshes

try:
    import numba  # noqa: F401

    ENGINES = ("numba", "numpy")
except ImportError:
    ENGINES = ("numpy",)


SIZES = [
    (implementation, vertices, batch)
    for implementation in ENGINES
    for vertices in VERTICES
    for batch in BATCHES
    if implementation != "numpy"
    or vertices * batch < 4_000_000  # it works on few faces at a time, slowly
]


@pytest.mark.parametrize(("implementation", "vertices", "batch"), SIZES)
def test_every_coordinate_agrees_with_float64(implementation, vertices, batch):
    mean, bases, coefficients, pose = problem(vertices, batch)
    # Filled with NaN: a coordinate that is not written shows.
    out = np.full((batch, vertices, 3), np.nan, np.float32)
    result = MeshKernel(mean, bases, implementation=implementation)(coefficients, pose, out)
    assert result is out
    assert largest_error(mean, bases, coefficients, pose, out) < TOLERANCE_PX


def test_reference_is_the_formula():
    mean, bases, coefficients, pose = problem(vertices=4, batch=2, coefficients=3)
    for n in range(2):
        for v in range(4):
            point = mean[v].astype(float)
            for m in range(3):
                point = point + float(coefficients[n, m]) * bases[m, v].astype(float)
            expected = pose[n, :, :3].astype(float) @ point + pose[n, :, 3]
            got = build_meshes(mean, bases, coefficients, pose)[n, v]
            np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("implementation", ENGINES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda c: c * 0, id="mean face"),
        pytest.param(lambda c: np.eye(*c.shape, dtype=np.float32) * 3, id="one mode at a time"),
        pytest.param(lambda c: np.full_like(c, 5), id="all modes far out"),
        pytest.param(lambda c: c * 1e-6, id="tiny"),
        pytest.param(lambda c: np.sign(c) * 1e4, id="absurd: relative accuracy is kept"),
    ],
)
def test_unusual_coefficients(implementation, change):
    mean, bases, coefficients, pose = problem(vertices=500, batch=9, coefficients=51)
    coefficients = change(coefficients)
    expected = build_meshes(mean, bases, coefficients, pose)
    got = MeshKernel(mean, bases, implementation=implementation)(coefficients, pose)
    reach = np.abs(coefficients).sum(axis=1).max() * np.abs(bases).max()
    assert np.abs(got - expected).max() <= TOLERANCE_PX * max(1, reach / 100)


@pytest.mark.skipif("numba" not in ENGINES, reason="needs Numba")
def test_sums_at_the_edge_of_32_bits_do_not_wrap():
    # Every product has the same sign and the largest size that 16 bits allow.
    bases = np.ones((50, 40, 3), np.float32)
    coefficients = np.ones((9, 50), np.float32)
    pose = np.repeat(np.eye(3, 4, dtype=np.float32)[None], 9, axis=0)
    got = MeshKernel(np.zeros((40, 3)), bases)(coefficients, pose)
    np.testing.assert_allclose(got, 50, rtol=1e-3)


@pytest.mark.parametrize("implementation", ENGINES)
@pytest.mark.parametrize("coefficients", [0, 1, 2, 7])
def test_few_modes(implementation, coefficients):
    mean, bases, weights, pose = problem(vertices=33, batch=5, coefficients=coefficients)
    got = MeshKernel(mean, bases, implementation=implementation)(weights, pose)
    expected = build_meshes(mean, bases, weights, pose)
    assert np.abs(got - expected).max() <= TOLERANCE_PX


@pytest.mark.parametrize("implementation", ENGINES)
def test_no_faces_is_an_empty_batch(implementation):
    mean, bases, _, _ = problem(vertices=33, batch=1)
    got = MeshKernel(mean, bases, implementation=implementation)(
        np.zeros((0, 50)), np.zeros((0, 3, 4))
    )
    assert got.shape == (0, 33, 3)


@pytest.mark.skipif("numba" not in ENGINES, reason="needs Numba")
def test_a_face_does_not_depend_on_its_batch_nor_on_threads():
    mean, bases, coefficients, pose = problem(vertices=38365, batch=21)
    together = MeshKernel(mean, bases, threads=2)(coefficients, pose)
    single = MeshKernel(mean, bases, threads=1)
    alone = np.concatenate(
        [single(coefficients[n : n + 1], pose[n : n + 1]) for n in range(len(pose))]
    )
    np.testing.assert_array_equal(together, alone)


def test_several_python_threads_may_call_one_kernel():
    mean, bases, coefficients, pose = problem(vertices=20_000, batch=8)
    kernel = MeshKernel(mean, bases, threads=2)
    expected = kernel(coefficients, pose)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: kernel(coefficients, pose), range(12)))
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif("numba" not in ENGINES, reason="needs Numba")
@pytest.mark.parametrize(
    ("features", "lanes", "integer"),
    [
        pytest.param("+avx2,+fma,+avx,+sse4.2,+f16c,+bmi,+bmi2,+popcnt", 8, True, id="AVX2"),
        pytest.param("", 4, False, id="no vector extension"),
    ],
)
def test_other_processors(features, lanes, integer, tmp_path):
    """The tiles for older processors, compiled for them in a process of their own."""
    if "avx2" in features and "+avx2" not in (pytest.importorskip("numba.core.codegen")
                                              .get_host_cpu_features().split(",")):  # fmt: skip
        pytest.skip("this processor has no AVX2")
    program = (
        "from facegeo.bench.mesh import run_mesh_benchmark\n"
        "from facegeo.ops.tile import INTEGER, LANES\n"
        "row, = run_mesh_benchmark([9], vertices=1023)\n"
        "print(LANES, INTEGER, row['max_error_px'])\n"
    )
    machine = "x86-64" if features else "generic"
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": machine,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    got_lanes, got_integer, error = run.stdout.split()
    assert (int(got_lanes), got_integer) == (lanes, str(integer))
    assert float(error) <= TOLERANCE_PX


@pytest.fixture(scope="module")
def kernel() -> MeshKernel:
    mean, bases, _, _ = problem(vertices=10, batch=1)
    return MeshKernel(mean, bases)


FACES = (np.zeros((2, 50), np.float32), np.zeros((2, 3, 4), np.float32))


def _read_only() -> np.ndarray:
    out = np.zeros((2, 10, 3), np.float32)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((2, 11, 3), np.float32), r"shape \(2, 10, 3\), got an array of shape \(2, 11"),
        (np.zeros((1, 10, 3), np.float32), r"shape \(2, 10, 3\)"),
        (np.zeros((2, 10, 3), np.float64), "float64"),
        (np.zeros((2, 10, 3), ">f4"), "float32 array"),
        (np.zeros((2, 20, 3), np.float32)[:, ::2], "not contiguous"),
        (np.zeros((2, 3, 10), np.float32).transpose(0, 2, 1), "not contiguous"),
        (_read_only(), "read-only"),
        ([[0.0]], "list"),
    ],
)
def test_refuses_a_buffer_it_cannot_fill(kernel, out, message):
    with pytest.raises(InvalidInputError, match=message):
        kernel(*FACES, out)


@pytest.mark.parametrize(
    ("coefficients", "pose", "message"),
    [
        (np.zeros((2, 49)), FACES[1], r"coefficients: expected shape \(N, 50\), got \(2, 49\)"),
        (np.zeros(50), FACES[1], "coefficients"),
        (FACES[0], np.zeros((3, 3, 4)), r"pose: expected shape \(2, 3, 4\)"),
        (np.full((2, 50), np.nan), FACES[1], "coefficients: expected finite"),
        (FACES[0], np.full((2, 3, 4), np.inf), "pose: expected finite"),
        (np.full((2, 50), "a"), FACES[1], "expected numbers"),
    ],
)
def test_refuses_bad_faces_and_leaves_the_buffer(kernel, coefficients, pose, message):
    out = np.full((2, 10, 3), 7, np.float32)
    with pytest.raises(InvalidInputError, match=message):
        kernel(coefficients, pose, out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    ("mean", "bases", "options", "message"),
    [
        (np.zeros((0, 3)), np.zeros((2, 0, 3)), {}, "at least one vertex"),
        (np.zeros((4, 3)), np.zeros((2, 5, 3)), {}, r"bases: expected shape \(M, 4, 3\)"),
        (np.zeros((4, 2)), np.zeros((2, 4, 2)), {}, r"mean: expected shape \(V, 3\)"),
        (np.full((4, 3), np.nan), np.zeros((2, 4, 3)), {}, "mean: expected finite"),
        (np.zeros((4, 3)), np.full((2, 4, 3), np.inf), {}, "bases: expected finite"),
        (np.zeros((4, 3)), np.zeros((2, 4, 3)), {"threads": 0}, "threads"),
        (
            np.zeros((4, 3)),
            np.zeros((2, 4, 3)),
            {"implementation": "gpu"},
            "implementation: expected",
        ),
    ],
)
def test_refuses_a_bad_model(mean, bases, options, message):
    with pytest.raises(InvalidInputError, match=message):
        MeshKernel(mean, bases, **options)


def test_the_reference_is_the_definition_rounded():
    mean, bases, coefficients, pose = problem(vertices=100, batch=3)
    kernel = MeshKernel(mean, bases, implementation="reference")
    out = np.empty((3, 100, 3), np.float32)
    assert kernel(coefficients, pose, out) is out and kernel.implementation == "reference"
    expected = build_meshes(mean, bases, coefficients, pose).astype(np.float32)
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(InvalidInputError, match="pose: expected shape"):
        kernel(coefficients, pose[:2])


def test_without_numba_it_warns_once_and_gives_the_same(monkeypatch, caplog):
    mean, bases, coefficients, pose = problem(vertices=100, batch=3)
    monkeypatch.setitem(sys.modules, "numba", None)
    implementations._numba_problem.cache_clear()
    try:
        with caplog.at_level("WARNING", logger="facegeo"):
            kernel = MeshKernel(mean, bases)
            MeshKernel(mean, bases)
        with pytest.raises(BackendUnavailableError, match="pip install numba"):
            MeshKernel(mean, bases, implementation="numba")
    finally:
        implementations._numba_problem.cache_clear()
    assert kernel.implementation == "numpy"
    assert len(caplog.records) == 1
    expected = build_meshes(mean, bases, coefficients, pose)
    assert np.abs(kernel(coefficients, pose) - expected).max() <= TOLERANCE_PX


def test_importing_costs_no_numba():
    program = (
        "import sys, facegeo, facegeo.ops.mesh, facegeo.render, facegeo.bench.raster\n"
        "print('numba' in sys.modules or 'llvmlite' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "False"
