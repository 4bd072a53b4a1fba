"""Models inside the package: ``assets/<name>.onnx`` and its card, ``assets/<name>.json``.

The network in another precision lies beside it, ``assets/<name>-int8.onnx``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: The package's own folder; what lies in it is in the wheel.
ASSETS: Final = Path(__file__).resolve().parent.parent / "assets"

#: Most bytes of a shipped float32 network, by task: the wheel must stay small.
LARGEST: Final = {"landmarks": 16_500_000, "detection": 4_000_000}

#: Most bytes of the same network in another precision, as a part of :data:`LARGEST`.
_LARGEST_PART: Final = 0.4


def shipped_card(name: str) -> Path | None:
    """The card of a shipped model; None where no model of that name ships."""
    path = ASSETS / f"{name}.json"
    return path if path.is_file() else None


def shipped_names() -> list[str]:
    """Names of the shipped models, in alphabetical order; other assets have notes of theirs too."""
    return sorted(
        path.stem for path in ASSETS.glob("*.onnx") if path.with_suffix(".json").is_file()
    )


def largest(task: str, role: str) -> int:
    """Most bytes that a network may have in the package."""
    return int(LARGEST[task] * (1 if role == "network" else _LARGEST_PART))
