"""The benchmarks of the mesh kernel and the rasteriser measure what they say."""

from __future__ import annotations

import argparse
import inspect
import json

import numpy as np
import pytest

from facegeo.bench import mesh as bench_mesh
from facegeo.bench import raster as bench_raster
from facegeo.morphable import MorphableModel
from facegeo.ops.reference import build_meshes
from facegeo.zoo.shipped import ASSETS


def test_mesh_benchmark_reports_each_batch():
    rows = bench_mesh.run_mesh_benchmark([1, 5], vertices=700, coefficients=6)
    assert [row["batch"] for row in rows] == [1, 5]
    for row in json.loads(json.dumps(rows)):
        assert row["faces_per_s"] == pytest.approx(1e3 / row["ms_per_face"])
        assert min(row["speedup_over_numpy"], row["time_over_copy"]) > 0
        assert row["max_error_px"] <= 0.02


def test_without_a_size_basels_comes_first_and_then_the_heads(monkeypatch):
    asked = []

    def run(batches, **options):
        asked.append((options["vertices"], options["coefficients"], options["local"]))
        return [{"batch": batch} for batch in batches]

    monkeypatch.setattr(bench_mesh, "run_mesh_benchmark", run)
    parser = argparse.ArgumentParser()
    bench_mesh.add_arguments(parser)
    assert len(bench_mesh.main(parser.parse_args([]))) == 2 * len(bench_mesh.DEFAULT_BATCHES)
    assert asked == [(53215, 50, 0), tuple(bench_mesh.HEAD)]
    bench_mesh.main(parser.parse_args(["--vertices", "9"]))
    assert asked[2:] == [(9, 50, 0)]


def test_the_head_of_the_benchmark_is_like_the_one_that_ships(cache):
    model = MorphableModel.load(ASSETS / "facegeo-head.npz")
    size = bench_mesh.HEAD
    assert (model.num_shape + model.num_expression, model.num_expression) == size[1:]
    assert size.vertices == pytest.approx(model.num_vertices, rel=0.03)
    random = bench_mesh.random_model(np.random.default_rng(0), *size)
    real = model.mean, np.concatenate([model.shape_basis, model.expression_basis])
    kept = [
        (np.abs(bases[-52:]).max(axis=2) > largest / 65_534).mean()
        for _, bases in (random, real)
        for largest in [np.abs(bases[-52:]).max(axis=(1, 2))[:, None]]
    ]
    # What moves at all by the digits that the kernel stores.
    assert kept[0] == pytest.approx(kept[1], rel=0.25)


def test_the_baseline_computes_the_same_meshes():
    rng = np.random.default_rng(0)
    mean, bases = bench_mesh.random_model(rng, 300, 7)
    weights, pose = bench_mesh.random_faces(rng, 4, 7)
    out = np.zeros((4, 300, 3), np.float32)
    bench_mesh.numpy_baseline(mean, bases, weights, pose, out)()
    assert np.abs(out - build_meshes(mean, bases, weights, pose)).max() < 1e-3


def test_the_random_model_has_the_stated_size():
    rng = np.random.default_rng(0)
    mean, bases = bench_mesh.random_model(rng, 5000, 3)
    assert np.ptp(mean[:, 0]) == pytest.approx(100, rel=0.01)
    rms = np.sqrt(np.square(bases).sum(axis=2).mean(axis=1))
    np.testing.assert_allclose(rms, 0.5, rtol=1e-4)


def test_poses_are_similarities():
    _, pose = bench_mesh.random_faces(np.random.default_rng(0), 20, 3)
    squared = pose[:, :, :3] @ pose[:, :, :3].transpose(0, 2, 1)
    scale = squared[:, 0, 0]
    np.testing.assert_allclose(squared, scale[:, None, None] * np.eye(3), atol=1e-5)
    assert (np.linalg.det(pose[:, :, :3]) > 0).all()


def test_raster_benchmark_reports_times():
    report = bench_raster.run_raster_benchmark(200, 60, 80)
    assert 0.15 < report["covered"] < 0.4
    assert all(report[key] > 0 for key in report if key.endswith("_ms"))


@pytest.mark.parametrize(
    ("module", "run"),
    [
        (bench_mesh, bench_mesh.run_mesh_benchmark),
        (bench_raster, bench_raster.run_raster_benchmark),
    ],
)
def test_command_line_defaults_are_those_of_the_function(module, run):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    given = vars(parser.parse_args([]))
    for name, parameter in inspect.signature(run).parameters.items():
        value = given[name]
        assert (tuple(value) if isinstance(value, list) else value) == parameter.default
