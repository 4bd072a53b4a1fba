"""Several training sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from facegeo.errors import InvalidInputError
from facegeo.images.collections import Joined
from facegeo.training.data.datasets import LabelledFaces, read_labelled
from facegeo.training.data.visibility import UNKNOWN


def read_sets(labels: Sequence[str | Path], images: Sequence[str | Path]) -> LabelledFaces:
    """Label files, each with its crops, as one set.

    Raises
    ------
    InvalidInputError
        If there are not as many of both, or the sets do not fit each other.
    UnreadableFileError, CorruptFileError
        As :func:`read_labelled`.
    """
    if not labels:
        raise InvalidInputError("data.labels: expected at least one label file, got none")
    if len(labels) != len(images):
        raise InvalidInputError(
            f"data.pictures: expected crops for each of the {len(labels)} label files, "
            f"got {len(images)}"
        )
    return joined([read_labelled(one, crops) for one, crops in zip(labels, images, strict=True)])


def joined(sets: Sequence[LabelledFaces]) -> LabelledFaces:
    """One set of all faces, in this order.

    Raises
    ------
    InvalidInputError
        If they have parameters of different face models, or different offsets.
    """
    first = sets[0]
    for name in ("morphable_model", "offset_px"):
        values = [getattr(faces, name) for faces in sets]
        if any(value != values[0] for value in values):
            raise InvalidInputError(f"labels: expected sets of one {name}, got {values}")
    return replace(
        first,
        pictures=Joined([faces.pictures for faces in sets]),
        params=np.concatenate([faces.params for faces in sets]),
        landmarks=np.concatenate([faces.landmarks for faces in sets]),
        skipped=sum(faces.skipped for faces in sets),
        visibility=_optional(sets, "visibility"),
        manual=_optional(sets, "manual"),
        manual_points=_optional(sets, "manual_points"),
        gaze=_optional(sets, "gaze"),
        exact_expression=_optional(sets, "exact_expression"),
    )


#: What stands in sets that do not have an array which others have.
_MISSING: Final = {
    "visibility": UNKNOWN,
    "manual": False,
    "manual_points": np.nan,
    "gaze": np.nan,
    "exact_expression": False,
}


def _optional(sets: Sequence[LabelledFaces], name: str) -> np.ndarray | None:
    found = [getattr(faces, name) for faces in sets]
    if all(values is None for values in found):
        return None
    like = next(values for values in found if values is not None)
    return np.concatenate(
        [
            np.full((len(faces), *like.shape[1:]), _MISSING[name], like.dtype)
            if values is None
            else values
            for faces, values in zip(sets, found, strict=True)
        ]
    )
