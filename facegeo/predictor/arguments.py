"""Checks of a predictor's own arguments; what goes on to others is checked there."""

from __future__ import annotations

from typing import Any

from facegeo.base import arrays
from facegeo.detect import PresenceFilter
from facegeo.errors import InvalidInputError


def check_arguments(
    batch_size: Any, min_face_size: Any, second_opinion: Any, rotations: Any, recrop: Any
) -> None:
    """Raise InvalidInputError that names the argument of FaceGeometry which is not as stated."""
    if batch_size is not None:
        arrays.whole_number("batch_size", batch_size)
    arrays.number_in("min_face_size", min_face_size, 0)
    if not isinstance(second_opinion, PresenceFilter | None):
        raise InvalidInputError(
            "second_opinion: expected facegeo.detect.PresenceFilter, or None for no second "
            f"opinion, got {arrays.describe(second_opinion)}"
        )
    if rotations not in ("upright", "any"):
        raise InvalidInputError(f"rotations: expected 'upright' or 'any', got {rotations!r}")
    if recrop is not None:
        arrays.flag("recrop", recrop)
