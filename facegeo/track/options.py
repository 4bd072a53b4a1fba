"""Options of the tracker."""

from __future__ import annotations

from dataclasses import dataclass

from facegeo.base.arrays import number_in, whole_number


@dataclass(frozen=True)
class TrackerOptions:
    """Rules for when faces are looked for, believed and forgotten.

    Attributes
    ----------
    detect_every : int, optional
        Frames between two runs of the detector while faces are followed. By default 30 where the
        network tells presence, else 10: then only the detector can tell that a face has gone.
    search_every : int
        The same while no face is followed or one is missed.
    least_presence : float
        Presence below this is doubt.
    patience : int
        Frames of doubt in a row after which a face is lost.
    memory_s : float
        Seconds for which a lost face's number is kept for its return.
    max_faces : int, optional
        Most faces followed at once.
    """

    detect_every: int | None = None
    search_every: int = 3
    least_presence: float = 0.5
    patience: int = 3
    memory_s: float = 1.0
    max_faces: int | None = None

    def __post_init__(self) -> None:
        for name in ("detect_every", "max_faces"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name))
        for name in ("search_every", "patience"):
            whole_number(name, getattr(self, name))
        number_in("least_presence", self.least_presence, 0, 1)
        number_in("memory_s", self.memory_s, 0)
