"""JSON files: whatever is wrong with one is one error."""

import pytest

from facegeo.base.json_files import load_json, parse_json
from facegeo.errors import CorruptFileError, UnreadableFileError


def test_content_comes_back(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5, null, {"b": "ä"}]}', encoding="utf-8")
    assert load_json(path) == {"a": [1, 2.5, None, {"b": "ä"}]}
    with pytest.raises(UnreadableFileError, match=r"b\.json"):
        load_json(tmp_path / "b.json")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[" * 40 + b"]" * 40,
        b'{"a": ' * 100_000,
        b'{"size": ' + b"9" * 5000 + b"}",
        b'{"size": ' + b"9" * 40 + b"}",
    ],
)
def test_damage_is_one_error(text):
    with pytest.raises(CorruptFileError, match=r"^x\.json: not a readable JSON file"):
        parse_json(text, "x.json")
