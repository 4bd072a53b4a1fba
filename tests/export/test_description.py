"""What ONNX files say of themselves, read by ONNX Runtime alone, as programs without facegeo do."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import onnxruntime
import pytest

from facegeo.errors import DependencyMissingError
from facegeo.geometry.crop import crop_to_photo, find_convention
from facegeo.morphable import MorphableModel
from facegeo.zoo import shipped
from facegeo.zoo.cards import Card
from facegeo.zoo.store import find_any

CARD = Card(
    "tiny", "landmarks", "synergynet", "a test", "MIT", {}, crop_convention="exact", crop_size=64
)


def opened(graph: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def texts(session: onnxruntime.InferenceSession) -> dict[str, str]:
    return session.get_modelmeta().custom_metadata_map


def axes(session: onnxruntime.InferenceSession) -> dict[str, list[Any]]:
    return {t.name: t.shape for t in (*session.get_inputs(), *session.get_outputs())}


def assert_says(session: onnxruntime.InferenceSession, card: Card) -> None:
    """All that the card knows, and what a caller must know of the tensors."""
    said, shapes = texts(session), axes(session)
    assert (said["model"], said["task"]) == (card.name, card.task)
    assert (said["licence"], said["source"]) == (card.licence, card.source)
    assert said["colour_order"] == "BGR" and said["input"].startswith("uint8")
    told = json.loads(said["outputs"])
    assert list(told) == [output.name for output in session.get_outputs()] and all(told.values())
    assert all(shape[0] == "batch" for shape in shapes.values())
    if card.task == "landmarks":
        assert said["crop_size"] == str(card.crop_size) == str(shapes["crops"][1])
        assert said["crop_convention"] == card.crop_convention
    else:
        assert shapes["photos"] == ["batch", "height", "width", 3]


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    """A network as it is exported, and in other precisions."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from helpers.synergy_networks import exported, settle_norms, small_network

    from facegeo.export.precision import to_half, to_int8, weights_in_half
    from facegeo.export.publishing import sample_crops

    crops = sample_crops(8, 64)
    network = settle_norms(small_network(0.002, inverse=(), mirrored=True), crops)
    source = exported(network, 64)
    return {
        "exported": source,
        "stored in half": weights_in_half(source),
        "fp16": to_half(source, "fp16"),
        "int8": to_int8(source, crops),
    }


