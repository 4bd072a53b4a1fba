"""Installed models: verified when read, replaced as a whole."""

import json

import pytest

from facegeo.errors import CorruptFileError, InvalidInputError, ModelNotFoundError
from facegeo.zoo import Card, find, list_models
from facegeo.zoo.shipped import shipped_names
from facegeo.zoo.store import install


def card(name: str = "tiny", task: str = "landmarks") -> Card:
    return Card(name, task, "none", source="a test", licence="MIT", files={})


def test_installed_files_come_back_and_the_card_says_what_it_was_told(cache):
    install(card(), {"network": b"onnx", "morphable": b"npz"})
    model = find("tiny")
    assert model.read("network") == b"onnx" and model.read("morphable") == b"npz"
    assert model.card.licence == "MIT"
    assert list_models() == [*shipped_names(), "tiny"] and "tiny" not in list_models("detection")


def test_installing_again_replaces_everything(cache):
    install(card(), {"network": b"old", "morphable": b"old model"})
    install(card(), {"network": b"new"})
    assert find("tiny").read("network") == b"new"
    assert sorted(path.suffix for path in (cache / "models/tiny").iterdir()) == [".json", ".onnx"]


def test_one_changed_byte_is_noticed(cache):
    model = install(card(), {"network": b"onnx"})
    data = bytearray(model.path("network").read_bytes())
    data[2] ^= 1
    model.path("network").write_bytes(data)
    with pytest.raises(CorruptFileError, match="damaged"):
        find("tiny").read("network")


def test_a_missing_model_says_how_to_get_it(cache):
    with pytest.raises(ModelNotFoundError, match="facegeo fetch 3ddfa-v2-mb05"):
        find("mb05")
    with pytest.raises(ModelNotFoundError, match="facegeo import"):
        find("other")


def test_a_model_for_another_task_is_refused(cache):
    install(card(task="detection"), {"network": b"onnx"})
    with pytest.raises(InvalidInputError, match="detection"):
        find("tiny")


@pytest.mark.parametrize("name", ["", "../up", "a/b", "UPPER", ".hidden"])
def test_names_that_are_no_folder_names_are_refused(cache, name):
    with pytest.raises(InvalidInputError, match="model name"):
        find(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format"),
        ({"format_version": 99}, "version 99"),
        ({"task": "cooking"}, "cooking"),
        ({"files": {"network": {"file": "../../etc/passwd", "sha256": ""}}}, "outside"),
        ({"files": {"network": {"file": "x"}}}, "incomplete"),
        ({"unknown": 1}, "incomplete"),
        ({"files": {"network": {"file": "..", "sha256": ""}}}, "outside"),
        ({"files": {"network": {"file": "", "sha256": ""}}}, "outside"),
        ({"files": {"network": {"file": "a\0b", "sha256": ""}}}, "outside"),
        ({"files": {"network": {"file": 7, "sha256": ""}}}, "'files/network/file'.*text"),
        ({"files": []}, "incomplete"),
        ({"licence": None}, "'licence'.*text"),
        ({"name": ["tiny"]}, "'name'.*text"),
        ({"task": {}}, "'task'.*text"),
        ({"missing": {"morphable": 1}}, "'missing/morphable'.*text"),
        ({"imported_from": "x"}, "'imported_from'"),
        ({"crop_size": True}, "crop_size"),
        ({"crop_size": 10**9}, "crop_size"),
        ({"crop_size": 10**40}, "64 bits"),
        ({"unit_mm": float("nan")}, "unit_mm"),
        ({"unit_mm": "1"}, "unit_mm"),
        ({"unit_mm": -1}, "unit_mm"),
    ],
)
def test_damaged_cards_name_file_and_key(cache, change, message):
    model = install(card(), {"network": b"onnx"})
    path = model.folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CorruptFileError, match=message) as caught:
        find("tiny")
    assert "card.json" in str(caught.value)


def test_a_card_that_is_no_json_is_corrupt(cache):
    model = install(card(), {"network": b"onnx"})
    for text in ("{", "[]", "[" * 100_000, "9" * 5000):
        (model.folder / "card.json").write_text(text)
        with pytest.raises(CorruptFileError, match=r"card\.json"):
            find("tiny")
        assert list_models() == shipped_names()
