"""Models that come as files: in the package, and in distributions beside it.

A model is ``NAME.onnx`` and its card, ``NAME.json``; the network in another precision lies beside
it, ``NAME-int8.onnx``. The default ones are in the package, ``facegeo/assets``. Further ones lie in
folders ``*/weights`` of what announces itself under the entry point group ``facegeo.models``, as
the distribution facegeo-models does, or of ``models/`` where facegeo runs from a checkout.
"""

from __future__ import annotations

import functools
import logging
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

#: The package's own folder; what lies in it is in the wheel.
ASSETS: Final = Path(__file__).resolve().parent.parent / "assets"

#: What distributions with models announce themselves as.
GROUP: Final = "facegeo.models"

#: Most bytes of a shipped float32 network, by task: wheels must stay small.
LARGEST: Final = {"landmarks": 9_000_000, "detection": 4_000_000}

#: Most bytes of the same network in another precision, as a part of :data:`LARGEST`.
_LARGEST_PART: Final = 0.6
_LARGEST_BRIDGE: Final = 200_000


def folders() -> list[Path]:
    """Folders with models, the package's own first."""
    return [ASSETS, *(path for root in further_roots() for path in sorted(root.glob("*/weights")))]


@functools.cache
def further_roots() -> tuple[Path, ...]:
    """Folders where distributions of models lie; a checkout's own rather than an installed one."""
    checkout = ASSETS.parents[1] / "models"
    if (checkout / "pyproject.toml").is_file():
        return (checkout,)
    roots = []
    for entry in entry_points(group=GROUP):
        try:
            spec = find_spec(entry.module)
        except ModuleNotFoundError as error:
            _log.warning("%s of %s: left out (%s)", GROUP, entry.name, error)
            continue
        if spec is not None and spec.origin:
            roots.append(Path(spec.origin).parent)
    return tuple(roots)


def shipped_card(name: str) -> Path | None:
    """The card of a shipped model; None where no model of that name ships."""
    paths = (folder / f"{name}.json" for folder in folders())
    return next((path for path in paths if path.is_file()), None)


def shipped_names() -> list[str]:
    """Names of the shipped models, in alphabetical order; other assets have notes of theirs too."""
    found = (path for folder in folders() for path in folder.glob("*.onnx"))
    return sorted({path.stem for path in found if path.with_suffix(".json").is_file()})


def largest(task: str, role: str) -> int:
    """Most bytes that a model's file of that role may have in a wheel."""
    if role == "bridge":
        return _LARGEST_BRIDGE
    return int(LARGEST[task] * (1 if role == "network" else _LARGEST_PART))
