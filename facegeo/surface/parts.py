"""A surface told into the parts that move by themselves: skin, eyeballs, teeth, tongue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

#: Name of a surface, or of what is in none of its parts.
WHOLE: Final = "face"


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of a surface that hangs together.

    Attributes
    ----------
    name : str
        That of the first of ``triangles``.
    triangles : mapping of str to (F,) int64
        Named part -> numbers of its triangles.
    """

    name: str
    triangles: Mapping[str, np.ndarray]


def connected_parts(triangles: np.ndarray, masks: Mapping[str, np.ndarray]) -> list[Part]:
    """Named parts of a mesh, those together that share vertices.

    Parameters
    ----------
    triangles : (F, 3) int
    masks : mapping of str to (F,) bool
        No triangle is in two. Those in none are a part called ``face``.
    """
    masks = {name: np.asarray(mask) for name, mask in masks.items() if np.any(mask)}
    rest = ~np.any(list(masks.values()), axis=0) if masks else np.ones(len(triangles), bool)
    if rest.any():
        masks[WHOLE] = rest
    groups: list[tuple[list[str], np.ndarray]] = []
    size = int(triangles.max(initial=-1)) + 1
    for name, mask in masks.items():
        used = np.zeros(size, bool)
        used[triangles[mask]] = True
        touching = [group for group in groups if (group[1] & used).any()]
        names = [one for group in touching for one in group[0]] + [name]
        used = np.any([used, *(group[1] for group in touching)], axis=0)
        # In the place of the first that it touches, so that the order is that of the names.
        place = groups.index(touching[0]) if touching else len(groups)
        groups = [group for group in groups if all(group is not one for one in touching)]
        groups.insert(place, (names, used))
    return [
        Part(names[0], {name: np.flatnonzero(masks[name]) for name in names}) for names, _ in groups
    ]


def middle_of_bounds(points: np.ndarray) -> np.ndarray:
    """Middle between the lowest and the highest coordinates of points (N, 3), (3,) float64."""
    points = np.asarray(points, np.float64)
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2)