@pytest.mark.parametrize("kind", ["exported", "stored in half", "fp16", "int8"])
def test_a_described_file_computes_what_it_did(graphs, kind):
    from facegeo.export.description import described

    graph = graphs[kind]
    session = opened(described(graph, CARD))
    assert_says(session, CARD)
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    before = opened(graph).run(None, {"crops": crops})
    for ours, theirs in zip(session.run(None, {"crops": crops}), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert described(described(graph, CARD), CARD) == described(graph, CARD)


def params_graph(count: int) -> bytes:
    """A graph of one output, the parameters of a face."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 64, 64, 3])
    out = helper.make_tensor_value_info("params", TensorProto.FLOAT, ["n", count])
    nodes = [
        helper.make_node("Cast", ["crops"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["b", "column"], ["c"]),
        helper.make_node("Tile", ["c", "repeats"], ["params"]),
    ]
    numbers = {"column": [-1, 1], "repeats": [1, count]}
    constants = [helper.make_tensor(k, TensorProto.INT64, [2], v) for k, v in numbers.items()]
    graph = helper.make_graph(nodes, "params", [crops], [out], constants)
    opsets = [helper.make_opsetid("", 13)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("count", "modes", "text"),
    [
        (62, (40, 10), "62 numbers: the pose's 3x4 matrix row by row, 40 of shape, 10 of"),
        (124, (60, 52), "124 numbers: the pose's 3x4 matrix row by row, 60 of shape, 52 of"),
        # The card tells what comes out of a bridge, the graph what goes in.
        (62, (60, 52), "62 numbers: the pose's 3x4 matrix row by row, 40 of shape, 10 of"),
        (99, (60, 52), "99 numbers: the pose's 3x4 matrix row by row, then shape and expression"),
    ],
)
def test_parameters_are_those_of_the_network(count: int, modes: tuple[int, int], text: str):
    from facegeo.export.description import described

    card = dataclasses.replace(CARD, num_shape=modes[0], num_expression=modes[1])
    session = opened(described(params_graph(count), card))
    assert json.loads(texts(session)["outputs"])["params"].startswith(text)
    assert session.run(None, {"crops": np.zeros((2, 64, 64, 3), np.uint8)})[0].shape == (2, count)


def test_a_network_of_more_modes_tells_them():
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from helpers.synergy_networks import CONVENTION, exported

    from facegeo.networks.synergy.config import SynergyConfig
    from facegeo.networks.synergy.network import SynergyNet

    config = SynergyConfig(backbone="mobilenet_v1_x0.5", num_shape=7, num_expression=3)
    network = SynergyNet(config, CONVENTION, "a model").eval()
    model = MorphableModel.default().truncated(7, 3)
    network.set_face_model(model, np.zeros(22), np.full(22, 0.1))
    said = json.loads(texts(opened(exported(network, 64)))["outputs"])
    assert said["params"].startswith("22 numbers") and "7 of shape, 3 of" in said["params"]


def test_the_exporter_says_what_it_knows_without_a_card(graphs):
    session = opened(graphs["exported"])
    said = texts(session)
    assert (said["crop_size"], said["crop_convention"]) == ("64", "exact")
    assert said["colour_order"] == "BGR" and "landmarks" in json.loads(said["outputs"])
    assert {"config", "morphable_model"} <= said.keys()  # what PyTorch needs is still there
    assert axes(session)["crops"] == ["batch", 64, 64, 3]


def test_names_of_axes_reach_those_that_are_computed(graphs):
    """The mirror doubles the batch inside: an exporter's name left there would be another axis."""
    import onnx

    graph = onnx.load_from_string(graphs["exported"]).graph
    names = {
        axis.dim_param
        for tensor in (*graph.input, *graph.output, *graph.value_info)
        for axis in tensor.type.tensor_type.shape.dim
    }
    assert names - {""} == {"batch", "2*batch"}


def test_the_formula_in_the_file_is_the_package_s(graphs):
    """Read out of the metadata and computed here."""
    from facegeo.export.description import crop_facts

    for name in ("exact", "3ddfa"):
        convention = find_convention(name)
        formula = crop_facts(96, convention)["landmarks_to_photo"]
        rule = formula.split(": ", 1)[1].split(", y = ")
        x0, y0, x1, y1 = 31, -12, 231, 188
        points = np.array([[[3.5, 100.25, 0.0]]], np.float32)
        p_x, p_y, _ = points[0, 0].tolist()
        known = {"p_x": p_x, "p_y": p_y, "x0": x0, "y0": y0, "x1": x1, "y1": y1}
        found = [eval(part.removeprefix("x = "), {}, known) for part in rule]  # noqa: S307
        photo = crop_to_photo(points, np.float32([[x0, y0, x1, y1]]), convention)
        np.testing.assert_allclose(found, photo[0, 0, :2], atol=1e-4)


def test_what_is_exported_and_imported_is_described(installed_tiny, installed_cache, monkeypatch):
    pytest.importorskip("onnx")
    from facegeo.export.publishing import compared_graph, sample_crops

    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(installed_tiny))
    model = find_any("tiny")
    graph, _ = compared_graph(model, "fp32", sample_crops(4))
    assert_says(opened(graph), model.card)
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(installed_cache))
    for name in ("mb05", "faceboxes"):
        model = find_any(name)
        assert_says(opened(model.read("network")), model.card)


SHIPPED = [
    (name, role)
    for name in shipped.shipped_names()
    for role in find_any(name).card.files
    if role.startswith("network")
]


@pytest.mark.parametrize(("name", "role"), SHIPPED)
def test_what_ships_is_described(name, role):
    """Else: python -m models.release.describe."""
    model = find_any(name)
    assert_says(opened(model.read(role)), model.card)


def test_without_onnx_the_extra_is_named(monkeypatch):
    import sys

    from facegeo.export.description import described

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DependencyMissingError, match=r"facegeo\[torch\]"):
        described(b"", CARD)
