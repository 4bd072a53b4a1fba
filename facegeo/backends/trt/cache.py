"""Built engines on disk: found by everything that they depend on, and never trusted blindly."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from facegeo.base import files
from facegeo.base.cache import cache_dir
from facegeo.errors import CorruptFileError

_log = logging.getLogger(__name__)

_FORMAT: Final = "facegeo-engine"

#: What a changed field of the key is called in messages.
_WORDS: Final = {
    "onnx_sha256": "the network",
    "tensorrt": "TensorRT",
    "gpu": "the GPU",
    "capability": "its compute capability",
    "min_batch": "the smallest batch",
    "opt_batch": "the batch it is tuned for",
    "max_batch": "the largest batch",
    "precision": "the precision",
}


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on: it runs where every field is the same, and nowhere else.

    Attributes
    ----------
    onnx_sha256 : str
    tensorrt : str
        Version, for instance ``11.4.0.106``.
    gpu : str
        Name, for instance ``NVIDIA H200``.
    capability : str
        Compute capability, ``9.0``.
    min_batch, opt_batch, max_batch : int
        The optimisation profile.
    precision : str
    """

    onnx_sha256: str
    tensorrt: str
    gpu: str
    capability: str
    min_batch: int
    opt_batch: int
    max_batch: int
    precision: str

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all fields."""
        return files.sha256(json.dumps(asdict(self), sort_keys=True).encode())[:16]


@dataclass(frozen=True)
class CachedEngine:
    """An engine that was read, or the reasons why there is none to be read."""

    data: bytes | None
    reason: str = ""


class EngineCache:
    """A folder of engines, each with a JSON file that says what it is.

    Parameters
    ----------
    folder : Path, optional
        By default ``engines`` in facegeo's cache.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_dir() / "engines" if folder is None else folder

    def path(self, name: str, key: EngineKey) -> Path:
        """Path of the engine of a model."""
        return self.folder / f"{name}-{key.precision}-{key.digest()}.engine"

    def timing_cache(self, key: EngineKey) -> Path:
        """Measured kernel times, which make the next build on the same GPU quicker."""
        gpu = re.sub(r"[^a-z0-9]+", "-", key.gpu.lower()).strip("-")
        return self.folder / f"timing-{gpu}-{key.tensorrt}.cache"

    def read(self, name: str, key: EngineKey) -> CachedEngine:
        """The engine for that key, or why it has to be built."""
        path = self.path(name, key)
        if not path.is_file():
            return CachedEngine(None, self._why_missing(name, key))
        try:
            return CachedEngine(read_engine(path, key))
        except CorruptFileError as error:
            return CachedEngine(None, str(error))

    def write(self, name: str, key: EngineKey, data: bytes, report: dict[str, Any]) -> Path:
        """Keep an engine and what was found in it; engines of older keys of the model go."""
        path = self.path(name, key)
        write_engine(path, key, data, report)
        for old in self._others(name, key):
            _log.info("removing the stale engine %s", old)
            old.unlink(missing_ok=True)
            sidecar(old).unlink(missing_ok=True)
        return path

    def _why_missing(self, name: str, key: EngineKey) -> str:
        changes = [differences(_key_of(old), key) for old in self._others(name, key)]
        known = [change for change in changes if change]
        return min(known, key=len) if known else "no engine was built for it yet"

    def _others(self, name: str, key: EngineKey) -> list[Path]:
        """Engines of the same model, precision and GPU under another key."""
        found = []
        for path in sorted(self.folder.glob(f"{name}-{key.precision}-????????????????.engine")):
            other = _key_of(path)
            if path != self.path(name, key) and other is not None and other.gpu == key.gpu:
                found.append(path)
        return found


def sidecar(engine: Path) -> Path:
    """The JSON file of an engine."""
    return engine.with_name(engine.name + ".json")


def write_engine(path: Path, key: EngineKey, data: bytes, report: dict[str, Any]) -> None:
    """Write an engine, then its sidecar; whole or not at all, each."""
    content = {
        "format": _FORMAT,
        "engine_sha256": files.sha256(data),
        "key": asdict(key),
        "inspector": report,
    }
    files.write_bytes(path, data)
    files.write_bytes(sidecar(path), (json.dumps(content, indent=2) + "\n").encode())


def read_engine(path: Path, key: EngineKey | None = None) -> bytes:
    """The bytes of an engine file, after comparing them with its sidecar.

    Parameters
    ----------
    key : EngineKey, optional
        What the engine must have been built for.

    Raises
    ------
    CorruptFileError
        If a file is missing or damaged, or was built for something else; the message says what
        differs. Engines hold machine code: one without a matching sidecar is never loaded.
    """
    content = _sidecar_of(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorruptFileError(f"{path}: cannot be read ({error.strerror})") from error
    if files.sha256(data) != content["engine_sha256"]:
        raise CorruptFileError(f"{path}: damaged or not the engine that its JSON file describes")
    if key is not None and (change := differences(content["key"], key)):
        raise CorruptFileError(f"{path}: {change}")
    return data


def read_key(path: Path) -> EngineKey:
    """Key that an engine file was built for, by its sidecar. Raises CorruptFileError."""
    key: EngineKey = _sidecar_of(path)["key"]
    return key


def differences(old: EngineKey | None, new: EngineKey) -> str:
    """Changes between two keys, in words; empty if nothing changed."""
    if old is None or old == new:
        return ""
    changed = []
    for field in fields(EngineKey):
        before, now = getattr(old, field.name), getattr(new, field.name)
        if before != now:
            if field.name == "onnx_sha256":
                before, now = before[:12], now[:12]
            changed.append(f"{_WORDS[field.name]} was {before}, now {now}")
    return "it was built for something else: " + "; ".join(changed)


def _sidecar_of(path: Path) -> dict[str, Any]:
    name = sidecar(path)
    try:
        content = json.loads(name.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']!r}")
        content["key"] = EngineKey(**content["key"])
        content["engine_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(
            f"{name}: no readable description of the engine beside it ({error}); build the engine "
            "again: python export/02_to_engine.py"
        ) from error
    described: dict[str, Any] = content
    return described


def _key_of(path: Path) -> EngineKey | None:
    try:
        return read_key(path)
    except CorruptFileError:
        return None
