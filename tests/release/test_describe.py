"""Networks that ship are described anew: their numbers stay, their checksums follow."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from helpers.shared_material import REPOSITORY

onnx = pytest.importorskip("onnx")

from facegeo import FaceGeometry  # noqa: E402
from facegeo.errors import CorruptFileError, ModelNotFoundError  # noqa: E402
from facegeo.zoo import shipped  # noqa: E402
from facegeo.zoo.cards import read_card  # noqa: E402
from facegeo.zoo.store import find_any  # noqa: E402
from models.release import describe as script  # noqa: E402

NAME = "synergy-mbv2"


def undescribed(graph: bytes) -> bytes:
    """The same network as an exporter leaves it."""
    model = onnx.load_from_string(graph)
    del model.metadata_props[:]
    for tensor in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for axis in tensor.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = axis.dim_param.replace("batch", "s14")
    return model.SerializeToString()


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """The package's files before they were described, and a record with their checksums."""
    from dataclasses import replace

    from facegeo.base import files
    from facegeo.zoo.cards import FileEntry

    folder = tmp_path / "assets"
    folder.mkdir()
    card = find_any(NAME).card
    for role in ("morphable", "bridge"):
        shutil.copy(shipped.ASSETS / card.files[role].file, folder)
    figures = json.loads((REPOSITORY / "models" / NAME / "metrics.json").read_text())
    entries = dict(card.files)
    for role, section in (("network", "onnx"), ("network-int8", "int8")):
        plain = undescribed((shipped.ASSETS / card.files[role].file).read_bytes())
        (folder / card.files[role].file).write_bytes(plain)
        entries[role] = FileEntry(card.files[role].file, files.sha256(plain))
        figures[section] |= {"sha256": files.sha256(plain), "bytes": len(plain)}
    (folder / f"{NAME}.json").write_text(replace(card, files=entries).to_json())
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / "metrics.json").write_text(json.dumps(figures))
    monkeypatch.setattr(shipped, "ASSETS", folder)
    monkeypatch.setattr(shipped, "further_roots", lambda: ())
    monkeypatch.setenv("FACEGEO_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def test_what_ships_is_described_and_computes_the_same(assets, tmp_path, sample_photo):
    def measured(precision):
        predictor = FaceGeometry(NAME, backend="onnxruntime", device="cpu", precision=precision)
        return predictor.predict_crops(
            sample_photo[None, 60:156, 180:276], np.float32([[180, 60, 276, 156]])
        )

    before = {precision: measured(precision) for precision in ("fp32", "int8")}
    record = tmp_path / "record"
    assert len(script.describe(NAME, record)) == 4  # two networks, their card, the figures
    card = read_card(assets / f"{NAME}.json")
    figures = json.loads((record / "metrics.json").read_text())
    for role, section in (("network", "onnx"), ("network-int8", "int8")):
        model = onnx.load(assets / card.files[role].file)
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
        assert {"model", "licence"} <= {entry.key for entry in model.metadata_props}
        assert figures[section]["sha256"] == card.files[role].sha256
        assert figures[section]["bytes"] == (assets / card.files[role].file).stat().st_size
    for precision, ours in before.items():
        again = measured(precision)  # opened by its new checksum
        np.testing.assert_array_equal(again.landmarks, ours.landmarks)
        np.testing.assert_array_equal(again.params, ours.params)
    assert script.describe(NAME, record) == []


def test_a_file_that_computes_something_else_is_not_written(assets, tmp_path, monkeypatch):
    def changed(graph, card):
        model = onnx.load_from_string(graph)
        for tensor in model.graph.initializer:
            if tensor.name == "param_mean":
                values = onnx.numpy_helper.to_array(tensor) + 1
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return model.SerializeToString()

    before = {path: path.read_bytes() for path in assets.iterdir()}
    monkeypatch.setattr(script, "described", changed)
    with pytest.raises(CorruptFileError, match="not what it was"):
        script.describe(NAME, tmp_path / "record")
    assert {path: path.read_bytes() for path in assets.iterdir()} == before


def test_other_files_and_other_names_are_refused(assets, tmp_path):
    with pytest.raises(ModelNotFoundError, match="nothing"):
        script.describe("nothing")
    (assets / f"{NAME}.onnx").write_bytes(b"something else")
    with pytest.raises(CorruptFileError, match="not the file of its card"):
        script.describe(NAME, tmp_path / "record")
