"""Every engine and precision in which a model runs here, for the benchmarks that compare them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from facegeo.backends import BACKENDS, REFERENCE
from facegeo.base.precisions import PRECISIONS
from facegeo.errors import FacegeoError, ModelNotFoundError
from facegeo.predictor import FaceGeometry

#: What everything is compared with: always there, and there without further packages.
BASELINE = (REFERENCE, "fp32")

Key = tuple[str, str]


@dataclass
class Candidates:
    """Predictors of one model.

    Attributes
    ----------
    running : dict of (str, str) to FaceGeometry
        By backend and precision; the baseline is the first.
    not_measured : dict of str to str
        What was asked for by name and does not run here, and why.
    """

    running: dict[Key, FaceGeometry] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)


def add_candidate_options(parser: argparse.ArgumentParser) -> None:
    """``--backends``, ``--precisions``, ``--device``."""
    parser.add_argument(
        "--backends", nargs="+", choices=[*BACKENDS], help="default: all that work here"
    )
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, help="default: all that work here"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")


def open_candidates(
    model: str,
    backends: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    device: str = "auto",
) -> Candidates:
    """All that work here; the baseline is always among them, on the CPU where the device lacks it.

    Parameters
    ----------
    backends, precisions : sequence of str, optional
        Those that are asked for by name; what does not work of them is told. By default whatever
        works, and nothing is told of the rest.

    Raises
    ------
    ModelNotFoundError
        If the model is not installed.
    FacegeoError
        If the baseline does not even run on the CPU.
    """
    candidates = Candidates()
    every = ((b, p) for b in backends or BACKENDS for p in precisions or PRECISIONS)
    wanted = [BASELINE, *(key for key in every if key != BASELINE)]
    by_name = backends is not None or precisions is not None
    for backend, precision in wanted:
        try:
            predictor = FaceGeometry(model, backend=backend, precision=precision, device=device)
        except FacegeoError as error:
            is_baseline = (backend, precision) == BASELINE
            if is_baseline and (device in ("auto", "cpu") or isinstance(error, ModelNotFoundError)):
                raise
            if by_name or is_baseline:
                candidates.not_measured[f"{backend} {precision} on {device}"] = str(error)
            if not is_baseline:
                continue
            predictor = FaceGeometry(model, backend=backend, precision=precision, device="cpu")
        candidates.running[backend, precision] = predictor
    return candidates
