"""Every exception that facegeo raises on purpose.

All derive from :class:`FacegeoError`, so one ``except`` catches the lot; each also derives from the
built-in exception that a Python programmer would expect. A message says what was expected, what
came, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class FacegeoError(Exception):
    """Base class of all errors raised by facegeo."""


class InvalidInputError(FacegeoError, ValueError):
    """An argument has the wrong type, shape, dtype or range."""


class InvalidImageError(InvalidInputError):
    """An array or a file is not a photograph that can be processed."""


class UnreadableFileError(FacegeoError, OSError):
    """A file does not exist or the system refuses to read it."""


class CorruptFileError(FacegeoError):
    """A file's content is not what its name, card or format promises."""


class UnsafeFileError(CorruptFileError):
    """A file asks for code to be executed while it is read; nothing of it was executed."""


class ModelNotFoundError(FacegeoError, LookupError):
    """A model that was asked for is not installed."""


class MissingBasisError(FacegeoError):
    """A dense mesh was asked of a model whose dense bases were not installed."""


class BackendUnavailableError(FacegeoError):
    """The engine, device or precision that was asked for does not exist on this machine."""


class OutOfMemoryError(FacegeoError, MemoryError):
    """A GPU's memory does not suffice, not even for a single face."""


class DependencyMissingError(FacegeoError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class DownloadError(FacegeoError):
    """A file could not be downloaded, or what arrived is not the file that was promised."""


class StreamError(FacegeoError, OSError):
    """A camera or a network stream cannot be opened, was lost, or sends no more frames."""


class OutputError(FacegeoError, OSError):
    """A result could not be written; a file that was there before is unchanged."""


class TrainingError(FacegeoError):
    """A training cannot go on: its loss is not finite. The message says at which step."""


class BatchError(FacegeoError):
    """Some photos of a batch failed; the others were processed and are in ``results``.

    Attributes
    ----------
    results : list
        One list of faces a photo, in order; None where that photo failed.
    failures : dict of int to FacegeoError
        Position in the batch -> what was wrong with that photo.
    """

    def __init__(self, results: Sequence[Any], failures: Mapping[int, FacegeoError]) -> None:
        self.results = list(results)
        self.failures = dict(failures)
        first = min(self.failures)
        super().__init__(
            f"{len(self.failures)} of {len(self.results)} photos failed; "
            f"first, number {first}: {self.failures[first]} "
            "(the other photos' faces are in this exception's .results)"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # By its arguments, so that it comes out of a worker process.
        return type(self), (self.results, self.failures)
